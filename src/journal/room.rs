//! Room on the disk: what is ready to be written to, what running attempts were promised, and what the quota leaves.
//!
//! Segments are filled ahead, so what is ready here is really there. A new attempt is let in only when what is ready
//! covers the promise to every attempt that is out, its own included. Ends are never refused: a segment is made for them
//! whatever the quota says.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::journal::error::JournalError;

/// From this share of the quota on, operators are warned.
const WARN_PERCENT: u64 = 80;
/// From this share of the quota on, new attempts are refused.
const REFUSE_PERCENT: u64 = 95;

/// The account of one replica's room. All of it in bytes.
#[derive(Debug)]
pub(super) struct Room {
    /// Set aside for each attempt when it is let in.
    promised_each: u64,
    /// The most that the replica's files may take; 0: no quota.
    quota_max: u64,
    used: AtomicU64,
    /// Of the current segment.
    left_in_current: AtomicU64,
    in_spares: AtomicU64,
    has_warned: AtomicBool,
    has_refused: AtomicBool,
}

impl Room {
    pub(super) fn new(promised_each: u64, quota_max: u64) -> Self {
        Self {
            promised_each,
            quota_max,
            used: AtomicU64::new(0),
            left_in_current: AtomicU64::new(0),
            in_spares: AtomicU64::new(0),
            has_warned: AtomicBool::new(false),
            has_refused: AtomicBool::new(false),
        }
    }

    /// Whether there is room for so many attempts.
    pub(super) fn check(&self, attempts: usize) -> Result<(), JournalError> {
        if self.is_over_quota() {
            return Err(JournalError::Quota { used_bytes: self.used(), bytes_max: self.quota_max });
        }
        let ready = self.left_in_current.load(Ordering::Acquire).saturating_add(self.in_spares.load(Ordering::Acquire));
        let promised = u64::try_from(attempts).unwrap_or(u64::MAX).saturating_mul(self.promised_each);
        if promised > ready { Err(JournalError::NoSpace) } else { Ok(()) }
    }

    /// Bytes of the replica's files, as last measured.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// The quota in bytes; 0: none.
    pub(super) fn quota_max(&self) -> u64 {
        self.quota_max
    }

    /// Whether new attempts are refused.
    pub(super) fn is_over_quota(&self) -> bool {
        self.reaches(self.used(), REFUSE_PERCENT)
    }

    /// Whether a spare of so many bytes may be made before anybody needs it.
    pub(super) fn has_quota_for(&self, bytes: u64) -> bool {
        self.quota_max == 0 || self.used().saturating_add(bytes) <= self.quota_max
    }

    /// So much is used; tells operators when a threshold is crossed.
    pub(super) fn measured(&self, used: u64) {
        self.used.store(used, Ordering::Release);
        let (quota, warn, refuse) = (self.quota_max, self.reaches(used, WARN_PERCENT), self.is_over_quota());
        match (self.has_refused.swap(refuse, Ordering::AcqRel), refuse) {
            (false, true) => tracing::error!(
                used_bytes = used,
                disk_bytes_max = quota,
                "the journal's disk quota is used up: new requests are refused, running ones are recorded"
            ),
            (true, false) => tracing::info!(used_bytes = used, "the journal has room again: requests are accepted"),
            _ => {}
        }
        if warn && !self.has_warned.swap(warn, Ordering::AcqRel) {
            tracing::warn!(used_bytes = used, disk_bytes_max = quota, "the journal nears its disk quota");
        } else if !warn {
            self.has_warned.store(false, Ordering::Release);
        }
    }

    /// So much of the current segment is free.
    pub(super) fn set_left_in_current(&self, bytes: u64) {
        self.left_in_current.store(self.less_its_end(bytes), Ordering::Release);
    }

    /// A spare of so many bytes is ready.
    pub(super) fn spare_made(&self, bytes: u64) {
        self.in_spares.fetch_add(self.less_its_end(bytes), Ordering::AcqRel);
    }

    /// A spare is the current segment now, or gone.
    pub(super) fn spare_taken(&self, bytes: u64) {
        self.in_spares.fetch_sub(self.less_its_end(bytes), Ordering::AcqRel);
    }

    /// A segment's last bytes are wasted when the next frame does not fit there.
    fn less_its_end(&self, bytes: u64) -> u64 {
        bytes.saturating_sub(self.promised_each)
    }

    fn reaches(&self, used: u64, percent: u64) -> bool {
        self.quota_max > 0 && used / percent >= self.quota_max / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_let_in_only_when_every_promise_is_covered() {
        let room = Room::new(100, 0);
        assert!(matches!(room.check(1), Err(JournalError::NoSpace)));
        room.set_left_in_current(350);
        assert!(room.check(2).is_ok(), "a segment's end may be too short for a frame");
        assert!(matches!(room.check(3), Err(JournalError::NoSpace)));
        room.spare_made(1000);
        assert!(room.check(11).is_ok() && room.check(12).is_err());
        room.spare_taken(1000);
        room.set_left_in_current(1000);
        assert!(room.check(9).is_ok() && room.check(10).is_err());
    }

    #[test]
    fn the_quota_warns_at_eighty_and_refuses_at_ninety_five_percent() {
        let room = Room::new(0, 10_000);
        for (used, is_warned, is_refused) in [
            (7_999, false, false),
            (8_000, true, false),
            (9_499, true, false),
            (9_500, true, true),
            (100, false, false),
        ] {
            room.measured(used);
            assert_eq!(room.has_warned.load(Ordering::Acquire), is_warned, "{used}");
            assert_eq!(room.check(1).is_err(), is_refused, "{used}");
        }
        assert!(room.has_quota_for(9_900) && !room.has_quota_for(9_901));
    }
}
