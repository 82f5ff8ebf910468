//! The way around a poisoned journal: ends that it cannot keep are handed to whoever can keep them elsewhere.
//!
//! The journal does not know the store. It hands over the entry and waits for the word; the attempt's room stays taken
//! until then, so that a shutdown waits for it.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::mpsc;
use tollgate_core::{
    entry::Entry,
    record::{CODEC_VERSION, DecodeError, Record, RecordKind},
};

use crate::journal::{
    error::JournalError,
    inbox::{Ack, Slot},
};

/// An end that the journal could not keep. Dropped without [`Self::kept`], its attempt hears that it is not durable.
pub struct RescuedEnd {
    payload: Vec<u8>,
    slot: Option<Arc<Slot>>,
    ack: Option<Ack>,
    kept: Arc<AtomicU64>,
}

impl RescuedEnd {
    /// What is to be kept.
    ///
    /// # Errors
    /// [`DecodeError`] when the entry is not what this process encoded; nothing can be kept then.
    pub fn entry(&self) -> Result<Entry, DecodeError> {
        match Record::decode(RecordKind::Ended.code(), CODEC_VERSION, &self.payload)? {
            Record::Ended(entry) => Ok(*entry),
            other => Err(DecodeError::UnknownKind(other.kind().code())),
        }
    }

    /// It is durable elsewhere.
    pub fn kept(mut self) {
        self.kept.fetch_add(1, Ordering::Relaxed);
        self.answer(Ok(()));
    }

    fn answer(&mut self, result: Result<(), JournalError>) {
        // Before the word goes out: who hears that an end is durable may count on its room.
        self.slot = None;
        if let Some(ack) = self.ack.take() {
            // Nobody listens when the receipt was dropped.
            let _unheard = ack.send(result);
        }
    }
}

impl Drop for RescuedEnd {
    fn drop(&mut self) {
        self.answer(Err(JournalError::Poisoned));
    }
}

/// Hands ends over, once somebody takes them.
#[derive(Default)]
pub(super) struct Rescue {
    taker: OnceLock<mpsc::Sender<RescuedEnd>>,
    kept: Arc<AtomicU64>,
}

impl Rescue {
    /// The ends to come, for the first who asks. `ends_max` bounds those under way; no more permits are out.
    pub(super) fn take(&self, ends_max: usize) -> Option<mpsc::Receiver<RescuedEnd>> {
        let (sender, receiver) = mpsc::channel(ends_max);
        self.taker.set(sender).is_ok().then_some(receiver)
    }

    /// How many were kept elsewhere.
    pub(super) fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// Hands over a record; with nobody to take it, and when it is not an end, its attempt hears that it is lost.
    pub(super) fn hand_over(&self, kind: RecordKind, payload: Vec<u8>, slot: Arc<Slot>, ack: Option<Ack>) {
        let end = RescuedEnd { payload, slot: Some(slot), ack, kept: Arc::clone(&self.kept) };
        if kind == RecordKind::Ended
            && let Some(taker) = self.taker.get()
        {
            // Refused only when the taker is gone; the end says so to its attempt when it is dropped.
            let _gone = taker.try_send(end);
        }
    }
}
