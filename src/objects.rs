//! What customers keep at providers: files, batches, responses, conversations. Binds each id to the customer that made it,
//! passes calls about it on to the provider that has it, and meters batches when they are done.
//!
//! Invariants: nothing about an id goes upstream before the store has said that it is the caller's. A batch is written down
//! before it is sent, so that what it uses is found whatever happens then. Each result of a batch becomes one entry.

mod ask;
mod batches;
mod binder;
mod conversations;
mod detail;
mod entries;
mod files;
mod first_event;
mod lines;
mod list;
mod lost;
mod make;
mod message_batches;
mod poll;
mod responses;
mod results;

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, Method, Response},
};
use bytes::Bytes;
use tokio::sync::Notify;
use tollgate_core::id::{CustomerId, ObjectId, RequestId};

use self::{
    ask::{Ask, relayed},
    binder::Binder,
    detail::Detail,
};
pub use self::{
    binder::{Queue, keep_binding},
    poll::keep_polling,
    responses::Owner,
};
use crate::{
    admission::gate::Entered,
    config::dialect::ProviderDialect,
    entropy,
    proxy::{Proxy, error::ProxyError},
    routing::Provider,
    store::{
        Store, StoreError,
        objects::{ObjectKind, ObjectRow},
    },
    upstream::target::encoded,
};

/// How long and how often providers are asked.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Longest wait for a provider to begin its answer.
    pub answer: Duration,
    /// A batch is looked after so soon after it was made; it doubles ...
    pub poll_first: Duration,
    /// ... up to this. For so long one gateway has an object to itself while it looks after it.
    pub poll_most: Duration,
}

/// The room's one object.
pub struct Objects {
    proxy: Arc<Proxy>,
    store: Store,
    binder: Binder,
    patience: Patience,
    /// Something may be due earlier than the poller thinks.
    news: Notify,
}

/// Who calls.
pub struct Caller {
    /// The request.
    pub request_id: RequestId,
    /// Its place among its key's requests.
    pub entered: Entered,
    /// As the client sent them.
    pub headers: HeaderMap,
    /// `x-tollgate-tags`, sorted.
    pub tags: Vec<(String, String)>,
    /// The query without the key.
    pub query: Option<String>,
}

impl Caller {
    fn customer_id(&self) -> CustomerId {
        self.entered.key().record.customer_id
    }
}

/// One call about an object that exists.
pub struct About<'a> {
    /// What it is taken for.
    pub kind: ObjectKind,
    /// Its id, from the path.
    pub id: &'a str,
    /// How.
    pub method: Method,
    /// What stands behind the id in the path, such as `/content`.
    pub below: &'a str,
    /// The client's body.
    pub body: Bytes,
}

impl Objects {
    /// The room, and what [`keep_binding`] works on.
    #[must_use]
    pub fn new(proxy: Arc<Proxy>, store: Store, patience: Patience) -> (Self, binder::Queue) {
        let (binder, queue) = binder::pair();
        (Self { proxy, store, binder, patience, news: Notify::new() }, queue)
    }

    /// An object of the caller, and who has it.
    async fn owned(
        &self,
        customer_id: CustomerId,
        kind: ObjectKind,
        id: &str,
        param: Option<&'static str>,
    ) -> Result<(ObjectRow, Arc<Provider>), ProxyError> {
        let mut found = self.store.object(customer_id, kind, id).await.map_err(store_down)?;
        if found.is_none() && kind == ObjectKind::Response {
            // It may have been told a moment ago.
            self.binder.flush().await;
            found = self.store.object(customer_id, kind, id).await.map_err(store_down)?;
        }
        let object = found.ok_or_else(|| ProxyError::NotKept { kind: word(kind), id: shown(id), param })?;
        let provider = self.provider(&object.provider)?;
        Ok((object, provider))
    }

    fn provider(&self, name: &str) -> Result<Arc<Provider>, ProxyError> {
        let routes = self.proxy.routes.load();
        let found = routes.providers().iter().find(|provider| provider.name == name).cloned();
        found.ok_or(ProxyError::NoKeeper("The provider that keeps this is not configured on this gateway any more."))
    }

    /// Who keeps what is about no model: OpenAI where it is configured, else the first provider of its dialect.
    fn keeper(&self) -> Result<Arc<Provider>, ProxyError> {
        let routes = self.proxy.routes.load();
        let mut speaking = routes.providers().iter().filter(|provider| provider.dialect == ProviderDialect::OpenAi);
        let named = speaking.clone().find(|provider| provider.name == "openai");
        let none = ProxyError::NoKeeper("No provider of this gateway keeps files and conversations.");
        named.or_else(|| speaking.next()).cloned().ok_or(none)
    }

    /// Passes a call about an object on and gives the provider's answer as it comes.
    ///
    /// # Errors
    /// [`ProxyError::NotKept`] when it is not the caller's; and why there is no answer.
    pub async fn pass(&self, caller: &Caller, about: About<'_>) -> Result<Response<Body>, ProxyError> {
        let (object, provider) = self.owned(caller.customer_id(), about.kind, about.id, None).await?;
        let ask = self.about(&object, about.method.clone(), about.below)?.with(caller, about.body);
        let answer = self.ask(&provider, ask).await.map_err(|failed| failed.error)?;
        relayed(answer)
    }

    /// The same for a deletion: when the provider has done it, the id leads nowhere any more.
    async fn pass_deletion(&self, caller: &Caller, kind: ObjectKind, id: &str) -> Result<Response<Body>, ProxyError> {
        let (object, provider) = self.owned(caller.customer_id(), kind, id, None).await?;
        let ask = self.about(&object, Method::DELETE, "")?.with(caller, Bytes::new());
        let answer = self.ask(&provider, ask).await.map_err(|failed| failed.error)?;
        self.store.delete_object(object.id, self.proxy.clock.unix_us()).await.map_err(store_down)?;
        relayed(answer)
    }

    /// A call at the provider about an object.
    fn about(&self, object: &ObjectRow, method: Method, below: &str) -> Result<Ask, ProxyError> {
        let id = object.upstream_id.as_deref().ok_or(ProxyError::StoreDown)?;
        let path = format!("{}/{}{below}", collection(object.kind), encoded(id));
        Ok(Ask::new(method, path))
    }

    /// An object that is about to be made by this caller.
    fn draft(
        &self,
        caller: &Caller,
        kind: ObjectKind,
        provider: &Provider,
        detail: &Detail,
    ) -> Result<ObjectRow, ProxyError> {
        let key = &caller.entered.key().record;
        let created_at_us = self.proxy.clock.unix_us();
        let longest = self.patience.answer.saturating_add(self.patience.poll_most);
        let longest_us = i64::try_from(longest.as_micros()).unwrap_or(i64::MAX);
        Ok(ObjectRow {
            id: new_id(created_at_us)?,
            kind,
            provider: provider.name.clone(),
            upstream_id: None,
            customer_id: key.customer_id,
            key_id: key.key_id,
            request_id: caller.request_id,
            model: None,
            target: None,
            price_book: None,
            detail: detail.to_json(),
            created_at_us,
            deleted_at_us: None,
            finished_at_us: None,
            metered_at_us: None,
            result_lines: None,
            polled_at_us: None,
            // By then nobody is sending it any more.
            poll_after_us: Some(created_at_us.saturating_add(longest_us)),
        })
    }
}

/// Longest id that is repeated in an error.
const SHOWN_MAX: usize = 80;

/// A new id of ours.
fn new_id(at_us: i64) -> Result<ObjectId, ProxyError> {
    let random = entropy::random().map_err(|_| ProxyError::StoreDown)?;
    Ok(ObjectId::new(u64::try_from(at_us / 1000).unwrap_or(0), &random))
}

/// Without the store nobody knows whose an id is.
fn store_down(error: StoreError) -> ProxyError {
    tracing::error!(%error, "the store does not tell whose an id is; its caller is asked to come again");
    ProxyError::StoreDown
}

/// What a kind is called in errors.
const fn word(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::File => "file",
        ObjectKind::Batch | ObjectKind::MessageBatch => "batch",
        ObjectKind::Response => "response",
        ObjectKind::Conversation => "conversation",
    }
}

/// Where a provider keeps a kind.
const fn collection(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::File => "/v1/files",
        ObjectKind::Batch => "/v1/batches",
        ObjectKind::MessageBatch => "/v1/messages/batches",
        ObjectKind::Response => "/v1/responses",
        ObjectKind::Conversation => "/v1/conversations",
    }
}

/// An id as an error may repeat it.
fn shown(id: &str) -> String {
    id.chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect()
}
