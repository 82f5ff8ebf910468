//! Anthropic's batches: their requests stand in the body, their results have no file.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Method, Response},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Caller, Objects,
    ask::{Ask, Whole, relayed},
    files::of_requests,
    lines,
};
use crate::{
    config::dialect::ProviderDialect,
    proxy::error::ProxyError,
    routing::Provider,
    store::objects::{ObjectKind, ObjectRow},
};

/// What of a batch is looked at.
#[derive(Deserialize)]
pub(super) struct MessageBatch {
    pub(super) id: String,
    #[serde(default)]
    pub(super) processing_status: String,
    pub(super) results_url: Option<String>,
    #[serde(default)]
    pub(super) request_counts: Counts,
    pub(super) created_at: Option<jiff::Timestamp>,
}

/// How the requests of a batch came out.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct Counts {
    pub(super) processing: u64,
    pub(super) succeeded: u64,
    pub(super) errored: u64,
    pub(super) canceled: u64,
    pub(super) expired: u64,
}

impl Counts {
    /// Requests of the batch.
    pub(super) fn all(self) -> u64 {
        [self.processing, self.succeeded, self.errored, self.canceled, self.expired]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

impl MessageBatch {
    /// Nothing more will happen to it.
    pub(super) fn is_over(&self) -> bool {
        self.processing_status == "ended"
    }
}

impl Objects {
    /// `POST /v1/messages/batches`
    ///
    /// # Errors
    /// [`ProxyError`] says what is wrong with a request, or why there is no answer.
    pub async fn make_message_batch(
        self: &Arc<Self>,
        caller: &Caller,
        body: Bytes,
    ) -> Result<Response<Body>, ProxyError> {
        let whole = body.clone();
        // Many requests take a while: not on a thread that others wait for.
        let checking = tokio::task::spawn_blocking(move || lines::of_messages(&whole));
        let checked = checking.await.map_err(|_| ProxyError::JournalDown)??;
        let to = self.destination(caller, &checked, ProviderDialect::Anthropic)?;
        let names: Vec<&str> = to.models.iter().map(String::as_str).collect();
        let mut detail = of_requests(&checked, &to);
        detail.tags.clone_from(&caller.tags);
        let first = detail.models.named.first().cloned();
        let draft = ObjectRow {
            model: first.as_ref().map(|(model, _)| model.clone()),
            target: first.map(|(_, target)| target),
            price_book: Some(caller.entered.key().record.price_book.clone()),
            ..self.draft(caller, ObjectKind::MessageBatch, &to.provider, &detail)?
        };
        let ask =
            Ask::new(Method::POST, "/v1/messages/batches".to_owned()).with(caller, checked.rewritten(&body, &names));
        self.make(to.provider, draft, ask, |answer| told(answer).map(Body::from)).await
    }

    /// `GET /v1/messages/batches/{id}`, `POST .../cancel`
    ///
    /// # Errors
    /// As [`Self::pass`].
    pub async fn message_batch(
        &self,
        caller: &Caller,
        method: Method,
        id: &str,
        below: &str,
    ) -> Result<Response<Body>, ProxyError> {
        let (object, provider) = self.owned(caller.customer_id(), ObjectKind::MessageBatch, id, None).await?;
        let ask = self.about(&object, method, below)?.with(caller, Bytes::new());
        let answer = self.ask_whole(&provider, ask).await.map_err(|failed| failed.error)?;
        let batch: MessageBatch = answer.read()?;
        if batch.is_over() && object.metered_at_us.is_none() {
            self.look_soon(&object).await;
        }
        let body = told(&answer).map_or_else(|| Body::from(answer.body.clone()), Body::from);
        Ok(answer.answer(body))
    }

    /// `GET /v1/messages/batches/{id}/results`
    ///
    /// # Errors
    /// As [`Self::pass`].
    pub async fn message_results(&self, caller: &Caller, id: &str) -> Result<Response<Body>, ProxyError> {
        let (object, provider) = self.owned(caller.customer_id(), ObjectKind::MessageBatch, id, None).await?;
        let ask = self.about(&object, Method::GET, "/results")?.with(caller, Bytes::new());
        let answer = self.ask(&provider, ask).await.map_err(|failed| failed.error)?;
        if object.metered_at_us.is_none() {
            self.look_soon(&object).await;
        }
        relayed(answer)
    }

    /// `DELETE /v1/messages/batches/{id}`. Its results stay until they are metered.
    ///
    /// # Errors
    /// As [`Self::pass`]; [`ProxyError::NotNow`] while they are not.
    pub async fn delete_message_batch(&self, caller: &Caller, id: &str) -> Result<Response<Body>, ProxyError> {
        let (object, _) = self.owned(caller.customer_id(), ObjectKind::MessageBatch, id, None).await?;
        if !self.is_metered_soon(&object).await? {
            return Err(ProxyError::NotNow(
                "The results of this batch are not metered yet. Delete it when it has ended, in a moment.",
            ));
        }
        self.pass_deletion(caller, ObjectKind::MessageBatch, id).await
    }

    /// What a provider says of a batch now.
    pub(super) async fn ask_message_batch(
        &self,
        provider: &Provider,
        object: &ObjectRow,
    ) -> Result<MessageBatch, ProxyError> {
        let ask = self.about(object, Method::GET, "")?;
        self.ask_whole(provider, ask).await.map_err(|failed| failed.error)?.read()
    }
}

/// The batch with the address of its results at this gateway, below whatever address it was called under; none when it
/// has no results yet, and passes as it is.
pub(super) fn told(answer: &Whole) -> Option<String> {
    let mut batch: Value = serde_json::from_slice(&answer.body).ok()?;
    localized(&mut batch).then(|| batch.to_string())
}

/// Sets the address of a batch's results. SDKs add it to their own base.
pub(super) fn localized(batch: &mut Value) -> bool {
    let Some(id) = batch.get("id").and_then(Value::as_str).map(str::to_owned) else { return false };
    match batch.get_mut("results_url") {
        Some(url) if url.is_string() => {
            *url = format!("/v1/messages/batches/{id}/results").into();
            true
        }
        _ => false,
    }
}
