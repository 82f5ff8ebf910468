//! Answers of all kinds, cut anywhere: what comes out is what hyper makes of the same bytes.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tollgate_http1::{Connection, Error, Pool, Request};

/// What a client makes of an answer.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    NoHead,
    Head { status: u16, headers: Vec<(String, Vec<u8>)>, body: Vec<u8>, is_whole: bool },
}

/// What an upstream sends, piece by piece, before it closes.
type Pieces = Vec<Vec<u8>>;

/// Connections to an upstream that answers each one with these pieces.
async fn connect(pieces: &Pieces) -> TcpStream {
    let (client, mut upstream) = connected().await;
    upstream.set_nodelay(true).unwrap();
    let pieces = pieces.clone();
    tokio::spawn(async move {
        let mut asked = [0; 4096];
        let mut len = 0;
        while !asked[..len].windows(4).any(|end| end == b"\r\n\r\n") {
            len += upstream.read(&mut asked[len..]).await.unwrap();
        }
        for piece in pieces {
            if upstream.write_all(&piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    client
}

async fn seen<B>(sent: Option<Response<B>>) -> Seen
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let Some(response) = sent else { return Seen::NoHead };
    let (head, mut body) = response.into_parts();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    let (mut read, mut is_whole) = (Vec::new(), true);
    while let Some(frame) = body.frame().await {
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) => read.extend_from_slice(&data),
            Ok(Err(_trailers)) => {}
            Err(_) => is_whole = false,
        }
    }
    Seen::Head { status: head.status.as_u16(), headers, body: read, is_whole }
}

fn uri() -> Uri {
    "http://upstream.test:8080/v1/chat?a=b".parse().unwrap()
}

async fn ours(method: &Method, pieces: &Pieces) -> Seen {
    let pool = Pool::new(Duration::from_secs(5), 4);
    let connection = Box::new(Connection::new(connect(pieces).await));
    let (uri, headers) = (uri(), HeaderMap::new());
    let request = Request { method, uri: &uri, headers: &headers, body: Bytes::new() };
    seen(connection.send(request, &pool).await.ok()).await
}

async fn hypers(method: &Method, pieces: &Pieces) -> Seen {
    let io = TokioIo::new(connect(pieces).await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let mut request = hyper::Request::new(Full::new(Bytes::new()));
    *request.method_mut() = method.clone();
    seen(sender.send_request(request).await.ok()).await
}

fn compare(runtime: &tokio::runtime::Runtime, method: &Method, pieces: &Pieces) -> Result<(), TestCaseError> {
    runtime.block_on(async {
        let both = async { (ours(method, pieces).await, hypers(method, pieces).await) };
        let (ours, hypers) = timeout(Duration::from_secs(10), both).await.expect("it waits for ever");
        if matches!(hypers, Seen::Head { status: 101, .. }) {
            // Nobody asked for another protocol.
            prop_assert_eq!(ours, Seen::NoHead);
            return Ok(());
        }
        let told = || String::from_utf8_lossy(&pieces.concat()).into_owned();
        prop_assert_eq!(ours, hypers, "{} {:?}", method, told());
        Ok(())
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

const ANSWERS: &[&str] = &[
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A:  two words \r\nx-a: again\r\nx-empty:\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel",
    "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello and more",
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\n\r\nuntil it is closed",
    "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
    "HTTP/1.0 200 OK\r\n\r\nold",
    "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 3\r\n\r\nold",
    "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nold\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n again\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nuntil it is closed",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
    "HTTP/1.1 429 Too Many Requests\r\nretry-after: 3\r\ncontent-length: 2\r\n\r\n{}",
    "HTTP/1.1 500\r\ncontent-length: 2\r\n\r\n{}",
    "HTTP/1.1 99 Low\r\n\r\n",
    "HTTP/2 200 OK\r\n\r\n",
    "HTTP/1.1 200 OK\r\nbad header: 1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nbroken\r\n\r\n",
    "HTTP/1.1 200 OK\r\nx: a\r\n folded\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
    "HTTP/1.1 200 OK\r\nx-latin: caf\u{e9}\r\ncontent-length: 0\r\n\r\n",
    "\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nx-cut",
    "SSH-2.0-OpenSSH_9\r\n",
    "",
];

#[test]
fn an_answer_is_what_hyper_makes_of_it_however_it_is_cut() {
    let runtime = runtime();
    for answer in ANSWERS {
        let bytes = answer.as_bytes();
        for method in [Method::POST, Method::GET] {
            compare(&runtime, &method, &vec![bytes.to_vec()]).unwrap();
        }
        compare(&runtime, &Method::POST, &bytes.chunks(1).map(<[u8]>::to_vec).collect()).unwrap();
    }
    let cuts = (0..ANSWERS.len(), vec(1_usize..200, 0..6));
    TestRunner::new(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })
        .run(&cuts, |(answer, sizes)| {
            let mut rest = ANSWERS[answer].as_bytes();
            let mut pieces = Vec::new();
            for size in sizes {
                let (piece, behind) = rest.split_at(size.min(rest.len()));
                pieces.push(piece.to_vec());
                rest = behind;
            }
            pieces.push(rest.to_vec());
            compare(&runtime, &Method::POST, &pieces)
        })
        .unwrap();
}

#[test]
fn a_damaged_answer_is_what_hyper_makes_of_it() {
    let runtime = runtime();
    let interesting = prop::sample::select(b"\r\n:; 0159afAF,chunked\t\0\x7f\xff".to_vec());
    let damage = (0..ANSWERS.len(), vec((any::<prop::sample::Index>(), interesting, 0..3_u8), 1..4));
    TestRunner::new(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })
        .run(&damage, |(answer, changes)| {
            let mut bytes = ANSWERS[answer].as_bytes().to_vec();
            for (at, byte, how) in changes {
                let at = at.index(bytes.len() + 1);
                match how {
                    0 => bytes.insert(at, byte),
                    1 if at < bytes.len() => bytes[at] = byte,
                    _ if at < bytes.len() => drop(bytes.remove(at)),
                    _ => {}
                }
            }
            compare(&runtime, &Method::POST, &vec![bytes])
        })
        .unwrap();
}

#[test]
fn bodies_of_any_size_and_chunking_come_whole() {
    let runtime = runtime();
    let bodies = (vec(any::<u8>(), 0..200_000), vec(1_usize..50_000, 1..8), 1_usize..70_000, any::<bool>());
    TestRunner::new(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })
        .run(&bodies, |(body, chunks, piece, is_chunked)| {
            let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
            if is_chunked {
                answer.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
                let (mut rest, mut sizes) = (body.as_slice(), chunks.iter().cycle());
                while !rest.is_empty() {
                    let (chunk, behind) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                    answer.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    answer.extend_from_slice(chunk);
                    answer.extend_from_slice(b"\r\n");
                    rest = behind;
                }
                answer.extend_from_slice(b"0\r\n\r\n");
            } else {
                answer.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
                answer.extend_from_slice(&body);
            }
            let pieces: Pieces = answer.chunks(piece).map(<[u8]>::to_vec).collect();
            let Seen::Head { body: read, is_whole, .. } = runtime.block_on(ours(&Method::POST, &pieces)) else {
                return Err(TestCaseError::fail("no head"));
            };
            prop_assert!(is_whole && read == body);
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let line = b"x-more: and more\r\n".to_vec();
    let endless: Pieces = std::iter::once(b"HTTP/1.1 200 OK\r\n".to_vec()).chain(vec![line; 8000]).collect();
    assert_eq!(ours(&Method::POST, &endless).await, Seen::NoHead);
    let one_value: Pieces =
        std::iter::once(b"HTTP/1.1 200 OK\r\nx: ".to_vec()).chain(vec![vec![b'y'; 1000]; 100]).collect();
    assert_eq!(ours(&Method::POST, &one_value).await, Seen::NoHead);
}

/// An upstream that answers so many requests on each connection, then closes it; gives its address and how many it took.
async fn counted(answers: &'static [&'static str]) -> (Uri, Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/v1", listener.local_addr().unwrap()).parse().unwrap();
    let taken: Arc<std::sync::atomic::AtomicUsize> = Arc::default();
    let count = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((mut upstream, _)) = listener.accept().await {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tokio::spawn(async move {
                let mut asked = vec![0; 64 * 1024];
                for answer in answers {
                    if !matches!(upstream.read(&mut asked).await, Ok(len) if len > 0) {
                        return;
                    }
                    upstream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (uri, taken)
}

/// Asks once, over a connection of the pool where there is one.
async fn ask(pool: &Arc<Pool>, uri: &Uri) -> Result<Vec<u8>, Error> {
    let authority = uri.authority().unwrap();
    let connection = match pool.take(authority) {
        Some(connection) => connection,
        None => Box::new(Connection::new(TcpStream::connect(authority.as_str()).await?)),
    };
    let headers = HeaderMap::new();
    let request = Request { method: &Method::POST, uri, headers: &headers, body: Bytes::from_static(b"{}") };
    Ok(connection.send(request, pool).await?.into_body().collect().await?.to_bytes().to_vec())
}

#[tokio::test]
async fn a_connection_is_used_again_only_where_nothing_is_left_of_its_answer() {
    const PLAIN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    for (answers, connections) in [
        (&[PLAIN, PLAIN, CHUNKED, CHUNKED][..], 1),
        (&["HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"; 4], 4),
        (&["HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"; 4], 4),
        // More than was told: the next request would get it as its answer.
        (&["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n"; 4], 4),
        (&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"; 4], 4),
        // It is closed behind each answer without a word.
        (&[PLAIN], 4),
    ] {
        let pool = Pool::new(Duration::from_secs(5), 4);
        let (uri, taken) = counted(answers).await;
        for _ in 0..4 {
            assert_eq!(ask(&pool, &uri).await.unwrap(), b"ok", "{answers:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(taken.load(std::sync::atomic::Ordering::SeqCst), connections, "{answers:?}");
    }
}

/// A connection and its other end.
async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (upstream, _) = listener.accept().await.unwrap();
    (client, upstream)
}

#[tokio::test]
async fn an_answer_that_is_left_closes_its_connection() {
    let (uri, pool) = (uri(), Pool::new(Duration::from_secs(5), 4));
    let (client, mut upstream) = connected().await;
    let connection = Box::new(Connection::new(client));
    let headers = HeaderMap::new();
    let request = Request { method: &Method::POST, uri: &uri, headers: &headers, body: Bytes::new() };
    let (answer, ()) = tokio::join!(connection.send(request, &pool), async {
        let mut asked = [0; 1024];
        let len = upstream.read(&mut asked).await.unwrap();
        let host = format!("host: {}\r\n", uri.authority().unwrap());
        assert!(std::str::from_utf8(&asked[..len]).unwrap().contains(&host));
        upstream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n").await.unwrap();
    });
    drop(answer.unwrap());
    assert_eq!(timeout(Duration::from_secs(5), upstream.read(&mut [0])).await.unwrap().unwrap(), 0);
    assert!(pool.take(uri.authority().unwrap()).is_none());
}

#[tokio::test]
async fn a_long_request_that_is_refused_before_it_has_come_gets_its_answer() {
    let (uri, pool) = (uri(), Pool::new(Duration::from_secs(5), 4));
    let (client, mut upstream) = connected().await;
    let connection = Box::new(Connection::new(client));
    tokio::spawn(async move {
        let _asked = upstream.read(&mut [0; 1024]).await;
        upstream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
        // Reads nothing more, and keeps the connection open for a while.
        tokio::time::sleep(Duration::from_secs(5)).await;
    });
    let headers = HeaderMap::new();
    let body = Bytes::from(vec![b'x'; 64 * 1024 * 1024]);
    let request = Request { method: &Method::POST, uri: &uri, headers: &headers, body };
    let answer = timeout(Duration::from_secs(4), connection.send(request, &pool)).await.unwrap().unwrap();
    assert_eq!(answer.status().as_u16(), 413);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "{}");
    assert!(pool.take(uri.authority().unwrap()).is_none(), "the rest of the request is still to be sent");
}

#[tokio::test]
async fn head_and_body_arrive_whole_whether_they_are_sent_as_one_or_not() {
    for len in [0, 1, 3900, 4090, 4096, 5000, 300_000] {
        let (uri, pool) = (uri(), Pool::new(Duration::from_secs(5), 4));
        let (client, mut upstream) = connected().await;
        let body: Vec<u8> = (0..len).map(|at: u32| b'a' + u8::try_from(at % 26).unwrap()).collect();
        let expected = body.clone();
        let received = tokio::spawn(async move {
            let mut asked = Vec::new();
            let head_end = loop {
                assert!(upstream.read_buf(&mut asked).await.unwrap() > 0);
                if let Some(at) = asked.windows(4).position(|end| end == b"\r\n\r\n") {
                    break at + 4;
                }
            };
            while asked.len() < head_end + expected.len() {
                assert!(upstream.read_buf(&mut asked).await.unwrap() > 0);
            }
            upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            let told = format!("content-length: {}\r\n", expected.len());
            let head = String::from_utf8(asked[..head_end].to_vec()).unwrap();
            assert!(head.starts_with("POST /") && head.contains(&told), "{head}");
            assert!(asked[head_end..] == expected, "{len}: what came is another body");
        });
        let headers = HeaderMap::new();
        let request = Request { method: &Method::POST, uri: &uri, headers: &headers, body: Bytes::from(body) };
        let connection = Box::new(Connection::new(client));
        let answer = timeout(Duration::from_secs(4), connection.send(request, &pool)).await.unwrap().unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
        received.await.unwrap();
    }
}

#[tokio::test]
async fn a_request_goes_on_being_sent_when_its_answer_has_begun() {
    const BYTES: usize = 32 * 1024 * 1024;
    let (uri, pool) = (uri(), Pool::new(Duration::from_secs(5), 4));
    let (client, mut upstream) = connected().await;
    let connection = Box::new(Connection::new(client));
    tokio::spawn(async move {
        let mut asked = vec![0; 64 * 1024];
        let mut len = upstream.read(&mut asked).await.unwrap();
        upstream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n").await.unwrap();
        // It needs all of it to go on.
        while len < BYTES {
            match upstream.read(&mut asked).await.unwrap() {
                0 => return,
                more => len += more,
            }
        }
        upstream.write_all(b"4\r\ndone\r\n0\r\n\r\n").await.unwrap();
    });
    let headers = HeaderMap::new();
    let request = Request { method: &Method::POST, uri: &uri, headers: &headers, body: Bytes::from(vec![b'x'; BYTES]) };
    let answer = timeout(Duration::from_secs(10), connection.send(request, &pool)).await.unwrap().unwrap();
    let body = timeout(Duration::from_secs(10), answer.into_body().collect()).await.expect("it waits for the rest");
    assert_eq!(body.unwrap().to_bytes(), "okdone");
}

#[tokio::test]
async fn what_waits_too_long_or_was_closed_meanwhile_is_let_go() {
    const PLAIN: &[&str] = &["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"; 3];
    let pool = Pool::new(Duration::from_millis(300), 4);
    let (uri, taken) = counted(PLAIN).await;
    ask(&pool, &uri).await.unwrap();
    assert!(pool.take(uri.authority().unwrap()).is_some());
    ask(&pool, &uri).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(pool.take(uri.authority().unwrap()).is_none());
    assert_eq!(taken.load(std::sync::atomic::Ordering::SeqCst), 2);
}
