//! OpenAI's batches: made from a file of the caller's, metered when they are done.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Method, Response},
};
use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use tokio::time::sleep;
use tollgate_core::id::ObjectId;

use super::{
    Caller, Objects,
    ask::{Ask, Whole},
    detail::Detail,
    store_down,
};
use crate::{
    admission::refusal::Refusal,
    proxy::{attempt::Prices, error::ProxyError},
    routing::Provider,
    store::{
        StoreError,
        objects::{ObjectKind, ObjectRow},
    },
    upstream::request::error::RequestError,
};

/// Who deletes what a batch wrote waits so long for it to be metered.
const METERED_LOOKS: u32 = 20;
const METERED_EVERY: Duration = Duration::from_millis(100);

/// What of a request for a batch is looked at. A field that stands twice is refused.
#[derive(Deserialize)]
struct Wanted {
    input_file_id: Option<String>,
    endpoint: Option<String>,
    #[serde(rename = "completion_window")]
    _completion_window: Option<IgnoredAny>,
}

/// What of a batch is looked at.
#[derive(Deserialize)]
pub(super) struct Batch {
    pub(super) id: String,
    #[serde(default)]
    pub(super) status: String,
    pub(super) input_file_id: Option<String>,
    pub(super) output_file_id: Option<String>,
    pub(super) error_file_id: Option<String>,
    pub(super) request_counts: Option<Counts>,
    pub(super) usage: Option<Box<serde_json::value::RawValue>>,
    pub(super) created_at: Option<i64>,
}

/// How the requests of a batch came out.
#[derive(Deserialize)]
pub(super) struct Counts {
    #[serde(default)]
    pub(super) completed: u64,
}

impl Batch {
    /// Nothing more will happen to it. Others than OpenAI write the words otherwise, or have words of their own: then results say it.
    pub(super) fn is_over(&self) -> bool {
        let is = |words: &[&str]| words.iter().any(|word| self.status.eq_ignore_ascii_case(word));
        let has_results = self.output_file_id.as_ref().is_some_and(|id| !id.is_empty());
        is(&OVER) || has_results && !is(&RUNNING)
    }
}

/// What a batch is called to which nothing more will happen.
const OVER: [&str; 5] = ["completed", "failed", "expired", "cancelled", "canceled"];
/// What one is called that goes on.
const RUNNING: [&str; 7] = ["validating", "queued", "pending", "in_progress", "running", "finalizing", "cancelling"];

impl Objects {
    /// `POST /v1/batches`
    ///
    /// # Errors
    /// [`ProxyError::NotKept`] when its file is not the caller's; and why there is no answer.
    pub async fn make_batch(self: &Arc<Self>, caller: &Caller, body: Bytes) -> Result<Response<Body>, ProxyError> {
        let wanted: Wanted = serde_json::from_slice(&body).map_err(|error| RequestError::NotJson(error.to_string()))?;
        let file_id = wanted.input_file_id.ok_or(RequestError::Missing("input_file_id"))?;
        let endpoint = wanted.endpoint.ok_or(RequestError::Missing("endpoint"))?;
        let (file, provider) =
            self.owned(caller.customer_id(), ObjectKind::File, &file_id, Some("input_file_id")).await?;
        let of_file = Detail::of(&file.detail);
        if of_file.requests == 0 {
            let expected = "a file that was uploaded for a batch";
            return Err(RequestError::Invalid { field: "input_file_id", expected }.into());
        }
        if of_file.endpoint != endpoint {
            return Err(
                RequestError::Invalid { field: "endpoint", expected: "the url of the requests in the file" }.into()
            );
        }
        self.still_allowed(caller, &of_file)?;
        let detail = Detail { purpose: String::new(), input_file: file_id, tags: caller.tags.clone(), ..of_file };
        let draft = ObjectRow {
            model: file.model,
            target: file.target,
            price_book: Some(caller.entered.key().record.price_book.clone()),
            ..self.draft(caller, ObjectKind::Batch, &provider, &detail)?
        };
        let ask = Ask::new(Method::POST, "/v1/batches".to_owned()).with(caller, body);
        self.make(provider, draft, ask, |_| None).await
    }

    /// The key that makes a batch may be another one than the file's, and prices may have gone since.
    fn still_allowed(&self, caller: &Caller, file: &Detail) -> Result<(), ProxyError> {
        let key = &caller.entered.key().record;
        let at_us = self.proxy.clock.unix_us();
        let catalog = self.proxy.catalog.load_full();
        for (model, target) in &file.models.named {
            if key.models.as_ref().is_some_and(|models| !models.contains(model)) {
                return Err(Refusal::ModelNotAllowed(model.clone()).into());
            }
            let (provider, upstream_model) = target.split_once('/').unwrap_or((target, ""));
            let prices = Prices {
                cost: catalog.cost(provider, upstream_model, at_us),
                rule: catalog.charge_rule(&key.price_book, model, at_us).cloned(),
                catalog: Arc::clone(&catalog),
                alarms: Arc::clone(&self.proxy.counters.pricing),
            };
            if self.proxy.settings.refuse_unpriced && !prices.prices_batches(file.input_max) {
                return Err(ProxyError::UnpricedBatch(model.clone()));
            }
        }
        Ok(())
    }

    /// `GET /v1/batches/{id}`, `POST /v1/batches/{id}/cancel`: the files that it names become its customer's.
    ///
    /// # Errors
    /// As [`Self::pass`].
    pub async fn batch(
        &self,
        caller: &Caller,
        method: Method,
        id: &str,
        below: &str,
    ) -> Result<Response<Body>, ProxyError> {
        let (object, provider) = self.owned(caller.customer_id(), ObjectKind::Batch, id, None).await?;
        let ask = self.about(&object, method, below)?.with(caller, Bytes::new());
        let answer = self.ask_whole(&provider, ask).await.map_err(|failed| failed.error)?;
        self.saw_batch(&object, &answer).await?;
        Ok(answer.answer(answer.body.clone()))
    }

    /// Binds the files of a batch before their ids are told, and sees to it that what it used is metered soon.
    pub(super) async fn saw_batch(&self, object: &ObjectRow, answer: &Whole) -> Result<(), ProxyError> {
        let batch: Batch = answer.read()?;
        self.bind_results(object, &batch).await.map_err(store_down)?;
        if batch.is_over() && object.metered_at_us.is_none() {
            self.look_soon(object).await;
        }
        Ok(())
    }

    /// The files that a batch wrote are its customer's.
    pub(super) async fn bind_results(&self, object: &ObjectRow, batch: &Batch) -> Result<(), StoreError> {
        let mut files = Vec::new();
        for (index, id) in [&batch.output_file_id, &batch.error_file_id].into_iter().enumerate() {
            let Some(id) = id else { continue };
            let detail = Detail { purpose: "batch_output".to_owned(), batch: batch.id.clone(), ..Detail::default() };
            files.push(ObjectRow {
                id: result_file_id(object, index),
                kind: ObjectKind::File,
                upstream_id: Some(id.clone()),
                detail: detail.to_json(),
                price_book: None,
                deleted_at_us: None,
                finished_at_us: None,
                metered_at_us: None,
                result_lines: None,
                polled_at_us: None,
                poll_after_us: None,
                // Behind what was made before the batch, in lists.
                created_at_us: self.proxy.clock.unix_us(),
                ..object.clone()
            });
        }
        if !files.is_empty() {
            self.store.bind_objects(&files).await?;
        }
        Ok(())
    }

    /// Has an object looked after at once, here or at another gateway.
    pub(super) async fn look_soon(&self, object: &ObjectRow) {
        if let Err(error) = self.store.poll_object(object.id, Duration::ZERO).await {
            tracing::warn!(%error, object = %object.id, "a batch that is done is looked after later");
        }
        self.news.notify_one();
    }

    /// Has a batch looked after at once, and waits a little for all that it used to be in the books.
    pub(super) async fn is_metered_soon(&self, object: &ObjectRow) -> Result<bool, ProxyError> {
        if object.metered_at_us.is_some() {
            return Ok(true);
        }
        self.look_soon(object).await;
        let id = object.upstream_id.as_deref().unwrap_or_default();
        for _ in 0..METERED_LOOKS {
            sleep(METERED_EVERY).await;
            let found = self.store.object_at(&object.provider, object.kind, id).await.map_err(store_down)?;
            if found.is_some_and(|found| found.metered_at_us.is_some()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a provider says of a batch now.
    pub(super) async fn ask_batch(&self, provider: &Provider, object: &ObjectRow) -> Result<Batch, ProxyError> {
        let ask = self.about(object, Method::GET, "")?;
        self.ask_whole(provider, ask).await.map_err(|failed| failed.error)?.read()
    }
}

/// The same id each time that the same result is seen.
fn result_file_id(object: &ObjectRow, index: usize) -> ObjectId {
    let mut bytes = *object.id.bytes();
    if let Some(last) = bytes.last_mut() {
        *last = last.wrapping_add(u8::try_from(index).unwrap_or(0)).wrapping_add(1);
    }
    ObjectId::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::Batch;

    #[test]
    fn a_batch_is_over_by_its_word_in_any_case_or_by_results_under_a_word_that_is_not_known() {
        let is_over = |text: &str| serde_json::from_str::<Batch>(text).unwrap().is_over();
        for over in [
            r#"{"id":"b","status":"completed"}"#,
            r#"{"id":"b","status":"EXPIRED"}"#,
            r#"{"id":"b","status":"canceled"}"#,
            r#"{"id":"b","status":"succeeded","output_file_id":"f"}"#,
            r#"{"id":"b","output_file_id":"f"}"#,
        ] {
            assert!(is_over(over), "{over}");
        }
        for going_on in [
            r#"{"id":"b","status":"in_progress","output_file_id":"f"}"#,
            r#"{"id":"b","status":"Validating"}"#,
            r#"{"id":"b","status":"succeeded"}"#,
            r#"{"id":"b","status":"odd","output_file_id":""}"#,
            r#"{"id":"b"}"#,
        ] {
            assert!(!is_over(going_on), "{going_on}");
        }
    }
}
