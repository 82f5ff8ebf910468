//! Batches that were sent and whose id was never bound: the process died, or the provider's answer did not arrive.
//!
//! The provider's own list is searched for them. OpenAI's are told by the file that they read, which is one customer's;
//! Anthropic's by the names of their requests, once there are results.

use axum::http::Method;
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Objects,
    ask::Ask,
    batches::Batch,
    collection,
    detail::Detail,
    lines::digest128,
    message_batches::MessageBatch,
    poll::PollError,
    results::{self, ResultLines},
};
use crate::{
    routing::Provider,
    store::{
        StoreError,
        objects::{ObjectKind, ObjectRow},
    },
    upstream::target::encoded,
};

/// Pages of a provider's list that are read at most, of a hundred each.
const PAGES_MAX: u32 = 50;
/// A provider's clock may be behind ours by so much, in seconds.
const SKEW_S: i64 = 600;

#[derive(Deserialize)]
struct ListPage<T> {
    data: Vec<T>,
    #[serde(default)]
    has_more: bool,
}

/// What is searched for in a list.
trait Listed: DeserializeOwned {
    fn id(&self) -> &str;
    /// Seconds since 1970 UTC.
    fn created_at(&self) -> Option<i64>;
}

impl Listed for Batch {
    fn id(&self) -> &str {
        &self.id
    }

    fn created_at(&self) -> Option<i64> {
        self.created_at
    }
}

impl Listed for MessageBatch {
    fn id(&self) -> &str {
        &self.id
    }

    fn created_at(&self) -> Option<i64> {
        self.created_at.map(jiff::Timestamp::as_second)
    }
}

impl Objects {
    /// Looks for a batch whose id is not known. True when there is no more to do: it was never made.
    pub(super) async fn find_lost(&self, object: &ObjectRow) -> Result<bool, PollError> {
        let provider = self.provider(&object.provider)?;
        let detail = Detail::of(&object.detail);
        let mut is_undecided = false;
        if object.kind == ObjectKind::MessageBatch {
            for batch in self.unbound::<MessageBatch>(&provider, object, "after_id").await? {
                if batch.request_counts.all() != detail.requests {
                    continue;
                }
                if !batch.is_over() {
                    is_undecided = true;
                } else if self.names_sum(&provider, &batch.id).await? == detail.names_sum {
                    return self.found(object, &batch.id).await;
                }
            }
        } else {
            for batch in self.unbound::<Batch>(&provider, object, "after").await? {
                if batch.input_file_id.as_ref() == Some(&detail.input_file) {
                    return self.found(object, &batch.id).await;
                }
            }
        }
        if is_undecided {
            return Ok(false);
        }
        tracing::warn!(object = %object.id, "a batch that was sent was not made");
        self.give_up(object).await?;
        Ok(true)
    }

    async fn found(&self, object: &ObjectRow, id: &str) -> Result<bool, PollError> {
        tracing::warn!(object = %object.id, "a batch whose id was lost is found, and is its customer's");
        match self.store.name_object(object.id, id, Some(self.patience.poll_first)).await {
            // Another gateway was faster with another row: this one's is still to be found.
            Err(StoreError::Exists(_)) => Ok(false),
            done => Ok(done.map(|_| false)?),
        }
    }

    /// The provider's batches since this one was sent that are nobody's, oldest first.
    async fn unbound<T: Listed>(
        &self,
        provider: &Provider,
        object: &ObjectRow,
        cursor: &str,
    ) -> Result<Vec<T>, PollError> {
        let sent = object.created_at_us / 1_000_000;
        let longest = i64::try_from(self.patience.answer.as_secs()).unwrap_or(i64::MAX).saturating_mul(2);
        let (since, until) = (sent - SKEW_S, sent.saturating_add(longest).saturating_add(SKEW_S));
        let mut unbound = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut query = "limit=100".to_owned();
            if let Some(after) = &after {
                query.push_str(&format!("&{cursor}={}", encoded(after)));
            }
            let ask = Ask::new(Method::GET, collection(object.kind).to_owned()).query(query);
            let page: ListPage<T> = self.ask_whole(provider, ask).await.map_err(|failed| failed.error)?.read()?;
            let is_last = !page.has_more || page.data.is_empty();
            after = page.data.last().map(|batch| batch.id().to_owned());
            let mut is_older = false;
            for batch in page.data {
                if batch.created_at().is_some_and(|at| at < since) {
                    is_older = true;
                } else if batch.created_at().is_some_and(|at| at > until) {
                    // Made when this one was not being sent any more.
                    continue;
                } else if self.store.object_at(&provider.name, object.kind, batch.id()).await?.is_none() {
                    unbound.push(batch);
                }
            }
            if is_last || is_older {
                break;
            }
        }
        unbound.reverse();
        Ok(unbound)
    }

    /// The sum over the names in a batch's results.
    async fn names_sum(&self, provider: &Provider, id: &str) -> Result<String, PollError> {
        let path = format!("{}/{}/results", collection(ObjectKind::MessageBatch), encoded(id));
        let answer = self.ask(provider, Ask::new(Method::GET, path)).await.map_err(|failed| failed.error)?;
        let mut lines = ResultLines::new(answer.into_body(), self.patience.answer);
        let mut sum: u128 = 0;
        while let Some(line) = lines.next().await? {
            let (name, _) = results::read(ObjectKind::MessageBatch, &line, |_| ())?;
            sum = sum.wrapping_add(digest128(&name));
        }
        Ok(format!("{sum:032x}"))
    }
}
