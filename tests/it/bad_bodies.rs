//! Answers of status 200 that are not what was asked for: recorded as what they are, never metered from what cannot be read.

use serde_json::{Value, json};

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
