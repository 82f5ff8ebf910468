//! The records of one attempt, as values: a permit becomes an open attempt, an open attempt becomes an end.
//!
//! Records are queued when a method is called, not when its receipt is polled. None of them can be refused for want of
//! room, because the permit reserved it.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::sync::{
    OwnedSemaphorePermit,
    mpsc::error::TrySendError,
    oneshot::{self, Receiver},
};
use tollgate_core::{
    entry::{Admission, Entry},
    id::AttemptId,
    record::{Progress, Record, RecordKind, encode_ended, encode_opened},
};

use crate::{
    journal::{
        Inner,
        error::JournalError,
        frame::PAYLOAD_BYTES_MAX,
        inbox::{Ack, Command, Slot, Submission},
    },
    shard,
};

/// An OPENED or ENDED is hardly ever larger; what is needed beyond is allocated again.
const PAYLOAD_BYTES_USUAL: usize = 1024;

/// Room for one attempt. Dropping it gives the room back.
#[must_use]
pub struct Permit {
    journal: Arc<Inner>,
    room: OwnedSemaphorePermit,
}

impl Permit {
    pub(super) fn new(journal: Arc<Inner>, room: OwnedSemaphorePermit) -> Self {
        Self { journal, room }
    }

    /// Queues OPENED. The receipt gives the attempt when OPENED is durable; nothing may go upstream before.
    pub fn open(self, admission: Admission) -> OpenReceipt {
        let slot = Slot { _room: self.room, sent: AtomicBool::new(false), progress_queued: AtomicBool::new(false) };
        let records = Records { id: admission.id, slot: Arc::new(slot), journal: self.journal };
        let (ack, durable) = oneshot::channel();
        records.queue(RecordKind::Opened, Some(ack), |payload| encode_opened(&admission, payload));
        OpenReceipt { attempt: Some(OpenAttempt { admission: Box::new(admission), records }), durable }
    }
}

/// Resolves when OPENED is durable. Dropped before, it appends VOID: nobody else had the attempt, so no byte went
/// upstream, and a client that leaves in this moment is not billed after a crash.
#[must_use]
pub struct OpenReceipt {
    attempt: Option<OpenAttempt>,
    durable: Receiver<Result<(), JournalError>>,
}

impl Future for OpenReceipt {
    type Output = Result<OpenAttempt, JournalError>;

    fn poll(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.durable).poll(ctx)).unwrap_or(Err(JournalError::Closed));
        let attempt = self.attempt.take();
        Poll::Ready(result.and_then(|()| attempt.ok_or(JournalError::Closed)))
    }
}

impl Drop for OpenReceipt {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            attempt.void();
        }
    }
}

/// An attempt that is durably open.
///
/// Dropped without [`Self::end`] or [`Self::void`], it gives its room back and leaves an orphan, which recovery resolves
/// after this boot as `interrupted`. That is on purpose: only the caller knows how the attempt ended, so it must guard it.
#[must_use]
pub struct OpenAttempt {
    admission: Box<Admission>,
    records: Records,
}

impl OpenAttempt {
    /// As it was opened.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Queues SENT, once; call it before the first byte goes upstream. Not waited for.
    pub fn sent(&self) {
        if !self.records.slot.sent.swap(true, Ordering::AcqRel) {
            self.records.submit(&Record::Sent(self.admission.id));
        }
    }

    /// Queues PROGRESS. Not waited for; skipped while an earlier one is on its way, since the next one says more.
    pub fn progress(&self, progress: Progress) {
        if !self.records.slot.progress_queued.swap(true, Ordering::AcqRel) {
            self.records.submit(&Record::Progress(progress));
        }
    }

    /// Queues ENDED, at once; the receipt resolves when it is durable. The room comes back then, and when it failed.
    pub fn end(self, entry: Entry) -> EndReceipt {
        let (_, end) = self.into_parts();
        end.write(&entry)
    }

    /// The admission, so that an entry can be made of it, and what writes that entry.
    pub fn into_parts(self) -> (Admission, End) {
        (*self.admission, End(self.records))
    }

    /// Queues VOID: the caller knows that no byte went upstream.
    pub fn void(self) {
        self.records.submit(&Record::Void(self.admission.id));
    }
}

/// The end of an open attempt, not written so far. Dropped, it is as a dropped [`OpenAttempt`].
#[must_use]
pub struct End(Records);

impl End {
    /// As [`OpenAttempt::end`].
    pub fn write(self, entry: &Entry) -> EndReceipt {
        let (ack, durable) = oneshot::channel();
        self.0.queue(RecordKind::Ended, Some(ack), |payload| encode_ended(entry, payload));
        EndReceipt { durable }
    }
}

/// The way of an attempt's records into the journal.
struct Records {
    id: AttemptId,
    slot: Arc<Slot>,
    journal: Arc<Inner>,
}

impl Records {
    fn submit(&self, record: &Record) {
        self.queue(record.kind(), None, |payload| record.encode(payload));
    }

    fn queue(&self, kind: RecordKind, ack: Option<Ack>, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut payload = Vec::with_capacity(PAYLOAD_BYTES_USUAL);
        encode(&mut payload);
        if payload.len() > PAYLOAD_BYTES_MAX {
            let error = JournalError::TooLarge { bytes: payload.len(), bytes_max: PAYLOAD_BYTES_MAX };
            tracing::error!(%error, attempt_id = %self.id, "a record was not written");
            return refuse(ack, error);
        }
        let submission = Submission { kind, payload, slot: Arc::clone(&self.slot), ack, shard: shard::current() };
        match self.journal.commands.try_send(Command::Append(submission)) {
            Ok(()) => {}
            Err(TrySendError::Full(command)) => {
                debug_assert!(false, "a permit's records always have room");
                refuse(ack_of(command), JournalError::Full { in_flight_max: self.journal.in_flight_max });
            }
            Err(TrySendError::Closed(Command::Append(lost))) if self.journal.health.is_poisoned() => {
                self.journal.health.rescue.hand_over(lost.kind, lost.payload, lost.slot, lost.ack);
            }
            Err(TrySendError::Closed(command)) => refuse(ack_of(command), JournalError::Closed),
        }
    }
}

/// Resolves when ENDED is durable. Dropping it does not take the record back.
#[must_use]
pub struct EndReceipt {
    durable: Receiver<Result<(), JournalError>>,
}

impl Future for EndReceipt {
    type Output = Result<(), JournalError>;

    fn poll(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.durable).poll(ctx));
        Poll::Ready(result.unwrap_or(Err(JournalError::Closed)))
    }
}

fn ack_of(command: Command) -> Option<Ack> {
    match command {
        Command::Append(submission) => submission.ack,
        Command::Stop => None,
    }
}

fn refuse(ack: Option<Ack>, error: JournalError) {
    if let Some(ack) = ack {
        // Nobody listens when the receipt was dropped.
        let _unheard = ack.send(Err(error));
    }
}
