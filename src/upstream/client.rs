//! Connections to upstreams: pooled, never following a redirect, never through a proxy of the environment, and never to
//! a private address unless the provider allows it, judged by the address that is actually dialled.
//!
//! In clear, to workers and servers next door, by [`tollgate_http1`], which hands nothing from task to task; over TLS, where HTTP/2
//! may be spoken, by hyper-util's client.

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::http::{HeaderMap, Method, Request, Response, Uri};
use bytes::Bytes;
use http::uri::Scheme;
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{CaptureConnection, HttpConnector, capture_connection},
    },
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;
use tollgate_http1::{Connection, Pool};
use tower::ServiceExt;

use super::{
    body::UpstreamBody,
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

type Dialler = HttpConnector<Guarded>;

/// Connections to upstreams, of each thread of the data plane its own: a connection wakes the thread that opened it.
pub struct UpstreamClient {
    /// By the number of the thread.
    shards: Vec<Pools>,
    /// For everything else.
    shared: Pools,
}

/// Those to public upstreams and those to upstreams that may be private.
struct Pools {
    public: Connections,
    private: Connections,
}

impl Pools {
    fn new(tls: &ClientConfig) -> Self {
        Self { public: Connections::new(tls, false), private: Connections::new(tls, true) }
    }
}

/// Connections in clear and over TLS.
struct Connections {
    dialler: Dialler,
    plain: Arc<Pool>,
    tls: Client<HttpsConnector<Dialler>, Full<Bytes>>,
}

/// What is sent.
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
pub struct Connected(OnceLock<Told>);

/// How a connection is told of.
#[derive(Debug)]
enum Told {
    /// As it is.
    Now(AtomicBool),
    /// By the client that makes it.
    Later(CaptureConnection),
}

impl Connected {
    /// Whether it has, by now.
    #[must_use]
    pub fn is_made(&self) -> bool {
        match self.0.get() {
            None => false,
            Some(Told::Now(is_made)) => is_made.load(Ordering::Relaxed),
            Some(Told::Later(capture)) => capture.connection_metadata().is_some(),
        }
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

    /// Sends one request and waits for the head of its answer. `now_us` is the time of a signature, since 1970. What is called stays
    /// where it is: a future carries it along at each step.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn call(
        &self,
        call: &mut Call<'_>,
        credentials: Option<&Credentials>,
        allow_private: bool,
        now_us: i64,
    ) -> Result<Response<UpstreamBody>, SendError> {
        if let Some(credentials) = credentials
            && !credentials.insert(call.uri, &mut call.headers, &call.body, now_us)
        {
            return Err(SendError::Unbuildable);
        }
        self.request(call, allow_private).await
    }

    /// Asks for a page, such as a worker's health, and waits for the head of the answer.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn get(&self, uri: &Uri, allow_private: bool) -> Result<Response<UpstreamBody>, SendError> {
        self.request(&mut Call::without_body(Method::GET, uri, HeaderMap::new()), allow_private).await
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
    ) -> Result<Response<UpstreamBody>, SendError> {
        if let Some(key @ Credentials::Key(_)) = credentials
            && !key.insert(uri, &mut headers, b"", 0)
        {
            return Err(SendError::Unbuildable);
        }
        self.request(&mut Call::without_body(Method::GET, uri, headers), allow_private).await
    }

    /// Sends a report to a collector, which may be anywhere, and waits for the head of the answer.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn report(
        &self,
        uri: &Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<UpstreamBody>, SendError> {
        self.request(&mut Call { method: Method::POST, uri, headers, body, connected: None }, true).await
    }

    /// Calls a control path of a worker of ours, which may be anywhere, without a body.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn control(&self, method: Method, uri: &Uri) -> Result<Response<UpstreamBody>, SendError> {
        self.request(&mut Call::without_body(method, uri, HeaderMap::new()), true).await
    }

    async fn request(&self, call: &mut Call<'_>, allow_private: bool) -> Result<Response<UpstreamBody>, SendError> {
        let host = call.uri.host();
        let literal = host.and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        if !allow_private && literal.is_some_and(is_private) {
            return Err(SendError::PrivateAddress);
        }
        let Pools { public, private } = self.pools();
        let connections = if allow_private { private } else { public };
        if call.uri.scheme() == Some(&Scheme::HTTP) {
            connections.plain(call).await
        } else {
            connections.tls(call).await
        }
    }
}

impl Connections {
    fn new(tls: &ClientConfig, allow_private: bool) -> Self {
        let mut dialler = HttpConnector::new_with_resolver(Guarded::new(allow_private));
        dialler.set_nodelay(true);
        dialler.enforce_http(false);
        dialler.set_connect_timeout(Some(CONNECT_TIMEOUT));
        dialler.set_keepalive(Some(Duration::from_secs(60)));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls.clone())
            .https_only()
            .enable_all_versions()
            .wrap_connector(dialler.clone());
        let tls = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_IDLE_MAX)
            // A retry by the client would be an attempt that no entry knows of.
            .retry_canceled_requests(false)
            .build(https);
        Self { dialler, plain: Pool::new(POOL_IDLE, POOL_IDLE_MAX), tls }
    }

    async fn plain(&self, call: &Call<'_>) -> Result<Response<UpstreamBody>, SendError> {
        let Call { method, uri, headers, body, connected } = call;
        let authority = uri.authority().ok_or(SendError::Unbuildable)?;
        loop {
            let connection = match self.plain.take(authority) {
                Some(connection) => connection,
                None => self.dial(uri).await?,
            };
            let is_made = |is_made| {
                if let Some(Told::Now(told)) =
                    connected.map(|connected: &Connected| connected.0.get_or_init(|| Told::Now(AtomicBool::new(false))))
                {
                    told.store(is_made, Ordering::Relaxed);
                }
            };
            is_made(true);
            let request = tollgate_http1::Request { method, uri, headers, body: body.clone() };
            match connection.send(request, &self.plain).await {
                Ok(response) => return Ok(response.map(UpstreamBody::Plain)),
                // Nothing of it has left: it is the same attempt.
                Err(tollgate_http1::Error::Unsent) => is_made(false),
                Err(error) => return Err(SendError::Broken(error.to_string())),
            }
        }
    }

    async fn dial(&self, uri: &Uri) -> Result<Box<Connection>, SendError> {
        let dialled = self.dialler.clone().oneshot(uri.clone()).await;
        dialled
            .map(|stream| Box::new(Connection::new(stream.into_inner())))
            .map_err(|error| connect_error(chain(&error)))
    }

    async fn tls(&self, call: &mut Call<'_>) -> Result<Response<UpstreamBody>, SendError> {
        let mut request = Request::new(Full::new(std::mem::take(&mut call.body)));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.uri.clone();
        *request.headers_mut() = std::mem::take(&mut call.headers);
        if let Some(connected) = call.connected {
            let _first = connected.0.set(Told::Later(capture_connection(&mut request)));
        }
        let response = self.tls.request(request).await.map_err(send_error)?;
        Ok(response.map(UpstreamBody::Tls))
    }
}

impl<'a> Call<'a> {
    const fn without_body(method: Method, uri: &'a Uri, headers: HeaderMap) -> Self {
        Self { method, uri, headers, body: Bytes::new(), connected: None }
    }
}

fn send_error(error: hyper_util::client::legacy::Error) -> SendError {
    let chain = chain(&error);
    if error.is_connect() { connect_error(chain) } else { SendError::Broken(chain) }
}

fn connect_error(chain: String) -> SendError {
    if chain.contains(PRIVATE) { SendError::PrivateAddress } else { SendError::Connect(chain) }
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
            let mut call = call(&uri, Some(&connected));
            let sent = client.call(&mut call, None, true, 0);
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
            let error = client.call(&mut call(&uri.parse().unwrap(), None), None, false, 0).await.unwrap_err();
            assert!(matches!(error, SendError::PrivateAddress) && error.before_any_byte(), "{uri}: {error}");
        }
    }
}
