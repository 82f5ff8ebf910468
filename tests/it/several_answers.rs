//! Several answers at once: one that ended does not make the others whole.

use serde_json::{Value, json};

use crate::{harness::chat, raw::RawUpstream};

const EVENTS: &str = "content-type: text/event-stream";
const PROMPT: &str = r#"[{"role":"user","parts":[{"text":"hello there"}]}]"#;

fn choice(number: u64, finish: Option<&str>) -> String {
    let event = json!({ "model": "demo-model", "choices": [{ "index": number, "delta": { "content": "alpha" }, "text": "alpha", "finish_reason": finish }] });
    format!("data: {event}\n\n")
}

fn candidate(number: u64, finish: Option<&str>) -> String {
    let finish = finish.map(|word| format!(",\"finishReason\":\"{word}\"")).unwrap_or_default();
    // The number 0 is left out, as defaults are.
    let index = if number == 0 { String::new() } else { format!(",\"index\":{number}") };
    format!(
        r#"{{"candidates":[{{"content":{{"parts":[{{"text":"alpha"}}]}}{finish}{index}}}],"usageMetadata":{{"promptTokenCount":5,"candidatesTokenCount":2,"totalTokenCount":7}}}}"#
    )
}

fn assert_truncated(view: &Value, how: &str) {
    assert_eq!(view["outcome"], "truncated", "{how}: {view}");
    assert_ne!(view["usage_source"], "provider_final", "{how}: {view}");
}

#[tokio::test]
async fn a_stream_that_ends_inside_one_of_several_choices_is_truncated_and_the_client_is_told() {
    let upstream = RawUpstream::start().await;
    let two = chat(json!({ "model": "openai", "stream": true, "n": 2 }));
    let prompts = json!({ "model": "openai", "stream": true, "prompt": ["one", "two"] });
    for (path, request) in [("/v1/chat/completions", &two), ("/v1/completions", &prompts)] {
        // One after the other, and in turn; the end of the first told twice.
        for told in [[(0, false), (0, true), (1, false)], [(1, false), (0, true), (0, true)]] {
            let body: String = told.map(|(number, ends)| choice(number, ends.then_some("stop"))).concat();
            let (answer, view) = upstream.call(path, request, EVENTS, body.as_bytes()).await;
            assert!(answer.text.starts_with(&body) && answer.text.contains("upstream_truncated"), "{}", answer.text);
            assert_truncated(&view, path);

            let whole = body + &choice(1, Some("stop"));
            let (answer, view) = upstream.call(path, request, EVENTS, whole.as_bytes()).await;
            assert_eq!((answer.text, &view["outcome"]), (whole, &json!("complete")));
        }
        // A server that gives one answer only says in another way that nothing is missing.
        let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n";
        for end in ["data: [DONE]\n\n", usage] {
            let body = choice(0, Some("stop")) + end;
            let (answer, view) = upstream.call(path, request, EVENTS, body.as_bytes()).await;
            assert!(!answer.text.contains("upstream_truncated"), "{}", answer.text);
            assert_eq!(view["outcome"], "complete");
        }
    }
}

#[tokio::test]
async fn ends_of_choices_are_counted_in_the_fast_lane_too() {
    let upstream = RawUpstream::start().await;
    let three = chat(json!({ "model": "openai", "stream": true, "n": 3 }));
    // The number has varied before, so that what ends differs from its neighbour in nothing else.
    let started: String = (0..3).chain(0..3).map(|number| choice(number, None)).collect();
    for (ended, outcome) in [(2, "truncated"), (3, "complete")] {
        let body = (0..ended).map(|number| choice(number, Some("stop"))).fold(started.clone(), |body, end| body + &end);
        let (_, view) = upstream.call("/v1/chat/completions", &three, EVENTS, body.as_bytes()).await;
        assert_eq!(view["outcome"], outcome, "{ended} of 3 ended");
    }
}

#[tokio::test]
async fn a_gemini_stream_that_ends_inside_one_of_several_candidates_is_truncated() {
    let upstream = RawUpstream::start().await;
    let request: Value =
        serde_json::from_str(&format!(r#"{{"contents":{PROMPT},"generationConfig":{{"candidateCount":2}}}}"#)).unwrap();
    let path = "/v1beta/models/gemini:streamGenerateContent?alt=sse";
    let cut = format!("data: {}\n\ndata: {}\n\n", candidate(0, Some("STOP")), candidate(1, None));
    let (answer, view) = upstream.call(path, &request, EVENTS, cut.as_bytes()).await;
    assert!(answer.text.starts_with(&cut) && answer.text.contains("\"error\""), "{}", answer.text);
    assert_truncated(&view, "candidates");

    let whole = format!("{cut}data: {}\n\n", candidate(1, Some("STOP")));
    let (answer, view) = upstream.call(path, &request, EVENTS, whole.as_bytes()).await;
    assert_eq!((answer.text, &view["outcome"]), (whole, &json!("complete")));
}

#[tokio::test]
async fn an_array_that_is_not_closed_breaks_off_whatever_its_last_element_says() {
    let upstream = RawUpstream::start().await;
    let request: Value = serde_json::from_str(&format!(r#"{{"contents":{PROMPT}}}"#)).unwrap();
    let path = "/v1beta/models/gemini:streamGenerateContent";
    let element = candidate(0, Some("STOP"));
    for (body, is_whole) in [
        (format!("[{element}"), false),
        (format!("[{element},\n"), false),
        (format!("[{element}]"), true),
        (element, true),
    ] {
        let headers = "content-type: application/json\r\ntransfer-encoding: chunked";
        let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        let head_and_body = upstream.send(path, &request, headers, chunked.as_bytes()).await;
        let request_id = head_and_body.headers()["x-tollgate-request-id"].to_str().unwrap().to_owned();
        let read = head_and_body.text().await;
        assert_eq!(read.is_ok(), is_whole, "{body}: {read:?}");
        let view = upstream.harness.booked(&request_id).await;
        assert_eq!(view["outcome"], if is_whole { "complete" } else { "truncated" }, "{body}");
        assert_eq!(view["lines"][0]["usage"]["output"], 2, "{body}");
    }
}
