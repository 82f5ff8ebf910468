//! How clients reach the data plane: TLS with a real handshake and renewed files without a restart, both versions of HTTP with
//! and without it.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd, generate_simple_self_signed};
use rustix::process::{Pid, Signal, kill_process};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tollgate::app::listener::HEADERS_TIMEOUT;
use tollgate_fakes::FakeUpstream;

use crate::{
    harness::{Harness, SMALL_JOURNAL, base_toml, chat, config},
    process::{Process, cli, free_port, wait_until_ready},
};

/// Writes a new pair for `localhost` over the one that is there; gives the certificate.
fn renew(dir: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(dir.join("cert.pem"), cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), signing_key.serialize_pem()).unwrap();
    cert.into()
}

/// Writes a pair that ends at midnight of this day.
fn renew_until(dir: &Path, (year, month, day): (i32, u8, u8)) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = date_time_ymd(year, month, day);
    let key = KeyPair::generate().unwrap();
    std::fs::write(dir.join("cert.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
}

async fn connect(
    port: u16,
    trusted: &CertificateDer<'static>,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![protocol.to_vec()];
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    TlsConnector::from(Arc::new(client)).connect("localhost".try_into().unwrap(), tcp).await
}

/// Configuration of a gateway with TLS on `data`.
fn write_config(dir: &Path, upstream: &str, data: u16, admin: u16) -> std::path::PathBuf {
    std::fs::write(dir.join("upstream-key"), "sk-upstream-secret").unwrap();
    let toml = base_toml(dir, upstream)
        .replacen("127.0.0.1:0", &format!("127.0.0.1:{data}"), 1)
        .replacen("127.0.0.1:0", &format!("127.0.0.1:{admin}"), 1)
        .replacen(
            "[server]\n",
            &format!(
                "[server]\ntls_cert = {:?}\ntls_key = \"file:{}\"\n",
                dir.join("cert.pem"),
                dir.join("key.pem").display()
            ),
            1,
        );
    let path = dir.join("tollgate.toml");
    std::fs::write(&path, format!("{SMALL_JOURNAL}{toml}")).unwrap();
    path
}

#[tokio::test]
async fn requests_are_served_over_tls_and_a_renewed_certificate_is_taken_without_a_restart() {
    let upstream = FakeUpstream::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (data, admin) = (free_port(), free_port());
    let first = renew(dir.path());
    let path = write_config(dir.path(), &upstream.openai_url(), data, admin);
    let customer = cli(&path, &["customers", "create", "Acme"])["id"].as_str().unwrap().to_owned();
    let key = cli(&path, &["keys", "create", "--customer", &customer])["key"].as_str().unwrap().to_owned();
    let process = Process::start(&path, &[]);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    wait_until_ready(&client, admin).await;

    let mut stream = connect(data, &first, b"http/1.1").await.unwrap();
    let body = chat(json!({})).to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("x-tollgate-charge-usd: "), "{answer}");

    let stream = connect(data, &first, b"h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let plain = client.get(format!("http://127.0.0.1:{data}/v1/models")).send().await;
    assert!(plain.is_err(), "the clear is not served beside TLS");

    // Half of a renewal is no pair: the certificate before stays.
    std::fs::write(dir.path().join("key.pem"), "no key").unwrap();
    let pid = Pid::from_raw(i32::try_from(process.0.id()).unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(connect(data, &first, b"http/1.1").await.is_ok());

    // A pair that could not be read when it was noticed is read when told, though the files look the same.
    let second = renew(dir.path());
    kill_process(pid, Signal::HUP).unwrap();
    for _ in 0..100 {
        if connect(data, &second, b"http/1.1").await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the renewed certificate was not taken");
}

// Threads, so that the upstream answers while the doctor is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_certificate_ends_is_told_by_metrics_and_doctor_and_kept_current() {
    let upstream = FakeUpstream::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (data, admin) = (free_port(), free_port());
    renew_until(dir.path(), (2099, 1, 1));
    let path = write_config(dir.path(), &upstream.openai_url(), data, admin);
    let doctor = || {
        let arguments = ["--config", path.to_str().unwrap(), "--json", "doctor"];
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_tollgate")).args(arguments).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = report["checks"].as_array().unwrap();
        let found = checks.iter().find(|found| found["check"] == "certificate").unwrap();
        (found["level"].as_str().unwrap().to_owned(), found["what"].as_str().unwrap().to_owned())
    };
    assert_eq!(doctor(), ("ok".to_owned(), "the certificate ends at 2099-01-01T00:00:00Z".to_owned()));
    let process = Process::start(&path, &[]);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    wait_until_ready(&client, admin).await;
    let token = std::fs::read_to_string(dir.path().join("data/admin-token")).unwrap();
    let told = async || {
        let page = client.get(format!("http://127.0.0.1:{admin}/metrics")).bearer_auth(token.trim()).send().await;
        let page = page.unwrap().text().await.unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix("tollgate_certificate_end_timestamp_seconds "));
        line.unwrap().to_owned()
    };
    assert_eq!(told().await, "4070908800");

    renew_until(dir.path(), (2001, 9, 9));
    let (level, what) = doctor();
    assert!(level == "finding" && what.contains("has ended at 2001-09-09T00:00:00Z"), "{level}: {what}");
    kill_process(Pid::from_raw(i32::try_from(process.0.id()).unwrap()).unwrap(), Signal::HUP).unwrap();
    for _ in 0..100 {
        if told().await == "999993600" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{}", told().await);
}

#[tokio::test]
async fn a_handshake_that_never_ends_holds_up_nobody() {
    let upstream = FakeUpstream::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (data, admin) = (free_port(), free_port());
    let cert = renew(dir.path());
    let path = write_config(dir.path(), &upstream.openai_url(), data, admin);
    let _process = Process::start(&path, &[]);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    wait_until_ready(&client, admin).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        let mut tcp = TcpStream::connect(("127.0.0.1", data)).await.unwrap();
        // The first bytes of a record that never comes.
        tcp.write_all(&[22, 3, 1]).await.unwrap();
        silent.push(tcp);
    }
    assert!(connect(data, &cert, b"http/1.1").await.is_ok());
    // And each is given up.
    let mut rest = Vec::new();
    let given_up = tokio::time::timeout(Duration::from_secs(30), silent[0].read_to_end(&mut rest)).await;
    assert!(given_up.is_ok(), "a connection that says nothing is closed");
    // One that shakes hands and then says nothing is, too.
    let mut mute = connect(data, &cert, b"http/1.1").await.unwrap();
    let given_up = tokio::time::timeout(Duration::from_secs(30), mute.read_to_end(&mut rest)).await;
    assert!(given_up.is_ok(), "a connection that says nothing after its handshake is closed");
}

#[test]
fn a_certificate_that_cannot_be_used_is_said_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    renew(dir.path());
    let path = write_config(dir.path(), "http://127.0.0.1:9/v1", 0, 0);
    let text = std::fs::read_to_string(&path).unwrap();
    let findings = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(["--config", path.to_str().unwrap(), "check"])
            .output()
            .unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let whole = findings(&text);
    assert!(!whole.contains("tls_"), "{whole}");
    let half: String =
        text.lines().filter(|line| !line.starts_with("tls_key")).fold(String::new(), |all, line| all + line + "\n");
    let half = findings(&half);
    assert!(half.contains("server.tls_cert: TLS needs both files; tls_key is missing"), "{half}");

    let other = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(dir.path().join("key.pem"), other.signing_key.serialize_pem()).unwrap();
    let other = findings(&text);
    assert!(other.contains("no pair"), "{other}");
    std::fs::write(dir.path().join("key.pem"), "").unwrap();
    let empty = findings(&text);
    assert!(empty.contains("tls_key: ") && empty.contains("key.pem"), "{empty}");
    let loaded = config(dir.path(), &text);
    assert!(loaded.config.server.tls.is_some());
}

/// Joins a client with the gateway; the first bytes of a request go one by one.
async fn slowly(mut client: DuplexStream, address: SocketAddr) {
    let mut gateway = TcpStream::connect(address).await.unwrap();
    gateway.set_nodelay(true).unwrap();
    let mut first = [0; 26];
    client.read_exact(&mut first).await.unwrap();
    for byte in first {
        gateway.write_all(&[byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let _closed = tokio::io::copy_bidirectional(&mut client, &mut gateway).await;
}

#[tokio::test]
async fn http2_without_tls_is_served_however_it_begins() {
    let harness = Harness::start().await;
    let address = harness.url("").trim_start_matches("http://").parse().unwrap();
    let (client, wire) = tokio::io::duplex(64 * 1024);
    tokio::spawn(slowly(wire, address));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    for stream in [false, true] {
        let request = hyper::Request::post(harness.url("/v1/chat/completions"))
            .header("authorization", format!("Bearer {}", harness.key))
            .header("content-type", "application/json")
            .body(chat(json!({ "stream": stream })).to_string())
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, hyper::Version::HTTP_2));
        let id = answer.headers()["x-tollgate-request-id"].to_str().unwrap().to_owned();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.ends_with(b"data: [DONE]\n\n"), stream);
        assert_eq!(harness.booked(&id).await["usage_source"], "provider_final");
    }
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_beginning_without_an_end_is_cut_off() {
    let harness = Harness::start().await;
    let address: SocketAddr = harness.url("").trim_start_matches("http://").parse().unwrap();
    let begun = [&b"P"[..], b"PRI * HTTP/2.0\r\n\r\nSM", b"POST /v1/chat/completions HTTP/1.1\r\nhost:"].map(
        |begun| async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(begun).await.unwrap();
            let mut answer = Vec::new();
            let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
            assert!(read.is_ok(), "{begun:?} is waited for without end");
        },
    );
    futures_util::future::join_all(begun).await;
    assert_eq!(harness.chat(json!({})).await.status, 200);
}

#[tokio::test]
async fn an_idle_connection_is_served_after_longer_than_a_head_may_take() {
    let harness = Harness::start().await;
    let address: SocketAddr = harness.url("").trim_start_matches("http://").parse().unwrap();
    let ask = async |stream: &mut TcpStream| {
        let request = format!("GET /v1/models HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\r\n", harness.key);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 64 * 1024];
        let bytes = stream.read(&mut answer).await.unwrap();
        assert!(answer[..bytes].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..bytes]));
    };
    let idle = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        ask(&mut stream).await;
        tokio::time::sleep(HEADERS_TIMEOUT + Duration::from_millis(1500)).await;
        ask(&mut stream).await;
    };
    let begun = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        ask(&mut stream).await;
        stream.write_all(b"GET /v1/models HTTP/1.1\r\nhost:").await.unwrap();
        let cut = tokio::time::timeout(HEADERS_TIMEOUT + Duration::from_secs(4), stream.read(&mut [0; 16])).await;
        assert!(matches!(cut, Ok(Ok(0) | Err(_))), "a later head is waited for without end");
    };
    tokio::join!(idle, begun);
}
