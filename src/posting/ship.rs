//! Gets a batch into the store, whatever is in it: an entry that the store refuses for what it is becomes a dead letter,
//! and the rest goes on. What is too much for the store at once goes in pieces.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tollgate_core::entry::Entry;

use super::state::PostingState;
use crate::{
    clock::Clock,
    store::{
        Store, StoreError,
        dead_letters::DeadLetter,
        entries::{PostBatch, Posted, Stage},
    },
};

/// Ships batches to one store.
pub struct Shipper {
    store: Store,
    clock: Clock,
    state: Arc<PostingState>,
    pace: Pace,
}

impl Shipper {
    /// To this store; `state` hears what it comes to.
    #[must_use]
    pub fn new(store: Store, clock: Clock, state: Arc<PostingState>) -> Self {
        Self { store, clock, state, pace: Pace::default() }
    }

    /// Posts a batch. Doing it again, after a failure or in another process, changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the store is away or not what it should be; what of the batch was posted by then stays.
    pub async fn ship(&self, batch: &PostBatch) -> Result<Posted, StoreError> {
        let mut posted = Posted::default();
        // Copied only when it has to be cut.
        let mut waiting = vec![Cow::Borrowed(batch)];
        while let Some(mut batch) = waiting.pop() {
            while batch.entries.len() > self.pace.entries_max() {
                let Halves::Two(first, second) = halves(batch.clone().into_owned()) else { break };
                waiting.push(Cow::Owned(*second));
                batch = Cow::Owned(*first);
            }
            match self.store.post(&batch).await {
                Ok(done) => {
                    if done.already_there > 0 && batch.stage == Stage::Reading {
                        self.compare(&batch).await?;
                    }
                    posted.inserted += done.inserted;
                    posted.already_there += done.already_there;
                    self.state.posted(&batch, done.inserted, self.clock.monotonic());
                    self.pace.was_done();
                }
                Err(error) if error.blames_the_rows() && !batch.entries.is_empty() => {
                    match halves(batch.into_owned()) {
                        Halves::Two(first, second) => waiting.extend([Cow::Owned(*second), Cow::Owned(*first)]),
                        Halves::One(poison) => self.bury(&poison, &error).await?,
                    }
                }
                // A store that is gone says so at the next attempt: there is no connection to be had then.
                Err(error) if error.is_too_slow() && batch.entries.len() > 1 => {
                    self.state.failed();
                    self.pace.was_too_much(batch.entries.len());
                    let entries_max = self.pace.entries_max();
                    tracing::warn!(%error, entries_max, "a batch was too slow; less is posted at once");
                    waiting.push(batch);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(posted)
    }

    /// The first word on an attempt stands. It is the same as the journal's, posted before; if it is not, a journal was adopted
    /// whose process lived on: then what it said in the end is kept, for somebody to correct the books by.
    async fn compare(&self, batch: &PostBatch) -> Result<(), StoreError> {
        for (sequence, entry) in &batch.entries {
            let id = entry.id;
            let standing = match self.store.entries_of_request(id.request_id).await {
                // Nothing can be said of it here; the audit tells of what it cannot read, and posting goes on.
                Err(StoreError::Damaged(_)) => {
                    tracing::error!(attempt = %id, "an entry of the books that was posted again cannot be read");
                    continue;
                }
                standing => standing?,
            };
            let Ok(entry) = entry.entry() else {
                tracing::error!(attempt = %id, "an entry of the journal that was posted before cannot be read");
                continue;
            };
            let Some(other) = standing.iter().find(|other| other.admission.id == id && **other != entry) else {
                continue;
            };
            let reason = format!("the books say `{}` of this attempt, the journal `{}`", said(other), said(&entry));
            let letter = DeadLetter {
                entry,
                replica: batch.replica.clone(),
                boot_id: batch.boot_id,
                sequence: *sequence,
                reason,
                buried_at_us: self.clock.unix_us(),
            };
            tracing::error!(attempt = %id, reason = letter.reason, "the journal contradicts the books; its word is kept");
            self.store.keep_contradiction(&letter).await?;
        }
        Ok(())
    }

    async fn bury(&self, poison: &PostBatch, error: &StoreError) -> Result<(), StoreError> {
        self.store.bury(poison, &error.to_string(), self.clock.unix_us()).await?;
        let attempt = poison.entries.first().map(|(_, entry)| entry.id.to_string());
        tracing::error!(attempt, %error, "the store refuses an entry; it is kept as a dead letter and is in no sum");
        self.state.buried(poison, self.clock.monotonic());
        Ok(())
    }
}

/// Outcome, source of the usage and charge, for an operator.
fn said(entry: &Entry) -> String {
    let charge = entry.charge().map_or_else(|| "unpriced".to_owned(), |charge| format!("{charge} USD"));
    format!("{}, {}, {charge}", entry.outcome.name(), entry.usage_source.name())
}

/// How many entries go into one transaction.
#[derive(Debug)]
struct Pace(AtomicUsize);

impl Default for Pace {
    fn default() -> Self {
        Self(AtomicUsize::new(usize::MAX))
    }
}

impl Pace {
    fn entries_max(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn was_too_much(&self, entries: usize) {
        self.0.store((entries / 2).max(1), Ordering::Relaxed);
    }

    /// Twice as many the next time: what made it slow may be over.
    fn was_done(&self) {
        self.0.store(self.entries_max().saturating_mul(2), Ordering::Relaxed);
    }
}

enum Halves {
    One(Box<PostBatch>),
    Two(Box<PostBatch>, Box<PostBatch>),
}

/// Cuts a batch in two, each with the records that its entries stand among.
fn halves(mut batch: PostBatch) -> Halves {
    let middle = batch.entries.len() / 2;
    let Some((boundary, _)) = middle.checked_sub(1).and_then(|last| batch.entries.get(last)) else {
        return Halves::One(Box::new(batch));
    };
    let boundary = *boundary;
    let mut first = batch.clone();
    batch.entries.drain(..middle);
    first.entries.truncate(middle);
    if batch.stage == Stage::Reading {
        first.through_sequence = boundary;
        batch.after_sequence = batch.after_sequence.max(boundary);
        first.records.retain(|(sequence, _)| *sequence <= boundary);
        batch.records.retain(|(sequence, _)| *sequence > boundary);
    } else {
        first.stage = Stage::Resolving;
    }
    Halves::Two(Box::new(first), Box::new(batch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_halved_down_to_one_and_grows_again() {
        let pace = Pace::default();
        pace.was_done();
        assert_eq!(pace.entries_max(), usize::MAX, "nothing is cut while nothing is slow");
        pace.was_too_much(2000);
        assert_eq!(pace.entries_max(), 1000);
        pace.was_too_much(3);
        pace.was_too_much(1);
        assert_eq!(pace.entries_max(), 1);
        for expected in [2, 4, 8] {
            pace.was_done();
            assert_eq!(pace.entries_max(), expected);
        }
    }
}
