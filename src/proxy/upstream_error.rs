//! Turns an upstream's error answer into what the client may be told.
//!
//! What its error body says passes, in the words of the client's dialect; what is about our account does not.

mod account;
mod body;
mod wait;

use std::time::Duration;

use axum::http::{HeaderMap, Response};
use http_body_util::{BodyExt, Limited};
use tollgate_core::entry::Outcome;

use self::{
    account::{is_about_account, is_about_content, redacted},
    body::ErrorBody,
    wait::retry_after,
};
use super::error::ProxyError;
use crate::upstream::body::UpstreamBody;

/// Most bytes read of an error body.
const ERROR_BYTES_MAX: usize = 64 * 1024;
/// Longest wait for an error body.
const ERROR_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads an answer of an error status that came at this time.
pub async fn read(response: Response<UpstreamBody>, now_us: i64) -> (ProxyError, Outcome) {
    let status = response.status().as_u16();
    let outcome = if status == 429 { Outcome::RateLimited } else { Outcome::UpstreamError };
    let (parts, body) = response.into_parts();
    let exception = exception(&parts.headers);
    let read = Limited::new(body, ERROR_BYTES_MAX).collect();
    let body = match tokio::time::timeout(ERROR_TIMEOUT, read).await {
        Ok(Ok(body)) => body.to_bytes(),
        _ => bytes::Bytes::new(),
    };
    let told = ErrorBody::parse(&body);
    let retry_after = retry_after(&parts.headers, &told, now_us);
    let is_about_account = is_about_account(&told, exception.as_deref());
    if matches!(status, 401..=403) && (status != 403 || is_about_account || !is_about_content(&told)) {
        tracing::error!(status, "an upstream refused this gateway's credentials");
        return (ProxyError::UpstreamCredentials, outcome);
    }
    if (300..400).contains(&status) {
        return (ProxyError::InvalidUpstreamBody("a redirect, which is never followed"), outcome);
    }
    if status == 429 {
        // Its words name our account, its limits and its quota, none of which are the client's.
        let message = "The upstream is limiting this gateway's rate. Try again later.".to_owned();
        let (kind, code) = (Some("requests".to_owned()), Some("upstream_rate_limited".to_owned()));
        return (ProxyError::Upstream { status, message, kind, code, param: None, retry_after }, outcome);
    }
    if is_about_account {
        tracing::error!(status, "an upstream's error tells of this gateway's account or key; its client is not told");
        return (ProxyError::UpstreamCredentials, outcome);
    }
    let unsaid = || format!("The upstream answered with status {status}.");
    let error = ProxyError::Upstream {
        status,
        message: told.message().map_or_else(unsaid, |message| redacted(&message)),
        kind: told.kind().or(exception),
        code: told.code().map(|code| redacted(&code)),
        param: told.param().map(|param| redacted(&param)),
        retry_after,
    };
    (error, outcome)
}

/// Bedrock's name of the error; what follows a colon is an address.
fn exception(headers: &HeaderMap) -> Option<String> {
    let name = headers.get("x-amzn-errortype")?.to_str().ok()?;
    name.split(':').next().map(str::to_owned)
}
