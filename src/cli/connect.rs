//! Sends one request to an admin API: over HTTP, over the socket of a running gateway, or within this process.

use axum::{Router, body::Body};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tower::ServiceExt;

use super::CliError;
use crate::app::files::admin_socket;

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
        body: Option<&serde_json::Value>,
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
