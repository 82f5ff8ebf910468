//! The accept loop: a connection must speak within a time limit, is tracked, finishes what it runs on shutdown, and is
//! cut when the grace is over. (`axum::serve` has no first-byte timeout and waits for ever on a stream.)

use std::{convert::Infallible, future::poll_fn, io, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, Version},
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    pumped::pumped,
    stalled::Unstalled,
    turns::{Answer, Asking, Overdue, Patience, Turns, Watch},
};
use crate::http::answers::Answers;

#[cfg(test)]
mod tests;

/// A connection that has sent nothing for so long is closed.
pub const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(5);
/// Headers must be complete within so long of their first byte.
pub const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection of the admin plane in HTTP/1.1 that asks nothing for so long after an answer is closed; the data plane's is an option. Whoever
/// closes first must be the client, or a request can meet the end of its connection: Go's and reqwest's let go after 90 s.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// A peer that takes nothing of an answer for so long is cut off: it holds a place among the running requests, and an upstream.
pub const STALL_MAX: Duration = Duration::from_secs(60);
/// Wait after an accept error such as "too many open files".
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a connection in HTTP/2 begins.
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Tells connections to finish (`stop`), then to break off (`cut`).
#[derive(Clone, Debug, Default)]
pub struct Stopper {
    /// No new requests.
    pub stop: CancellationToken,
    /// No more bytes.
    pub cut: CancellationToken,
    /// Every connection task.
    pub connections: TaskTracker,
}

/// A connection that was accepted: TCP for the two planes, with or without TLS, Unix for the admin socket.
pub trait Socket: Send + 'static {
    /// What HTTP is spoken on.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send;
    /// Waits until the peer has sent something and, where there is TLS, both have shaken hands; says how that begins.
    fn open(self) -> impl Future<Output = io::Result<(Self::Stream, Speech)>> + Send;
}

/// What a peer speaks, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, or too little was said: whoever serves it looks at what it reads, and keeps twice the room for it.
    Untold,
}

impl Speech {
    /// Judges the first bytes.
    #[must_use]
    pub fn of(first: &[u8]) -> Self {
        let is_preface = first.iter().zip(HTTP2_PREFACE).all(|(said, preface)| said == preface);
        if is_preface { Self::Untold } else { Self::Http1 }
    }
}

impl Socket for TcpStream {
    type Stream = Self;

    async fn open(self) -> io::Result<(Self, Speech)> {
        let mut first = [0; HTTP2_PREFACE.len()];
        let len = self.peek(&mut first).await?;
        let speech = Speech::of(first.get(..len).unwrap_or_default());
        Ok((self, speech))
    }
}

impl Socket for UnixStream {
    type Stream = Self;

    async fn open(self) -> io::Result<(Self, Speech)> {
        self.readable().await?;
        Ok((self, Speech::Untold))
    }
}

/// Where connections come from.
pub trait Accept {
    /// What comes.
    type Socket: Socket;
    /// Waits for the next connection.
    fn next(&self) -> impl Future<Output = io::Result<Self::Socket>> + Send;
}

impl Accept for TcpListener {
    type Socket = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.accept().await?;
        // Without it a chunk of a stream waits for the acknowledgement of the one before.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Accept for UnixListener {
    type Socket = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        Ok(self.accept().await?.0)
    }
}

/// Serves HTTP/1.1 and HTTP/2 until told to stop.
pub async fn serve<A: Accept>(listener: A, router: Router, stopper: Stopper) {
    loop {
        let accepted = tokio::select! {
            () = stopper.stop.cancelled() => return,
            accepted = listener.next() => accepted,
        };
        match accepted {
            Ok(stream) => {
                stopper.connections.spawn(connection(stream, router.clone(), stopper.clone(), IDLE_TIMEOUT));
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection to its end; in HTTP/1.1 it may be `idle` for so long between two requests.
pub(super) async fn connection<S: Socket>(stream: S, plane: impl Answers, stopper: Stopper, idle: Duration) {
    patiently(stream, plane, stopper, Patience { head: HEADERS_TIMEOUT, idle }).await;
}

async fn patiently<S: Socket>(stream: S, plane: impl Answers, stopper: Stopper, patience: Patience) {
    let Ok(Ok((stream, speech))) = timeout(FIRST_BYTE_TIMEOUT, stream.open()).await else { return };
    let turns = Arc::<Turns>::default();
    let mut watch = Watch::new(Arc::clone(&turns), patience);
    let mut builder = Builder::new(TokioExecutor::new());
    if speech == Speech::Http1 {
        builder = builder.http1_only();
    }
    // The watch is in its place: hyper's makes and arms a timer for each request, and lets a connection be idle no longer than a head.
    builder.http1().header_read_timeout(None);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30));
    let stream = TokioIo::new(Unstalled::new(stream, STALL_MAX, Arc::clone(&turns)));
    let tasks = stopper.connections.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (turns, tasks) = if request.version() == Version::HTTP_2 {
            turns.streams();
            (None, Some(tasks.clone()))
        } else {
            (Some(Arc::clone(&turns)), None)
        };
        let answered = plane.answer(request.map(|body| Body::new(Asking::new(body, turns.clone()))));
        async move {
            let response = answered.await.map(|body| match tasks {
                Some(tasks) => Answer::new(pumped(body, STALL_MAX, &tasks), None),
                None => Answer::new(body, turns),
            });
            Ok::<_, Infallible>(response)
        }
    });
    let mut served = pin!(builder.serve_connection(stream, service));
    let mut orders = orders(stopper);
    loop {
        tokio::select! {
            biased;
            // A peer that breaks off is no news of ours; what it asked for records its own end.
            _ended = served.as_mut() => return,
            order = orders.next() => match order {
                Some(Order::Stop) => served.as_mut().graceful_shutdown(),
                // Dropping the connection here drops its response bodies, which then record their ends as cut.
                Some(Order::Cut) | None => return,
            },
            overdue = poll_fn(|context| watch.poll(context)) => match overdue {
                Overdue::Head => return,
                Overdue::Request => served.as_mut().graceful_shutdown(),
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Stop,
    Cut,
}

/// What connections are told. A token locks what all connections share each time that it is polled, and a connection is polled at
/// each chunk; in here each token is polled when it has something to say.
fn orders(stopper: Stopper) -> FuturesUnordered<impl Future<Output = Order>> {
    let told = |token: CancellationToken, order| async move {
        token.cancelled().await;
        order
    };
    [told(stopper.stop, Order::Stop), told(stopper.cut, Order::Cut)].into_iter().collect()
}
