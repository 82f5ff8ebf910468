//! The paths of a scripted worker.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

use super::{
    State, script,
    session::{Asking, CUT_DELAY, Session},
};
use crate::request::Asked;

/// Events that a caller may be behind.
const EVENTS_AHEAD: usize = 4;

/// Runs until it is aborted, which closes every connection and ends every request.
pub(super) async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((socket, _)) = accepted {
                connections.spawn(connection(socket, Arc::clone(&state)));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(socket: TcpStream, state: Arc<State>) {
    let _ = socket.set_nodelay(true);
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(respond(request, state).await) }
    });
    // An error here is a caller that left or a scripted cut.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
}

/// A worker's body: whole, or the events of a request that ends when it is dropped.
enum Reply {
    Whole(Full<Bytes>),
    Events { frames: mpsc::Receiver<std::io::Result<Frame<Bytes>>>, _caller: Caller },
}

/// Dropped before the request has ended, its caller has left.
struct Caller(Arc<Session>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.caller_left();
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Whole(whole) => Pin::new(whole).poll_frame(cx).map_err(|never| match never {}),
            Self::Events { frames, .. } => frames.poll_recv(cx),
        }
    }
}

async fn respond(request: Request<Incoming>, state: Arc<State>) -> Response<Reply> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let path = parts.uri.path();
    let name = parts.headers.get("x-request-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
    match (&parts.method, path) {
        (&Method::POST, "/v1/chat/completions") => generate(state, name, true, &body).await,
        (&Method::POST, "/v1/completions") => generate(state, name, false, &body).await,
        (&Method::GET, "/health" | "/ready") if state.life.hangs.load(Relaxed) => std::future::pending().await,
        (&Method::GET, "/health") => json_reply(StatusCode::OK, &state.health()),
        (&Method::GET, "/ready") if state.life.is_ready() => json_reply(StatusCode::OK, &json!("ready")),
        (&Method::GET, "/ready") => {
            json_reply(StatusCode::SERVICE_UNAVAILABLE, &error("It takes no requests.", "not_ready"))
        }
        (method, _) => match path.strip_prefix("/v1/requests/") {
            Some(rest) => control(&state, method, rest),
            None => json_reply(StatusCode::NOT_FOUND, &error("There is nothing at this path.", "not_found")),
        },
    }
}

async fn generate(state: Arc<State>, name: &str, chat: bool, body: &[u8]) -> Response<Reply> {
    let read = Asked::parse(body).and_then(|asked| Ok((asked, script::of_body(body)?)));
    let (asked, script) = match read {
        Ok(read) => read,
        Err(message) => return json_reply(StatusCode::BAD_REQUEST, &error(&message, "invalid_value")),
    };
    if state.life.full.load(Relaxed) {
        let mut refused = json_reply(StatusCode::TOO_MANY_REQUESTS, &error("queue of worker-7 is full", "queue_full"));
        refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("7"));
        return refused;
    }
    if name.is_empty() {
        return json_reply(StatusCode::BAD_REQUEST, &error("The caller must name its request here.", "no_name"));
    }
    let session = Arc::new(Session::new(Asking {
        id: name.to_owned(),
        model: asked.model.clone().unwrap_or_default(),
        chat,
        stream: asked.stream.unwrap_or(false),
        include_usage: asked.include_usage(),
        prompt_tokens: asked.prompt_words(),
        script,
    }));
    if !state.enter(&session) {
        return json_reply(StatusCode::CONFLICT, &error("A request of that name is under way.", "conflict"));
    }
    let caller = Caller(Arc::clone(&session));
    if session.stream() {
        let (frames, receiver) = mpsc::channel(EVENTS_AHEAD);
        tokio::spawn(Arc::clone(&session).run(state, Some(frames)));
        let mut response = Response::new(Reply::Events { frames: receiver, _caller: caller });
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        return response;
    }
    // A task of its own: a caller that leaves drops this future, not the request.
    let running = tokio::spawn(Arc::clone(&session).run(state, None));
    match running.await {
        Ok(Some(reason)) => json_reply(StatusCode::OK, &session.plain(reason)),
        Ok(None) if session.cuts() => cut_within(&session.plain("stop").to_string(), caller),
        _ => json_reply(StatusCode::INTERNAL_SERVER_ERROR, &error("The model failed.", "failed")),
    }
}

/// Half a body, then a broken connection.
fn cut_within(body: &str, caller: Caller) -> Response<Reply> {
    let (frames, receiver) = mpsc::channel(EVENTS_AHEAD);
    let half = Bytes::copy_from_slice(&body.as_bytes()[..body.len() / 2]);
    tokio::spawn(async move {
        // A caller that is gone has nothing left to lose.
        let _gone = frames.send(Ok(Frame::data(half))).await;
        tokio::time::sleep(CUT_DELAY).await;
        let _gone = frames.send(Err(std::io::Error::other("the script cuts the connection here"))).await;
    });
    let mut response = Response::new(Reply::Events { frames: receiver, _caller: caller });
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn control(state: &State, method: &Method, rest: &str) -> Response<Reply> {
    let (id, cancels) = rest.strip_suffix("/cancel").map_or((rest, false), |id| (id, true));
    let Some(session) = state.session(id) else {
        return json_reply(StatusCode::NOT_FOUND, &error("There is no such request.", "not_found"));
    };
    match (method, cancels) {
        (&Method::POST, true) if !session.cancel() => {
            json_reply(StatusCode::INTERNAL_SERVER_ERROR, &error("The script refuses to cancel.", "refused"))
        }
        (&Method::GET, false) if session.is_forgotten() => {
            json_reply(StatusCode::NOT_FOUND, &error("The record is gone.", "not_found"))
        }
        (&Method::POST, true) | (&Method::GET, false) => json_reply(StatusCode::OK, &session.record()),
        _ => json_reply(StatusCode::METHOD_NOT_ALLOWED, &error("Not so.", "method_not_allowed")),
    }
}

fn error(message: &str, code: &str) -> Value {
    json!({ "error": { "message": message, "type": "invalid_request_error", "param": null, "code": code } })
}

fn json_reply(status: StatusCode, body: &Value) -> Response<Reply> {
    let mut response = Response::new(Reply::Whole(Full::new(body.to_string().into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
