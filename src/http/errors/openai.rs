//! The OpenAI dialect: `{"error": {message, type, param, code}}` and `x-ratelimit-*`.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::{Told, insert_number};
use crate::admission::gate::LimitsView;

pub(super) fn body(told: &Told<'_>) -> Value {
    let kind = told.kind.unwrap_or(match told.status {
        StatusCode::TOO_MANY_REQUESTS => "requests",
        status if status.is_client_error() => "invalid_request_error",
        _ => "server_error",
    });
    json!({ "error": { "message": told.message, "type": kind, "param": told.param, "code": told.code } })
}

/// `x-ratelimit-*`, whose resets are Go durations.
pub(super) fn insert_limits(headers: &mut HeaderMap, limits: &LimitsView) {
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
