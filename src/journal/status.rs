//! What operators are told of a journal, as numbers.

use std::sync::atomic::Ordering;

use crate::{journal::Journal, telemetry::timing::Timing};

/// One look at a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Attempts that hold room.
    pub in_flight: usize,
    /// The most that may.
    pub in_flight_max: usize,
    /// Highest durable sequence of this boot.
    pub durable_sequence: u64,
    /// Whether new attempts are let in.
    pub is_accepting: bool,
    /// Whether nothing more will become durable in this boot.
    pub is_poisoned: bool,
    /// Bytes that the replica's files take.
    pub disk_bytes: u64,
    /// The quota in bytes; 0: none.
    pub disk_bytes_max: u64,
    /// Segments that were given up after a failure to write.
    pub abandoned_segments: u64,
    /// Ends that were kept elsewhere because the journal was poisoned.
    pub kept_elsewhere: u64,
    /// Records that are missing, as the quarantine says.
    pub missing_records: u64,
    /// Damaged regions, as the quarantine says.
    pub damaged_regions: u64,
}

impl Journal {
    /// How long its group commits take.
    #[must_use]
    pub fn commits(&self) -> &Timing {
        &self.inner.health.commits
    }

    /// One look.
    #[must_use]
    pub fn status(&self) -> Status {
        let health = &self.inner.health;
        Status {
            in_flight: self.in_flight(),
            in_flight_max: self.inner.in_flight_max,
            durable_sequence: *self.inner.durable.borrow(),
            is_accepting: self.check().is_ok(),
            is_poisoned: health.is_poisoned(),
            disk_bytes: health.room.used(),
            disk_bytes_max: health.room.quota_max(),
            abandoned_segments: health.abandoned.load(Ordering::Relaxed),
            kept_elsewhere: health.rescue.kept(),
            missing_records: health.missing.load(Ordering::Acquire),
            damaged_regions: health.damaged.load(Ordering::Acquire),
        }
    }
}
