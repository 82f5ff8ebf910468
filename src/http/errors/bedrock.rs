//! The Bedrock dialect: `{"message"}`, with the exception's name in `x-amzn-errortype`.

use axum::http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::Told;

const X_AMZN_ERRORTYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

pub(super) fn body(told: &Told<'_>) -> Value {
    json!({ "message": told.message })
}

/// The header that names the exception.
pub(super) fn error_type(told: &Told<'_>) -> Option<(HeaderName, HeaderValue)> {
    let ours = match told.status.as_u16() {
        401 | 403 => "AccessDeniedException",
        404 | 405 => "ResourceNotFoundException",
        408 | 504 => "ModelTimeoutException",
        429 => "ThrottlingException",
        400..500 => "ValidationException",
        502 => "ModelErrorException",
        503 => "ServiceUnavailableException",
        _ => "InternalServerException",
    };
    let name = told.kind.filter(|kind| kind.ends_with("Exception")).unwrap_or(ours);
    HeaderValue::from_str(name).ok().map(|value| (X_AMZN_ERRORTYPE, value))
}
