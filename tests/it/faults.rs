//! Upstreams that fail, break off and lie: told to the client, recorded as what they were, never a clean end.

use serde_json::{Value, json};

use crate::harness::Harness;

async fn outcome_of(harness: &Harness, extra: Value) -> (crate::harness::Answer, Value) {
    let answer = harness.chat(extra).await;
    let view = harness.booked(&answer.request_id()).await;
    (answer, view)
}

#[tokio::test]
async fn a_stream_that_breaks_off_never_ends_cleanly_and_is_estimated() {
    let harness = Harness::start().await;
    for fault in ["cut", "clean_cut"] {
        let (answer, view) =
            outcome_of(&harness, json!({ "stream": true, "x_fake": { "chunks": 10, "fault": fault, "at": 4 } })).await;
        assert!(!answer.text.contains("[DONE]"), "{fault}: {}", answer.text);
        assert!(answer.text.contains("upstream_truncated"), "{fault}: {}", answer.text);
        assert_eq!((&view["outcome"], &view["usage_source"]), (&json!("truncated"), &json!("estimated")), "{fault}");
        let line = &view["lines"][0];
        let told = |name: &str| line["output_estimate"][name].as_u64().unwrap();
        assert_eq!(
            (told("bytes"), told("sample_tokens")),
            (told("sample_bytes"), line["usage"]["output"].as_u64().unwrap())
        );
        assert!(told("sample_tokens") > 0, "{line}");
        assert_ne!(view["charge_usd"], "0.000000000");
    }
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn an_error_inside_a_stream_reaches_the_client_and_the_books() {
    let harness = Harness::start().await;
    let (answer, view) =
        outcome_of(&harness, json!({ "stream": true, "x_fake": { "fault": "error_mid_stream", "at": 2 } })).await;
    assert!(answer.text.contains("\"error\"") && !answer.text.contains("[DONE]"), "{}", answer.text);
    assert_eq!(view["outcome"], "error_mid_stream");
}

#[tokio::test]
async fn an_upstream_error_keeps_its_class_and_costs_nothing() {
    let harness = Harness::start().await;
    for (status, expected, outcome) in [
        (429, 429, "rate_limited"),
        (500, 500, "upstream_error"),
        (503, 503, "upstream_error"),
        (400, 400, "upstream_error"),
        (401, 502, "upstream_error"),
    ] {
        let (answer, view) = outcome_of(&harness, json!({ "x_fake": { "fault": "status", "status": status } })).await;
        assert_eq!(answer.status, expected, "{status}: {}", answer.text);
        assert_eq!(
            (&view["outcome"], &view["usage_source"], &view["charge_usd"]),
            (&json!(outcome), &json!("not_billed"), &json!("0.000000000"))
        );
        assert_ne!(
            answer.header("x-ratelimit-limit-requests"),
            Some("77777"),
            "the upstream's limits describe our account"
        );
        assert!(answer.header("openai-organization").is_none());
        assert!(!answer.text.contains("sk-upstream-secret"));
    }
}

#[tokio::test]
async fn a_refusal_keeps_its_status_and_says_why_whatever_server_stands_in_front_of_the_model() {
    let harness = Harness::start().await;
    let fastapi = json!({ "detail": [{ "type": "missing", "loc": ["body", "messages"], "msg": "Field required" }] });
    let problem = json!({ "type": "urn:x:bad", "title": "Bad", "status": 422, "detail": "n is too large" });
    let mistral = json!({ "object": "error", "message": "no", "type": "invalid", "param": "n", "code": "3051" });
    let both = json!({ "error": { "message": "no", "type": "invalid", "status": "S", "param": ["n"], "code": 7 } });
    for (status, body, told) in [
        (422, fastapi, json!(["body.messages: Field required", "invalid_request_error", null, "upstream_error"])),
        (422, problem, json!(["n is too large", "invalid_request_error", null, "upstream_error"])),
        (400, mistral, json!(["no", "invalid", "n", "3051"])),
        (400, both, json!(["no", "invalid", null, "7"])),
        (
            404,
            json!("<html>nothing here</html>"),
            json!(["The upstream answered with status 404.", "invalid_request_error", null, "upstream_error"]),
        ),
        (
            413,
            json!(""),
            json!(["The upstream answered with status 413.", "invalid_request_error", null, "upstream_error"]),
        ),
        (
            503,
            json!("<html>wait</html>"),
            json!(["The upstream answered with status 503.", "server_error", null, "upstream_error"]),
        ),
    ] {
        let script = json!({ "fault": "status", "status": status, "error_body": body });
        let (answer, view) = outcome_of(&harness, json!({ "x_fake": script })).await;
        let error = &answer.json()["error"];
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_eq!(json!([error["message"], error["type"], error["param"], error["code"]]), told);
        assert_eq!(answer.header("x-should-retry"), Some(if status == 503 { "true" } else { "false" }), "{status}");
        assert_eq!((&view["outcome"], &view["charge_usd"]), (&json!("upstream_error"), &json!("0.000000000")));
    }
}

#[tokio::test]
async fn a_refusal_is_about_our_account_by_its_fields_and_never_by_words_that_a_request_may_have() {
    let harness = Harness::start().await;
    let error = |message: &str, more: Value| {
        let mut error = json!({ "message": message, "type": "invalid_request_error" });
        error.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "error": error })
    };
    let flagged = json!({ "metadata": { "reasons": ["harassment"], "flagged_input": "x" }, "code": 403 });
    for (status, body, expected) in [
        (400, error("Invalid schema for function 'get_billing_info'", json!({})), 400),
        (400, error("arn:aws:bedrock:us-east-1:123456789012:x is not known", json!({})), 400),
        (403, error("Your input was flagged.", flagged), 403),
        (403, error("Not for this account 123456789012.", json!({})), 502),
        (401, error("Not for this account 123456789012.", json!({ "code": "content_filter" })), 502),
        (
            403,
            error("Account 123456789012", json!({ "code": "insufficient_quota", "metadata": { "reasons": [1] } })),
            502,
        ),
        (400, error("Your credit balance is too low for account 123456789012", json!({})), 502),
        (400, error("Account 123456789012", json!({ "code": "billing_not_active" })), 502),
        (500, error("Account 123456789012", json!({ "details": [{ "reason": "BILLING_DISABLED" }] })), 502),
    ] {
        let script = json!({ "fault": "status", "status": status, "error_body": body });
        let (answer, _view) = outcome_of(&harness, json!({ "x_fake": script })).await;
        let code = if expected == 502 { json!("upstream_credentials") } else { answer.error_code() };
        assert_eq!((answer.status, answer.error_code()), (expected, code), "{body}: {}", answer.text);
        assert_eq!(answer.header("x-should-retry"), Some("false"), "{body}");
        assert!(!answer.text.contains("123456789012"), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_body_that_is_not_of_its_dialect_is_recorded_as_what_it_is() {
    let harness = Harness::start().await;
    for fault in ["html", "empty"] {
        for stream in [false, true] {
            let (answer, view) = outcome_of(&harness, json!({ "stream": stream, "x_fake": { "fault": fault } })).await;
            // The head of an event stream has left before its emptiness shows; then an error event says so.
            let told_in_stream = fault == "empty" && stream;
            assert_eq!(
                answer.status,
                if told_in_stream { 200 } else { 502 },
                "{fault}, stream {stream}: {}",
                answer.text
            );
            assert!(answer.text.contains("\"error\""), "{fault}, stream {stream}: {}", answer.text);
            assert_eq!(
                (&view["outcome"], &view["charge_usd"]),
                (&json!("invalid_body"), &json!("0.000000000")),
                "{fault}, stream {stream}"
            );
        }
    }
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let harness = Harness::start().await;
    let (answer, _) = outcome_of(&harness, json!({ "x_fake": { "redirect": true } })).await;
    assert_eq!((answer.status, harness.upstream.count()), (502, 1), "{}", answer.text);
}

#[tokio::test]
async fn lies_about_usage_are_suspect_and_never_a_silent_zero() {
    let harness = Harness::start().await;
    for usage in [
        json!({ "prompt_tokens": -5, "completion_tokens": 3 }),
        json!({ "prompt_tokens": 1.5, "completion_tokens": 3 }),
        json!({ "prompt_tokens": "lots", "completion_tokens": 3 }),
        json!({ "prompt_tokens": 18_446_744_073_709_551_615_u64, "completion_tokens": 3 }),
        json!({ "completion_tokens": 3 }),
    ] {
        for stream in [false, true] {
            let (answer, view) = outcome_of(&harness, json!({ "stream": stream, "x_fake": { "usage": usage } })).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            assert_ne!(view["usage_source"], "provider_final", "{usage}");
            assert_ne!(view["flags"], json!([]), "{usage}");
            assert!(view["lines"][0]["usage"]["output"].as_u64().unwrap() > 0, "{usage}: {view}");
        }
    }
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn usage_told_twice_or_quoted_in_the_text_is_counted_once() {
    let harness = Harness::start().await;
    for script in [
        json!({ "usage_twice": true, "chunks": 6 }),
        json!({ "quote_usage": true, "chunks": 6 }),
        json!({ "crlf": true, "comments": true, "chunks": 6 }),
        json!({ "one_byte": true, "chunks": 6 }),
    ] {
        let (answer, view) = outcome_of(&harness, json!({ "stream": true, "x_fake": script })).await;
        assert!(answer.text.contains("[DONE]"));
        assert_eq!(
            (&view["outcome"], &view["usage_source"], &view["lines"][0]["usage"]["output"]),
            (&json!("complete"), &json!("provider_final"), &json!(6)),
            "{script}"
        );
    }
}

#[tokio::test]
async fn an_upstream_that_never_answers_or_falls_silent_is_given_up_in_time() {
    let harness = Harness::start_with(
        "[[model]]\nname = \"quick\"\ntimeout_ms = 200\ntargets = [{ provider = \"demo\", model = \"demo-model\" }]\n",
    )
    .await;
    let (answer, view) = outcome_of(&harness, json!({ "model": "quick", "x_fake": { "fault": "never_answer" } })).await;
    assert_eq!((answer.status, &view["outcome"]), (504, &json!("upstream_error")));
    let (answer, view) =
        outcome_of(&harness, json!({ "model": "quick", "stream": true, "x_fake": { "fault": "stall", "at": 3 } }))
            .await;
    assert!(!answer.text.contains("[DONE]"));
    assert_eq!((&view["outcome"], &view["usage_source"]), (&json!("truncated"), &json!("estimated")));
}

#[tokio::test]
async fn an_answer_too_large_to_hold_streams_through_and_is_metered() {
    let harness = Harness::start().await;
    let (answer, view) = outcome_of(&harness, json!({ "x_fake": { "big_bytes": 9_000_000, "chunks": 3 } })).await;
    assert_eq!((answer.status, answer.header("x-tollgate-charge-usd")), (200, None));
    assert!(answer.text.len() > 9_000_000 && answer.json()["usage"].is_object());
    assert_eq!((&view["outcome"], &view["usage_source"]), (&json!("complete"), &json!("provider_final")));
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_502_and_recorded() {
    let harness = Harness::start_with("[[provider]]\nname = \"gone\"\nbase_url = \"http://127.0.0.1:9\"\nallow_private = true\n[[model]]\nname = \"lost\"\ntargets = [{ provider = \"gone\", model = \"demo-model\" }]\n[prices]\nunpriced = \"record\"\n").await;
    let (answer, view) = outcome_of(&harness, json!({ "model": "lost" })).await;
    assert_eq!((answer.status, answer.error_code()), (502, json!("upstream_unreachable")));
    assert_eq!((&view["outcome"], &view["flags"]), (&json!("upstream_error"), &json!(["not_sent"])));
}

#[tokio::test]
async fn a_plain_answer_that_is_cut_off_is_a_502_and_owes_nothing() {
    let harness = Harness::start().await;
    let (answer, view) = outcome_of(&harness, json!({ "x_fake": { "fault": "cut", "chunks": 10 } })).await;
    assert_eq!(answer.status, 502, "{}", answer.text);
    assert_eq!(
        (&view["outcome"], &view["usage_source"], &view["charge_usd"]),
        (&json!("truncated"), &json!("not_billed"), &json!("0.000000000"))
    );
}

#[tokio::test]
async fn what_an_upstream_says_of_our_rate_limit_is_not_passed_on() {
    let harness = Harness::start().await;
    let (answer, _) =
        outcome_of(&harness, json!({ "x_fake": { "fault": "status", "status": 429, "code": "insufficient_quota" } }))
            .await;
    assert_eq!((answer.status, answer.error_code()), (429, json!("upstream_rate_limited")), "{}", answer.text);
}
