//! Connections to upstreams: pooled, never following a redirect, never through a proxy of the environment, and never to
//! a private address unless the provider allows it, judged by the address that is actually dialled.

use std::{net::IpAddr, sync::OnceLock, time::Duration};

use axum::http::{HeaderMap, Method, Request, Response, Uri};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{CaptureConnection, HttpConnector, capture_connection},
    },
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;

use super::{
    credentials::Credentials,
    guarded::{Guarded, PRIVATE, is_private},
};
use crate::shard;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A pooled connection that was not used for so long is closed.
const POOL_IDLE: Duration = Duration::from_secs(90);
/// Idle connections that are kept for one upstream.
const POOL_IDLE_MAX: usize = 1024;

type Http = Client<HttpsConnector<HttpConnector<Guarded>>, Full<Bytes>>;

/// Connections to upstreams, of each thread of the data plane its own: a connection wakes the thread that opened it.
pub struct UpstreamClient {
    /// By the number of the thread.
    shards: Vec<Pools>,
    /// For everything else.
    shared: Pools,
}

/// One pool for public upstreams and one for those that may be private.
struct Pools {
    public: Http,
    private: Http,
}

impl Pools {
    fn new(tls: &ClientConfig) -> Self {
        Self { public: http(tls, false), private: http(tls, true) }
    }
}

/// What is sent.
#[derive(Debug)]
pub struct Call<'a> {
    /// How.
    pub method: Method,
    /// Where to.
    pub uri: &'a Uri,
    /// With these headers.
    pub headers: HeaderMap,
    /// And this body.
    pub body: Bytes,
    /// Told of the connection.
    pub connected: Option<&'a Connected>,
}

/// Whether a request that is sent has got a connection: until then no byte has left.
#[derive(Debug, Default)]
pub struct Connected(OnceLock<CaptureConnection>);

impl Connected {
    /// Whether it has, by now.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.0.get().is_some_and(|capture| capture.connection_metadata().is_some())
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection: no byte has left.
    #[error("no connection to the upstream: {0}")]
    Connect(String),
    /// The address is private and the provider does not allow that: no byte has left.
    #[error("the upstream's address is private; set allow_private = true on its [[provider]] if that is meant")]
    PrivateAddress,
    /// The connection broke before an answer; bytes may have left.
    #[error("the upstream broke off: {0}")]
    Broken(String),
    /// The request cannot be built.
    #[error("the provider's address or key cannot be put into a request")]
    Unbuildable,
}

impl SendError {
    /// True when it is certain that no byte went upstream.
    #[must_use]
    pub const fn before_any_byte(&self) -> bool {
        !matches!(self, Self::Broken(_))
    }
}

impl Default for UpstreamClient {
    fn default() -> Self {
        Self::new()
    }
}

impl UpstreamClient {
    /// Empty pools.
    #[must_use]
    pub fn new() -> Self {
        // Roots and sessions are of one copy.
        let tls = ClientConfig::builder().with_webpki_roots().with_no_client_auth();
        Self { shards: (0..shard::count()).map(|_| Pools::new(&tls)).collect(), shared: Pools::new(&tls) }
    }

    fn pools(&self) -> &Pools {
        shard::current().and_then(|number| self.shards.get(number)).unwrap_or(&self.shared)
    }

    /// Sends one request and waits for the head of its answer. `now_us` is the time of a signature, since 1970.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn call(
        &self,
        call: Call<'_>,
        credentials: Option<&Credentials>,
        allow_private: bool,
        now_us: i64,
    ) -> Result<Response<Incoming>, SendError> {
        let Call { method, uri, mut headers, body, connected } = call;
        if let Some(credentials) = credentials
            && !credentials.insert(uri, &mut headers, &body, now_us)
        {
            return Err(SendError::Unbuildable);
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers;
        if let Some(connected) = connected {
            let _first = connected.0.set(capture_connection(&mut request));
        }
        self.request(request, allow_private).await
    }

    /// Asks for a page, such as a worker's health, and waits for the head of the answer.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn get(&self, uri: &Uri, allow_private: bool) -> Result<Response<Incoming>, SendError> {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.uri_mut() = uri.clone();
        self.request(request, allow_private).await
    }

    /// Asks for a page as [`Self::get`] does, with headers and a key; a signature is of requests that post, and left out.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn ask(
        &self,
        uri: &Uri,
        credentials: Option<&Credentials>,
        allow_private: bool,
        mut headers: HeaderMap,
    ) -> Result<Response<Incoming>, SendError> {
        if let Some(key @ Credentials::Key(..)) = credentials
            && !key.insert(uri, &mut headers, b"", 0)
        {
            return Err(SendError::Unbuildable);
        }
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers;
        self.request(request, allow_private).await
    }

    async fn request(
        &self,
        request: Request<Full<Bytes>>,
        allow_private: bool,
    ) -> Result<Response<Incoming>, SendError> {
        let host = request.uri().host();
        let literal = host.and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        if !allow_private && literal.is_some_and(is_private) {
            return Err(SendError::PrivateAddress);
        }
        let Pools { public, private } = self.pools();
        let client = if allow_private { private } else { public };
        client.request(request).await.map_err(send_error)
    }

    /// Sends a report to a collector, which may be anywhere, and waits for the head of the answer.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn report(&self, uri: &Uri, headers: HeaderMap, body: Bytes) -> Result<Response<Incoming>, SendError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers;
        self.pools().private.request(request).await.map_err(send_error)
    }

    /// Calls a control path of a worker of ours, which may be anywhere, without a body.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn control(&self, method: Method, uri: &Uri) -> Result<Response<Incoming>, SendError> {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.method_mut() = method;
        *request.uri_mut() = uri.clone();
        self.pools().private.request(request).await.map_err(send_error)
    }
}

fn send_error(error: hyper_util::client::legacy::Error) -> SendError {
    let chain = chain(&error);
    match error.is_connect() {
        true if chain.contains(PRIVATE) => SendError::PrivateAddress,
        true => SendError::Connect(chain),
        false => SendError::Broken(chain),
    }
}

fn http(tls: &ClientConfig, allow_private: bool) -> Http {
    let mut connector = HttpConnector::new_with_resolver(Guarded::new(allow_private));
    connector.set_nodelay(true);
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_keepalive(Some(Duration::from_secs(60)));
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls.clone())
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(connector);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_IDLE_MAX)
        // A retry by the client would be an attempt that no entry knows of.
        .retry_canceled_requests(false)
        .build(https)
}

/// The error and its causes, which name hosts and reasons, never headers or bodies.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call<'a>(uri: &'a Uri, connected: Option<&'a Connected>) -> Call<'a> {
        Call { method: Method::POST, uri, headers: HeaderMap::new(), body: Bytes::new(), connected }
    }

    #[tokio::test]
    async fn a_request_has_a_connection_when_it_can_be_sent_and_not_before() {
        let client = UpstreamClient::new();
        // It takes connections and never says a word.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        for (scheme, is_made) in [("http", true), ("https", false)] {
            let uri = format!("{scheme}://{address}/v1").parse().unwrap();
            let connected = Connected::default();
            let sent = client.call(call(&uri, Some(&connected)), None, true, 0);
            assert!(tokio::time::timeout(Duration::from_millis(500), sent).await.is_err(), "{scheme}");
            assert_eq!(connected.is_made(), is_made, "{scheme}");
        }
    }

    #[tokio::test]
    async fn a_private_address_is_refused_before_any_byte_by_literal_and_by_name() {
        let client = UpstreamClient::new();
        for uri in
            ["http://127.0.0.1:9/v1", "http://localhost:9/v1", "http://[::1]:9/v1", "http://169.254.169.254/latest"]
        {
            let error = client.call(call(&uri.parse().unwrap(), None), None, false, 0).await.unwrap_err();
            assert!(matches!(error, SendError::PrivateAddress) && error.before_any_byte(), "{uri}: {error}");
        }
    }
}
