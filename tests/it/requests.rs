//! What an application sends and gets: passed through, metered, priced, booked.

use serde_json::{Value, json};

use crate::harness::{Harness, chat, read};

#[tokio::test]
async fn a_plain_request_is_answered_and_booked_to_the_nano_dollar() {
    let harness = Harness::start().await;
    let answer = harness.chat(json!({ "x_fake": { "chunks": 10, "cached_tokens": 1 }, "user": "end-user-7" })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let usage = &answer.json()["usage"];
    assert_eq!((usage["prompt_tokens"].as_u64(), usage["completion_tokens"].as_u64()), (Some(2), Some(10)));
    // Cost 1 x 0.50 + 1 x 0.05 + 10 x 2.00 per million = 20,550 nano-dollars; a quarter more is owed, half to even.
    assert_eq!(answer.header("x-tollgate-charge-usd"), Some("0.000025688"));
    let view = harness.booked(&answer.request_id()).await;
    assert_eq!(view["cost_usd"], "0.000020550");
    assert_eq!(view["charge_usd"], "0.000025688");
    let line = &view["lines"][0];
    assert_eq!(
        (&line["usage"]["input_uncached"], &line["usage"]["cache_read"], &line["usage"]["output"]),
        (&json!(1), &json!(1), &json!(10))
    );
    assert_eq!(
        (&view["outcome"], &view["usage_source"], &view["stream"]),
        (&json!("complete"), &json!("provider_final"), &json!(false))
    );
    assert_eq!(view["end_user"], "end-user-7");
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn the_books_view_of_a_request_has_every_field_of_the_contract() {
    let harness = Harness::start().await;
    let request =
        harness.request("/v1/chat/completions", &chat(json!({}))).header("x-tollgate-tags", "team=a, feature=b");
    let view = harness.booked(&read(request).await.request_id()).await;
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let sorted = |mut names: Vec<&str>| {
        names.sort_unstable();
        names.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let expected = vec![
        "request_id",
        "customer_id",
        "key_id",
        "dialect",
        "endpoint",
        "model",
        "stream",
        "outcome",
        "started_at",
        "ended_at",
        "elapsed_ms",
        "first_byte_ms",
        "usage_source",
        "flags",
        "lines",
        "counters",
        "attempts",
        "reported_cost_usd",
        "cost_usd",
        "charge_usd",
        "tags",
        "end_user",
    ];
    assert_eq!(fields(&view), sorted(expected));
    assert_eq!(
        fields(&view["lines"][0]),
        sorted(vec![
            "target",
            "billed_model",
            "usage",
            "cost_usd",
            "charge_usd",
            "context",
            "cost_parts",
            "charge_parts",
            "cost_price_version",
            "charge_price_version"
        ])
    );
    assert_eq!(
        fields(&view["lines"][0]["usage"]),
        sorted(vec![
            "input_uncached",
            "cache_read",
            "cache_write_5m",
            "cache_write_1h",
            "cache_write_unspecified",
            "output",
            "reasoning",
            "input_audio",
            "input_image",
            "output_audio",
            "output_image",
            "tool_prompt"
        ])
    );
    assert_eq!(view["attempts"], json!([{ "target": "demo/demo-model", "status": 200, "outcome": "complete" }]));
    assert_eq!(view["tags"], json!({ "team": "a", "feature": "b" }));
    assert!(view["started_at"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn a_stream_reaches_the_client_without_the_usage_chunk_that_only_the_gateway_asked_for() {
    let harness = Harness::start().await;
    let answer = harness.chat(json!({ "stream": true, "x_fake": { "chunks": 5 } })).await;
    assert!(answer.header("content-type").unwrap().starts_with("text/event-stream"));
    assert!(answer.text.ends_with("data: [DONE]\n\n"));
    assert!(!answer.text.contains("\"choices\":[]"), "{}", answer.text);
    let view = harness.booked(&answer.request_id()).await;
    assert_eq!((&view["lines"][0]["usage"]["output"], &view["usage_source"]), (&json!(5), &json!("provider_final")));
    let asked = harness.chat(json!({ "stream": true, "stream_options": { "include_usage": true } })).await;
    assert!(asked.text.contains("\"choices\":[]"));
}

#[tokio::test]
async fn what_the_gateway_does_not_know_passes_unchanged() {
    let harness = Harness::start().await;
    let body = r#"{ "model":"demo-model" ,"future": [1, {"a":"\u00e9"}], "messages":[{"role":"user","content":"x"}], "n":1.0e0 }"#.replace(", \"n\":1.0e0", "");
    let request = harness.client.post(harness.url("/v1/chat/completions")).bearer_auth(&harness.key).body(body.clone());
    assert_eq!(read(request).await.status, 200);
    assert_eq!(harness.upstream.last_body().unwrap(), body.as_bytes());
    let seen = harness.upstream.requests().pop().unwrap();
    assert_eq!(seen.authorized_with.as_deref(), Some("sk-upstream-secret"));
    assert!(!seen.header_names.iter().any(|name| name == "x-tollgate-tags" || name == "cookie"));
}

#[tokio::test]
async fn embeddings_and_legacy_completions_are_metered_too() {
    let harness = Harness::start().await;
    let embedding =
        read(harness.request("/v1/embeddings", &json!({ "model": "demo-embedding", "input": "one two three" }))).await;
    assert_eq!(embedding.status, 200, "{}", embedding.text);
    let view = harness.booked(&embedding.request_id()).await;
    assert_eq!((&view["lines"][0]["usage"]["output"], &view["outcome"]), (&json!(0), &json!("complete")));
    assert_ne!(view["cost_usd"], "0.000000000");
    for stream in [false, true] {
        let body = json!({ "model": "demo-model", "prompt": "a b c", "stream": stream });
        let completion = read(harness.request("/v1/completions", &body)).await;
        assert_eq!(completion.status, 200, "{}", completion.text);
        assert_eq!(harness.booked(&completion.request_id()).await["usage_source"], "provider_final");
    }
}

#[tokio::test]
async fn models_are_listed_for_a_key_within_its_scope() {
    let mut harness = Harness::start().await;
    let list = read(harness.client.get(harness.url("/v1/models")).bearer_auth(&harness.key)).await.json();
    let ids: Vec<&str> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["demo-embedding", "demo-model"]);
    harness.key = harness.new_key(json!({ "models": ["demo-embedding"] })).await;
    assert_eq!(
        read(harness.client.get(harness.url("/v1/models/demo-model")).bearer_auth(&harness.key)).await.status,
        404
    );
    let refused = harness.chat(json!({})).await;
    assert_eq!((refused.status, refused.error_code()), (403, json!("model_not_allowed")));
}

#[tokio::test]
async fn a_public_name_goes_to_its_target_and_the_second_target_answers_when_the_first_fails() {
    let second = tollgate_fakes::FakeUpstream::start().await;
    let toml = format!(
        "[[provider]]\nname = \"broken\"\nbase_url = \"{}\"\nallow_private = true\n[[model]]\nname = \"public\"\nretries = 1\n\
         targets = [{{ provider = \"broken\", model = \"demo-model\" }}, {{ provider = \"demo\", model = \"demo-model\" }}]\n[prices]\nunpriced = \"record\"\n",
        second.openai_url()
    );
    let harness = Harness::start_with(&toml).await;
    second.set_script(&json!({ "fault": "status", "status": 503 })).unwrap();
    let answer = harness.chat(json!({ "model": "public" })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let view = harness.booked(&answer.request_id()).await;
    assert_eq!(
        view["attempts"],
        json!([
            { "target": "broken/demo-model", "status": 503, "outcome": "upstream_error" },
            { "target": "demo/demo-model", "status": 200, "outcome": "complete" }
        ])
    );
    assert_eq!(view["lines"].as_array().unwrap().len(), 1, "the customer is charged once: {view}");
    assert_eq!((second.count(), harness.upstream.count()), (1, 1));
    assert_eq!((&harness.totals().await["requests"], &harness.totals().await["attempts"]), (&json!(1), &json!(2)));
    harness.assert_clean_audit().await;
}
