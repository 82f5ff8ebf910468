//! Connections driven by hand, over a pipe in memory.

use std::sync::atomic::AtomicUsize;

use axum::{body::Body, routing::get};
use bytes::Bytes;
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

impl Socket for DuplexStream {
    type Stream = Self;

    async fn open(self) -> io::Result<(Self, Speech)> {
        Ok((self, Speech::Http1))
    }
}

/// The client's end of a connection that is served.
fn connect(router: Router, stopper: &Stopper) -> DuplexStream {
    let (client, server) = duplex(64 * 1024);
    stopper.connections.spawn(connection(server, router, stopper.clone()));
    client
}

/// Reads until an answer ends with this.
async fn answer(client: &mut DuplexStream, end: &str) -> String {
    let mut answer = Vec::new();
    let read = async {
        while !answer.ends_with(end.as_bytes()) {
            assert!(client.read_buf(&mut answer).await.unwrap() > 0, "{}", String::from_utf8_lossy(&answer));
        }
    };
    timeout(Duration::from_secs(5), read).await.expect("no answer");
    String::from_utf8(answer).unwrap()
}

#[test]
fn what_may_be_http2_is_left_open_and_all_else_is_http1() {
    for first in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", HTTP2_PREFACE] {
        assert_eq!(Speech::of(first), Speech::Untold, "{first:?}");
    }
    for first in [&b"POST /v1/chat/completions HTTP/1.1\r\n"[..], b"PUT", b"PRI /x HTTP/1.1\r\n", b"GET", b"\r\n"] {
        assert_eq!(Speech::of(first), Speech::Http1, "{first:?}");
    }
}

#[tokio::test]
async fn an_answer_waits_for_no_further_request() {
    let router = Router::new().route("/", get(async || "the answer"));
    let mut client = connect(router, &Stopper::default());
    client.write_all(&[REQUEST, b"GET / HT"].concat()).await.unwrap();
    assert!(answer(&mut client, "the answer").await.starts_with("HTTP/1.1 200"));
    client.write_all(b"TP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(answer(&mut client, "the answer").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn of_an_answer_that_is_not_read_little_is_taken() {
    const PIECE: Bytes = Bytes::from_static(&[b'a'; 64 * 1024]);
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let router = Router::new().route(
        "/",
        get(async move || {
            let pieces = (0..1000).map(move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
                Ok::<_, io::Error>(PIECE)
            });
            Body::from_stream(stream::iter(pieces))
        }),
    );
    let mut client = connect(router, &Stopper::default());
    client.write_all(REQUEST).await.unwrap();
    sleep(Duration::from_millis(300)).await;
    let taken = taken.load(Ordering::Relaxed);
    assert!((1..50).contains(&taken), "{taken} pieces were taken for a client that reads nothing");
}
