//! Bad input: a clear error that says what to do, nothing recorded, nothing lost.

use serde_json::{Value, json};
use tollgate::upstream::endpoint::Endpoint;

use crate::harness::{Answer, Harness, chat, read};

fn told(answer: &Answer, status: u16, code: &str, words: &str) {
    assert_eq!((answer.status, &answer.error_code()), (status, &json!(code)), "{}", answer.text);
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains(words), "`{words}` is not in: {message}");
    assert!(answer.header("x-tollgate-request-id").is_some() && answer.header("x-request-id").is_some());
}

async fn raw(harness: &Harness, body: impl Into<reqwest::Body>) -> Answer {
    read(harness.client.post(harness.url("/v1/chat/completions")).bearer_auth(&harness.key).body(body)).await
}

#[tokio::test]
async fn a_wrong_key_is_told_apart_from_a_missing_one_and_neither_is_recorded() {
    let harness = Harness::start().await;
    let url = harness.url("/v1/chat/completions");
    let none = read(harness.client.post(&url).json(&chat(json!({})))).await;
    told(&none, 401, "invalid_api_key", "Authorization: Bearer");
    let mut wrong = harness.key.clone();
    wrong.replace_range(wrong.len() - 4.., "0000");
    for key in [
        wrong.as_str(),
        "sk-something",
        "tg-",
        "tg-aaaaaaaaaaaa-0000000000000000000000000000000000000000000000000000000000000000",
    ] {
        let answer = read(harness.client.post(&url).bearer_auth(key).json(&chat(json!({})))).await;
        told(&answer, 401, "invalid_api_key", "Incorrect API key");
        assert!(key.len() < 10 || !answer.text.contains(key), "a key is never repeated");
    }
    let by_other_header = read(harness.client.post(&url).header("api-key", &harness.key).json(&chat(json!({})))).await;
    assert_eq!(by_other_header.status, 200);
    let token_of_the_other_plane =
        read(harness.client.post(&url).bearer_auth(&harness.gateway().admin_token).json(&chat(json!({})))).await;
    assert_eq!(token_of_the_other_plane.status, 401);
    assert_eq!((harness.upstream.count(), &harness.totals().await["attempts"]), (1, &json!(1)));
}

#[tokio::test]
async fn a_body_that_cannot_be_understood_is_refused_by_name() {
    let harness = Harness::start().await;
    for (body, code, words) in [
        ("", "invalid_json", "JSON"),
        ("{\"model\":", "invalid_json", "JSON"),
        ("[1,2]", "invalid_json", "must be a JSON object"),
        (r#"{"messages":[]}"#, "missing_required_parameter", "`model`"),
        (r#"{"model":"demo-model"}"#, "missing_required_parameter", "`messages`"),
        (r#"{"model":"demo-model","messages":[],"model":"demo-embedding"}"#, "duplicate_parameter", "Send it once"),
        (r#"{"model":"demo-model","messages":[],"max_tokens":-1}"#, "invalid_value", "`max_tokens`"),
        (r#"{"model":"demo-model","messages":[],"stream":"yes"}"#, "invalid_value", "true or false"),
        (r#"{"model":"demo-model","messages":[],"n":100000}"#, "invalid_value", "1 to 128"),
    ] {
        told(&raw(&harness, body).await, 400, code, words);
    }
    told(&raw(&harness, vec![0xff, 0xfe]).await, 400, "invalid_json", "UTF-8");
    let deep = format!(r#"{{"model":"demo-model","messages":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(raw(&harness, deep).await.status < 500, "depth is no way to crash the gateway");
    let compressed = harness
        .client
        .post(harness.url("/v1/chat/completions"))
        .bearer_auth(&harness.key)
        .header("content-encoding", "gzip")
        .body("x");
    told(&read(compressed).await, 400, "unsupported_encoding", "without a content-encoding");
    let tags = harness.request("/v1/chat/completions", &chat(json!({}))).header("x-tollgate-tags", "no-equals");
    told(&read(tags).await, 400, "invalid_tags", "team=a");
    assert_eq!(harness.chat(json!({})).await.status, 200);
}

#[tokio::test]
async fn an_oversized_body_is_refused_without_being_read_whole() {
    let harness = Harness::start_with("").await;
    let toml = std::fs::read_to_string(harness.dir.path().join("tollgate.toml")).unwrap();
    std::fs::write(
        harness.dir.path().join("tollgate.toml"),
        toml.replacen("[server]\n", "[server]\nbody_bytes_max = 1000\n", 1),
    )
    .unwrap();
    let mut harness = harness;
    harness.restart().await;
    let answer = raw(&harness, format!(r#"{{"model":"demo-model","messages":"{}"}}"#, "x".repeat(5000))).await;
    told(&answer, 413, "request_too_large", "1000 bytes");
    assert_eq!(harness.upstream.count(), 0);
}

#[tokio::test]
async fn an_unknown_model_and_an_unpriced_one_are_refused_with_what_to_do() {
    let harness = Harness::start_with(
        "[[model]]\nname = \"no-price\"\ntargets = [{ provider = \"demo\", model = \"never-priced\" }]\n",
    )
    .await;
    told(&harness.chat(json!({ "model": "gpt-9" })).await, 404, "model_not_found", "GET /v1/models");
    let unpriced = harness.chat(json!({ "model": "no-price" })).await;
    told(&unpriced, 503, "model_unpriced", "tollgate check");
    assert_eq!(unpriced.header("x-should-retry"), Some("false"));
    assert_eq!(harness.upstream.count(), 0, "what has no price is not sent");
}

#[tokio::test]
async fn an_unpriced_model_may_be_recorded_and_is_then_never_silently_free() {
    let harness = Harness::start_with(
        "[prices]\nunpriced = \"record\"\n[[model]]\nname = \"no-price\"\ntargets = [{ provider = \"demo\", model = \"never-priced\" }]\n",
    )
    .await;
    let answer = harness.chat(json!({ "model": "no-price" })).await;
    assert_eq!((answer.status, answer.header("x-tollgate-charge-usd")), (200, None));
    let view = harness.booked(&answer.request_id()).await;
    assert_eq!(
        (&view["cost_usd"], &view["charge_usd"], &view["flags"]),
        (&Value::Null, &Value::Null, &json!(["unpriced"]))
    );
    assert_eq!(harness.totals().await["unpriced"], 1);
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn unknown_paths_and_methods_say_so() {
    let harness = Harness::start().await;
    let wrong = read(harness.client.post(harness.url("/chat/completions")).bearer_auth(&harness.key).body("{}")).await;
    assert_eq!((wrong.status, wrong.error_code()), (404, json!("unknown_url")));
    let method = read(harness.client.get(harness.url("/v1/chat/completions")).bearer_auth(&harness.key)).await;
    assert_eq!((method.status, method.error_code()), (405, json!("method_not_allowed")));
}

/// Plain paths are answered past the router, which must be seen by nobody.
#[tokio::test]
async fn every_plain_path_wants_a_key_and_is_called_by_its_exact_name_and_method_alone() {
    let harness = Harness::start().await;
    let plain = Endpoint::ALL.into_iter().map(Endpoint::path).filter(|path| !path.contains('{'));
    let mut seen = 0;
    for path in plain {
        let post = |path: &str| harness.client.post(harness.url(path)).body("{}");
        for called in [path.to_owned(), format!("{path}?beta=true")] {
            let keyless = read(post(&called)).await;
            assert!(matches!(keyless.status, 401 | 403), "{called}: {}", keyless.status);
        }
        for other in [format!("{path}/"), path.to_uppercase(), format!("/{path}")] {
            assert_eq!(read(post(&other).bearer_auth(&harness.key)).await.status, 404, "{other}");
        }
        let method = read(harness.client.put(harness.url(path)).bearer_auth(&harness.key).body("{}")).await;
        assert_eq!(method.status, 405, "{path}");
        assert!(method.header("allow").unwrap().contains("POST"), "{path}");
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
    assert_eq!(harness.upstream.count(), 0);
}
