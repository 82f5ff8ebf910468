//! Plays every script against a raw client and compares what arrived with what the log says.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests stop at the first surprise")]

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tollgate_fakes::{
    FakeUpstream,
    log::SeenRequest,
    script::{Defaults, Script},
};

const SOON: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(60);

/// How a body came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Properly,
    Broken,
    StillOpen,
}

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    frames: Vec<Bytes>,
    ended: Ended,
}

impl Got {
    fn events(&self) -> Vec<&str> {
        self.body.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect()
    }

    /// The chunks of a stream that are JSON, without the end marker.
    fn chunks(&self) -> Vec<Value> {
        self.events().into_iter().filter(|event| *event != "[DONE]").map(|e| serde_json::from_str(e).unwrap()).collect()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn text(&self) -> String {
        self.chunks()
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
            .collect()
    }
}

async fn send(upstream: &FakeUpstream, method: &str, path: &str, body: impl Into<Bytes>) -> http::Response<Incoming> {
    let socket = TcpStream::connect(upstream.address()).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "fake")
        .header("authorization", "Bearer sk-upstream")
        .body(Full::new(body.into()))
        .unwrap();
    sender.send_request(request).await.unwrap()
}

async fn read(response: http::Response<Incoming>) -> Got {
    read_for(response, SOON * 4).await
}

/// Reads until the body ends or says nothing for `patience`.
async fn read_for(response: http::Response<Incoming>, patience: Duration) -> Got {
    let (parts, mut body) = response.into_parts();
    let (mut frames, mut all) = (Vec::new(), Vec::new());
    let ended = loop {
        match tokio::time::timeout(patience, body.frame()).await {
            Err(_) => break Ended::StillOpen,
            Ok(None) => break Ended::Properly,
            Ok(Some(Err(_))) => break Ended::Broken,
            Ok(Some(Ok(frame))) => {
                let data = frame.into_data().unwrap();
                all.extend_from_slice(&data);
                frames.push(data);
            }
        }
    };
    Got { status: parts.status, headers: parts.headers, body: String::from_utf8(all).unwrap(), frames, ended }
}

async fn post(upstream: &FakeUpstream, path: &str, body: &Value) -> Got {
    read(send(upstream, "POST", path, body.to_string()).await).await
}

fn chat(stream: bool, script: Value) -> Value {
    json!({"model": "gpt-x", "messages": [{"role": "user", "content": "one two three"}], "stream": stream,
           "user": "u-1", "x_fake": script})
}

fn asking(script: Value) -> Value {
    let mut body = chat(true, script);
    body["stream_options"] = json!({"include_usage": true});
    body
}

/// Plays one chat body against a new upstream and gives the answer with its log row.
async fn played(body: Value) -> (Got, SeenRequest) {
    let upstream = FakeUpstream::start().await;
    let got = post(&upstream, "/v1/chat/completions", &body).await;
    let seen = upstream.wait_for_end(1, SOON).await.expect("the request is over");
    (got, seen)
}

fn stream_text(chunks: usize) -> String {
    ["alpha", " beta", " gamma", " delta", " epsilon", " zeta", " eta", " theta"][..chunks].concat()
}

#[tokio::test]
async fn a_plain_answer_reports_words_and_chunks() {
    let (got, seen) = played(chat(false, json!({"chunks": 5, "cached_tokens": 2, "reasoning_tokens": 1}))).await;
    let body = got.json();
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(got.headers["x-ratelimit-limit-requests"], "77777");
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["choices"][0]["message"]["content"], stream_text(5));
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    let usage = &body["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(3), &json!(5)));
    assert_eq!(usage["total_tokens"], 8);
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 2);
    assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 1);
    assert_eq!(seen.usage_told.as_ref(), Some(usage));
    assert!(seen.finished && seen.usage_delivered && !seen.client_gone);
    assert_eq!((seen.chunks_sent, seen.bytes_written), (5, got.body.len() as u64));
    assert_eq!(seen.authorized_with.as_deref(), Some("sk-upstream"));
    assert_eq!((seen.user.as_deref(), seen.model.as_deref()), (Some("u-1"), Some("gpt-x")));
    assert_eq!(seen.header_names, ["authorization", "content-length", "host"]);
}

#[tokio::test]
async fn a_stream_that_asked_says_null_until_the_usage_chunk() {
    let (got, seen) = played(asking(json!({}))).await;
    let chunks = got.chunks();
    assert_eq!(got.headers["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(chunks.len(), 1 + 8 + 1 + 1);
    let (last, others) = chunks.split_last().unwrap();
    assert!(others.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null)));
    assert_eq!(last["choices"], json!([]));
    assert_eq!(Some(&last["usage"]), seen.usage_told.as_ref());
    assert_eq!(got.text(), stream_text(8));
    assert!(got.body.ends_with("data: [DONE]\n\n"));
    assert_eq!(got.ended, Ended::Properly);
    assert!(seen.finished && seen.usage_delivered && seen.stream && seen.include_usage);
    assert_eq!((seen.chunks_sent, seen.bytes_written), (8, got.body.len() as u64));
}

#[tokio::test]
async fn a_stream_that_did_not_ask_has_no_usage_at_all() {
    let (got, seen) = played(chat(true, json!({"chunks": 2}))).await;
    assert!(!got.body.contains("usage"));
    assert!(got.chunks().iter().all(|chunk| chunk["choices"][0].is_object()));
    assert_eq!((seen.usage_told, seen.usage_delivered, seen.finished), (None, false, true));
}

#[tokio::test]
async fn a_stall_keeps_the_connection_and_says_nothing_more() {
    let upstream = FakeUpstream::start().await;
    let body = asking(json!({"fault": "stall", "at": 3})).to_string();
    let got = read_for(send(&upstream, "POST", "/v1/chat/completions", body).await, SHORT * 5).await;
    let seen = upstream.requests().remove(0);
    assert_eq!((got.ended, seen.chunks_sent), (Ended::StillOpen, 3));
    assert!(!seen.finished && !seen.over && !seen.usage_delivered);
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    for script in [json!({"fault": "stall", "at": 2}), json!({"chunks": 100_000, "gap_ms": 5})] {
        let upstream = FakeUpstream::start().await;
        let mut response = send(&upstream, "POST", "/v1/chat/completions", asking(script).to_string()).await;
        response.body_mut().frame().await.unwrap().unwrap();
        drop(response);
        let seen = upstream.wait_for_end(1, SOON).await.expect("noticed");
        assert!(seen.client_gone && !seen.finished);
    }
}

#[tokio::test]
async fn a_client_that_gives_up_before_any_answer_is_noticed() {
    let upstream = FakeUpstream::start().await;
    let body = chat(false, json!({"fault": "never_answer"})).to_string();
    let sent = tokio::time::timeout(SHORT, send(&upstream, "POST", "/v1/chat/completions", body)).await;
    assert!(sent.is_err(), "nothing may be answered");
    let seen = upstream.wait_for_end(1, SOON).await.expect("noticed");
    assert!(seen.client_gone);
    assert_eq!(seen.status, 0);
}

#[tokio::test]
async fn a_cut_breaks_the_body_after_its_chunks() {
    for at in [0, 3] {
        let (got, seen) = played(asking(json!({"fault": {"kind": "cut", "at": at}}))).await;
        assert_eq!((got.ended, got.text()), (Ended::Broken, stream_text(at)));
        assert_eq!(seen.chunks_sent, at as u64);
        assert!(seen.over && !seen.finished && !seen.client_gone && seen.usage_told.is_some() && !seen.usage_delivered);
    }
    let (got, seen) = played(chat(false, json!({"fault": "cut"}))).await;
    assert_eq!(got.ended, Ended::Broken);
    assert!(got.headers["content-length"].to_str().unwrap().parse::<usize>().unwrap() > got.body.len());
    assert!(!seen.finished && !seen.client_gone);
}

#[tokio::test]
async fn a_clean_cut_ends_the_body_without_finish_reason_usage_or_marker() {
    let (got, seen) = played(asking(json!({"fault": "clean_cut", "at": 3}))).await;
    assert_eq!((got.ended, got.text()), (Ended::Properly, stream_text(3)));
    assert!(got.chunks().iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()));
    assert!(!got.body.contains("[DONE]") && seen.finished && !seen.usage_delivered);
    let (got, _) = played(chat(false, json!({"fault": "clean_cut"}))).await;
    assert_eq!(got.ended, Ended::Properly);
    assert!(serde_json::from_str::<Value>(&got.body).is_err());
}

#[tokio::test]
async fn an_error_mid_stream_is_the_last_event() {
    let (got, _) = played(asking(json!({"fault": "error_mid_stream", "at": 2}))).await;
    let chunks = got.chunks();
    assert_eq!((got.ended, chunks.len()), (Ended::Properly, 1 + 2 + 1));
    assert_eq!(chunks[3]["error"]["type"], "server_error");
    assert!(!got.body.contains("[DONE]"));
}

#[tokio::test]
async fn a_status_comes_with_the_dialects_error_body() {
    for (status, code) in [(429, json!("rate_limit_exceeded")), (500, Value::Null), (503, json!("server_overloaded"))] {
        let (got, seen) = played(asking(json!({"fault": "status", "status": status, "retry_after": "7"}))).await;
        assert_eq!(got.status.as_u16(), status);
        assert_eq!(got.json()["error"]["code"], code);
        assert_eq!(got.headers.contains_key("retry-after"), status == 429);
        assert_eq!((seen.status, seen.usage_told), (status, None));
    }
}

#[tokio::test]
async fn a_web_page_and_an_empty_body_come_with_200() {
    let (got, _) = played(chat(false, json!({"fault": "html"}))).await;
    assert_eq!((got.status.as_u16(), got.headers["content-type"].as_bytes()), (200, &b"text/html; charset=utf-8"[..]));
    for stream in [false, true] {
        let (got, seen) = played(chat(stream, json!({"fault": "empty"}))).await;
        assert_eq!((got.status.as_u16(), got.body.as_str(), got.ended), (200, "", Ended::Properly));
        assert!(seen.finished);
    }
}

#[tokio::test]
async fn no_usage_is_told_where_the_script_forbids_it() {
    let (got, seen) = played(asking(json!({"fault": "no_usage"}))).await;
    assert!(!got.body.contains("prompt_tokens") && got.body.ends_with("[DONE]\n\n"));
    assert_eq!(seen.usage_told, None);
    let (got, _) = played(chat(false, json!({"fault": "no_usage"}))).await;
    assert_eq!(got.json().get("usage"), None);
}

#[tokio::test]
async fn a_lie_about_usage_is_told_to_the_last_byte() {
    for lie in [r#"{"prompt_tokens":-5,"x":1.50}"#, r#"{"prompt_tokens":99999999999999999999999}"#, r#""lots""#, "null"]
    {
        let upstream = FakeUpstream::start().await;
        for stream in ["true", "false"] {
            let body = format!(
                r#"{{"model":"m","messages":[{{"content":"a"}}],"stream":{stream},"stream_options":{{"include_usage":true}},"x_fake":{{"usage":{lie}}}}}"#
            );
            let got = read(send(&upstream, "POST", "/v1/chat/completions", body).await).await;
            if lie != "null" {
                assert!(got.body.contains(&format!(r#""usage":{lie}"#)), "{lie} in {}", got.body);
            }
        }
    }
}

#[tokio::test]
async fn a_list_of_usages_is_told_chunk_by_chunk() {
    let list = json!([{"completion_tokens": 9}, {"completion_tokens": 4}]);
    let (got, seen) = played(asking(json!({"chunks": 2, "usage": list}))).await;
    let counts: Vec<_> = got.chunks().iter().filter_map(|chunk| chunk["usage"]["completion_tokens"].as_u64()).collect();
    assert_eq!(counts, [9, 4, 4]);
    assert_eq!(seen.usage_told, Some(json!({"completion_tokens": 4})));
}

#[tokio::test]
async fn usage_may_come_twice_or_unasked() {
    let (got, _) = played(asking(json!({"usage_twice": true}))).await;
    assert_eq!(got.chunks().iter().filter(|chunk| chunk["usage"].is_object()).count(), 2);
    let (got, seen) = played(chat(true, json!({"usage_unasked": true}))).await;
    let last = got.chunks().pop().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert_eq!(Some(&last["usage"]), seen.usage_told.as_ref());
    assert!(seen.usage_delivered);
}

#[tokio::test]
async fn quoted_usage_stays_inside_the_text() {
    let (got, seen) = played(asking(json!({"quote_usage": true}))).await;
    assert!(got.text().contains("\"usage\":{\"prompt_tokens\":999999") && got.text().contains("data: [DONE]\n\n"));
    assert_eq!(got.events().iter().filter(|event| **event == "[DONE]").count(), 1);
    assert_eq!(seen.usage_told.unwrap()["prompt_tokens"], 3);
}

#[tokio::test]
async fn finish_reason_and_model_follow_the_script() {
    let (got, _) = played(chat(true, json!({"finish_reason": "content_filter", "answer_model": "m-2"}))).await;
    let last = got.chunks().pop().unwrap();
    assert_eq!((&last["choices"][0]["finish_reason"], &last["model"]), (&json!("content_filter"), &json!("m-2")));
}

#[tokio::test]
async fn an_output_maximum_shortens_the_answer() {
    let mut body = chat(false, json!({}));
    body["max_tokens"] = json!(3);
    let (got, _) = played(body).await;
    assert_eq!(got.json()["usage"]["completion_tokens"], 3);
    assert_eq!(got.json()["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn one_byte_writes_add_up_to_the_same_stream() {
    let (slow, _) = played(asking(json!({"one_byte": true, "chunks": 2}))).await;
    let (fast, _) = played(asking(json!({"chunks": 2}))).await;
    assert_eq!(slow.body, fast.body);
    assert!(slow.frames.len() > fast.frames.len() * 10, "{} and {} frames", slow.frames.len(), fast.frames.len());
}

#[tokio::test]
async fn lines_may_end_in_crlf_and_comments_may_stand_between() {
    let (got, _) = played(asking(json!({"crlf": true, "comments": true, "chunks": 2}))).await;
    assert!(!got.body.replace("\r\n", "").contains('\n'));
    assert_eq!(got.body.matches(": keep-alive\r\n\r\n").count(), 2);
    assert!(got.body.ends_with("data: [DONE]\r\n\r\n"));
}

#[tokio::test]
async fn a_redirect_points_to_a_logged_path() {
    let upstream = FakeUpstream::start().await;
    let got = post(&upstream, "/v1/chat/completions", &chat(false, json!({"redirect": true}))).await;
    assert_eq!(got.status, StatusCode::FOUND);
    assert_eq!(got.headers["location"], format!("{}/v1/redirected", upstream.base_url()));
    let got = post(&upstream, "/v1/chat/completions", &chat(false, json!({"redirect": "http://elsewhere/"}))).await;
    assert_eq!(got.headers["location"], "http://elsewhere/");
}

#[tokio::test]
async fn big_answers_are_padded_to_size() {
    let size = 9 * 1024 * 1024;
    let (got, seen) = played(chat(false, json!({"chunks": 1, "big_bytes": size}))).await;
    assert_eq!(got.json()["choices"][0]["message"]["content"].as_str().unwrap().len(), size);
    assert!(seen.finished);
}

#[tokio::test]
async fn delays_are_kept() {
    let begun = tokio::time::Instant::now();
    let (got, _) = played(asking(json!({"chunks": 4, "gap_ms": 20, "first_delay_ms": 40}))).await;
    assert!(begun.elapsed() >= Duration::from_millis(40 + 3 * 20));
    assert!(got.frames.len() >= 4, "chunks with gaps arrive by themselves");
}

#[tokio::test]
async fn legacy_completions_are_answered_both_ways() {
    let upstream = FakeUpstream::start().await;
    let mut body = json!({"model": "m", "prompt": "one two", "x_fake": {"chunks": 2}});
    let plain = post(&upstream, "/v1/completions", &body).await.json();
    assert_eq!((&plain["object"], &plain["choices"][0]["text"]), (&json!("text_completion"), &json!("alpha beta")));
    assert_eq!(plain["usage"]["total_tokens"], 4);
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let chunks = post(&upstream, "/v1/completions", &body).await.chunks();
    assert_eq!(chunks[1]["choices"][0]["text"], " beta");
    assert_eq!((&chunks[3]["choices"], &chunks[3]["usage"]["completion_tokens"]), (&json!([]), &json!(2)));
}

#[tokio::test]
async fn embeddings_have_one_vector_for_each_input_and_no_output_count() {
    let upstream = FakeUpstream::start().await;
    let mut body = json!({"model": "m", "input": ["one two", "three"], "dimensions": 4});
    let plain = post(&upstream, "/v1/embeddings", &body).await.json();
    assert_eq!(plain["usage"], json!({"prompt_tokens": 3, "total_tokens": 3}));
    assert_eq!(plain["data"][1]["embedding"].as_array().unwrap().len(), 4);
    body["encoding_format"] = json!("base64");
    let coded = post(&upstream, "/v1/embeddings", &body).await.json();
    assert_eq!(coded["data"][0]["embedding"].as_str().unwrap().len(), 24);
}

#[tokio::test]
async fn models_are_listed_and_missing_ones_are_404() {
    let upstream = FakeUpstream::start().await;
    let list = read(send(&upstream, "GET", "/v1/models", "").await).await.json();
    assert_eq!(list["data"][0]["id"], "demo-model");
    assert_eq!(read(send(&upstream, "GET", "/v1/models/any", "").await).await.json()["id"], "any");
    let missing = post(&upstream, "/v1/chat/completions", &json!({"model": "no-such-model", "messages": [{}]})).await;
    assert_eq!(
        (missing.status, missing.json()["error"]["code"].as_str()),
        (StatusCode::NOT_FOUND, Some("model_not_found"))
    );
    assert_eq!(read(send(&upstream, "GET", "/elsewhere", "").await).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_body_that_no_provider_takes_is_400_and_logged() {
    let upstream = FakeUpstream::start().await;
    let bodies =
        ["{", r#"{"model":"a","model":"b","messages":[{}]}"#, r#"{"messages":[{}]}"#, r#"{"model":"a","messages":[]}"#];
    for body in bodies {
        let got = read(send(&upstream, "POST", "/v1/chat/completions", body).await).await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(got.json()["error"]["type"], "invalid_request_error");
    }
    let got = post(&upstream, "/v1/chat/completions", &chat(false, json!({"chunsk": 1}))).await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST, "a misspelt script");
    assert_eq!(upstream.count(), bodies.len() as u64 + 1);
}

#[tokio::test]
async fn the_demo_model_says_what_it_is() {
    let upstream = FakeUpstream::start().await;
    let body = json!({"model": "demo-model", "messages": [{"content": "hi"}]});
    let answer = post(&upstream, "/v1/chat/completions", &body).await.json();
    assert!(answer["choices"][0]["message"]["content"].as_str().unwrap().contains("scripted upstream"));
    assert!(answer["usage"]["completion_tokens"].as_u64().unwrap() > 20);
}

#[tokio::test]
async fn the_log_is_read_over_http_and_forgotten_on_reset() {
    let upstream = FakeUpstream::start().await;
    for _ in 0..3 {
        post(&upstream, "/v1/chat/completions", &chat(false, json!({}))).await;
    }
    let count = read(send(&upstream, "GET", "/__fake/count", "").await).await.json();
    assert_eq!(count, json!({"count": 3}));
    let rows = read(send(&upstream, "GET", "/__fake/requests?since=1", "").await).await.json();
    assert_eq!(rows.as_array().unwrap().iter().map(|row| row["n"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(upstream.last_body().unwrap(), chat(false, json!({})).to_string().into_bytes());
    read(send(&upstream, "POST", "/__fake/reset", "").await).await;
    assert_eq!((upstream.count(), upstream.requests().len()), (0, 0));
}

#[tokio::test]
async fn a_servers_own_script_plays_for_requests_without_one() {
    let script = Script::parse(br#"{"status":503,"times":1}"#).unwrap();
    let upstream =
        FakeUpstream::start_with(Defaults { script: Some(script), chunks: Some(2), ..Defaults::default() }).await;
    let body = json!({"model": "m", "messages": [{"content": "hi"}]});
    assert_eq!(post(&upstream, "/v1/chat/completions", &body).await.status.as_u16(), 503);
    let healthy = post(&upstream, "/v1/chat/completions", &body).await;
    assert_eq!(healthy.json()["usage"]["completion_tokens"], 2);
    upstream.set_script(&json!({"fault": "html"})).unwrap();
    assert!(post(&upstream, "/v1/chat/completions", &body).await.body.starts_with("<!DOCTYPE"));
    assert!(upstream.set_script(&json!({"faul": 1})).is_err());
}

#[tokio::test]
async fn a_dropped_upstream_closes_its_connections() {
    let upstream = FakeUpstream::start().await;
    let address = upstream.address();
    let body = asking(json!({"fault": "stall", "at": 1})).to_string();
    let response = send(&upstream, "POST", "/v1/chat/completions", body).await;
    drop(upstream);
    assert_eq!(read(response).await.ended, Ended::Broken);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_at_once_are_all_told_and_logged() {
    let upstream = std::sync::Arc::new(FakeUpstream::start().await);
    let streams: Vec<_> = (0..1000)
        .map(|_| {
            let upstream = std::sync::Arc::clone(&upstream);
            tokio::spawn(async move {
                post(&upstream, "/v1/chat/completions", &asking(json!({"chunks": 20, "gap_ms": 5}))).await.ended
            })
        })
        .collect();
    for stream in streams {
        assert_eq!(stream.await.unwrap(), Ended::Properly);
    }
    let rows = upstream.requests();
    assert_eq!(rows.len(), 1000);
    assert!(rows.iter().all(|row| row.finished && row.usage_delivered && row.chunks_sent == 20));
}

#[tokio::test]
async fn a_tool_call_is_whole_in_a_plain_answer_and_in_parts_in_a_stream() {
    let script = json!({"chunks": 4, "tool_call": {"name": "weather", "arguments": {"city": "Åre"}}});
    let (got, _) = played(chat(false, script.clone())).await;
    let choice = got.json()["choices"][0].clone();
    assert_eq!((&choice["finish_reason"], &choice["message"]["content"]), (&json!("tool_calls"), &Value::Null));
    assert_eq!(choice["message"]["tool_calls"][0]["function"]["arguments"], r#"{"city":"Åre"}"#);
    let (got, _) = played(chat(true, script)).await;
    let chunks = got.chunks();
    let parts: Vec<_> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str())
        .collect();
    assert_eq!((parts.len(), parts.concat()), (4, r#"{"city":"Åre"}"#.to_owned()));
}
