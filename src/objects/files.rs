//! Files. One for a batch is read as it passes: its requests are checked, and it goes to the provider that serves their models.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Method, Response},
};
use bytes::Bytes;

use super::{
    Caller, Objects,
    ask::Ask,
    detail::Detail,
    lines::{self, Checked},
    store_down,
};
use crate::{
    admission::refusal::Refusal,
    config::{Paths, dialect::ProviderDialect},
    proxy::{PlannedTarget, error::ProxyError},
    routing::{Provider, Route},
    store::objects::ObjectKind,
    upstream::request::{
        error::RequestError,
        multipart::{Part, parts},
    },
};

/// What a file for a batch is for.
const BATCH: &str = "batch";
/// Longest purpose.
const PURPOSE_BYTES_MAX: usize = 64;

/// Where the requests of a batch go.
pub(super) struct Destination {
    pub(super) provider: Arc<Provider>,
    /// The provider's name for each of the models.
    pub(super) models: Vec<String>,
    /// `provider/model` for each of them.
    pub(super) labels: Vec<String>,
}

impl Objects {
    /// `POST /v1/files`
    ///
    /// # Errors
    /// [`ProxyError`] says what is wrong with the file, or why it cannot be kept.
    pub async fn upload(
        self: &Arc<Self>,
        caller: &Caller,
        content_type: &str,
        form: Bytes,
    ) -> Result<Response<Body>, ProxyError> {
        let parts = parts(content_type, &form)?;
        let purpose = purpose(&parts, &form)?;
        let file = only(&parts, "file")?.ok_or(RequestError::Missing("file"))?.content.clone();
        let (provider, detail, form) = if purpose == BATCH {
            let content = form.slice(file.clone());
            // Many lines take a while: not on a thread that others wait for.
            let checking =
                tokio::task::spawn_blocking(move || lines::of_file(&content).map(|checked| (checked, content)));
            let (checked, content) = checking.await.map_err(|_| ProxyError::JournalDown)??;
            let to = self.destination(caller, &checked, ProviderDialect::OpenAi)?;
            for id in &checked.files {
                if self.keeper_of_file(caller.customer_id(), id).await? != to.provider.name {
                    return Err(ProxyError::NotKept { kind: "file", id: super::shown(id), param: Some("file_id") });
                }
            }
            let names: Vec<&str> = to.models.iter().map(String::as_str).collect();
            let detail = Detail { purpose: BATCH.to_owned(), ..of_requests(&checked, &to) };
            let written = checked.rewritten(&content, &names);
            (to.provider, detail, replaced(&form, file, &written, &content))
        } else {
            (self.keeper()?, Detail { purpose, ..Detail::default() }, form)
        };
        let mut draft = self.draft(caller, ObjectKind::File, &provider, &detail)?;
        if let Some((model, target)) = detail.models.named.first() {
            (draft.model, draft.target) = (Some(model.clone()), Some(target.clone()));
        }
        let ask = Ask::new(Method::POST, "/v1/files".to_owned()).with(caller, form);
        self.make(provider, draft, ask, |_| None).await
    }

    /// `DELETE /v1/files/{id}`. The results of a batch stay until they are metered.
    ///
    /// # Errors
    /// As [`Self::pass`]; [`ProxyError::NotNow`] while they are not.
    pub async fn delete_file(&self, caller: &Caller, id: &str) -> Result<Response<Body>, ProxyError> {
        let (file, _) = self.owned(caller.customer_id(), ObjectKind::File, id, None).await?;
        let batch = Detail::of(&file.detail).batch;
        if !batch.is_empty() {
            let found = self.store.object_at(&file.provider, ObjectKind::Batch, &batch).await.map_err(store_down)?;
            if let Some(batch) = found
                && !self.is_metered_soon(&batch).await?
            {
                return Err(ProxyError::NotNow(
                    "The results of this batch are being metered. Delete them in a moment.",
                ));
            }
        }
        self.pass_deletion(caller, ObjectKind::File, id).await
    }

    /// The one provider that serves all models of a batch, in the order of the first model's targets.
    pub(super) fn destination(
        &self,
        caller: &Caller,
        checked: &Checked,
        dialect: ProviderDialect,
    ) -> Result<Destination, ProxyError> {
        let key = &caller.entered.key().record;
        let mut planned: Vec<(Arc<Route>, Vec<PlannedTarget>)> = Vec::new();
        for (index, model) in checked.models.iter().enumerate() {
            if key.models.as_ref().is_some_and(|models| !models.contains(model)) {
                return Err(Refusal::ModelNotAllowed(model.clone()).into());
            }
            let route = self.proxy.routes.load().get(model).cloned();
            let route = route.ok_or_else(|| ProxyError::UnknownModel(model.clone()))?;
            let at_us = self.proxy.clock.unix_us();
            let plan = self.proxy.plan(&route, (dialect, &|spoken| spoken == dialect), &key.price_book, at_us, None)?;
            let asked = checked.hosted(index);
            let mut plan = self.proxy.for_hosted(&asked, caller.entered.key(), &route, plan, at_us)?;
            plan.retain(|planned| provider_of(&route, planned).is_some_and(has_batches));
            if plan.is_empty() {
                return Err(ProxyError::NoKeeper("The model's provider has no batches."));
            }
            // What has no price is found now and not when the results are there.
            if self.proxy.settings.refuse_unpriced {
                plan.retain(|planned| planned.prices.prices_batches(checked.input_max));
            }
            if plan.is_empty() {
                return Err(ProxyError::UnpricedBatch(model.clone()));
            }
            planned.push((route, plan));
        }
        let (first, plan) = planned.first().ok_or(RequestError::Missing("model"))?;
        let mut candidates = plan.iter().filter_map(|planned| provider_of(first, planned));
        let provider =
            candidates.find(|provider| planned.iter().all(|(route, plan)| index_at(route, plan, provider).is_some()));
        let provider = Arc::clone(
            provider.ok_or(RequestError::Invalid { field: "model", expected: "models of one provider in a batch" })?,
        );
        let targets = planned.iter().filter_map(|(route, plan)| route.targets.get(index_at(route, plan, &provider)?));
        let (models, labels) = targets.map(|target| (target.model.clone(), target.label.clone())).unzip();
        Ok(Destination { provider, models, labels })
    }
}

/// What is remembered of the requests of a batch.
pub(super) fn of_requests(checked: &Checked, to: &Destination) -> Detail {
    Detail {
        endpoint: checked.endpoint.path().to_owned(),
        requests: checked.requests,
        input_estimate: checked.input_estimate,
        input_max: checked.input_max,
        models: checked.remembered(&to.labels),
        names_sum: format!("{:032x}", checked.names_sum),
        ..Detail::default()
    }
}

fn provider_of<'a>(route: &'a Route, planned: &PlannedTarget) -> Option<&'a Arc<Provider>> {
    route.targets.get(planned.index).map(|target| &target.provider)
}

/// The target of a plan that is at a provider.
fn index_at(route: &Route, plan: &[PlannedTarget], provider: &Provider) -> Option<usize> {
    let at = |planned: &&PlannedTarget| provider_of(route, planned).is_some_and(|other| other.name == provider.name);
    plan.iter().find(at).map(|planned| planned.index)
}

/// Workers of ours and Vertex have none.
fn has_batches(provider: &Arc<Provider>) -> bool {
    provider.worker_root.is_none() && provider.paths != Paths::Vertex
}

fn purpose(parts: &[Part], form: &Bytes) -> Result<String, RequestError> {
    let part = only(parts, "purpose")?.ok_or(RequestError::Missing("purpose"))?;
    let text = form.get(part.content.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let fits = |text: &&str| text.len() <= PURPOSE_BYTES_MAX && !text.contains(char::is_control);
    let text = text.filter(fits).ok_or(RequestError::Invalid { field: "purpose", expected: "one word" })?;
    Ok(text.to_owned())
}

/// The part of this name; it may stand once.
fn only<'a>(parts: &'a [Part], name: &str) -> Result<Option<&'a Part>, RequestError> {
    let mut named = parts.iter().filter(|part| part.name == name);
    let first = named.next();
    if named.next().is_some() { Err(RequestError::Duplicate(name.to_owned())) } else { Ok(first) }
}

/// The form with another content of its file. The same bytes, not a copy, when it is the same content.
fn replaced(form: &Bytes, at: std::ops::Range<usize>, written: &Bytes, content: &Bytes) -> Bytes {
    if written.as_ptr() == content.as_ptr() {
        return form.clone();
    }
    let before = form.get(..at.start).unwrap_or_default();
    let behind = form.get(at.end..).unwrap_or_default();
    [before, written, behind].concat().into()
}
