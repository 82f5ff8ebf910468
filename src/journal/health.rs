//! The journal's state, as everyone may see it: whether it takes new attempts, and what it counts.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{
    journal::{error::JournalError, rescue::Rescue, room::Room},
    telemetry::{names, timing::Timing},
};

/// Bounds of a group commit, in seconds: from a fast disk to one that hangs.
const COMMIT_SECONDS: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// Shared by the journal's clones, its permits, and its threads.
pub(super) struct Health {
    /// The disk's.
    pub(super) room: Room,
    /// Where ends go that the journal cannot keep.
    pub(super) rescue: Rescue,
    /// What the quarantine holds: missing records and damaged regions.
    pub(super) missing: AtomicU64,
    pub(super) damaged: AtomicU64,
    /// Segments given up after a failure to write.
    pub(super) abandoned: AtomicU64,
    pub(super) stopping: AtomicBool,
    /// How long group commits take.
    pub(super) commits: Timing,
    poisoned: AtomicBool,
    starved: AtomicBool,
}

impl Health {
    pub(super) fn new(room: Room) -> Self {
        Self {
            room,
            rescue: Rescue::default(),
            missing: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            commits: Timing::new(&names::JOURNAL_SYNC_SECONDS, COMMIT_SECONDS),
            poisoned: AtomicBool::new(false),
            starved: AtomicBool::new(false),
        }
    }

    /// Whether there may be so many attempts at once.
    pub(super) fn check(&self, attempts: usize) -> Result<(), JournalError> {
        if self.is_poisoned() {
            return Err(JournalError::Poisoned);
        }
        if self.stopping.load(Ordering::Acquire) {
            return Err(JournalError::Closed);
        }
        if self.starved.load(Ordering::Acquire) {
            return Err(JournalError::NoSpace);
        }
        self.room.check(attempts)
    }

    /// Whether what room is left is for ends only.
    pub(super) fn is_scarce(&self) -> bool {
        self.starved.load(Ordering::Acquire) || self.room.is_over_quota()
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    pub(super) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    /// Sets whether a spare segment cannot be made; returns what was set before.
    pub(super) fn set_starved(&self, starved: bool) -> bool {
        self.starved.swap(starved, Ordering::AcqRel)
    }
}
