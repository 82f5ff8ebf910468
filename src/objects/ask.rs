//! One call at a provider about what it keeps, and its answer: passed on as it comes, or read whole.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Response, header},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{Caller, Objects};
use crate::{
    proxy::{error::ProxyError, upstream_error},
    routing::Provider,
    upstream::{
        body::UpstreamBody,
        client::Call,
        headers::{is_compressed, pass_response_headers, request_headers},
        target::kept_uri,
    },
};

/// Largest answer that is read whole, in bytes.
const WHOLE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What is asked.
pub(super) struct Ask {
    method: Method,
    /// Below the provider's base, beginning with `/v1/`.
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    body: Bytes,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: ProxyError,
    /// It is certain that the provider did nothing.
    pub(super) is_undone: bool,
}

/// An answer read whole.
pub(super) struct Whole {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Ask {
    /// A call without a body, of our own.
    pub(super) fn new(method: Method, path: String) -> Self {
        Self { method, path, query: None, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// The caller's query, headers as far as they pass, and body.
    pub(super) fn with(self, caller: &Caller, body: Bytes) -> Self {
        Self { query: caller.query.clone(), headers: caller.headers.clone(), body, ..self }
    }

    /// A query of our own.
    pub(super) fn query(self, query: String) -> Self {
        Self { query: Some(query), ..self }
    }
}

impl Whole {
    /// What the body says, as far as it is looked at.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, ProxyError> {
        serde_json::from_slice(&self.body)
            .map_err(|_| ProxyError::InvalidUpstreamBody("not the object that was asked for"))
    }

    /// The answer for the client, with this body.
    pub(super) fn answer(&self, body: impl Into<Body>) -> Response<Body> {
        let mut response = Response::new(body.into());
        pass_response_headers(&self.headers, response.headers_mut());
        response
    }
}

impl Objects {
    /// Calls a provider and waits for the head of its answer, which is one of status 2xx.
    pub(super) async fn ask(&self, provider: &Provider, ask: Ask) -> Result<Response<UpstreamBody>, Failed> {
        let unsent = |error| Failed { error, is_undone: true };
        let uri = kept_uri(provider.dialect, &provider.base_url, &provider.paths, &ask.path, ask.query.as_deref());
        let uri = uri.map_err(|_| unsent(ProxyError::Unreachable))?;
        let mut headers = request_headers(provider.dialect, &ask.headers);
        if ask.body.is_empty() {
            headers.remove(header::CONTENT_TYPE);
        }
        let mut call = Call { method: ask.method, uri: &uri, headers, body: ask.body, connected: None };
        let (credentials, now_us) = (provider.credentials.as_ref(), self.proxy.clock.unix_us());
        let sending = self.proxy.client.call(&mut call, credentials, provider.allow_private, now_us);
        let response = match timeout(self.patience.answer, sending).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                tracing::warn!(provider = provider.name, %error, "a provider was not reached");
                let is_undone = error.before_any_byte();
                return Err(Failed { error: ProxyError::Unreachable, is_undone });
            }
            Err(_elapsed) => return Err(Failed { error: ProxyError::UpstreamTimeout, is_undone: false }),
        };
        if response.status().is_success() {
            return Ok(response);
        }
        // Others of the four hundreds may come from between here and there, behind which it was done.
        let is_undone = matches!(response.status().as_u16(), 400 | 401 | 403 | 404 | 413 | 415 | 422 | 429);
        let (error, _outcome) = upstream_error::read(response, self.proxy.clock.unix_us()).await;
        Err(Failed { error, is_undone })
    }

    /// The same, with the whole answer. What it broke off in is not undone.
    pub(super) async fn ask_whole(&self, provider: &Provider, ask: Ask) -> Result<Whole, Failed> {
        let (parts, body) = self.ask(provider, ask).await?.into_parts();
        let broken = |why| Failed { error: ProxyError::InvalidUpstreamBody(why), is_undone: false };
        let body = timeout(self.patience.answer, Limited::new(body, WHOLE_BYTES_MAX).collect()).await;
        let body = body.map_err(|_elapsed| broken("too slow"))?.map_err(|_| broken("cut off, or too large"))?;
        Ok(Whole { headers: parts.headers, body: body.to_bytes() })
    }
}

/// A provider's answer as the client may have it. How it is compressed would not pass, so that it could not be read.
pub(super) fn relayed(answer: Response<UpstreamBody>) -> Result<Response<Body>, ProxyError> {
    let (parts, body) = answer.into_parts();
    if is_compressed(&parts.headers) {
        return Err(ProxyError::InvalidUpstreamBody("compressed"));
    }
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = parts.status;
    pass_response_headers(&parts.headers, response.headers_mut());
    Ok(response)
}

/// An answer of our own.
pub(super) fn json(body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
