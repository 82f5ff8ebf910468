//! What is not supported is refused by name; what means nothing new is taken.

use serde_json::{Value, json};

use crate::harness::Worker;

#[tokio::test]
async fn what_is_unsupported_is_refused_by_name_and_never_ignored() {
    let worker = Worker::start().await;
    let cases = [
        (json!({ "logprobs": true }), "logprobs"),
        (json!({ "n": 2 }), "n"),
        (json!({ "tools": [{ "type": "function" }] }), "tools"),
        (json!({ "response_format": { "type": "json_schema" } }), "response_format"),
        (json!({ "logit_bias": { "5": 1 } }), "logit_bias"),
        (json!({ "reasoning_effort": "high" }), "reasoning_effort"),
        (json!({ "made_up": 1 }), "made_up"),
        (json!({ "service_tier": "flex" }), "service_tier"),
        (json!({ "messages": [{ "role": "user", "name": "ann", "content": "x" }] }), "messages[0].name"),
        (json!({ "stream_options": { "made_up": true } }), "stream_options.made_up"),
        (json!({ "messages": [{ "role": "tool", "content": "x" }] }), "messages[0].role"),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }),
            "messages[0].content[0].type",
        ),
        (json!({ "messages": [{ "role": "assistant", "content": "x", "tool_calls": [1] }] }), "messages[0].tool_calls"),
    ];
    for (extra, param) in cases {
        let (status, answer) = chat(&worker, extra).await;
        assert_eq!((status, &answer["error"]["param"]), (400, &json!(param)), "{answer}");
        assert_eq!(answer["error"]["code"], "unsupported_parameter");
    }
}

#[tokio::test]
async fn values_that_cannot_be_are_refused_with_what_to_write() {
    let worker = Worker::start().await;
    for (extra, param) in [
        (json!({ "temperature": 2.5 }), "temperature"),
        (json!({ "temperature": "hot" }), "temperature"),
        (json!({ "top_p": 0 }), "top_p"),
        (json!({ "top_k": -2 }), "top_k"),
        (json!({ "max_tokens": 0 }), "max_tokens"),
        (json!({ "max_tokens": -1 }), "max_tokens"),
        (json!({ "max_tokens": 1, "max_completion_tokens": 2 }), "max_tokens"),
        (json!({ "stop": 5 }), "stop"),
        (json!({ "stop": vec!["a"; 17] }), "stop"),
        (json!({ "seed": 1.5 }), "seed"),
        (json!({ "stream": "yes" }), "stream"),
        (json!({ "messages": [] }), "messages"),
        (json!({ "messages": [{ "role": "user" }] }), "messages[0].content"),
        (json!({ "presence_penalty": 3 }), "presence_penalty"),
    ] {
        let (status, answer) = chat(&worker, extra).await;
        assert_eq!((status, &answer["error"]["param"]), (400, &json!(param)), "{answer}");
    }
    let raw = |body: &'static str| worker.client.post(format!("{}/v1/completions", worker.url)).body(body).send();
    assert_eq!(raw("{").await.unwrap().status(), 400);
    assert_eq!(raw("[]").await.unwrap().status(), 400);
    let large = "x".repeat((1 << 20) + 1);
    let request = worker.client.post(format!("{}/v1/completions", worker.url)).body(large);
    assert_eq!(request.send().await.unwrap().status(), 413);
    let (status, answer) = worker.post("/v1/completions", json!({ "prompt": "a b ".repeat(2000) })).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("context_length_exceeded")));
    let (status, answer) = worker.post("/v1/completions", json!({ "prompt": [1, 99_999_999] })).await;
    assert_eq!((status, &answer["error"]["param"]), (400, &json!("prompt")), "{answer}");
    let (status, answer) = worker.post("/v1/completions", json!({ "prompt": "x", "model": "other" })).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("model_not_found")));
    let named = worker.client.post(format!("{}/v1/completions", worker.url)).header("x-request-id", "a b");
    assert_eq!(named.json(&json!({ "prompt": "x" })).send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn what_official_sdks_send_by_default_is_taken() {
    let worker = Worker::start().await;
    let (status, answer) = chat(
        &worker,
        json!({
            "model": "tollgate-small", "n": 1, "logprobs": false, "top_logprobs": null, "user": "u-1", "store": false,
            "response_format": { "type": "text" }, "tools": [], "tool_choice": "auto", "parallel_tool_calls": true,
            "frequency_penalty": 0, "presence_penalty": 0.0, "metadata": {}, "top_p": 1, "seed": -3, "stop": null,
            "messages": [
                { "role": "developer", "content": "Be short." },
                { "role": "user", "content": [{ "type": "text", "text": "Hello!" }] },
            ],
        }),
    )
    .await;
    assert_eq!(status, 200, "{answer}");
}

async fn chat(worker: &Worker, extra: Value) -> (u16, Value) {
    let mut body = json!({ "messages": [{ "role": "user", "content": "Hello!" }], "max_tokens": 3 });
    if extra.get("max_completion_tokens").is_none() && extra.get("max_tokens").is_some() {
        body["max_tokens"] = Value::Null;
    }
    for (name, value) in extra.as_object().unwrap() {
        body[name] = value.clone();
    }
    worker.post("/v1/chat/completions", body).await
}
