//! Answers of status 200 that are not what was asked for: recorded as what they are, never metered from what cannot be read.

use serde_json::{Value, json};
use tollgate_eventstream::writer;

use crate::raw::RawUpstream;

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

/// A way of asking, in another dialect than the first.
struct Way {
    path: &'static str,
    request: Value,
    content_type: &'static str,
    /// A good answer of this text and so many tokens.
    answer: fn(&str, u64) -> Vec<u8>,
    is_stream: bool,
}

fn ways() -> Vec<Way> {
    let way = |path, request, content_type, answer: fn(&str, u64) -> Vec<u8>| {
        let is_stream = content_type != JSON || path == ARRAY;
        Way { path, request, content_type, answer, is_stream }
    };
    let said = json!([{ "role": "user", "content": "hello" }]);
    let messages = json!({ "model": "anthropic", "max_tokens": 1_000_000, "messages": said });
    let contents = json!({ "contents": [{ "role": "user", "parts": [{ "text": "hello" }] }] });
    let converse = json!({ "messages": [{ "role": "user", "content": [{ "text": "hello" }] }] });
    let ollama = json!({ "model": "ollama", "messages": said, "stream": false });
    let streamed = |request: &Value| {
        let mut request = request.clone();
        request["stream"] = json!(true);
        request
    };
    vec![
        way("/v1/messages", messages.clone(), JSON, |text, output| message(text, output).to_string().into()),
        way("/v1/messages", streamed(&messages), EVENTS, message_events),
        way("/v1beta/models/gemini:generateContent", contents.clone(), JSON, |text, output| {
            content(text, output).to_string().into()
        }),
        way(ARRAY, contents.clone(), JSON, |text, output| format!("[{}]", content(text, output)).into()),
        way("/v1beta/models/gemini:streamGenerateContent?alt=sse", contents, EVENTS, |text, output| {
            format!("data: {}\n\n", content(text, output)).into()
        }),
        way("/model/bedrock/converse", converse.clone(), JSON, |text, output| {
            json!({ "output": { "message": { "role": "assistant", "content": [{ "text": text }] } }, "stopReason": "end_turn", "usage": tokens(output) })
                .to_string()
                .into()
        }),
        way("/model/bedrock/converse-stream", converse, "application/vnd.amazon.eventstream", converse_frames),
        way("/api/chat", ollama.clone(), JSON, |text, output| ollama_line(text, output).into()),
        way("/api/chat", streamed(&ollama), "application/x-ndjson", |text, output| {
            let first = json!({ "model": "demo-model", "message": { "content": text }, "done": false });
            format!("{first}\n{}\n", ollama_line("", output)).into()
        }),
    ]
}

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
const ARRAY: &str = "/v1beta/models/gemini:streamGenerateContent";

fn message(text: &str, output: u64) -> Value {
    json!({ "type": "message", "role": "assistant", "model": "demo-model", "content": [{ "type": "text", "text": text }], "stop_reason": "end_turn", "usage": { "input_tokens": 5, "output_tokens": output } })
}

fn message_events(text: &str, output: u64) -> Vec<u8> {
    let mut start = message("", 1);
    start["content"] = json!([]);
    let events = [
        json!({ "type": "message_start", "message": start }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": output } }),
        json!({ "type": "message_stop" }),
    ];
    events.map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())).concat().into()
}

fn content(text: &str, output: u64) -> Value {
    json!({ "candidates": [{ "content": { "parts": [{ "text": text }], "role": "model" }, "finishReason": "STOP" }], "usageMetadata": { "promptTokenCount": 5, "candidatesTokenCount": output, "totalTokenCount": output + 5 }, "modelVersion": "demo-model" })
}

fn tokens(output: u64) -> Value {
    json!({ "inputTokens": 5, "outputTokens": output, "totalTokens": output + 5 })
}

fn converse_frames(text: &str, output: u64) -> Vec<u8> {
    let frames = [
        ("messageStart", json!({ "role": "assistant" })),
        ("contentBlockDelta", json!({ "contentBlockIndex": 0, "delta": { "text": text } })),
        ("messageStop", json!({ "stopReason": "end_turn" })),
        ("metadata", json!({ "usage": tokens(output) })),
    ];
    frames.map(|(kind, payload)| writer::event(kind, payload.to_string().as_bytes()).unwrap()).concat()
}

fn ollama_line(text: &str, output: u64) -> String {
    json!({ "model": "demo-model", "message": { "role": "assistant", "content": text }, "done": true, "done_reason": "stop", "prompt_eval_count": 5, "eval_count": output }).to_string()
}

/// Status and bytes that the client got, none when the answer broke off, and what the books say.
async fn asked(upstream: &RawUpstream, way: &Way, headers: &str, body: &[u8]) -> (u16, Option<Vec<u8>>, Value) {
    let response = upstream.send(way.path, &way.request, headers, body).await;
    let status = response.status().as_u16();
    let request_id = response.headers()["x-tollgate-request-id"].to_str().unwrap().to_owned();
    let bytes = response.bytes().await.ok().map(|bytes| bytes.to_vec());
    (status, bytes, upstream.harness.booked(&request_id).await)
}

#[tokio::test]
async fn in_every_dialect_a_line_of_a_megabyte_and_an_ordinary_answer_pass_unchanged_and_are_metered() {
    let upstream = RawUpstream::start().await;
    for way in ways() {
        for (text, output) in [("alpha".to_owned(), 2), ("alpha ".repeat(200_000), 200_000)] {
            let body = (way.answer)(&text, output);
            let (status, bytes, view) =
                asked(&upstream, &way, &format!("content-type: {}", way.content_type), &body).await;
            let what = format!("{} {} of {} bytes", way.path, way.content_type, body.len());
            assert!(status == 200 && bytes.as_ref() == Some(&body), "{what}: {status}");
            assert_ended(&view, "complete", "provider_final");
            assert_eq!(view["lines"][0]["usage"]["output"], json!(output), "{what}");
        }
    }
}

#[tokio::test]
async fn in_every_dialect_what_is_no_answer_is_recorded_as_that_and_never_metered() {
    let upstream = RawUpstream::start().await;
    let html: &[u8] = b"<!DOCTYPE html><html><body>\"usage\":{\"input_tokens\":5}</body></html>";
    for way in ways() {
        let good = (way.answer)("alpha", 2);
        let compressed = format!("content-type: {}\r\ncontent-encoding: gzip", way.content_type);
        let (status, _, view) = asked(&upstream, &way, &compressed, &good).await;
        assert_eq!((status, &view["flags"]), (502, &json!(["compressed"])), "{}", way.path);
        assert_ended(&view, "invalid_body", "not_billed");

        let (status, bytes, view) = asked(&upstream, &way, "content-type: text/html", html).await;
        assert!(status == 502 && !bytes.unwrap().starts_with(b"<"), "{}: {status}", way.path);
        assert_ended(&view, "invalid_body", "not_billed");

        // The head of a stream has left before it shows that it is none: then its end says so.
        for body in [html, b""] {
            let (status, bytes, view) =
                asked(&upstream, &way, &format!("content-type: {}", way.content_type), body).await;
            assert_eq!(status, if way.is_stream { 200 } else { 502 }, "{} {}", way.path, way.content_type);
            let told = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let is_told = told.as_ref().is_none_or(|told| told.contains("error") || told.contains("message"));
            assert!(is_told, "{} {}: {told:?}", way.path, way.content_type);
            assert_ended(&view, "invalid_body", "not_billed");
        }
    }
}

#[tokio::test]
async fn in_every_dialect_a_wrong_content_type_hides_no_answer_and_makes_none() {
    let upstream = RawUpstream::start().await;
    for way in ways() {
        let body = (way.answer)("alpha", 2);
        let (status, bytes, view) = asked(&upstream, &way, "content-type: text/plain", &body).await;
        if way.is_stream {
            assert_eq!(status, 502, "{} {}", way.path, way.content_type);
            assert_ended(&view, "invalid_body", "not_billed");
        } else {
            assert!(status == 200 && bytes == Some(body), "{}: {status}", way.path);
            assert_ended(&view, "complete", "provider_final");
        }
    }
}

#[tokio::test]
async fn an_object_without_an_answer_is_none_and_not_passed_on() {
    let upstream = RawUpstream::start().await;
    for body in ["{}", r#"{"detail":"x"}"#, r#"{"object":"error","message":"no","code":400}"#] {
        for path in ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/moderations"] {
            let request = json!({ "model": "openai", "messages": [], "prompt": "x", "input": "x" });
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
        || upstream.harness.request("/v1/audio/speech", &json!({ "model": "openai", "voice": "v", "input": "hi" }));
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
    let form = "--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nopenai\r\n--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n--b--\r\n";
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
