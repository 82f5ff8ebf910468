//! Looks after batches until they are done and what they used is in the books, and after what was sent and never named.
//!
//! What is due is claimed in the store, so that of several gateways one does it; one that dies in the middle is followed by
//! another when its claim has run out. Doing it twice changes nothing.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::http::Method;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tollgate_core::{
    entry::Outcome,
    id::{BootId, ObjectId},
    usage::Usage,
};

use super::{
    Objects,
    ask::{Ask, Failed},
    batches::Batch,
    collection,
    entries::{Entries, POST_MAX, REPLICA},
    results::{self, ResultLines, ResultsError},
};
use crate::{
    proxy::error::ProxyError,
    routing::Provider,
    store::{
        StoreError,
        objects::{ObjectKind, ObjectRow},
    },
    upstream::target::encoded,
};

/// The store is asked for what is due so often.
const IDLE: Duration = Duration::from_millis(1000);
/// Objects looked after at once.
const AT_ONCE: usize = 4;
/// After so many of the longest waits one that is still looked after is taken up anew beside.
const TURNS: u32 = 4;
/// The longest that one of them is looked after; then it waits for its next turn. What was booked by then stays.
const TURN_MAX: Duration = Duration::from_secs(3600);
/// Of a batch's age, so much passes between two looks at it.
const AGE_SHARE: i64 = 8;

/// Why an object was not dealt with; it is looked after again.
#[derive(Debug, thiserror::Error)]
pub(super) enum PollError {
    /// The provider. Its own words may repeat a client's, so they are not told.
    #[error("the provider did not answer as expected ({})", .0.code())]
    Provider(#[from] ProxyError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The results.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// Fewer results than the provider has counted.
    #[error("there are {found} results of {told}")]
    Missing {
        /// In the results.
        found: u64,
        /// By the provider's count.
        told: u64,
    },
}

/// What a batch that is over has come to, by its provider.
pub(super) struct Over {
    /// Where the results are; none: there are none.
    results: Option<String>,
    /// How many used something.
    pub(super) succeeded: u64,
    /// What all of them used, where the provider says it.
    usage: Option<Usage>,
}

/// Looks after objects until told to stop.
pub async fn keep_polling(objects: Arc<Objects>, stop: CancellationToken) {
    let mut working = JoinSet::new();
    let mut under_way: HashMap<ObjectId, Duration> = HashMap::new();
    loop {
        let mut claimed = Ok(None);
        if working.len() < AT_ONCE {
            claimed = objects.store.claim_object(objects.patience.poll_most).await;
        }
        match claimed {
            Ok(Some(object)) => {
                let (objects, id) = (Arc::clone(&objects), object.id);
                let now = objects.proxy.clock.monotonic();
                let patience = objects.patience.poll_most.saturating_mul(TURNS);
                // Due again while it is looked after, because its client looks often: once at a time, unless that one hangs.
                if under_way.get(&id).is_some_and(|since| now.saturating_sub(*since) < patience) {
                    continue;
                }
                under_way.insert(id, now);
                working.spawn(async move {
                    if timeout(TURN_MAX, objects.look_after(object)).await.is_err() {
                        tracing::error!(object = %id, "an object took too long; it is looked after again");
                    }
                    id
                });
                continue;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the store does not say which batches are due"),
        }
        tokio::select! {
            // What is under way is dropped: it is done again from the beginning, and changes nothing then.
            () = stop.cancelled() => return,
            () = objects.news.notified() => {}
            Some(done) = working.join_next() => match done {
                Ok(id) => drop(under_way.remove(&id)),
                // One that panicked does not say which it was: all may be claimed again.
                Err(_panicked) => under_way.clear(),
            },
            () = sleep(IDLE) => {}
        }
    }
}

impl Objects {
    async fn look_after(&self, object: ObjectRow) {
        let done = match (object.kind, &object.upstream_id) {
            (ObjectKind::Batch | ObjectKind::MessageBatch, Some(_)) => self.poll(&object).await,
            (ObjectKind::Batch | ObjectKind::MessageBatch, None) => self.find_lost(&object).await,
            // Its id was never told: it is nobody's, and costs nothing.
            _ => self.give_up(&object).await.map(|()| true).map_err(PollError::from),
        };
        let is_done = done.unwrap_or_else(|error| {
            tracing::warn!(%error, object = %object.id, kind = object.kind.name(), "an object is looked after again");
            false
        });
        if !is_done && let Err(error) = self.store.poll_object(object.id, self.wait(&object)).await {
            tracing::warn!(%error, object = %object.id, "an object is looked after again when its claim has run out");
        }
    }

    /// Longer, the older the batch.
    fn wait(&self, object: &ObjectRow) -> Duration {
        let age_us = self.proxy.clock.unix_us().saturating_sub(object.created_at_us);
        let share = Duration::from_micros(u64::try_from(age_us / AGE_SHARE).unwrap_or(0));
        share.clamp(self.patience.poll_first, self.patience.poll_most.max(self.patience.poll_first))
    }

    /// Asks for a batch; when it is over, meters it. True when there is no more to do.
    async fn poll(&self, object: &ObjectRow) -> Result<bool, PollError> {
        let provider = self.provider(&object.provider)?;
        let over = match self.is_over(&provider, object).await {
            Err(PollError::Provider(ProxyError::Upstream { status: 404 | 410, .. })) if self.is_old(object) => {
                tracing::error!(object = %object.id, "a provider does not know a batch any more; its input is booked by the rule");
                let finished_at_us = self.store.finish_object(object.id, self.proxy.clock.unix_us()).await?;
                let entries = Entries::new(self, object, finished_at_us);
                let over = Over { results: None, succeeded: entries.detail.requests, usage: None };
                self.meter_without(object, &over, &entries).await?;
                return Ok(true);
            }
            over => over?,
        };
        let Some(over) = over else { return Ok(false) };
        let finished_at_us = self.store.finish_object(object.id, self.proxy.clock.unix_us()).await?;
        let mut entries = Entries::new(self, object, finished_at_us);
        match self.meter(&provider, object, &over, &mut entries).await {
            Ok(()) => Ok(true),
            Err(error) if self.is_gone(finished_at_us, &error) => {
                tracing::error!(%error, object = %object.id, "results of a batch are gone; it is metered without them");
                self.meter_without(object, &over, &entries).await?;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    async fn is_over(&self, provider: &Provider, object: &ObjectRow) -> Result<Option<Over>, PollError> {
        if object.kind == ObjectKind::MessageBatch {
            let batch = self.ask_message_batch(provider, object).await?;
            let results = format!("{}/{}/results", collection(object.kind), encoded(&batch.id));
            let succeeded = batch.request_counts.succeeded;
            let results = batch.results_url.is_some().then_some(results);
            return Ok(batch.is_over().then_some(Over { results, succeeded, usage: None }));
        }
        let batch = self.ask_batch(provider, object).await?;
        if !batch.is_over() {
            return Ok(None);
        }
        self.bind_results(object, &batch).await?;
        let file = |id: &String| format!("{}/{}/content", collection(ObjectKind::File), encoded(id));
        let usage = usage_of(&batch);
        let succeeded = batch.request_counts.as_ref().map_or(0, |counts| counts.completed);
        Ok(Some(Over { results: batch.output_file_id.as_ref().map(file), succeeded, usage }))
    }

    /// Reads the results and posts an entry for each that used something; then the batch is metered.
    async fn meter(
        &self,
        provider: &Provider,
        object: &ObjectRow,
        over: &Over,
        entries: &mut Entries,
    ) -> Result<(), PollError> {
        let mut waiting = vec![entries.of_creation(Outcome::Pending)];
        let mut found: u64 = 0;
        if let Some(path) = &over.results {
            let answer = self.ask(provider, Ask::new(Method::GET, path.clone())).await.map_err(of_results)?;
            let mut lines = ResultLines::new(answer.into_body(), self.patience.answer);
            loop {
                let read = match lines.next().await {
                    Ok(None) => break,
                    Ok(Some(line)) => results::read(object.kind, &line, |result| entries.of_result(result)),
                    Err(error) => Err(error),
                };
                let entry = match read {
                    Ok((_, entry)) => entry.flatten(),
                    Err(error) => {
                        // What could be read is booked, whatever becomes of the rest.
                        self.post(object, waiting, None).await?;
                        return Err(error.into());
                    }
                };
                found += u64::from(entry.is_some());
                waiting.extend(entry);
                if waiting.len() >= POST_MAX {
                    self.post(object, std::mem::take(&mut waiting), None).await?;
                    self.store.poll_object(object.id, self.patience.poll_most).await?;
                }
            }
        }
        self.post(object, waiting, None).await?;
        if found < over.succeeded {
            return Err(PollError::Missing { found, told: over.succeeded });
        }
        self.close(object, found + 1).await
    }

    /// Meters a batch of which not all results can be read any more.
    async fn meter_without(&self, object: &ObjectRow, over: &Over, entries: &Entries) -> Result<(), PollError> {
        let posted = self.posted(object).await?.saturating_sub(1);
        // What the provider says of the whole counts what has its entry already: that is taken off where it is known.
        let (read, used) = entries.read();
        let told = over.usage.filter(|_| posted == read).map(|whole| whole.combined(&used, u64::saturating_sub));
        let gone = entries.of_what_is_gone(told, over.succeeded.saturating_sub(posted));
        self.post(object, vec![entries.of_creation(Outcome::Pending), gone], None).await?;
        let all = self.posted(object).await?;
        self.close(object, all).await
    }

    /// Entries of a batch that are in the books.
    async fn posted(&self, object: &ObjectRow) -> Result<u64, StoreError> {
        let boot = self.store.boot(REPLICA, BootId::from_bytes(*object.id.bytes())).await?;
        Ok(boot.map_or(0, |boot| boot.resolved))
    }

    async fn close(&self, object: &ObjectRow, entries: u64) -> Result<(), PollError> {
        self.post(object, Vec::new(), Some(entries)).await?;
        let results = entries.saturating_sub(1);
        self.store.object_is_metered(object.id, self.proxy.clock.unix_us(), results).await?;
        tracing::info!(object = %object.id, results, "a batch is metered");
        Ok(())
    }

    /// Whether a batch is so old that a provider which does not know it has forgotten it.
    fn is_old(&self, object: &ObjectRow) -> bool {
        let age_us = self.proxy.clock.unix_us().saturating_sub(object.created_at_us);
        age_us > self.longest_us().saturating_mul(OLD)
    }

    fn longest_us(&self) -> i64 {
        i64::try_from(self.patience.poll_most.as_micros()).unwrap_or(i64::MAX)
    }

    /// Whether it is no use to wait for results: the provider has nothing there, or something else than it says, for long.
    fn is_gone(&self, finished_at_us: i64, error: &PollError) -> bool {
        let is_final = match error {
            PollError::Provider(ProxyError::Upstream { status: 404 | 410, .. }) => true,
            PollError::Results(error) => !matches!(error, ResultsError::Cut),
            PollError::Missing { .. } => true,
            PollError::Provider(_) | PollError::Store(_) => false,
        };
        is_final
            && self.proxy.clock.unix_us().saturating_sub(finished_at_us) > self.longest_us().saturating_mul(PATIENCE)
    }
}

/// Results that are not there are asked for again for so many of the longest waits.
const PATIENCE: i64 = 3;
/// A batch is old after so many of them: a day by default, which is the longest that a batch may take.
const OLD: i64 = 288;

fn of_results(failed: Failed) -> PollError {
    failed.error.into()
}

/// The tokens of a whole batch, as newer ones tell them.
fn usage_of(batch: &Batch) -> Option<Usage> {
    let raw = batch.usage.as_ref()?;
    super::entries::usage_of_batch(raw.get())
}
