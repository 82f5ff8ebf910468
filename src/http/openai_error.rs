//! Errors and rate-limit headers as the OpenAI dialect has them; one table from [`ProxyError`] to HTTP.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header},
};
use serde_json::json;

use crate::{
    admission::{gate::LimitsView, refusal::Refusal},
    proxy::error::ProxyError,
    upstream::request::RequestError,
};

/// Tells the official SDKs not to try again, or to.
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// The status that an error has in this dialect.
#[must_use]
pub fn status(error: &ProxyError) -> StatusCode {
    match error {
        ProxyError::Request(RequestError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
        ProxyError::Request(RequestError::TooSlow) => StatusCode::REQUEST_TIMEOUT,
        ProxyError::Request(_) => StatusCode::BAD_REQUEST,
        ProxyError::Refused(refusal) => match refusal {
            Refusal::MissingKey | Refusal::InvalidKey | Refusal::RevokedKey | Refusal::ExpiredKey => {
                StatusCode::UNAUTHORIZED
            }
            Refusal::ModelNotAllowed(_) => StatusCode::FORBIDDEN,
            _ => StatusCode::TOO_MANY_REQUESTS,
        },
        ProxyError::UnknownModel(_) => StatusCode::NOT_FOUND,
        ProxyError::Unpriced(_)
        | ProxyError::Full
        | ProxyError::JournalDown
        | ProxyError::ShuttingDown
        | ProxyError::WorkerUnavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        ProxyError::WorkerBusy { .. } => StatusCode::TOO_MANY_REQUESTS,
        ProxyError::Unreachable | ProxyError::InvalidUpstreamBody(_) | ProxyError::UpstreamCredentials => {
            StatusCode::BAD_GATEWAY
        }
        ProxyError::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        ProxyError::Upstream { status, .. } => StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY),
    }
}

fn kind(error: &ProxyError) -> &str {
    match error {
        ProxyError::Upstream { kind: Some(kind), .. } => kind,
        ProxyError::Refused(Refusal::Requests { .. } | Refusal::Concurrency { .. }) | ProxyError::WorkerBusy { .. } => {
            "requests"
        }
        ProxyError::Refused(Refusal::Tokens { .. } | Refusal::TooLargeForKey { .. }) => "tokens",
        ProxyError::Request(_) | ProxyError::Refused(_) | ProxyError::UnknownModel(_) => "invalid_request_error",
        _ => "server_error",
    }
}

fn param(error: &ProxyError) -> Option<&str> {
    match error {
        ProxyError::Request(error) => error.param(),
        ProxyError::UnknownModel(_)
        | ProxyError::Unpriced(_)
        | ProxyError::WorkerUnavailable(_)
        | ProxyError::WorkerBusy { .. }
        | ProxyError::Refused(Refusal::ModelNotAllowed(_)) => Some("model"),
        ProxyError::Upstream { param, .. } => param.as_deref(),
        _ => None,
    }
}

/// The body that the SDKs unwrap: `{"error": {message, type, param, code}}`.
#[must_use]
pub fn body(error: &ProxyError) -> serde_json::Value {
    json!({ "error": {
        "message": error.to_string(), "type": kind(error), "param": param(error), "code": error.code(),
    } })
}

/// The whole answer.
#[must_use]
pub fn response(error: &ProxyError) -> Response<Body> {
    let mut response = Response::new(Body::from(body(error).to_string()));
    *response.status_mut() = status(error);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let retry = if error.retryable() { "true" } else { "false" };
    headers.insert(X_SHOULD_RETRY, HeaderValue::from_static(retry));
    if let Some(wait) = retry_after(error) {
        insert_number(headers, header::RETRY_AFTER, wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        insert_number(headers, RETRY_AFTER_MS, u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX));
    }
    response
}

fn retry_after(error: &ProxyError) -> Option<Duration> {
    match error {
        ProxyError::Refused(refusal) => refusal.retry_after(),
        ProxyError::Upstream { retry_after, .. } => *retry_after,
        ProxyError::WorkerBusy { retry_after, .. } => retry_after.or(Some(Duration::from_secs(1))),
        ProxyError::WorkerUnavailable(_) => Some(Duration::from_secs(2)),
        ProxyError::Full | ProxyError::ShuttingDown => Some(Duration::from_secs(1)),
        ProxyError::JournalDown => Some(Duration::from_secs(5)),
        _ => None,
    }
}

/// Adds `x-ratelimit-*` of the key's own limits; nothing for a key without limits.
pub fn insert_limits(headers: &mut HeaderMap, limits: &LimitsView) {
    if let Some(view) = limits.requests {
        insert_number(headers, HeaderName::from_static("x-ratelimit-limit-requests"), view.limit.into());
        insert_number(headers, HeaderName::from_static("x-ratelimit-remaining-requests"), view.remaining.into());
        insert_duration(headers, HeaderName::from_static("x-ratelimit-reset-requests"), view.reset);
    }
    if let Some(view) = limits.tokens {
        insert_number(headers, HeaderName::from_static("x-ratelimit-limit-tokens"), view.limit);
        insert_number(headers, HeaderName::from_static("x-ratelimit-remaining-tokens"), view.remaining);
        insert_duration(headers, HeaderName::from_static("x-ratelimit-reset-tokens"), view.reset);
    }
}

fn insert_number(headers: &mut HeaderMap, name: HeaderName, number: u64) {
    headers.insert(name, HeaderValue::from(number));
}

/// A Go duration, as OpenAI writes it: `120ms`, `1s`, `6m0s`.
fn insert_duration(headers: &mut HeaderMap, name: HeaderName, duration: Duration) {
    let ms = duration.as_micros().div_ceil(1000);
    let text = match (ms / 60_000, ms / 1000 % 60, ms % 1000) {
        (0, 0, ms) => format!("{ms}ms"),
        (0, s, 0) => format!("{s}s"),
        (0, s, ms) => format!("{s}.{ms:03}s"),
        (m, s, _) => format!("{m}m{s}s"),
    };
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(name, value);
    }
}
