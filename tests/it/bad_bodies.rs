//! Answers of status 200 that are not what was asked for: recorded as what they are, never metered from what cannot be read.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::harness::{Answer, Harness, read};

/// An upstream that answers every request with the same bytes.
struct RawUpstream {
    harness: Harness,
    reply: Arc<Mutex<Vec<u8>>>,
}

impl RawUpstream {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let reply: Arc<Mutex<Vec<u8>>> = Arc::default();
        let replies = Arc::clone(&reply);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let reply = replies.lock().unwrap().clone();
                tokio::spawn(answer(stream, reply));
            }
        });
        let harness = Harness::start_with(&format!(
            "[[provider]]\nname = \"raw\"\nbase_url = \"http://{address}/v1\"\nallow_private = true\n[[model]]\nname = \"raw\"\ntargets = [{{ provider = \"raw\", model = \"demo-model\" }}]\n[prices]\nunpriced = \"record\"\n"
        ))
        .await;
        Self { harness, reply }
    }

    /// What the client got of an answer with these headers and this body, and what the books say of it.
    async fn ask(&self, headers: &str, body: &[u8], stream: bool) -> (Answer, Value) {
        self.reply_with(headers, body);
        let answer = self.harness.chat(json!({ "model": "raw", "stream": stream })).await;
        let view = self.harness.booked(&answer.request_id()).await;
        (answer, view)
    }

    fn reply_with(&self, headers: &str, body: &[u8]) {
        let head = format!("HTTP/1.1 200 OK\r\n{headers}\r\nconnection: close\r\n\r\n");
        *self.reply.lock().unwrap() = [head.as_bytes(), body].concat();
    }

    /// The same of another request.
    async fn ask_with(&self, request: reqwest::RequestBuilder, headers: &str, body: &[u8]) -> (Answer, Value) {
        self.reply_with(headers, body);
        let answer = read(request).await;
        let view = self.harness.booked(&answer.request_id()).await;
        (answer, view)
    }
}

async fn answer(mut stream: TcpStream, reply: Vec<u8>) {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !request.ends_with(b"}") && !request.ends_with(b"--b--\r\n") {
        match stream.read(&mut piece).await {
            Ok(len) if len > 0 => request.extend_from_slice(&piece[..len]),
            _ => return,
        }
    }
    let _sent = stream.write_all(&reply).await;
}

fn assert_ended(view: &Value, outcome: &str, source: &str) {
    assert_eq!((&view["outcome"], &view["usage_source"]), (&json!(outcome), &json!(source)), "{view}");
}

const CHAT: &str = r#"{"id":"c","model":"demo-model","choices":[{"index":0,"message":{"content":"alpha"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#;

#[tokio::test]
async fn a_compressed_answer_that_nobody_asked_for_is_invalid_and_not_passed_on() {
    let upstream = RawUpstream::start().await;
    for coding in ["gzip", "br", "zstd", "deflate", "identity, gzip"] {
        for (content_type, stream) in [("application/json", false), ("text/event-stream", true)] {
            let headers = format!("content-type: {content_type}\r\ncontent-encoding: {coding}");
            let (answer, view) = upstream.ask(&headers, b"\x1f\x8b\x08\0\0\0\0\0\0\xff", stream).await;
            assert_eq!(answer.status, 502, "{coding}: {}", answer.text);
            assert_ended(&view, "invalid_body", "not_billed");
            assert_eq!(view["flags"], json!(["compressed"]), "{coding}");
        }
    }
    let (answer, view) =
        upstream.ask("content-type: application/json\r\ncontent-encoding: identity", CHAT.as_bytes(), false).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, CHAT));
    assert_ended(&view, "complete", "provider_final");
}

#[tokio::test]
async fn a_wrong_content_type_does_not_hide_an_answer_and_no_content_type_makes_one() {
    let upstream = RawUpstream::start().await;
    for content_type in ["text/plain", "application/octet-stream", "application/json; charset=utf-8", "text/html"] {
        let (answer, view) = upstream.ask(&format!("content-type: {content_type}"), CHAT.as_bytes(), false).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, CHAT), "{content_type}");
        assert_ended(&view, "complete", "provider_final");
    }
    let events = format!("data: {CHAT}\n\ndata: [DONE]\n\n");
    for body in ["", "<html>\"usage\":{\"prompt_tokens\":5}</html>", "[1]", "7", "\"text\"", &events, "{\"choices\":"] {
        let (answer, view) = upstream.ask("content-type: application/json", body.as_bytes(), false).await;
        assert_eq!(answer.status, 502, "{body}: {}", answer.text);
        assert_ended(&view, "invalid_body", "not_billed");
    }
}

#[tokio::test]
async fn a_stream_that_is_none_is_invalid_and_the_client_is_told() {
    let upstream = RawUpstream::start().await;
    for body in ["", "<html></html>\n\n", ": only\n\n: comments\n\n", "data: <html>\n\n"] {
        let (answer, view) = upstream.ask("content-type: text/event-stream", body.as_bytes(), true).await;
        assert!(answer.text.starts_with(body) && answer.text.contains("upstream_truncated"), "{}", answer.text);
        assert_ended(&view, "invalid_body", "not_billed");
    }
}

#[tokio::test]
async fn a_line_of_a_megabyte_passes_unchanged_and_is_metered() {
    let upstream = RawUpstream::start().await;
    let text = "alpha ".repeat(200_000);
    let event =
        CHAT.replace("alpha", &text).replace("message", "delta").replace(":2,", ":200000,").replace(":7}", ":200005}");
    let body = format!("data: {event}\n\ndata: [DONE]\n\n");
    let (answer, view) = upstream.ask("content-type: text/event-stream", body.as_bytes(), true).await;
    assert!(answer.text == body, "{} bytes instead of {}", answer.text.len(), body.len());
    assert_ended(&view, "complete", "provider_final");
    assert_eq!(view["lines"][0]["usage"]["output"], json!(200_000));
}

#[tokio::test]
async fn an_object_without_an_answer_is_none_and_not_passed_on() {
    let upstream = RawUpstream::start().await;
    for body in ["{}", r#"{"detail":"x"}"#, r#"{"object":"error","message":"no","code":400}"#] {
        for path in ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/moderations"] {
            let request = json!({ "model": "raw", "messages": [], "prompt": "x", "input": "x" });
            let request = upstream.harness.request(path, &request);
            let (answer, view) = upstream.ask_with(request, "content-type: application/json", body.as_bytes()).await;
            assert_eq!(answer.status, 502, "{path} {body}: {}", answer.text);
            assert_eq!(answer.error_code(), "upstream_invalid_body");
            assert_ended(&view, "invalid_body", "not_billed");
        }
    }
    // What says something of the dialect's passes, however little.
    for body in [r#"{"choices":[]}"#, r#"{"usage":{"prompt_tokens":5,"completion_tokens":0,"total_tokens":5}}"#] {
        let (answer, _) = upstream.ask("content-type: application/json", body.as_bytes(), false).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, body));
    }
}

#[tokio::test]
async fn speech_that_is_no_sound_is_invalid_and_not_billed() {
    let upstream = RawUpstream::start().await;
    let speech =
        || upstream.harness.request("/v1/audio/speech", &json!({ "model": "raw", "voice": "v", "input": "hi" }));
    for (headers, body) in [
        ("content-type: audio/mpeg", ""),
        ("content-type: text/html", "<html>busy</html>"),
        ("content-type: text/plain", "busy"),
        ("x-none: 1", "\u{1}\u{2}"),
        ("content-type: application/json", "{}"),
    ] {
        let (answer, view) = upstream.ask_with(speech(), headers, body.as_bytes()).await;
        assert_eq!(answer.status, 502, "{headers}: {}", answer.text);
        assert_ended(&view, "invalid_body", "not_billed");
        assert_eq!(view["counters"], json!({}), "{view}");
    }
    for (headers, body) in
        [("content-type: audio/mpeg", "sound"), ("content-type: application/json", r#"{"audio_data":"AAAA"}"#)]
    {
        let (answer, view) = upstream.ask_with(speech(), headers, body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{headers}: {}", answer.text);
        assert_ended(&view, "complete", "counted_units");
    }
}

#[tokio::test]
async fn a_transcription_that_is_no_json_is_invalid_and_not_billed() {
    let upstream = RawUpstream::start().await;
    let form = "--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nraw\r\n--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n--b--\r\n";
    let transcribe = || {
        let harness = &upstream.harness;
        let request = harness.client.post(harness.url("/v1/audio/transcriptions")).bearer_auth(&harness.key);
        request.header("content-type", "multipart/form-data; boundary=b").body(form)
    };
    for (headers, body) in [
        ("content-type: text/plain", "alpha"),
        ("content-type: text/vtt", "WEBVTT"),
        ("content-type: audio/mpeg", "sound"),
        ("x-none: 1", "alpha"),
        ("content-type: application/json", r#"{"detail":"x"}"#),
    ] {
        let (answer, view) = upstream.ask_with(transcribe(), headers, body.as_bytes()).await;
        assert_eq!(answer.status, 502, "{headers}: {}", answer.text);
        assert_ended(&view, "invalid_body", "not_billed");
    }
    let said = br#"{"text":"alpha","usage":{"type":"duration","seconds":2}}"#;
    let (answer, view) = upstream.ask_with(transcribe(), "content-type: application/json", said).await;
    assert_eq!((answer.status, &view["counters"]), (200, &json!({ "audio_input_millis": 2000 })), "{view}");
}
