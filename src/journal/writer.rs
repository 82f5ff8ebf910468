//! The writer's thread: takes all that is queued, writes it as one group, syncs once, acknowledges all.
//!
//! OPENED, ENDED and VOID start a group; SENT and PROGRESS ride along with the next one, or go alone after 100 ms.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::sync::watch;
use tollgate_core::record::RecordKind;

use crate::{
    clock::Clock,
    failpoint::{self, Point},
    journal::{
        Durability,
        couriers::{Couriers, Done, Word},
        health::Health,
        inbox::{Ack, Command, Inbox, Received, Slot, Submission},
        tail::Tail,
    },
};

/// How long a record that nobody waits for may stay in memory.
const RIDE_ALONG_MAX: Duration = Duration::from_millis(100);
/// After a group that so many waited for, the next one is gathered for a while: a sync costs the same for few as for many.
const BUSY_ACKS_MIN: usize = 16;
const GATHER: Duration = Duration::from_micros(500);
/// How long written records may stay unsynced under [`Durability::Relaxed`].
const RELAXED_SYNC_EVERY: Duration = Duration::from_secs(1);
/// How many bytes may stay unsynced under [`Durability::Relaxed`]; they are kept in memory as well.
const RELAXED_UNSYNCED_BYTES_MAX: usize = 8 << 20;

/// What is told when the group is done. Dropping it returns the attempt's room.
struct Waiting {
    kind: RecordKind,
    /// Kept until then, in case that the journal cannot keep it.
    payload: Vec<u8>,
    slot: Arc<Slot>,
    ack: Option<Ack>,
    shard: Option<usize>,
}

/// The writer; lives in its thread.
pub(super) struct Writer {
    tail: Tail,
    health: Arc<Health>,
    durable: watch::Sender<u64>,
    durability: Durability,
    clock: Clock,
    /// Empty between steps; kept for its room.
    commands: Vec<Command>,
    waiting: Vec<Waiting>,
    couriers: Arc<Couriers>,
    /// Those who are told of the group that is acknowledged, by their thread.
    word: Vec<Word>,
    /// How many were told of the group before.
    told: usize,
    /// Since when the oldest record is only in memory.
    staged_since: Option<Duration>,
    /// Since when the oldest record is written and not synced.
    unsynced_since: Option<Duration>,
}

impl Writer {
    /// A writer at the end of `tail`.
    pub(super) fn new(
        tail: Tail,
        health: Arc<Health>,
        durable: watch::Sender<u64>,
        durability: Durability,
        clock: Clock,
        couriers: Arc<Couriers>,
    ) -> Self {
        let word = couriers.room();
        Self {
            tail,
            health,
            durable,
            durability,
            clock,
            commands: Vec::new(),
            waiting: Vec::new(),
            couriers,
            word,
            told: 0,
            staged_since: None,
            unsynced_since: None,
        }
    }

    /// Writes until told to stop, or until nobody can submit any more. A panic poisons the journal, and what comes then
    /// is handed over.
    pub(super) fn run(mut self, mut inbox: Inbox) {
        while let Err(_reported) = catch_unwind(AssertUnwindSafe(|| while self.step(&mut inbox, None) {})) {
            self.health.poison();
            self.commit(false);
        }
    }

    /// Waits for commands (at most so long), and does what is due; false when nothing more will come.
    pub(super) fn step(&mut self, inbox: &mut Inbox, wait_max: Option<Duration>) -> bool {
        let mut commands = mem::take(&mut self.commands);
        let wait = self.next_deadline().into_iter().chain(wait_max).min();
        let mut received = inbox.receive(&mut commands, wait);
        // Without a sync there is nothing to share.
        let is_busy = self.told >= BUSY_ACKS_MIN && self.durability == Durability::Fsync;
        if received == Received::Commands && is_busy {
            received = inbox.gather(&mut commands, GATHER);
        }
        let mut urgent = false;
        for command in commands.drain(..) {
            match command {
                Command::Append(submission) => urgent |= self.stage(submission),
                Command::Stop => inbox.close(),
            }
        }
        self.commands = commands;
        if received == Received::Closed {
            self.commit(true);
            return false;
        }
        if urgent || is_over(self.staged_since, RIDE_ALONG_MAX, &self.clock) {
            let many = self.tail.unsynced_bytes() >= RELAXED_UNSYNCED_BYTES_MAX;
            self.commit(self.durability == Durability::Fsync || many);
        }
        if is_over(self.unsynced_since, RELAXED_SYNC_EVERY, &self.clock) {
            self.commit(true);
        }
        true
    }

    fn next_deadline(&self) -> Option<Duration> {
        let write_at = self.staged_since.map(|since| since.saturating_add(RIDE_ALONG_MAX));
        let sync_at = self.unsynced_since.map(|since| since.saturating_add(RELAXED_SYNC_EVERY));
        let at = write_at.into_iter().chain(sync_at).min()?;
        Some(at.saturating_sub(self.clock.monotonic()))
    }

    /// Appends a record in memory; true when it must not wait for company.
    fn stage(&mut self, submission: Submission) -> bool {
        let Submission { kind, payload, slot, ack, shard } = submission;
        let rides_along = matches!(kind, RecordKind::Sent | RecordKind::Progress);
        if rides_along && self.health.is_scarce() {
            // What room is left is for ends; the slot's next PROGRESS finds its place free.
            slot.progress_queued.store(false, Ordering::Release);
            return false;
        }
        if !self.health.is_poisoned() {
            self.tail.append(kind.code(), &payload);
            if self.staged_since.is_none() {
                self.staged_since = Some(self.clock.monotonic());
            }
        }
        self.waiting.push(Waiting { kind, payload, slot, ack, shard });
        !rides_along || self.health.is_poisoned()
    }

    fn commit(&mut self, sync: bool) {
        self.staged_since = None;
        if self.health.is_poisoned() {
            return self.give_up();
        }
        let waiting = &self.waiting;
        let began = self.clock.monotonic();
        if let Err(error) = self.tail.flush(sync, || pass(waiting, Point::OpenedAppended, Point::EndedAppended)) {
            tracing::error!(%error, "the journal failed twice and is poisoned; no new request is accepted");
            self.health.poison();
            self.unsynced_since = None;
            return self.give_up();
        }
        if sync {
            self.health.commits.took(self.clock.monotonic().saturating_sub(began));
        }
        pass(&self.waiting, Point::OpenedDurable, Point::EndedDurable);
        let is_all_synced = self.tail.unsynced_bytes() == 0;
        self.unsynced_since =
            if is_all_synced { None } else { self.unsynced_since.or_else(|| Some(self.clock.monotonic())) };
        let last = self.tail.last_sequence();
        self.durable.send_if_modified(|durable| mem::replace(durable, last) != last);
        self.acknowledge();
    }

    fn acknowledge(&mut self) {
        self.told = 0;
        for Waiting { kind, payload, slot, ack, shard } in self.waiting.drain(..) {
            if kind == RecordKind::Progress {
                slot.progress_queued.store(false, Ordering::Release);
            }
            self.told += usize::from(ack.is_some());
            let done = Done { payload, slot, ack };
            match shard.and_then(|shard| self.word.get_mut(shard)) {
                Some(word) => word.push(done),
                None => done.tell(),
            }
        }
        self.couriers.tell(&mut self.word);
    }

    /// The journal cannot keep what waits: ends are handed over, the rest hears so.
    fn give_up(&mut self) {
        for Waiting { kind, payload, slot, ack, shard: _ } in self.waiting.drain(..) {
            slot.progress_queued.store(false, Ordering::Release);
            self.health.rescue.hand_over(kind, payload, slot, ack);
        }
    }
}

/// Passes the points of the records that a group consists of.
fn pass(group: &[Waiting], opened: Point, ended: Point) {
    for record in group {
        match record.kind {
            RecordKind::Opened => failpoint::pass(opened),
            RecordKind::Ended => failpoint::pass(ended),
            RecordKind::Sent | RecordKind::Progress | RecordKind::Void => {}
        }
    }
}

fn is_over(since: Option<Duration>, limit: Duration, clock: &Clock) -> bool {
    since.is_some_and(|since| clock.monotonic().saturating_sub(since) >= limit)
}
