//! Streams of every dialect: whole, cut off, in error, and left by their client.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;

use super::{bodies, gateway};
use crate::harness::Harness;

/// What the last bytes of a whole stream of an endpoint look like.
fn clean_end(path: &str) -> &'static str {
    match path {
        "/v1/chat/completions" => "data: [DONE]\n\n",
        "/v1/responses" => "response.completed",
        "/v1/messages" => "data: {\"type\":\"message_stop\"}\n\n",
        "/v1beta/interactions" => "interaction.completed",
        "/v2/chat" => "message-end",
        _ if path.starts_with("/api/") => "\"done\":true",
        _ if path.contains("alt=sse") => "STOP",
        _ if path.contains("converse") => "messageStop",
        _ => "]",
    }
}

#[tokio::test]
async fn a_stream_passes_as_it_came() {
    let harness = gateway("").await;
    for call in bodies::streamed() {
        for script in [json!({ "chunks": 4 }), json!({ "chunks": 4, "one_byte": true })] {
            let response = call.request(&harness, script).send().await.unwrap();
            assert_eq!(response.status(), 200, "{}", call.path);
            let bytes = response.bytes().await.unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert!(text.contains("alpha") && text.contains("delta"), "{}: {text}", call.path);
            assert!(text.contains(clean_end(call.path)), "{}: {text}", call.path);
        }
    }
}

#[tokio::test]
async fn every_answer_is_booked_as_its_usage_says_plain_and_streamed() {
    let harness = gateway("").await;
    let plain = bodies::plain().into_iter().map(|call| (call, false));
    for (call, stream) in plain.chain(bodies::streamed().into_iter().map(|call| (call, true))) {
        let answer = call.send(&harness, json!({ "chunks": 6 })).await;
        let view = harness.booked(&answer.request_id()).await;
        assert_eq!(
            (&view["outcome"], &view["usage_source"], &view["stream"], &view["flags"]),
            (&json!("complete"), &json!("provider_final"), &json!(stream), &json!([])),
            "{}: {view}",
            call.path
        );
        let usage = &view["lines"][0]["usage"];
        assert_eq!((&usage["input_uncached"], &usage["output"]), (&json!(3), &json!(6)), "{}: {view}", call.path);
        // 3 x 1 + 6 x 5 micro-dollars, and a quarter on top.
        assert_eq!(
            (&view["cost_usd"], &view["charge_usd"]),
            (&json!("0.000033000"), &json!("0.000041250")),
            "{}",
            call.path
        );
        assert_eq!(answer.header("x-tollgate-charge-usd"), Some("0.000041250").filter(|_| !stream), "{}", call.path);
    }
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_stream_that_breaks_off_never_ends_cleanly_in_any_dialect() {
    let harness = gateway("").await;
    for call in bodies::streamed() {
        for fault in ["cut", "clean_cut"] {
            let script = json!({ "chunks": 10, "fault": fault, "at": 4 });
            let response = call.request(&harness, script).send().await.unwrap();
            let request_id = response.headers()["x-tollgate-request-id"].to_str().unwrap().to_owned();
            let mut body = response.bytes_stream();
            let (mut text, mut broken) = (String::new(), false);
            while let Some(chunk) = body.next().await {
                match chunk {
                    Ok(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
                    Err(_) => broken = true,
                }
            }
            let told = broken || text.contains("ended the stream early");
            assert!(told, "{} {fault}: {text}", call.path);
            // Its SDK reads no event without a type.
            let typed = call.path != "/v1beta/interactions" || text.contains(r#"{"event_type":"error","error":{"#);
            assert!(typed, "{fault}: {text}");
            assert!(!text.trim_end().ends_with(clean_end(call.path).trim_end()), "{} {fault}: {text}", call.path);
            let view = harness.booked(&request_id).await;
            assert_eq!(view["outcome"], "truncated", "{} {fault}: {view}", call.path);
            assert!(view["lines"][0]["usage"]["output"].as_u64().unwrap() > 0, "{} {fault}: {view}", call.path);
        }
    }
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn an_interaction_that_breaks_off_ends_with_an_error_as_its_sdk_types_it() {
    let harness = gateway("").await;
    let call = bodies::streamed().into_iter().find(|call| call.endpoint == "/v1beta/interactions").unwrap();
    let answer = call.send(&harness, json!({ "chunks": 10, "fault": "clean_cut", "at": 4 })).await;
    let last = answer.text.trim_end().rsplit("\n\n").next().unwrap();
    let data = last.strip_prefix("event: error\ndata: ").unwrap_or_else(|| panic!("{last}"));
    let event: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!((&event["event_type"], &event["error"]["code"]), (&json!("error"), &json!("upstream_truncated")));
    assert!(event["error"]["message"].as_str().unwrap().contains("early"), "{data}");
}

#[tokio::test]
async fn an_error_inside_a_stream_is_booked_as_one_in_any_dialect() {
    let harness = gateway("").await;
    for call in bodies::streamed() {
        let script = json!({ "chunks": 10, "fault": "error_mid_stream", "at": 4 });
        let response = call.request(&harness, script).send().await.unwrap();
        let request_id = response.headers()["x-tollgate-request-id"].to_str().unwrap().to_owned();
        let mut body = response.bytes_stream();
        let mut bytes = Vec::new();
        while let Some(Ok(chunk)) = body.next().await {
            bytes.extend_from_slice(&chunk);
        }
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.trim_end().ends_with(clean_end(call.path).trim_end()), "{}: {text}", call.path);
        assert_eq!(harness.booked(&request_id).await["outcome"], "error_mid_stream", "{}", call.path);
    }
}

/// Leaves each stream after its first bytes; gives the books' words and whether the upstream was told to stop.
async fn left(harness: &Harness) -> Vec<(&'static str, serde_json::Value, bool)> {
    let mut found = Vec::new();
    for (number, call) in (1..).zip(bodies::streamed()) {
        let script = json!({ "chunks": 30, "gap_ms": 15 });
        let response = call.request(harness, script).send().await.unwrap();
        let request_id = response.headers()["x-tollgate-request-id"].to_str().unwrap().to_owned();
        let mut body = response.bytes_stream();
        for _ in 0..4 {
            body.next().await;
        }
        drop(body);
        let view = harness.booked(&request_id).await;
        let seen = harness.upstream.wait_for_end(number, Duration::from_secs(5)).await.unwrap();
        found.push((call.path, view, seen.client_gone));
    }
    found
}

#[tokio::test]
async fn a_client_that_hangs_up_is_billed_for_what_was_used_in_any_dialect() {
    let harness = gateway("on_disconnect = \"drain\"").await;
    for (path, view, told) in left(&harness).await {
        assert_eq!(
            (&view["outcome"], &view["usage_source"], &view["lines"][0]["usage"]["output"], told),
            (&json!("client_disconnect"), &json!("provider_final"), &json!(30), false),
            "{path}: {view}"
        );
    }
}

#[tokio::test]
async fn where_reading_on_is_switched_off_every_dialect_stops_its_upstream() {
    let harness = gateway("on_disconnect = \"cancel\"").await;
    for (path, view, told) in left(&harness).await {
        assert_eq!((&view["outcome"], told), (&json!("client_disconnect"), true), "{path}: {view}");
        assert_ne!(view["usage_source"], "provider_final", "{path}: {view}");
        let output = view["lines"][0]["usage"]["output"].as_u64().unwrap();
        assert!((1..30).contains(&output), "{path}: {view}");
    }
}

#[tokio::test]
async fn reading_on_is_bounded_in_time_in_every_dialect() {
    let harness = gateway("drain_ms_max = 50").await;
    for call in bodies::streamed() {
        let response = call.request(&harness, json!({ "chunks": 10, "fault": "stall", "at": 3 })).send().await.unwrap();
        let request_id = response.headers()["x-tollgate-request-id"].to_str().unwrap().to_owned();
        let mut body = response.bytes_stream();
        body.next().await;
        drop(body);
        let view = harness.booked(&request_id).await;
        assert_eq!(view["outcome"], "client_disconnect", "{}: {view}", call.path);
        assert_ne!(view["usage_source"], "provider_final", "{}: {view}", call.path);
    }
}

#[tokio::test]
async fn counting_is_free_and_what_is_no_token_is_counted_as_what_it_is() {
    let harness = gateway("").await;
    for call in bodies::others().into_iter().chain([bodies::reranked_elsewhere()]) {
        let answer = call.send(&harness, json!({})).await;
        let view = harness.booked(&answer.request_id()).await;
        let free = json!("0.000000000");
        let usage = &view["lines"][0]["usage"];
        match call.endpoint {
            path if path.contains("ount") => {
                assert_eq!(
                    (&view["charge_usd"], &view["counters"]),
                    (&free, &json!({ "counted_input_tokens": 3 })),
                    "{path}"
                );
            }
            path if path.contains("rerank") => assert_eq!(view["counters"], json!({ "rerank_units": 1 }), "{path}"),
            "/v1/moderations" => assert_eq!(view["outcome"], "complete", "{view}"),
            "/v1/images/generations" => assert_eq!(usage["output"], 272, "{view}"),
            path if path.contains("EmbedContent") || path.contains("embedContent") => {
                assert_eq!(view["usage_source"], "estimated", "{path}: {view}");
                assert!(usage["input_uncached"].as_u64().unwrap() > 0, "{path}: {view}");
            }
            path => assert_eq!((&usage["input_uncached"], &usage["output"]), (&json!(3), &json!(0)), "{path}: {view}"),
        }
    }
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn speech_passes_as_sound_and_is_counted_in_characters() {
    let harness = gateway("").await;
    let body = json!({ "model": "openai-model", "voice": "alloy", "input": "né Ω 🧮" });
    let response = harness.request("/v1/audio/speech", &body).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()), (200, "audio/mpeg"));
    let request_id = response.headers()["x-tollgate-request-id"].to_str().unwrap().to_owned();
    assert_eq!(response.bytes().await.unwrap().as_ref(), [0xff, 0xf3, 0x44, 0xc4, 0, 1, 2]);
    let view = harness.booked(&request_id).await;
    assert_eq!(
        (&view["counters"], &view["usage_source"], &view["cost_usd"]),
        (&json!({ "characters": 6 }), &json!("counted_units"), &json!("0.000090000")),
        "{view}"
    );
}
