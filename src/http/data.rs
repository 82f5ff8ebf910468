//! The data plane: what applications call, in the OpenAI dialect.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header},
    routing::{get, post},
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::json;
use tollgate_core::id::RequestId;

use super::openai_error;
use crate::{
    admission::{
        gate::{Entered, LimitsView},
        refusal::Refusal,
    },
    proxy::{Inbound, Proxy, error::ProxyError},
    upstream::request::{Endpoint, OpenAiRequest, RequestError},
};

const X_TOLLGATE_REQUEST_ID: HeaderName = HeaderName::from_static("x-tollgate-request-id");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_TOLLGATE_TAGS: HeaderName = HeaderName::from_static("x-tollgate-tags");
/// A body must be complete within so long.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// Tags of one request at most, and bytes of a name or value.
const TAGS_MAX: usize = 16;
const TAG_BYTES_MAX: usize = 64;

/// The routes of the data plane.
pub fn router(proxy: Arc<Proxy>) -> Router {
    let call = |endpoint: Endpoint| {
        post(move |State(proxy): State<Arc<Proxy>>, request: Request<Body>| async move {
            answer(proxy, endpoint, request).await
        })
    };
    Router::new()
        .route("/v1/chat/completions", call(Endpoint::ChatCompletions))
        .route("/v1/completions", call(Endpoint::Completions))
        .route("/v1/embeddings", call(Endpoint::Embeddings))
        .route("/v1/models", get(list_models))
        .route("/v1/models/{*id}", get(show_model))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown_path)
        .with_state(proxy)
}

async fn answer(proxy: Arc<Proxy>, endpoint: Endpoint, request: Request<Body>) -> Response<Body> {
    let request_id = match proxy.new_request_id() {
        Ok(id) => id,
        Err(error) => return openai_error::response(&error),
    };
    let mut limits = LimitsView::default();
    let answered = match enter(&proxy, request.headers(), &mut limits) {
        Ok(entered) => match read(&proxy, endpoint, entered, request_id, request).await {
            Ok(inbound) => proxy.conduct(inbound).await,
            Err(error) => Err(error),
        },
        Err(refusal) => Err(refusal.into()),
    };
    let mut response = match answered {
        Ok(answer) => {
            limits = answer.limits;
            answer.response
        }
        Err(error) => openai_error::response(&error),
    };
    openai_error::insert_limits(response.headers_mut(), &limits);
    insert_request_id(response.headers_mut(), request_id);
    response
}

fn insert_request_id(headers: &mut HeaderMap, request_id: RequestId) {
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        headers.insert(X_TOLLGATE_REQUEST_ID, value.clone());
        headers.insert(X_REQUEST_ID, value);
    }
}

/// Lets a request in; `limits` become those of its key, also when it is refused.
fn enter(proxy: &Proxy, headers: &HeaderMap, limits: &mut LimitsView) -> Result<Entered, Refusal> {
    let key = proxy.keyring.authenticate(presented_key(headers))?;
    let entered = Entered::enter(Arc::clone(&key), proxy.clock.clone());
    *limits = match &entered {
        Ok(entered) => entered.limits_view(),
        Err(refusal) => LimitsView::of_refused(&key, refusal, &proxy.clock),
    };
    entered
}

/// The key, from where the SDKs of the dialect put it.
fn presented_key(headers: &HeaderMap) -> Option<&str> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok();
    let bearer = || {
        let value = text(header::AUTHORIZATION)?;
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key)
    };
    bearer()
        .or_else(|| text(HeaderName::from_static("x-api-key")))
        .or_else(|| text(HeaderName::from_static("api-key")))
        .filter(|key| !key.is_empty())
}

async fn read(
    proxy: &Proxy,
    endpoint: Endpoint,
    entered: Entered,
    request_id: RequestId,
    request: Request<Body>,
) -> Result<Inbound, ProxyError> {
    let (parts, body) = request.into_parts();
    let tags = tags(&parts.headers)?;
    if parts.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(RequestError::Encoded.into());
    }
    let bytes_max = proxy.settings.body_bytes_max;
    let body = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, bytes_max).collect())
        .await
        .map_err(|_elapsed| RequestError::TooSlow)?
        .map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => RequestError::TooLarge { bytes_max },
            None => RequestError::Incomplete,
        })?;
    let body: Bytes = body.to_bytes();
    let request = OpenAiRequest::parse(body, endpoint)?;
    Ok(Inbound { request_id, endpoint, entered, headers: parts.headers, request, tags })
}

/// `team=a,feature=b`, sorted.
fn tags(headers: &HeaderMap) -> Result<Vec<(String, String)>, RequestError> {
    let Some(value) = headers.get(X_TOLLGATE_TAGS) else { return Ok(Vec::new()) };
    let text = value.to_str().map_err(|_| RequestError::BadTags)?;
    let mut tags = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(RequestError::BadTags)?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.len() > TAG_BYTES_MAX || value.len() > TAG_BYTES_MAX || tags.len() == TAGS_MAX {
            return Err(RequestError::BadTags);
        }
        tags.push((name.to_owned(), value.to_owned()));
    }
    tags.sort();
    Ok(tags)
}

async fn list_models(State(proxy): State<Arc<Proxy>>, headers: HeaderMap) -> Response<Body> {
    match proxy.keyring.authenticate(presented_key(&headers)) {
        Ok(key) => {
            let data: Vec<_> = proxy.models(&key).iter().map(|model| model_object(model)).collect();
            json_response(StatusCode::OK, &json!({ "object": "list", "data": data }))
        }
        Err(refusal) => openai_error::response(&refusal.into()),
    }
}

async fn show_model(State(proxy): State<Arc<Proxy>>, Path(id): Path<String>, headers: HeaderMap) -> Response<Body> {
    let known = |key| proxy.models(key).contains(&id);
    match proxy.keyring.authenticate(presented_key(&headers)) {
        Ok(key) if known(&key) => json_response(StatusCode::OK, &model_object(&id)),
        Ok(_) => openai_error::response(&ProxyError::UnknownModel(id)),
        Err(refusal) => openai_error::response(&refusal.into()),
    }
}

fn model_object(id: &str) -> serde_json::Value {
    json!({ "id": id, "object": "model", "created": 0, "owned_by": "tollgate" })
}

async fn unknown_path(request: Request<Body>) -> Response<Body> {
    let message = format!(
        "Unknown request URL: {} {}. Check the base URL (it ends in /v1).",
        request.method(),
        request.uri().path()
    );
    plain_error(StatusCode::NOT_FOUND, &message, "unknown_url")
}

async fn wrong_method(request: Request<Body>) -> Response<Body> {
    let message = format!("{} does not answer {}.", request.uri().path(), request.method());
    plain_error(StatusCode::METHOD_NOT_ALLOWED, &message, "method_not_allowed")
}

fn plain_error(status: StatusCode, message: &str, code: &str) -> Response<Body> {
    let body = json!({ "error": { "message": message, "type": "invalid_request_error", "param": null, "code": code } });
    json_response(status, &body)
}

fn json_response(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
