//! Responses with the headers of a provider.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER},
};

use crate::{
    answer::{self, Endpoint},
    dialect,
    log::Guard,
    play::{Play, Steps},
    script::Script,
    stream::Step,
};

pub(crate) const JSON: &str = "application/json";
pub(crate) const EVENTS: &str = "text/event-stream; charset=utf-8";
pub(crate) const NDJSON: &str = "application/x-ndjson";
pub(crate) const AWS_EVENTS: &str = "application/vnd.amazon.eventstream";
pub(crate) const SOUND: &str = "audio/mpeg";
pub(crate) const HTML: &str = "text/html; charset=utf-8";

/// The error answer of a script.
pub(crate) fn refused(guard: Guard, endpoint: Endpoint, script: &Script) -> Response<Play> {
    let status = script.status.unwrap_or(500);
    let scripted = script.error_body.as_ref().map(|body| body.as_str().map_or_else(|| body.to_string(), str::to_owned));
    let own = scripted.or_else(|| dialect::refused(endpoint, status, "The scripted upstream refuses this."));
    let text = own.map_or_else(|| answer::error_for(status, script.code.as_deref()), Bytes::from);
    let exception = dialect::exception(endpoint, status);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = whole(guard, status, JSON, text, 0, false);
    if let Some(exception) = exception {
        response.headers_mut().insert("x-amzn-errortype", header(exception));
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        let seconds = script.retry_after.as_deref().unwrap_or("1");
        response.headers_mut().insert(RETRY_AFTER, header(seconds));
    }
    for (name, value) in script.error_headers.iter().flatten() {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            response.headers_mut().insert(name, header(value));
        }
    }
    response
}

/// 302 to `location`.
pub(crate) fn redirect(guard: Guard, location: &str) -> Response<Play> {
    let mut response = whole(guard, StatusCode::FOUND, JSON, Bytes::new(), 0, false);
    response.headers_mut().insert(LOCATION, header(location));
    response
}

/// A body of known length, sent in one piece.
pub(crate) fn whole(
    guard: Guard,
    status: StatusCode,
    kind: &'static str,
    text: Bytes,
    chunks: u64,
    usage: bool,
) -> Response<Play> {
    let length = text.len();
    let steps = if text.is_empty() { Vec::new() } else { vec![Step::Send { bytes: text, chunks, usage }] };
    let mut response = head(guard, status, kind, false, Steps::Known(steps.into_iter()));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// Headers as a provider sends them; those about its own account must not pass a gateway.
pub(crate) fn head(
    guard: Guard,
    status: StatusCode,
    kind: &'static str,
    one_byte: bool,
    steps: Steps,
) -> Response<Play> {
    guard.0.answered(status.as_u16());
    let id = format!("req_fake{:012}", guard.0.n());
    let mut response = Response::new(Play::new(guard, steps, one_byte));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert("x-request-id", header(&id));
    headers.insert("openai-organization", HeaderValue::from_static("fake-upstream-account"));
    headers.insert("openai-processing-ms", HeaderValue::from_static("1"));
    headers.insert("openai-version", HeaderValue::from_static("2020-10-01"));
    headers.insert("x-ratelimit-limit-requests", HeaderValue::from_static("77777"));
    headers.insert("x-ratelimit-remaining-requests", HeaderValue::from_static("77776"));
    headers.insert("x-ratelimit-reset-requests", HeaderValue::from_static("1ms"));
    response
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
