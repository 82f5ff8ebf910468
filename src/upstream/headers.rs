//! What passes of the headers of requests and answers. Everything that is not listed stays here.

use std::fmt::{self, Write};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use bytes::BytesMut;

use crate::config::dialect::ProviderDialect;

/// As many headers has a request to an upstream, host and key included; room for more is made when there are more.
const HEADERS_USUAL: usize = 6;
/// As many headers has an answer to a client; those of limits and ids come, too.
const ANSWER_HEADERS_USUAL: usize = 12;
/// An id and an amount are shorter.
const SHOWN_BYTES_USUAL: usize = 48;
/// Request headers that pass to an upstream.
const REQUEST_HEADERS: &[&str] = &["accept", "content-type", "user-agent", "traceparent", "tracestate"];
/// What Bedrock says of an invocation: its vendor's content type, latency, tokens.
const BEDROCK: &str = "x-amzn-bedrock-";
/// Bedrock's switches that cost nothing. Those of tier and latency raise the price, and no answer of an invocation tells them.
const BEDROCK_SWITCHES: &[&str] =
    &["x-amzn-bedrock-guardrailidentifier", "x-amzn-bedrock-guardrailversion", "x-amzn-bedrock-trace"];
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
/// Answer headers that pass to a client. Rate limits, ids and cookies of an upstream describe our account, not the client's.
const RESPONSE_HEADERS: &[&str] = &["content-type", "content-disposition", "cache-control", "openai-version"];

/// Headers of one dialect that pass to an upstream of it: versions and switches of its API.
const fn dialect_headers(dialect: ProviderDialect) -> &'static [&'static str] {
    match dialect {
        ProviderDialect::OpenAi => &["openai-beta"],
        ProviderDialect::Anthropic => &["anthropic-version", "anthropic-beta"],
        ProviderDialect::Bedrock => BEDROCK_SWITCHES,
        ProviderDialect::Gemini | ProviderDialect::Ollama | ProviderDialect::Cohere => &[],
    }
}

/// What passes of a client's headers, and what the gateway adds: bodies are looked at, so they must not be compressed.
#[must_use]
pub fn request_headers(dialect: ProviderDialect, inbound: &HeaderMap) -> HeaderMap {
    let of_dialect = dialect_headers(dialect);
    let mut headers = HeaderMap::with_capacity(HEADERS_USUAL);
    pass(inbound, |name| REQUEST_HEADERS.contains(&name) || of_dialect.contains(&name), &mut headers);
    // The only one of them that may come in several parts.
    for part in inbound.get_all(TRACESTATE).iter().skip(1) {
        headers.append(TRACESTATE, part.clone());
    }
    if dialect == ProviderDialect::Anthropic {
        headers.entry(ANTHROPIC_VERSION).or_insert(HeaderValue::from_static("2023-06-01"));
    }
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    headers
}

/// An answer of this body, with room for its headers.
#[must_use]
pub fn with_room<B>(body: B) -> Response<B> {
    let mut answer = Response::new(body);
    answer.headers_mut().reserve(ANSWER_HEADERS_USUAL);
    answer
}

/// Adds what passes of an upstream's headers to those of the answer.
pub fn pass_response_headers(upstream: &HeaderMap, answer: &mut HeaderMap) {
    let passes = |name: &str| RESPONSE_HEADERS.contains(&name) || name.starts_with(BEDROCK);
    pass(upstream, passes, answer);
}

/// Whether an answer is compressed, although none is asked for so.
#[must_use]
pub fn is_compressed(upstream: &HeaderMap) -> bool {
    let codings = upstream.get_all(header::CONTENT_ENCODING);
    codings.iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// The value that shows this; none when it cannot stand in a header.
pub fn shown(value: impl fmt::Display) -> Option<HeaderValue> {
    let mut text = BytesMut::with_capacity(SHOWN_BYTES_USUAL);
    write!(text, "{value}").ok()?;
    HeaderValue::from_maybe_shared(text.freeze()).ok()
}

/// The first value of each header that passes. One pass over them: a look-up by name hashes it first.
fn pass(from: &HeaderMap, passes: impl Fn(&str) -> bool, into: &mut HeaderMap) {
    for (name, value) in from.iter().filter(|(name, _)| passes(name.as_str())) {
        into.entry(name).or_insert_with(|| value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(upstream: &HeaderMap) -> HeaderMap {
        let mut answer = HeaderMap::new();
        pass_response_headers(upstream, &mut answer);
        answer
    }

    #[test]
    fn only_listed_headers_pass() {
        let mut headers = HeaderMap::new();
        for name in
            ["authorization", "cookie", "x-api-key", "connection", "x-forwarded-for", "accept-encoding", "content-type"]
        {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("gzip"));
        }
        let passed = request_headers(ProviderDialect::OpenAi, &headers);
        assert_eq!(passed.len(), 2);
        assert_eq!(passed[header::ACCEPT_ENCODING], "identity");
        for name in ["set-cookie", "x-ratelimit-limit-requests", "openai-organization", "x-request-id"] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("secret"));
        }
        assert_eq!(answered(&headers).len(), 1);
    }

    #[test]
    fn versions_pass_in_their_own_dialect_only() {
        let mut headers = HeaderMap::new();
        for name in ["anthropic-beta", "openai-beta", "x-goog-api-client", "x-goog-api-key"] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
        }
        let names = |dialect| {
            let passed = request_headers(dialect, &headers);
            let mut names: Vec<String> = passed.keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        assert_eq!(names(ProviderDialect::OpenAi), ["accept-encoding", "content-type", "openai-beta"]);
        assert_eq!(
            names(ProviderDialect::Anthropic),
            ["accept-encoding", "anthropic-beta", "anthropic-version", "content-type"]
        );
        assert_eq!(names(ProviderDialect::Gemini), ["accept-encoding", "content-type"]);
    }

    #[test]
    fn what_is_said_of_an_invocation_passes_to_and_from_bedrock_and_its_account_does_not() {
        let mut headers = HeaderMap::new();
        for name in ["x-amzn-bedrock-trace", "x-amzn-requestid", "x-amz-security-token", "x-amzn-trace-id"] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
        }
        let passed = request_headers(ProviderDialect::Bedrock, &headers);
        assert!(passed.len() == 3 && passed.contains_key("x-amzn-bedrock-trace"));
        assert_eq!(request_headers(ProviderDialect::OpenAi, &headers).len(), 2);
        assert_eq!(answered(&headers).len(), 1);
    }
}
