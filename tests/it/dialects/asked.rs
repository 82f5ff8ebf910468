//! What a request asks for beside its model has a price and is the key's, or is refused before anything is sent.

use serde_json::{Value, json};

use super::gateway;
use crate::harness::{Answer, Harness, read};

async fn ask(harness: &Harness, key: &str, path: &str, body: &Value) -> Answer {
    // Each dialect finds the key in one of these.
    let request = harness.client.post(harness.url(path)).json(body);
    let request =
        request.header("x-api-key", key).header("anthropic-version", "2023-06-01").header("x-goog-api-key", key);
    read(request.bearer_auth(key)).await
}

#[tokio::test]
async fn a_hosted_tool_without_a_price_is_refused_by_name_in_every_dialect_and_nothing_is_sent() {
    let harness = gateway("").await;
    let user = json!([{ "role": "user", "content": "hi" }]);
    let gemini = json!([{ "role": "user", "parts": [{ "text": "hi" }] }]);
    let cases = [
        (
            "/v1/responses",
            json!({ "model": "openai-model", "input": "hi", "tools": [{ "type": "web_search" }] }),
            "web_search",
        ),
        (
            "/v1/responses",
            json!({ "model": "openai-model", "input": "hi", "tools": [{ "type": "file_search" }] }),
            "tool_call",
        ),
        (
            "/v1/responses",
            json!({ "model": "openai-model", "input": "hi", "tools": [{ "type": "image_generation" }] }),
            "image",
        ),
        (
            "/v1/chat/completions",
            json!({ "model": "openai-model", "messages": user, "web_search_options": {} }),
            "web_search",
        ),
        (
            "/v1/messages",
            json!({ "model": "anthropic-model", "max_tokens": 9, "messages": user, "tools": [{ "type": "web_search_20250305", "name": "web_search" }] }),
            "web_search",
        ),
        (
            "/v1beta/models/gemini-model:generateContent",
            json!({ "contents": gemini, "tools": [{ "googleSearch": {} }] }),
            "web_search",
        ),
        (
            "/v1beta/interactions",
            json!({ "model": "gemini-model", "input": "hi", "tools": [{ "type": "google_search" }] }),
            "web_search",
        ),
    ];
    for (path, body, unit) in cases {
        let answer = ask(&harness, &harness.key, path, &body).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text);
        assert!(answer.text.contains(&format!("`{unit}`")) && answer.text.contains("usd_per_unit"), "{}", answer.text);
    }
    assert_eq!(harness.upstream.count(), 0);
    let mcp = json!({ "model": "openai-model", "input": "hi", "tools": [{ "type": "mcp", "server_label": "s" }, { "type": "function", "name": "web_search" }] });
    let answer = ask(&harness, &harness.key, "/v1/responses", &mcp).await;
    assert_eq!(answer.status, 200, "what costs its tokens only is served: {}", answer.text);
}

#[tokio::test]
async fn speech_without_a_price_of_characters_is_refused_and_nothing_is_sent() {
    let harness = Harness::start().await;
    let body = json!({ "model": "demo-model", "voice": "alloy", "input": "hi" });
    let answer = ask(&harness, &harness.key, "/v1/audio/speech", &body).await;
    assert_eq!((answer.status, answer.error_code()), (400, json!("unit_unpriced")), "{}", answer.text);
    assert!(answer.text.contains("`character`"), "{}", answer.text);
    assert_eq!(harness.upstream.count(), 0);
}

#[tokio::test]
async fn an_advisor_must_be_a_model_that_the_key_may_use_and_that_has_a_price() {
    let harness = gateway("").await;
    let scoped = harness.new_key(json!({ "models": ["anthropic-model"] })).await;
    let advised = |model: &str| {
        json!({
            "model": "anthropic-model", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }],
            "tools": [{ "type": "advisor_20260301", "name": "advisor", "model": model }]
        })
    };
    for (key, model) in [(&scoped, "claude-dear"), (&harness.key, "claude-dear"), (&scoped, "up/openai:1")] {
        let answer = ask(&harness, key, "/v1/messages", &advised(model)).await;
        assert_eq!(answer.status, 403, "{model}: {}", answer.text);
        assert!(answer.text.contains(model), "{}", answer.text);
    }
    assert_eq!(harness.upstream.count(), 0);
    let answer = ask(&harness, &scoped, "/v1/messages", &advised("up/anthropic:1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}
