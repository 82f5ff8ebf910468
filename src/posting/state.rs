//! What posting has come to in this process: read by health and metrics.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::store::entries::PostBatch;

/// Counters since the start, and whether the store takes what it is given.
#[derive(Debug, Default)]
pub struct PostingState {
    through: AtomicU64,
    entries: AtomicU64,
    dead_letters: AtomicU64,
    failures: AtomicU64,
    failing_since: Mutex<Option<Duration>>,
}

impl PostingState {
    /// This boot's journal is posted through this sequence.
    #[must_use]
    pub fn through(&self) -> u64 {
        self.through.load(Ordering::Acquire)
    }

    /// Entries that this process has put into the books.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Entries that the store refused for what they are.
    #[must_use]
    pub fn dead_letters(&self) -> u64 {
        self.dead_letters.load(Ordering::Relaxed)
    }

    /// Batches that could not be posted and were tried again.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Since when the store takes nothing, on the monotonic clock; none while it does.
    #[must_use]
    pub fn failing_since(&self) -> Option<Duration> {
        *self.failing_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn posted(&self, batch: &PostBatch, inserted: u64) {
        self.through.fetch_max(batch.through_sequence, Ordering::AcqRel);
        self.entries.fetch_add(inserted, Ordering::Relaxed);
    }

    pub(super) fn buried(&self, batch: &PostBatch) {
        self.through.fetch_max(batch.through_sequence, Ordering::AcqRel);
        self.dead_letters.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, now: Duration) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.failing_since.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(now);
    }

    pub(super) fn succeeded(&self) {
        *self.failing_since.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
