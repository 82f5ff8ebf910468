//! Connections driven by hand, over a pipe in memory.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{
    body::Body,
    http::StatusCode,
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::{future::join_all, stream};
use http_body_util::{BodyExt, Empty};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::{Instant, sleep},
};

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
/// With a body that is read.
const POST: &[u8] = b"POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody";
/// The same, of unknown length.
const CHUNKED: &[u8] = b"POST /read HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
/// Its answer does not wait for the body.
const REFUSED: &[u8] = b"POST /refused HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody";

/// Short, and far enough apart to be told from each other.
const PATIENCE: Patience = Patience { head: Duration::from_millis(400), idle: Duration::from_millis(2000) };
/// Shorter than anything takes.
const HASTE: Patience = Patience { head: Duration::from_millis(50), idle: Duration::from_millis(100) };

impl Socket for DuplexStream {
    type Stream = Self;

    async fn open(self) -> io::Result<(Self, Speech)> {
        Ok((self, Speech::Http1))
    }
}

/// One that may speak HTTP/2.
struct Untold(DuplexStream);

impl Socket for Untold {
    type Stream = DuplexStream;

    async fn open(self) -> io::Result<(DuplexStream, Speech)> {
        Ok((self.0, Speech::Untold))
    }
}

/// The client's end of a connection that is served.
fn connect(router: Router, patience: Patience, stopper: &Stopper) -> DuplexStream {
    let (client, server) = duplex(64 * 1024);
    stopper.connections.spawn(patiently(server, router, stopper.clone(), patience));
    client
}

/// Every answer ends with "answer".
fn router() -> Router {
    Router::new()
        .route("/", get(async || "the answer"))
        .route("/read", post(async |body: Bytes| format!("{} bytes, the answer", body.len())))
        .route("/refused", post(async || (StatusCode::UNAUTHORIZED, "no answer")))
}

/// How long it takes until the connection is closed, with a byte sent now and then until it is.
async fn closed(client: &mut DuplexStream, drip: Option<u8>) -> Duration {
    let begun = Instant::now();
    let mut rest = Vec::new();
    loop {
        match timeout(Duration::from_millis(40), client.read_buf(&mut rest)).await {
            Ok(Ok(0) | Err(_)) => return begun.elapsed(),
            Ok(Ok(_)) => {}
            Err(_elapsed) => {
                if let Some(drip) = drip {
                    let _gone = client.write_all(&[drip]).await;
                }
                assert!(begun.elapsed() < Duration::from_secs(20), "it is waited for without end");
            }
        }
    }
}

/// Reads so many answers.
async fn answers(client: &mut DuplexStream, count: usize) -> String {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read);
        if text.matches("answer").count() >= count {
            return text.into_owned();
        }
        let more = timeout(Duration::from_secs(5), client.read_buf(&mut read)).await.expect("no answer");
        assert!(more.unwrap() > 0, "{}", String::from_utf8_lossy(&read));
    }
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
    let mut client = connect(router(), PATIENCE, &Stopper::default());
    client.write_all(&[REQUEST, b"GET / HT"].concat()).await.unwrap();
    assert!(answers(&mut client, 1).await.starts_with("HTTP/1.1 200"));
    client.write_all(b"TP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(answers(&mut client, 1).await.starts_with("HTTP/1.1 200"));
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
    let mut client = connect(router, PATIENCE, &Stopper::default());
    client.write_all(REQUEST).await.unwrap();
    sleep(Duration::from_millis(300)).await;
    let taken = taken.load(Ordering::Relaxed);
    assert!((1..50).contains(&taken), "{taken} pieces were taken for a client that reads nothing");
}

/// A request whose head, and then most of whose body, fill what is read at once: the end of the body is read after the answer.
fn refused_in_parts() -> Vec<u8> {
    let head = "POST /refused HTTP/1.1\r\nhost: a\r\ncontent-length: 20000\r\nx-filler: ";
    format!("{head}{}\r\n\r\n{}", "x".repeat(8192 - head.len() - 4), "x".repeat(20000)).into_bytes()
}

#[tokio::test]
async fn between_two_requests_there_is_more_time_than_for_a_head_and_not_without_end() {
    let refused_in_parts = refused_in_parts();
    let requests = [REQUEST, POST, CHUNKED, REFUSED, &refused_in_parts];
    join_all(requests.map(async |request| {
        let mut client = connect(router(), PATIENCE, &Stopper::default());
        for _ in 0..3 {
            client.write_all(request).await.unwrap();
            answers(&mut client, 1).await;
            sleep(PATIENCE.head * 2).await;
        }
        client.write_all(request).await.unwrap();
        answers(&mut client, 1).await;
        let idle = closed(&mut client, None).await;
        assert!(idle > PATIENCE.idle - PATIENCE.head / 2 && idle < PATIENCE.idle * 2, "{idle:?}");
    }))
    .await;
}

/// How long it takes until half a head is cut off that comes after these requests, or together with them.
async fn cut(requests: &[&[u8]], together: bool, half: &[u8], drip: Option<u8>) -> Duration {
    let mut client = connect(router(), PATIENCE, &Stopper::default());
    if together {
        client.write_all(&[&requests.concat(), half].concat()).await.unwrap();
        answers(&mut client, requests.len()).await;
    } else {
        for request in requests {
            client.write_all(request).await.unwrap();
            answers(&mut client, 1).await;
            sleep(PATIENCE.head * 2).await;
        }
        client.write_all(half).await.unwrap();
    }
    closed(&mut client, drip).await
}

#[tokio::test]
async fn a_head_that_has_begun_is_soon_complete_or_cut_off() {
    const HALF: &[u8] = b"GET / HTTP/1.1\r\nhost:";
    let refused_in_parts = refused_in_parts();
    let mut cases: Vec<(&[&[u8]], bool)> = vec![(&[], false)];
    let after = [[REQUEST], [POST], [CHUNKED], [REFUSED], [&refused_in_parts]];
    cases.extend(after.iter().map(|request| (&request[..], false)));
    // It was read while the request before it was not answered.
    let before: [&[&[u8]]; 4] = [&[REQUEST], &[POST], &[CHUNKED], &[REQUEST, POST, POST]];
    cases.extend(before.map(|requests| (requests, true)));
    let mut cutting = Vec::new();
    for (requests, together) in cases {
        for drip in [None, Some(b'a')] {
            cutting.push(cut(requests, together, HALF, drip));
        }
    }
    // An empty line begins a head, too.
    cutting.push(cut(&[REQUEST], false, b"\r\n", Some(b'\n')));
    for (number, cut) in join_all(cutting).await.into_iter().enumerate() {
        assert!(cut > PATIENCE.head / 2 && cut < PATIENCE.idle - PATIENCE.head, "{number}: {cut:?}");
    }
}

#[tokio::test]
async fn a_half_head_behind_a_request_that_nobody_read_waits_no_longer_than_an_idle_connection() {
    let silent = cut(&[REFUSED], true, b"GET / HTTP/1.1\r\n", None);
    let dripping = cut(&[REFUSED], true, b"GET / HTTP/1.1\r\n", Some(b'a'));
    let (silent, dripping) = tokio::join!(silent, dripping);
    assert!(silent < PATIENCE.idle + PATIENCE.head * 2, "{silent:?}");
    assert!(dripping < PATIENCE.idle - PATIENCE.head, "{dripping:?}");
}

#[tokio::test]
async fn an_answer_takes_as_long_as_it_takes() {
    const PIECES: usize = 20;
    let slow = async || {
        let pieces = stream::unfold(0, async |number| {
            sleep(HASTE.idle / 2).await;
            (number < PIECES).then_some((Ok::<_, io::Error>("piece "), number + 1))
        });
        Body::from_stream(pieces)
    };
    let large = async || vec![b'a'; 512 * 1024];
    let late = async || {
        sleep(HASTE.idle * 4).await;
        "the answer"
    };
    let router = Router::new().route("/", get(slow)).route("/large", get(large)).route("/late", get(late));
    let ask = async |path: &str, rest: &str| {
        let mut client = connect(router.clone(), HASTE, &Stopper::default());
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n{rest}");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let mut some = vec![0; 16 * 1024];
        // What hyper has let go of waits for its client, too.
        while let Ok(bytes @ 1..) = client.read(&mut some).await {
            answer.extend_from_slice(&some[..bytes]);
            sleep(HASTE.head / 2).await;
        }
        answer
    };
    for rest in ["", "GET / HT"] {
        let (slow, large, late) = tokio::join!(ask("/", rest), ask("/large", rest), ask("/late", rest));
        assert!(slow.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&slow));
        assert!(large.len() > 512 * 1024, "{}", large.len());
        assert!(late.ends_with(b"the answer"), "{}", String::from_utf8_lossy(&late));
    }
}

#[tokio::test]
async fn a_stop_closes_what_is_idle_at_once_and_what_runs_after_its_answer() {
    let patience = Patience { head: Duration::from_secs(10), idle: Duration::from_secs(10) };
    let stopper = Stopper::default();
    let router = router().route(
        "/slow",
        get(async || {
            sleep(Duration::from_millis(500)).await;
            "the answer"
        }),
    );
    let mut idle = connect(router.clone(), patience, &stopper);
    let mut running = connect(router, patience, &stopper);
    for request in [REQUEST, POST, REFUSED] {
        idle.write_all(request).await.unwrap();
        answers(&mut idle, 1).await;
    }
    running.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(100)).await;
    stopper.stop.cancel();
    let took = closed(&mut idle, None).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    answers(&mut running, 1).await;
    stopper.connections.close();
    timeout(Duration::from_secs(2), stopper.connections.wait()).await.expect("a connection goes on");
}

#[tokio::test]
async fn http2_must_ask_once_in_the_time_of_a_head_and_may_then_be_idle() {
    let patience = Patience { head: Duration::from_secs(1), idle: HASTE.idle };
    let connect = async |stopper: &Stopper| {
        let (client, server) = duplex(64 * 1024);
        stopper.connections.spawn(patiently(Untold(server), router(), stopper.clone(), patience));
        let connected = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await;
        let (sender, connection) = connected.unwrap();
        (sender, tokio::spawn(connection))
    };
    let stopper = Stopper::default();
    let (mut sender, connection) = connect(&stopper).await;
    for _ in 0..2 {
        let request = Request::get("http://a/").body(Empty::<Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "the answer");
        sleep(patience.head + patience.idle * 2).await;
    }
    stopper.stop.cancel();
    timeout(Duration::from_secs(5), connection).await.expect("it goes on").unwrap().unwrap();

    let (_sender, connection) = connect(&Stopper::default()).await;
    let _cut = timeout(Duration::from_secs(5), connection).await.expect("it is waited for without end");
}

#[tokio::test]
async fn a_body_takes_as_long_as_whoever_reads_it_waits() {
    let heads = ["content-length: 20\r\n", "expect: 100-continue\r\ncontent-length: 20\r\n"];
    join_all(heads.map(async |head| {
        let mut client = connect(router(), HASTE, &Stopper::default());
        client.write_all(format!("POST /read HTTP/1.1\r\nhost: a\r\n{head}\r\n").as_bytes()).await.unwrap();
        for _ in 0..20 {
            sleep(HASTE.idle).await;
            client.write_all(b"a").await.unwrap();
        }
        let answer = answers(&mut client, 1).await;
        assert!(answer.contains("200 OK") && answer.contains("20 bytes"), "{answer}");
    }))
    .await;
}

#[tokio::test]
async fn a_stream_for_a_client_of_http_1_0_ends_with_its_connection() {
    let pieces = async || {
        let pieces = stream::unfold(0, async |number| {
            sleep(HASTE.head).await;
            (number < 4).then_some((Ok::<_, io::Error>("piece "), number + 1))
        });
        Body::from_stream(pieces)
    };
    let mut client = connect(Router::new().route("/", get(pieces)), PATIENCE, &Stopper::default());
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(5), client.read_to_end(&mut answer)).await;
    assert!(read.is_ok() && answer.ends_with(b"piece piece piece piece "), "{}", String::from_utf8_lossy(&answer));
}
