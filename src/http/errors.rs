//! Errors, rate-limit headers and request ids as the SDK of the dialect that was called reads them: one table of statuses,
//! one file a dialect for its body and headers.

mod anthropic;
mod bedrock;
mod cohere;
mod gemini;
mod ollama;
mod openai;

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header},
};
use tollgate_core::id::RequestId;

use crate::{
    admission::{gate::LimitsView, refusal::Refusal},
    config::dialect::ProviderDialect,
    proxy::error::ProxyError,
    upstream::{headers::shown, request::error::RequestError},
};

/// Tells the official SDKs not to try again, or to.
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const X_TOLLGATE_REQUEST_ID: HeaderName = HeaderName::from_static("x-tollgate-request-id");

/// What a client expects its answers to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surface {
    /// The dialect that it called.
    pub dialect: ProviderDialect,
    /// An error stands in a list of one, as in a stream that is one JSON array.
    pub listed: bool,
}

impl Surface {
    /// Of a dialect.
    #[must_use]
    pub const fn of(dialect: ProviderDialect) -> Self {
        Self { dialect, listed: false }
    }

    /// The dialect whose paths begin so.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        let dialect = match path {
            _ if path.starts_with("/v1/messages") => ProviderDialect::Anthropic,
            _ if path.starts_with("/v1beta/") || path.starts_with("/v1alpha/") => ProviderDialect::Gemini,
            _ if path.starts_with("/v1/models/") && path.contains(':') => ProviderDialect::Gemini,
            _ if path.starts_with("/model/") => ProviderDialect::Bedrock,
            _ if path.starts_with("/api/") => ProviderDialect::Ollama,
            _ if path.starts_with("/v2/") || path == "/v1/rerank" => ProviderDialect::Cohere,
            _ => ProviderDialect::OpenAi,
        };
        Self::of(dialect)
    }
}

/// An error, as far as a body says it.
pub(super) struct Told<'a> {
    pub(super) status: StatusCode,
    pub(super) message: &'a str,
    /// Our stable code, or the upstream's.
    pub(super) code: &'a str,
    /// The type that the upstream told.
    pub(super) kind: Option<&'a str>,
    pub(super) param: Option<&'a str>,
    pub(super) retryable: bool,
    pub(super) retry_after: Option<Duration>,
}

/// The whole answer to a failed request.
#[must_use]
pub fn response(surface: Surface, error: &ProxyError, request_id: Option<RequestId>) -> Response<Body> {
    let message = error.to_string();
    let told = Told {
        status: status(error),
        message: &message,
        code: error.code(),
        kind: kind(error),
        param: param(error),
        retryable: error.retryable(),
        retry_after: retry_after(error),
    };
    respond(surface, &told, request_id)
}

/// The whole answer to a request that no route takes.
#[must_use]
pub fn refused(
    surface: Surface,
    (status, message, code): (StatusCode, &str, &str),
    request_id: Option<RequestId>,
) -> Response<Body> {
    let told = Told { status, message, code, kind: None, param: None, retryable: false, retry_after: None };
    respond(surface, &told, request_id)
}

fn respond(surface: Surface, told: &Told<'_>, request_id: Option<RequestId>) -> Response<Body> {
    let mut headers = HeaderMap::new();
    let mut status = told.status;
    let body = match surface.dialect {
        ProviderDialect::OpenAi => openai::body(told),
        ProviderDialect::Anthropic => {
            status = anthropic::status(told);
            anthropic::body(told, request_id)
        }
        ProviderDialect::Gemini => gemini::body(told, surface.listed),
        ProviderDialect::Bedrock => {
            headers.extend(bedrock::error_type(told));
            bedrock::body(told)
        }
        ProviderDialect::Ollama => ollama::body(told),
        ProviderDialect::Cohere => cohere::body(told),
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(X_SHOULD_RETRY, HeaderValue::from_static(if told.retryable { "true" } else { "false" }));
    if let Some(wait) = told.retry_after {
        insert_number(&mut headers, header::RETRY_AFTER, wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        let ms = u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
        insert_number(&mut headers, RETRY_AFTER_MS, ms);
    }
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Adds what is left of the key's own limits, where the dialect has headers for it; nothing for a key without limits.
pub fn insert_limits(surface: Surface, headers: &mut HeaderMap, limits: &LimitsView, now_us: i64) {
    match surface.dialect {
        ProviderDialect::OpenAi => openai::insert_limits(headers, limits),
        ProviderDialect::Anthropic => anthropic::insert_limits(headers, limits, now_us),
        ProviderDialect::Gemini | ProviderDialect::Bedrock | ProviderDialect::Ollama | ProviderDialect::Cohere => {}
    }
}

/// Adds the request's id under our name and under the one that the dialect's SDK reads.
pub fn insert_request_id(surface: Surface, headers: &mut HeaderMap, request_id: RequestId) {
    let name = match surface.dialect {
        ProviderDialect::Anthropic => "request-id",
        ProviderDialect::Bedrock => "x-amzn-requestid",
        _ => "x-request-id",
    };
    if let Some(value) = shown(request_id) {
        headers.insert(X_TOLLGATE_REQUEST_ID, value.clone());
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// The status that an error has, before a dialect changes it.
#[must_use]
pub fn status(error: &ProxyError) -> StatusCode {
    match error {
        ProxyError::Request(RequestError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
        ProxyError::Request(RequestError::TooSlow) => StatusCode::REQUEST_TIMEOUT,
        ProxyError::Request(RequestError::Unbound { .. }) => StatusCode::NOT_FOUND,
        ProxyError::Request(_)
        | ProxyError::Query(_)
        | ProxyError::OtherDialect { .. }
        | ProxyError::UnpricedNeed { .. }
        | ProxyError::KeptElsewhere(_) => StatusCode::BAD_REQUEST,
        ProxyError::NotKept { .. } | ProxyError::NoKeeper(_) => StatusCode::NOT_FOUND,
        ProxyError::NotNow(_) => StatusCode::CONFLICT,
        ProxyError::Refused(refusal) => match refusal {
            Refusal::MissingKey | Refusal::InvalidKey | Refusal::RevokedKey | Refusal::ExpiredKey => {
                StatusCode::UNAUTHORIZED
            }
            Refusal::ModelNotAllowed(_) => StatusCode::FORBIDDEN,
            _ => StatusCode::TOO_MANY_REQUESTS,
        },
        ProxyError::UnknownModel(_) => StatusCode::NOT_FOUND,
        ProxyError::Unpriced(_)
        | ProxyError::UnpricedBatch(_)
        | ProxyError::StoreDown
        | ProxyError::Full
        | ProxyError::JournalDown
        | ProxyError::ShuttingDown
        | ProxyError::WorkerUnavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        ProxyError::WorkerBusy { .. } => StatusCode::TOO_MANY_REQUESTS,
        ProxyError::Unreachable
        | ProxyError::MaybeMade
        | ProxyError::InvalidUpstreamBody(_)
        | ProxyError::UpstreamCredentials => StatusCode::BAD_GATEWAY,
        ProxyError::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        ProxyError::Upstream { status, .. } => StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY),
    }
}

fn kind(error: &ProxyError) -> Option<&str> {
    match error {
        ProxyError::Upstream { kind, .. } => kind.as_deref(),
        ProxyError::Refused(Refusal::Tokens { .. } | Refusal::TooLargeForKey { .. }) => Some("tokens"),
        _ => None,
    }
}

fn param(error: &ProxyError) -> Option<&str> {
    match error {
        ProxyError::Request(error) => error.param(),
        ProxyError::UnknownModel(_)
        | ProxyError::OtherDialect { .. }
        | ProxyError::Unpriced(_)
        | ProxyError::UnpricedBatch(_)
        | ProxyError::KeptElsewhere(_)
        | ProxyError::WorkerUnavailable(_)
        | ProxyError::WorkerBusy { .. }
        | ProxyError::Refused(Refusal::ModelNotAllowed(_)) => Some("model"),
        ProxyError::Upstream { param, .. } => param.as_deref(),
        ProxyError::NotKept { param, .. } => *param,
        ProxyError::UnpricedNeed { field, .. } => *field,
        _ => None,
    }
}

fn retry_after(error: &ProxyError) -> Option<Duration> {
    match error {
        ProxyError::Refused(refusal) => refusal.retry_after(),
        ProxyError::Upstream { retry_after, .. } => *retry_after,
        ProxyError::WorkerBusy { retry_after, .. } => retry_after.or(Some(Duration::from_secs(1))),
        ProxyError::WorkerUnavailable(_) => Some(Duration::from_secs(2)),
        ProxyError::Full | ProxyError::ShuttingDown => Some(Duration::from_secs(1)),
        ProxyError::JournalDown | ProxyError::StoreDown => Some(Duration::from_secs(5)),
        ProxyError::NotNow(_) => Some(Duration::from_secs(5)),
        _ => None,
    }
}

fn insert_number(headers: &mut HeaderMap, name: HeaderName, number: u64) {
    headers.insert(name, HeaderValue::from(number));
}
