//! Asks an admin API: over HTTP, over the socket of a running gateway, or within this process. A list is asked for page by
//! page, and is whole here.

use axum::{Router, body::Body};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::{TcpStream, UnixStream};
use tower::ServiceExt;

use super::{CliError, args::Cli, local};
use crate::app::{Books, files::admin_socket};

/// Rows asked for at once.
const ROWS_MAX: u32 = 1000;

/// Sends requests one after another; the answers' texts, if all is well.
pub(super) fn send(cli: &Cli, requests: Vec<(Method, String, Option<Value>)>) -> Result<Vec<String>, CliError> {
    within(cli, async |session| {
        let mut texts = Vec::new();
        for (method, path, body) in requests {
            texts.push(session.ask(method, &path, body.as_ref()).await?);
        }
        Ok(texts)
    })
}

/// Every row of a list, as if it had one page.
pub(super) fn list(cli: &Cli, path: &str) -> Result<String, CliError> {
    let first = format!("{path}{}limit={ROWS_MAX}", if path.contains('?') { '&' } else { '?' });
    within(cli, async |session| {
        let (mut path, mut rows) = (first.clone(), Vec::new());
        loop {
            let text = session.ask(Method::GET, &path, None).await?;
            let page: Page = serde_json::from_str(&text)
                .map_err(|error| CliError::Failed(format!("the gateway's answer is no list: {error}")))?;
            rows.extend(page.data);
            let Some(next) = page.next else { return Ok(json!({ "data": rows, "next": null }).to_string()) };
            path = format!("{first}&cursor={}", segment(&next));
        }
    })
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Value>,
    next: Option<String>,
}

/// Percent-encodes what may not stand in a path segment or a query value.
pub(super) fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~,:".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Whoever answers a command; the books are opened once, and stay open until it has all that it asks for.
struct Session<'a> {
    cli: &'a Cli,
    books: Option<Books>,
}

fn within<T>(cli: &Cli, work: impl AsyncFnOnce(&mut Session<'_>) -> Result<T, CliError>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::Failed(error.to_string()))?;
    runtime.block_on(async {
        let mut session = Session { cli, books: None };
        let done = work(&mut session).await;
        if let Some(books) = session.books {
            books.close().await;
        }
        done
    })
}

impl Session<'_> {
    async fn ask(&mut self, method: Method, path: &str, body: Option<&Value>) -> Result<String, CliError> {
        let (status, text) = self.admin().await?.send(method, path, body).await?;
        if status.is_success() { Ok(text) } else { Err(CliError::Refused(refusal(status, &text))) }
    }

    async fn admin(&mut self) -> Result<Admin, CliError> {
        if let Some(books) = &self.books {
            return Ok(Admin::Local(books.admin_router()));
        }
        if let Some(url) = &self.cli.admin_url {
            let url = url
                .parse()
                .map_err(|_| CliError::Usage(format!("`{url}` is not a URL such as http://127.0.0.1:8081")))?;
            let token = self.cli.admin_token.clone();
            let token = token.ok_or_else(|| CliError::Usage("--admin-url needs --admin-token".to_owned()))?;
            return Ok(Admin::Address { url, token });
        }
        let config = local::load(self.cli)?.config;
        if let Some(stream) = running(&config.server.data_dir).await {
            return Ok(Admin::Socket(stream));
        }
        let books = Books::open(&config).await.map_err(|error| CliError::Failed(super::chain(&error)))?;
        let admin = Admin::Local(books.admin_router());
        self.books = Some(books);
        Ok(admin)
    }
}

/// RFC 9457: title and detail.
fn refusal(status: StatusCode, text: &str) -> String {
    let problem: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    match problem.get("detail").and_then(Value::as_str) {
        Some(detail) => detail.to_owned(),
        None => format!("the gateway answered with status {status}"),
    }
}

/// An admin API within reach.
pub(super) enum Admin {
    /// The socket of a running gateway.
    Socket(UnixStream),
    /// An address and a token.
    Address { url: http::Uri, token: String },
    /// The books of this process; whatever keeps them open lives in the router.
    Local(Router),
}

/// The gateway that runs on a data folder, if there is one.
pub(super) async fn running(data_dir: &std::path::Path) -> Option<UnixStream> {
    UnixStream::connect(admin_socket(data_dir)).await.ok()
}

impl Admin {
    /// Sends a request and returns status, content type and body.
    pub(super) async fn send(
        self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, String), CliError> {
        let text = body.map_or_else(String::new, ToString::to_string);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "tollgate")
            .header(header::CONTENT_TYPE, "application/json");
        let failed = |error: &dyn std::fmt::Display| CliError::Failed(format!("the gateway did not answer: {error}"));
        let response: Response<Body> = match self {
            Self::Local(router) => {
                let request = request.body(Body::from(text)).map_err(|error| failed(&error))?;
                router.oneshot(request).await.map_err(|error| failed(&error))?
            }
            Self::Socket(stream) => {
                let request = request.body(Body::from(text)).map_err(|error| failed(&error))?;
                over(TokioIo::new(stream), request).await?
            }
            Self::Address { url, token } => {
                let authority = url
                    .authority()
                    .ok_or_else(|| CliError::Usage("--admin-url must be such as http://127.0.0.1:8081".to_owned()))?;
                if url.scheme_str() == Some("https") {
                    return Err(CliError::Usage("--admin-url takes http:// only; put it behind a tunnel".to_owned()));
                }
                let host = authority.host().to_owned();
                let port = authority.port_u16().unwrap_or(80);
                let stream = TcpStream::connect((host.as_str(), port)).await.map_err(|error| failed(&error))?;
                let request = request
                    .header(header::AUTHORIZATION, format!("Bearer {token}"))
                    .body(Body::from(text))
                    .map_err(|error| failed(&error))?;
                over(TokioIo::new(stream), request).await?
            }
        };
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| failed(&error))?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

async fn over<I>(io: I, request: Request<Body>) -> Result<Response<Body>, CliError>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| CliError::Failed(format!("the gateway did not answer: {error}"));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(failed)?;
    // Ends with the command.
    tokio::spawn(connection);
    Ok(sender.send_request(request).await.map_err(failed)?.map(Body::new))
}
