//! Gets a batch into the store, whatever is in it: an entry that the store refuses for what it is becomes a dead letter,
//! and the rest goes on.

use std::sync::Arc;

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
pub(super) struct Shipper {
    store: Store,
    clock: Clock,
    state: Arc<PostingState>,
}

impl Shipper {
    pub(super) fn new(store: Store, clock: Clock, state: Arc<PostingState>) -> Self {
        Self { store, clock, state }
    }

    /// Posts a batch. Doing it again, after a failure or in another process, changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the store is away or not what it should be; what of the batch was posted by then stays.
    pub(super) async fn ship(&self, batch: PostBatch) -> Result<Posted, StoreError> {
        let mut posted = Posted::default();
        let mut waiting = vec![batch];
        while let Some(batch) = waiting.pop() {
            match self.store.post(&batch).await {
                Ok(done) => {
                    if done.already_there > 0 && batch.stage == Stage::Reading {
                        self.compare(&batch).await?;
                    }
                    posted.inserted += done.inserted;
                    posted.already_there += done.already_there;
                    self.state.posted(&batch, done.inserted, self.clock.monotonic());
                }
                Err(error) if error.blames_the_rows() && !batch.entries.is_empty() => match halves(batch) {
                    Halves::Two(first, second) => waiting.extend([*second, *first]),
                    Halves::One(poison) => self.bury(&poison, &error).await?,
                },
                Err(error) => return Err(error),
            }
        }
        Ok(posted)
    }

    /// The first word on an attempt stands. It is the same as the journal's, posted before; if it is not, a journal was adopted
    /// whose process lived on: then what it said in the end is kept, for somebody to correct the books by.
    async fn compare(&self, batch: &PostBatch) -> Result<(), StoreError> {
        for (sequence, entry) in &batch.entries {
            let id = entry.admission.id;
            let standing = self.store.entries_of_request(id.request_id).await?;
            let Some(other) = standing.iter().find(|other| other.admission.id == id && *other != entry) else {
                continue;
            };
            let letter = DeadLetter {
                entry: entry.clone(),
                replica: batch.replica.clone(),
                boot_id: batch.boot_id,
                sequence: *sequence,
                reason: format!("the books say `{}` of this attempt, the journal `{}`", said(other), said(entry)),
                buried_at_us: self.clock.unix_us(),
            };
            tracing::error!(attempt = %id, reason = letter.reason, "the journal contradicts the books; its word is kept");
            self.store.keep_contradiction(&letter).await?;
        }
        Ok(())
    }

    async fn bury(&self, poison: &PostBatch, error: &StoreError) -> Result<(), StoreError> {
        self.store.bury(poison, &error.to_string(), self.clock.unix_us()).await?;
        let attempt = poison.entries.first().map(|(_, entry)| entry.admission.id.to_string());
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
        first.records.retain(|(sequence, _)| *sequence <= boundary);
        batch.records.retain(|(sequence, _)| *sequence > boundary);
    } else {
        first.stage = Stage::Resolving;
    }
    Halves::Two(Box::new(first), Box::new(batch))
}
