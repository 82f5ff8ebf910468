//! What posting has come to in this process: read by health and metrics.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
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
    contact: Mutex<Contact>,
}

/// Whether the store takes what it is given, by the monotonic clock.
#[derive(Debug, Default)]
struct Contact {
    /// When it last took something, or there was nothing to give.
    succeeded_at: Duration,
    /// What was given last was refused.
    is_failing: bool,
}

/// Without success for so long the store counts as failing, also when nothing says so: it may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(5);

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

    /// For how long the store has taken nothing; none while it does. `now` is of the monotonic clock.
    #[must_use]
    pub fn failing_for(&self, now: Duration) -> Option<Duration> {
        let contact = self.contact();
        let since_success = now.saturating_sub(contact.succeeded_at);
        (contact.is_failing || since_success >= SILENCE_MAX).then_some(since_success)
    }

    fn contact(&self) -> MutexGuard<'_, Contact> {
        self.contact.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody begins to post, perhaps not the first one: that is no success.
    pub(super) fn begun(&self, now: Duration) {
        let mut contact = self.contact();
        if contact.succeeded_at.is_zero() {
            contact.succeeded_at = now;
        }
    }

    pub(super) fn posted(&self, batch: &PostBatch, inserted: u64, now: Duration) {
        self.through.fetch_max(batch.through_sequence, Ordering::AcqRel);
        self.entries.fetch_add(inserted, Ordering::Relaxed);
        self.succeeded(now);
    }

    pub(super) fn buried(&self, batch: &PostBatch, now: Duration) {
        self.through.fetch_max(batch.through_sequence, Ordering::AcqRel);
        self.dead_letters.fetch_add(1, Ordering::Relaxed);
        self.succeeded(now);
    }

    /// The store has lost what was posted behind this sequence.
    pub(super) fn rewound(&self, through: u64) {
        self.through.store(through, Ordering::Release);
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.contact().is_failing = true;
    }

    pub(super) fn succeeded(&self, now: Duration) {
        *self.contact() = Contact { succeeded_at: now, is_failing: false };
    }
}
