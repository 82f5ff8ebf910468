//! The least that a proxy of the gateway's libraries does: axum takes a request, hyper-util's client sends it on, the answer's body
//! passes. No keys, no metering, no record. What the gateway costs beyond this is its work. With `--synced` two records of a request go
//! to the disk, one before it goes upstream and one before a plain answer goes on: what durability alone costs, by the same means.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, Request, Response, StatusCode, Uri, header},
};
use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tollgate_bench::synced::Synced;

/// A plain pass-through, for comparison.
#[derive(Debug, Parser)]
struct Options {
    /// Address to listen on; port 0 takes a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to pass on to.
    #[arg(long)]
    upstream: SocketAddr,
    /// A file for two records a request, each synced before anything follows.
    #[arg(long)]
    synced: Option<PathBuf>,
}

#[derive(Clone)]
struct Proxy {
    client: Client<HttpConnector, Full<Bytes>>,
    upstream: SocketAddr,
    synced: Option<Synced>,
}

const HOP_BY_HOP: [HeaderName; 5] =
    [header::CONNECTION, header::TRANSFER_ENCODING, header::TE, header::UPGRADE, header::HOST];

#[tokio::main]
async fn main() -> io::Result<()> {
    let options = Options::parse();
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(16_384).build(connector);
    let synced = options.synced.as_deref().map(Synced::start).transpose()?;
    let router = Router::new().fallback(pass_on).with_state(Proxy { client, upstream: options.upstream, synced });
    let listener = tokio::net::TcpListener::bind(options.listen).await?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    io::stdout().flush()?;
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        // Without it a chunk waits; a connection that is gone already needs none.
        let _gone = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await
}

async fn pass_on(State(proxy): State<Proxy>, request: Request<Body>) -> Result<Response<Body>, StatusCode> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| StatusCode::BAD_REQUEST)?.to_bytes();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri: Uri = format!("http://{}{path}", proxy.upstream).parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    let mut sent = Request::new(Full::new(body));
    (*sent.method_mut(), *sent.uri_mut(), *sent.headers_mut()) = (parts.method, uri, without_hops(parts.headers));
    record(&proxy).await?;
    let answer = proxy.client.request(sent).await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let (parts, body) = answer.into_parts();
    if parts.headers.contains_key(header::CONTENT_LENGTH) {
        record(&proxy).await?;
    }
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = parts.status;
    *response.headers_mut() = without_hops(parts.headers);
    Ok(response)
}

async fn record(proxy: &Proxy) -> Result<(), StatusCode> {
    match &proxy.synced {
        Some(synced) => synced.record().await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE),
        None => Ok(()),
    }
}

fn without_hops(mut headers: HeaderMap) -> HeaderMap {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers
}
