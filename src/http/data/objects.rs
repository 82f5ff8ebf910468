//! Files, batches, stored responses and conversations: paths that lead to what a customer keeps at a provider.

use std::{collections::HashMap, sync::Arc};

use axum::{
    body::Body,
    extract::State,
    http::{Method, Request, Response, header},
    routing::{MethodFilter, MethodRouter, get, on},
};
use bytes::Bytes;

use super::{InPath, Plane, Routes, enter, incoming, presented_key::presented_key};
use crate::{
    admission::gate::LimitsView,
    config::dialect::ProviderDialect,
    http::errors::{self, Surface},
    objects::{About, Caller, Objects},
    proxy::error::ProxyError,
    store::objects::ObjectKind,
};

/// What is done with what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Upload,
    ListFiles,
    File,
    Content,
    DeleteFile,
    MakeBatch,
    ListBatches,
    Batch,
    CancelBatch,
    MakeMessageBatch,
    ListMessageBatches,
    MessageBatch,
    CancelMessageBatch,
    MessageResults,
    DeleteMessageBatch,
    Response,
    InputItems,
    CancelResponse,
    DeleteResponse,
    MakeConversation,
    Conversation,
    UpdateConversation,
    DeleteConversation,
    ListItems,
    AddItems,
    Item,
    DeleteItem,
}

/// The routes of this file.
pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/v1/files", by(&[Act::Upload, Act::ListFiles]))
        .route("/v1/files/{id}", by(&[Act::File, Act::DeleteFile]))
        .route("/v1/files/{id}/content", by(&[Act::Content]))
        .route("/v1/batches", by(&[Act::MakeBatch, Act::ListBatches]))
        .route("/v1/batches/{id}", by(&[Act::Batch]))
        .route("/v1/batches/{id}/cancel", by(&[Act::CancelBatch]))
        .route("/v1/messages/batches", by(&[Act::MakeMessageBatch, Act::ListMessageBatches]))
        .route("/v1/messages/batches/{id}", by(&[Act::MessageBatch, Act::DeleteMessageBatch]))
        .route("/v1/messages/batches/{id}/cancel", by(&[Act::CancelMessageBatch]))
        .route("/v1/messages/batches/{id}/results", by(&[Act::MessageResults]))
        .route("/v1/responses/{id}", by(&[Act::Response, Act::DeleteResponse]))
        .route("/v1/responses/{id}/input_items", by(&[Act::InputItems]))
        .route("/v1/responses/{id}/cancel", by(&[Act::CancelResponse]))
        .route("/v1/conversations", by(&[Act::MakeConversation]))
        .route("/v1/conversations/{id}", by(&[Act::Conversation, Act::UpdateConversation, Act::DeleteConversation]))
        .route("/v1/conversations/{id}/items", by(&[Act::ListItems, Act::AddItems]))
        .route("/v1/conversations/{id}/items/{item}", by(&[Act::Item, Act::DeleteItem]))
}

fn by(acts: &'static [Act]) -> MethodRouter<Plane> {
    acts.iter().fold(MethodRouter::new(), |router, act| {
        let handle = move |State(plane): State<Plane>,
                           InPath(names): InPath<HashMap<String, String>>,
                           request: Request<Body>| { answer(plane, *act, names, request) };
        match act.method() {
            Method::POST => router.merge(on(MethodFilter::POST, handle)),
            Method::DELETE => router.merge(on(MethodFilter::DELETE, handle)),
            _ => router.merge(get(handle)),
        }
    })
}

impl Act {
    const fn method(self) -> Method {
        match self {
            Self::Upload | Self::MakeBatch | Self::CancelBatch | Self::MakeMessageBatch | Self::CancelMessageBatch => {
                Method::POST
            }
            Self::CancelResponse | Self::MakeConversation | Self::UpdateConversation | Self::AddItems => Method::POST,
            Self::DeleteFile
            | Self::DeleteMessageBatch
            | Self::DeleteResponse
            | Self::DeleteConversation
            | Self::DeleteItem => Method::DELETE,
            _ => Method::GET,
        }
    }

    /// The path below which it stands, for those who look on.
    const fn collection(self) -> &'static str {
        match self {
            Self::Upload | Self::ListFiles | Self::File | Self::Content | Self::DeleteFile => "/v1/files",
            Self::MakeBatch | Self::ListBatches | Self::Batch | Self::CancelBatch => "/v1/batches",
            Self::MakeMessageBatch | Self::ListMessageBatches | Self::MessageBatch | Self::CancelMessageBatch => {
                "/v1/messages/batches"
            }
            Self::MessageResults | Self::DeleteMessageBatch => "/v1/messages/batches",
            Self::Response | Self::InputItems | Self::CancelResponse | Self::DeleteResponse => "/v1/responses",
            Self::MakeConversation | Self::Conversation | Self::UpdateConversation | Self::DeleteConversation => {
                "/v1/conversations"
            }
            Self::ListItems | Self::AddItems | Self::Item | Self::DeleteItem => "/v1/conversations",
        }
    }

    const fn dialect(self) -> ProviderDialect {
        match self {
            Self::MakeMessageBatch
            | Self::ListMessageBatches
            | Self::MessageBatch
            | Self::CancelMessageBatch
            | Self::MessageResults
            | Self::DeleteMessageBatch => ProviderDialect::Anthropic,
            _ => ProviderDialect::OpenAi,
        }
    }
}

async fn answer(plane: Plane, act: Act, names: HashMap<String, String>, request: Request<Body>) -> Response<Body> {
    let Plane { proxy, objects, .. } = plane;
    let surface = Surface::of(act.dialect());
    let request_id = match proxy.new_request_id() {
        Ok(id) => id,
        Err(error) => return errors::response(surface, &error, None),
    };
    let (parts, body) = request.into_parts();
    let mut observer = proxy.observers.request(request_id, (&parts.method, act.collection()), &parts.headers);
    let query = parts.uri.query();
    let mut limits = LimitsView::default();
    let acted = async {
        let entered = enter(&proxy, presented_key(&parts.headers, query), &mut limits)?;
        observer.entered(entered.shared_key());
        let tags = incoming::tags(&parts.headers)?;
        let body = if act.method() == Method::POST {
            incoming::body(&parts.headers, body, proxy.settings.body_bytes_max).await?
        } else {
            Bytes::new()
        };
        let caller =
            Caller { request_id, entered, headers: parts.headers.clone(), tags, query: query.and_then(without_key) };
        proxy.takes_requests()?;
        done(&objects, act, &caller, &names, body).await
    };
    let (mut response, error) = match acted.await {
        Ok(response) => (response, None),
        Err(error) => (errors::response(surface, &error, Some(request_id)), Some(error)),
    };
    observer.answered(response.status().as_u16(), error.as_ref());
    errors::insert_limits(surface, response.headers_mut(), &limits, proxy.clock.unix_us());
    errors::insert_request_id(surface, response.headers_mut(), request_id);
    response
}

async fn done(
    objects: &Arc<Objects>,
    act: Act,
    caller: &Caller,
    names: &HashMap<String, String>,
    body: Bytes,
) -> Result<Response<Body>, ProxyError> {
    let id = names.get("id").map_or("", String::as_str);
    let below = names.get("item").map(|item| match is_plain(item) {
        true => Ok(format!("/items/{item}")),
        false => Err(ProxyError::NotKept { kind: "item", id: String::new(), param: None }),
    });
    let below = below.transpose()?;
    let method = act.method();
    let about = |kind, below| About { kind, id, method: method.clone(), below, body: body.clone() };
    match act {
        Act::Upload => {
            let content_type = caller.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
            objects.upload(caller, content_type.unwrap_or(""), body.clone()).await
        }
        Act::ListFiles => objects.list(caller, ObjectKind::File).await,
        Act::File => objects.pass(caller, about(ObjectKind::File, "")).await,
        Act::Content => objects.pass(caller, about(ObjectKind::File, "/content")).await,
        Act::DeleteFile => objects.delete_file(caller, id).await,
        Act::MakeBatch => objects.make_batch(caller, body.clone()).await,
        Act::ListBatches => objects.list(caller, ObjectKind::Batch).await,
        Act::Batch => objects.batch(caller, method, id, "").await,
        Act::CancelBatch => objects.batch(caller, method, id, "/cancel").await,
        Act::MakeMessageBatch => objects.make_message_batch(caller, body.clone()).await,
        Act::ListMessageBatches => objects.list_message_batches(caller).await,
        Act::MessageBatch => objects.message_batch(caller, method, id, "").await,
        Act::CancelMessageBatch => objects.message_batch(caller, method, id, "/cancel").await,
        Act::MessageResults => objects.message_results(caller, id).await,
        Act::DeleteMessageBatch => objects.delete_message_batch(caller, id).await,
        Act::Response => objects.response(caller, method, id, "").await,
        Act::InputItems => objects.response(caller, method, id, "/input_items").await,
        Act::CancelResponse => objects.response(caller, method, id, "/cancel").await,
        Act::DeleteResponse => objects.delete_response(caller, id).await,
        Act::MakeConversation => objects.make_conversation(caller, body.clone()).await,
        Act::Conversation => objects.pass(caller, about(ObjectKind::Conversation, "")).await,
        Act::UpdateConversation => objects.add_to_conversation(caller, about(ObjectKind::Conversation, "")).await,
        Act::DeleteConversation => objects.delete_conversation(caller, id).await,
        Act::ListItems => objects.pass(caller, about(ObjectKind::Conversation, "/items")).await,
        Act::AddItems => objects.add_to_conversation(caller, about(ObjectKind::Conversation, "/items")).await,
        Act::Item | Act::DeleteItem => {
            let below = below.unwrap_or_default();
            objects.pass(caller, about(ObjectKind::Conversation, &below)).await
        }
    }
}

/// Whether an id that only its provider knows is made of what ids are made of. Anything else could be read as a path.
fn is_plain(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=256).contains(&id.len()) && id.bytes().all(plain)
}

/// A query without the parameter in which a key may stand.
fn without_key(query: &str) -> Option<String> {
    let kept: Vec<&str> = query.split('&').filter(|pair| pair.split('=').next() != Some("key")).collect();
    Some(kept.join("&")).filter(|query| !query.is_empty())
}
