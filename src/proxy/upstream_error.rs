//! Turns an upstream's error answer into what the client may be told.
//!
//! What its error body says passes, in the words of the client's dialect; what names our account (401, 402, 403) does not.

mod body;

use std::time::Duration;

use axum::http::{HeaderMap, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tollgate_core::entry::Outcome;

use self::body::ErrorBody;
use super::error::ProxyError;

/// Most bytes read of an error body.
const ERROR_BYTES_MAX: usize = 64 * 1024;
/// Longest wait for an error body.
const ERROR_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads an answer of an error status.
pub async fn read(response: Response<Incoming>) -> (ProxyError, Outcome) {
    let status = response.status().as_u16();
    let outcome = if status == 429 { Outcome::RateLimited } else { Outcome::UpstreamError };
    let retry_after = retry_after(response.headers());
    let exception = exception(response.headers());
    let read = Limited::new(response.into_body(), ERROR_BYTES_MAX).collect();
    let body = match tokio::time::timeout(ERROR_TIMEOUT, read).await {
        Ok(Ok(body)) => body.to_bytes(),
        _ => bytes::Bytes::new(),
    };
    if matches!(status, 401..=403) {
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
    if names_our_account(&body) {
        tracing::error!(status, "an upstream's error tells of this gateway's account or key; its client is not told");
        return (ProxyError::UpstreamCredentials, outcome);
    }
    let told = ErrorBody::parse(&body);
    let error = ProxyError::Upstream {
        status,
        message: told.message().unwrap_or_else(|| format!("The upstream answered with status {status}.")),
        kind: told.kind().or(exception),
        code: told.code(),
        param: told.param(),
        retry_after,
    };
    (error, outcome)
}

/// Words of refusals that come with a status like any other, and are about our account or key and not about the request.
const ACCOUNT_WORDS: &[&str] =
    &["credit balance", "api_key_invalid", "api key not valid", "api key expired", "billing", "arn:aws"];

fn names_our_account(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    ACCOUNT_WORDS.iter().any(|words| text.contains(words))
}

/// Bedrock's name of the error; what follows a colon is an address.
fn exception(headers: &HeaderMap) -> Option<String> {
    let name = headers.get("x-amzn-errortype")?.to_str().ok()?;
    name.split(':').next().map(str::to_owned)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    text("retry-after-ms").map(Duration::from_millis).or_else(|| text("retry-after").map(Duration::from_secs))
}

#[cfg(test)]
mod tests {
    use super::names_our_account;

    #[test]
    fn words_about_our_account_are_known_and_those_about_the_request_are_not() {
        for told in [
            "Your credit balance is too low to access the Anthropic API.",
            r#"{"error":{"details":[{"reason":"API_KEY_INVALID"}]}}"#,
            "not authorized: arn:aws:bedrock:us-east-1:123456789012:x",
        ] {
            assert!(names_our_account(told.as_bytes()), "{told}");
        }
        assert!(!names_our_account(b"max_tokens: 1 is less than 16"));
    }
}
