//! Takes the word that records are durable to the data plane's threads: each is woken once a group, not once a record.

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;

use crate::{
    journal::inbox::{Ack, Slot},
    shard,
};

/// A durable record and who waits for it. What was allocated for it is released on the thread that did so: on another one that
/// takes a lock of the allocator.
pub(super) struct Done {
    pub(super) payload: Vec<u8>,
    pub(super) slot: Arc<Slot>,
    pub(super) ack: Option<Ack>,
}

/// Those of one group that are of one thread.
pub(super) type Word = Vec<Done>;

/// The ways to the threads, by number.
pub(super) struct Couriers(Vec<OnceLock<mpsc::UnboundedSender<Word>>>);

impl Default for Couriers {
    fn default() -> Self {
        Self((0..shard::count()).map(|_| OnceLock::new()).collect())
    }
}

impl Couriers {
    /// Where word for this thread comes from; none: it is no thread of the data plane, or has asked before. What is under way is
    /// bounded by the permits that are out.
    pub(super) fn begin(&self) -> Option<mpsc::UnboundedReceiver<Word>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.0.get(shard::current()?)?.set(sender).is_ok().then_some(receiver)
    }

    /// Tells those that wait, by the number of their thread, that their records are durable.
    pub(super) fn tell(&self, waiting: &mut [Word]) {
        for (courier, word) in self.0.iter().zip(waiting) {
            if word.is_empty() {
                continue;
            }
            let word = std::mem::take(word);
            let untold = match courier.get() {
                Some(courier) => courier.send(word).err().map(|failed| failed.0),
                None => Some(word),
            };
            untold.into_iter().flatten().for_each(Done::tell);
        }
    }

    /// Room for those that wait on each thread.
    pub(super) fn room(&self) -> Vec<Word> {
        self.0.iter().map(|_| Vec::new()).collect()
    }
}

impl Done {
    /// Tells who waits.
    pub(super) fn tell(self) {
        let Self { payload, slot, ack } = self;
        drop(payload);
        // Before the word goes out: who hears that an end is durable may count on its room.
        drop(slot);
        if let Some(ack) = ack {
            // Nobody listens when the receipt was dropped; the record is durable all the same.
            let _unheard = ack.send(Ok(()));
        }
    }
}
