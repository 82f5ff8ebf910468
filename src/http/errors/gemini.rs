//! The Gemini dialect: `{"error": {code, message, status, details}}`, in a list of one where the stream is one JSON array.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::Told;

pub(super) fn body(told: &Told<'_>, listed: bool) -> Value {
    let status = told.kind.filter(|kind| is_status(kind)).unwrap_or_else(|| status_name(told.status));
    let reason =
        json!({ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": told.code, "domain": "tollgate" });
    let mut details = vec![reason];
    if let Some(wait) = told.retry_after {
        let delay = format!("{}.{:03}s", wait.as_secs(), wait.subsec_millis());
        details.push(json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay }));
    }
    let error = json!({ "error": {
        "code": told.status.as_u16(), "message": told.message, "status": status, "details": details,
    } });
    if listed { json!([error]) } else { error }
}

/// `RESOURCE_EXHAUSTED` and the like.
fn is_status(kind: &str) -> bool {
    kind.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

fn status_name(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 | 405 => "NOT_FOUND",
        408 | 504 => "DEADLINE_EXCEEDED",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        400..500 => "INVALID_ARGUMENT",
        500 => "INTERNAL",
        _ => "UNAVAILABLE",
    }
}
