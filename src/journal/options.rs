//! Where and how a journal is kept.

use std::path::PathBuf;

use tokio::sync::Semaphore;

use crate::journal::error::JournalError;

/// Default size of a segment, bytes.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;
/// Smallest segment, bytes.
pub const SEGMENT_BYTES_MIN: u64 = 4096;
/// Default number of attempts that may run at once.
pub const IN_FLIGHT_MAX_DEFAULT: usize = 16_384;
/// Default room that is set aside for the records of an attempt when it is let in, bytes. An OPENED and an ENDED take
/// about 700 together; an ENDED with a long usage object of its provider takes more, of what others have left.
pub const ATTEMPT_BYTES_RESERVED_DEFAULT: u64 = 4096;
/// Records of one permit that can wait in the queue at once: OPENED, SENT, PROGRESS, and ENDED or VOID.
pub(super) const RECORDS_PER_PERMIT_MAX: usize = 4;
/// One that is taken next, and one in case that the next one fails.
const SPARES_MIN: u64 = 2;

/// What "acknowledged" means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On the disk: survives the loss of power.
    Fsync,
    /// With the operating system: survives the death of the process; the loss of power costs at most one second.
    Relaxed,
}

/// Where and how the journal is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of all replicas' journals.
    pub dir: PathBuf,
    /// This replica's name; one folder below `dir`.
    pub replica: String,
    /// Size of a segment in bytes; at least [`SEGMENT_BYTES_MIN`].
    pub segment_bytes: u64,
    /// What "acknowledged" means.
    pub durability: Durability,
    /// Attempts that may run at once; further permits are refused.
    pub in_flight_max: usize,
    /// Bytes that are set aside for each attempt when it is let in.
    pub attempt_bytes_reserved: u64,
    /// The most that the replica's files may take, bytes; 0: no limit but the disk's.
    pub disk_bytes_max: u64,
}

impl Options {
    /// The defaults: 64 MiB segments, fsync, 16,384 attempts in flight, no quota.
    #[must_use]
    pub fn new(dir: PathBuf, replica: String) -> Self {
        Self {
            dir,
            replica,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            durability: Durability::Fsync,
            in_flight_max: IN_FLIGHT_MAX_DEFAULT,
            attempt_bytes_reserved: ATTEMPT_BYTES_RESERVED_DEFAULT,
            disk_bytes_max: 0,
        }
    }

    /// How many spare segments are kept ready: they cover what is promised to all attempts that may be let in, however
    /// little is left of the current segment.
    pub(super) fn spares(&self) -> usize {
        let promised =
            u64::try_from(self.in_flight_max).unwrap_or(u64::MAX).saturating_mul(self.attempt_bytes_reserved);
        let each = self.segment_bytes.saturating_sub(self.attempt_bytes_reserved).max(1);
        usize::try_from(promised.div_ceil(each).max(SPARES_MIN)).unwrap_or(usize::MAX)
    }

    /// The least quota that works, bytes: segments in use and ready are no more than half of it.
    #[must_use]
    pub fn disk_bytes_min(&self) -> u64 {
        let segments = u64::try_from(self.spares()).unwrap_or(u64::MAX).saturating_add(1);
        segments.saturating_mul(self.segment_bytes).saturating_mul(2)
    }

    /// Whether a journal can be kept so.
    ///
    /// # Errors
    /// The variant that names the option out of range.
    pub fn check(&self) -> Result<(), JournalError> {
        let bytes_min = SEGMENT_BYTES_MIN.max(self.attempt_bytes_reserved.saturating_mul(2));
        if self.segment_bytes < bytes_min {
            return Err(JournalError::SegmentBytes { bytes: self.segment_bytes, bytes_min });
        }
        let in_flight_max_max = Semaphore::MAX_PERMITS / (RECORDS_PER_PERMIT_MAX * 2);
        if !(1..=in_flight_max_max).contains(&self.in_flight_max) {
            return Err(JournalError::InFlightMax { asked: self.in_flight_max, most: in_flight_max_max });
        }
        if self.disk_bytes_max > 0 && self.disk_bytes_max < self.disk_bytes_min() {
            return Err(JournalError::QuotaTooSmall { asked: self.disk_bytes_max, least: self.disk_bytes_min() });
        }
        Ok(())
    }
}
