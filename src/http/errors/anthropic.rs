//! The Anthropic dialect: `{"type": "error", "error": {type, message}, request_id}` and `anthropic-ratelimit-*`.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use tollgate_core::id::RequestId;

use super::{Told, insert_number};
use crate::admission::gate::LimitsView;

/// "Overloaded", which Anthropic's SDKs try again.
const OVERLOADED: u16 = 529;

/// A gateway that cannot take a request now is overloaded in this dialect.
pub(super) fn status(told: &Told<'_>) -> StatusCode {
    match told.status {
        StatusCode::SERVICE_UNAVAILABLE if told.retryable => StatusCode::from_u16(OVERLOADED).unwrap_or(told.status),
        status => status,
    }
}

pub(super) fn body(told: &Told<'_>, request_id: Option<RequestId>) -> Value {
    let ours = match status(told).as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 | 405 => "not_found_error",
        408 | 504 => "timeout_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        OVERLOADED => "overloaded_error",
        400..500 => "invalid_request_error",
        _ => "api_error",
    };
    // What an upstream of this dialect told has one of these types already.
    let kind = told.kind.filter(|kind| kind.ends_with("_error") || *kind == "request_too_large").unwrap_or(ours);
    json!({
        "type": "error",
        "error": { "type": kind, "message": told.message },
        "request_id": request_id.map(|id| id.to_string()),
    })
}

/// `anthropic-ratelimit-*`, whose resets are times.
pub(super) fn insert_limits(headers: &mut HeaderMap, limits: &LimitsView, now_us: i64) {
    if let Some(view) = limits.requests {
        insert_number(headers, HeaderName::from_static("anthropic-ratelimit-requests-limit"), view.limit.into());
        insert_number(
            headers,
            HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
            view.remaining.into(),
        );
        insert_time(headers, HeaderName::from_static("anthropic-ratelimit-requests-reset"), now_us, view.reset);
    }
    if let Some(view) = limits.tokens {
        insert_number(headers, HeaderName::from_static("anthropic-ratelimit-tokens-limit"), view.limit);
        insert_number(headers, HeaderName::from_static("anthropic-ratelimit-tokens-remaining"), view.remaining);
        insert_time(headers, HeaderName::from_static("anthropic-ratelimit-tokens-reset"), now_us, view.reset);
    }
}

/// The time at which so much will have passed, RFC 3339 in whole seconds, rounded up.
fn insert_time(headers: &mut HeaderMap, name: HeaderName, now_us: i64, wait: Duration) {
    let wait_us = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
    let second = now_us.saturating_add(wait_us).saturating_add(999_999).div_euclid(1_000_000);
    if let Ok(at) = Timestamp::from_second(second)
        && let Ok(value) = HeaderValue::from_str(&at.to_string())
    {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_is_a_time_and_never_too_early() {
        let mut headers = HeaderMap::new();
        let name = HeaderName::from_static("anthropic-ratelimit-tokens-reset");
        insert_time(&mut headers, name.clone(), 1_750_000_000_000_001, Duration::from_millis(1500));
        assert_eq!(headers[&name], "2025-06-15T15:06:42Z");
    }
}
