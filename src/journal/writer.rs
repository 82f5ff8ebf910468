//! The writer's thread: takes all that is queued, writes it as one group, syncs once, acknowledges all.
//!
//! OPENED, ENDED and VOID start a group; SENT and PROGRESS ride along with the next one, or go alone after 100 ms.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;
use tollgate_core::record::RecordKind;

use crate::{
    clock::Clock,
    journal::{
        Durability,
        error::JournalError,
        inbox::{Ack, Command, Inbox, Received, Slot, Submission},
        tail::Tail,
    },
};

/// How long a record that nobody waits for may stay in memory.
const RIDE_ALONG_MAX: Duration = Duration::from_millis(100);
/// How long written records may stay unsynced under [`Durability::Relaxed`].
const RELAXED_SYNC_EVERY: Duration = Duration::from_secs(1);
/// How many bytes may stay unsynced under [`Durability::Relaxed`]; they are kept in memory as well.
const RELAXED_UNSYNCED_BYTES_MAX: usize = 8 << 20;

/// The journal's state, as everyone may see it.
#[derive(Default)]
pub(super) struct Health {
    poisoned: AtomicBool,
    starved: AtomicBool,
    pub(super) stopping: AtomicBool,
}

impl Health {
    /// Whether new attempts may start.
    pub(super) fn check(&self) -> Result<(), JournalError> {
        if self.is_poisoned() {
            return Err(JournalError::Poisoned);
        }
        if self.stopping.load(Ordering::Acquire) {
            return Err(JournalError::Closed);
        }
        if self.starved.load(Ordering::Acquire) {
            return Err(JournalError::NoSpace);
        }
        Ok(())
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

/// What is told when the group is done. Dropping it returns the attempt's room.
struct Waiting {
    kind: RecordKind,
    slot: Arc<Slot>,
    ack: Option<Ack>,
}

/// The writer; lives in its thread.
pub(super) struct Writer {
    tail: Tail,
    health: Arc<Health>,
    durable: watch::Sender<u64>,
    durability: Durability,
    clock: Clock,
    waiting: Vec<Waiting>,
    /// Since when the oldest record is only in memory.
    staged_since: Option<Duration>,
    /// Since when the oldest record is written and not synced.
    unsynced_since: Option<Duration>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.health.poison();
        }
    }
}

impl Writer {
    /// A writer at the end of `tail`.
    pub(super) fn new(
        tail: Tail,
        health: Arc<Health>,
        durable: watch::Sender<u64>,
        durability: Durability,
        clock: Clock,
    ) -> Self {
        let waiting = Vec::new();
        Self { tail, health, durable, durability, clock, waiting, staged_since: None, unsynced_since: None }
    }

    /// Writes until told to stop, or until nobody can submit any more.
    pub(super) fn run(mut self, mut inbox: Inbox) {
        let mut commands = Vec::new();
        loop {
            let received = inbox.receive(&mut commands, self.next_deadline());
            let mut urgent = false;
            for command in commands.drain(..) {
                match command {
                    Command::Append(submission) => urgent |= self.stage(submission),
                    Command::Stop => inbox.close(),
                }
            }
            if received == Received::Closed {
                self.commit(true);
                return;
            }
            if urgent || is_over(self.staged_since, RIDE_ALONG_MAX, &self.clock) {
                let many = self.tail.unsynced_bytes() >= RELAXED_UNSYNCED_BYTES_MAX;
                self.commit(self.durability == Durability::Fsync || many);
            }
            if is_over(self.unsynced_since, RELAXED_SYNC_EVERY, &self.clock) {
                self.commit(true);
            }
        }
    }

    fn next_deadline(&self) -> Option<Duration> {
        let write_at = self.staged_since.map(|since| since.saturating_add(RIDE_ALONG_MAX));
        let sync_at = self.unsynced_since.map(|since| since.saturating_add(RELAXED_SYNC_EVERY));
        let at = write_at.into_iter().chain(sync_at).min()?;
        Some(at.saturating_sub(self.clock.monotonic()))
    }

    /// Appends a record in memory; true when it must not wait for company.
    fn stage(&mut self, submission: Submission) -> bool {
        let Submission { kind, payload, slot, ack } = submission;
        self.waiting.push(Waiting { kind, slot, ack });
        if self.health.is_poisoned() {
            return true;
        }
        self.tail.append(kind.code(), &payload);
        if self.staged_since.is_none() {
            self.staged_since = Some(self.clock.monotonic());
        }
        !matches!(kind, RecordKind::Sent | RecordKind::Progress)
    }

    fn commit(&mut self, sync: bool) {
        self.staged_since = None;
        if self.health.is_poisoned() {
            return self.acknowledge(|| Err(JournalError::Poisoned));
        }
        if let Err(error) = self.tail.flush(sync) {
            tracing::error!(%error, "the journal failed twice and is poisoned; no new request is accepted");
            self.health.poison();
            self.unsynced_since = None;
            return self.acknowledge(|| Err(JournalError::Poisoned));
        }
        let is_all_synced = self.tail.unsynced_bytes() == 0;
        self.unsynced_since =
            if is_all_synced { None } else { self.unsynced_since.or_else(|| Some(self.clock.monotonic())) };
        let last = self.tail.last_sequence();
        self.durable.send_if_modified(|durable| mem::replace(durable, last) != last);
        self.acknowledge(|| Ok(()));
    }

    fn acknowledge(&mut self, result: impl Fn() -> Result<(), JournalError>) {
        for Waiting { kind, slot, ack } in self.waiting.drain(..) {
            if kind == RecordKind::Progress {
                slot.progress_queued.store(false, Ordering::Release);
            }
            // Before the word goes out: who hears that an end is durable may count on its room.
            drop(slot);
            if let Some(ack) = ack {
                // Nobody listens when the receipt was dropped; the record is durable all the same.
                let _unheard = ack.send(result());
            }
        }
    }
}

fn is_over(since: Option<Duration>, limit: Duration, clock: &Clock) -> bool {
    since.is_some_and(|since| clock.monotonic().saturating_sub(since) >= limit)
}
