//! Errors, limits and ids as the SDK of each dialect reads them.

use serde_json::{Value, json};

use super::{bodies, gateway};
use crate::harness::{Answer, Harness, read};

/// The message of an error body of a dialect.
fn message(dialect: &str, body: &Value) -> String {
    let text = match dialect {
        "ollama" => &body["error"],
        "cohere" | "bedrock" => &body["message"],
        _ => &body["error"]["message"],
    };
    text.as_str().unwrap_or_else(|| panic!("{dialect}: {body}")).to_owned()
}

#[tokio::test]
async fn an_unknown_model_is_not_found_in_the_words_of_each_dialect() {
    let harness = gateway("").await;
    for call in bodies::plain() {
        let path = call.path.replace(&format!("{}-model", call.dialect), "nothing");
        let mut body = call.body.clone();
        if let Some(model) = body.get_mut("model") {
            *model = "nothing".into();
        }
        let answer = read(harness.client.post(harness.url(&path)).bearer_auth(&harness.key).json(&body)).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text);
        assert!(message(call.dialect, &answer.json()).contains("`nothing`"), "{path}");
        assert_eq!(answer.header("x-should-retry"), Some("false"), "{path}");
        let (kind, told) = match call.dialect {
            "openai" => (json!("model_not_found"), answer.json()["error"]["code"].clone()),
            "anthropic" => {
                (json!(["error", "not_found_error"]), json!([answer.json()["type"], answer.json()["error"]["type"]]))
            }
            "gemini" => {
                (json!([404, "NOT_FOUND"]), json!([answer.json()["error"]["code"], answer.json()["error"]["status"]]))
            }
            "bedrock" => (json!("ResourceNotFoundException"), json!(answer.header("x-amzn-errortype"))),
            _ => (Value::Null, Value::Null),
        };
        assert_eq!(told, kind, "{path}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_told_in_the_words_of_each_dialect() {
    let harness = gateway("").await;
    for call in bodies::plain() {
        let answer =
            read(harness.client.post(harness.url(call.path)).header("x-api-key", "tg-wrong").json(&call.body)).await;
        assert_eq!(answer.status, 401, "{}", call.path);
        assert!(message(call.dialect, &answer.json()).contains("Incorrect API key"), "{}", call.path);
    }
    assert_eq!(harness.upstream.count(), 0);
}

#[tokio::test]
async fn the_request_id_stands_where_the_sdk_of_the_dialect_reads_it() {
    let harness = gateway("").await;
    for call in bodies::plain() {
        let name = match call.dialect {
            "anthropic" => "request-id",
            "bedrock" => "x-amzn-requestid",
            _ => "x-request-id",
        };
        for script in [json!({}), json!({ "fault": "status", "status": 400 })] {
            let answer = call.send(&harness, script).await;
            assert_eq!(answer.header(name), Some(answer.request_id().as_str()), "{}", call.path);
            if call.dialect == "anthropic" && answer.status == 400 {
                assert_eq!(answer.json()["request_id"], answer.request_id());
            }
        }
    }
}

#[tokio::test]
async fn every_answer_has_a_request_id_also_where_nothing_goes_upstream() {
    let harness = gateway("").await;
    for (method, path, name, good) in [
        ("GET", "/v1/models", "x-request-id", 200),
        ("GET", "/v1/models/openai-model", "x-request-id", 200),
        ("GET", "/v1/models/nothing", "x-request-id", 404),
        ("GET", "/v1beta/models", "x-request-id", 200),
        ("GET", "/v1beta/models/gemini-model", "x-request-id", 200),
        ("GET", "/v1alpha/models/nothing", "x-request-id", 404),
        ("GET", "/api/tags", "x-request-id", 200),
        ("GET", "/v1/nothing", "x-request-id", 404),
        ("GET", "/v1/messages/nothing", "request-id", 404),
        ("GET", "/model/x/nothing", "x-amzn-requestid", 404),
        ("GET", "/v1/models/%FF", "x-request-id", 404),
        ("GET", "/v1/files/%FF", "x-request-id", 404),
        ("POST", "/model/%FF/converse", "x-amzn-requestid", 404),
        ("POST", "/v1beta/models/%FF:generateContent", "x-request-id", 404),
        ("POST", "/v1beta/models/gemini-model:nothing", "x-request-id", 404),
        ("POST", "/v1/fine_tuning/jobs", "x-request-id", 404),
        ("GET", "/v1/messages", "request-id", 405),
        ("DELETE", "/v1/models", "x-request-id", 405),
        ("DELETE", "/v1beta/models/gemini-model", "x-request-id", 405),
    ] {
        for (key, expected) in [(harness.key.as_str(), good), ("tg-wrong", if good == 200 { 401 } else { good })] {
            let request = harness.client.request(method.parse().unwrap(), harness.url(path)).bearer_auth(key);
            let answer = read(request).await;
            // Whether a model is there is told to who has a key.
            let expected = if key == "tg-wrong" && path.ends_with("models/nothing") { 401 } else { expected };
            assert_eq!(answer.status, expected, "{method} {path}: {}", answer.text);
            assert_eq!(answer.header(name), Some(answer.request_id().as_str()), "{method} {path}");
            if path.starts_with("/v1/messages") {
                assert_eq!(answer.json()["request_id"], answer.request_id(), "{method} {path}");
            }
        }
    }
    assert_eq!(harness.upstream.count(), 0);
}

#[tokio::test]
async fn one_model_is_told_in_the_form_of_gemini() {
    let harness = gateway("").await;
    let get = |path: &str| read(harness.client.get(harness.url(path)).header("x-goog-api-key", &harness.key));
    let model = get("/v1beta/models/gemini-model").await;
    assert_eq!((model.status, &model.json()["name"]), (200, &json!("models/gemini-model")), "{}", model.text);
    let none = get("/v1beta/models/nothing").await;
    assert_eq!((none.status, &none.json()["error"]["status"]), (404, &json!("NOT_FOUND")), "{}", none.text);
}

#[tokio::test]
async fn how_long_an_upstream_asks_to_wait_is_told_wherever_it_said_so() {
    let harness = gateway("").await;
    let retry = json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12.5s" });
    let google =
        json!({ "error": { "code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED", "details": [retry] } });
    let date = jiff::Timestamp::from_second(now_s() + 30).unwrap().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for (status, headers, body, waits) in [
        (429, json!({ "retry-after": "" }), google, 13..=13),
        (503, json!({ "retry-after": "2.2" }), json!(""), 3..=3),
        (500, json!({ "retry-after-ms": "1500.5" }), json!(""), 2..=2),
        (503, json!({ "retry-after": date }), json!(""), 25..=30),
    ] {
        for call in bodies::plain().into_iter().filter(|call| ["gemini", "openai"].contains(&call.dialect)) {
            let script = json!({ "fault": "status", "status": status, "error_headers": headers, "error_body": body });
            let answer = call.send(&harness, script).await;
            let wait: u64 = answer.header("retry-after").unwrap_or_else(|| panic!("{headers}")).parse().unwrap();
            assert!(waits.contains(&wait), "{headers}: {wait}");
        }
    }
}

#[tokio::test]
async fn what_no_customer_can_have_made_is_not_found_and_nothing_is_sent() {
    let harness = gateway("").await;
    let cache = "cachedContents/of-the-operator";
    let file = json!({ "type": "document", "source": { "type": "file", "file_id": "file_1" } });
    for (path, more) in [
        ("/v1beta/models/gemini-model:generateContent", json!({ "cachedContent": cache })),
        ("/v1/models/gemini-model:generateContent", json!({ "cached_content": cache })),
        ("/v1beta/models/gemini-model:streamGenerateContent?alt=sse", json!({ "cachedContent": cache })),
        ("/v1beta/models/gemini-model:countTokens", json!({ "generateContentRequest": { "cachedContent": cache } })),
        ("/v1beta/interactions", json!({ "cached_content": cache })),
        ("/v1beta/interactions", json!({ "environment": "env-1" })),
        ("/v1beta/interactions", json!({ "environment": { "type": "remote", "environment_id": "env-1" } })),
        ("/v1/messages", json!({ "container": "container_1" })),
        ("/v1/messages", json!({ "container": { "id": "container_1", "skills": [] } })),
        ("/v1/messages", json!({ "messages": [{ "role": "user", "content": [file] }] })),
        ("/v1/messages/count_tokens", json!({ "messages": [{ "role": "user", "content": [file] }] })),
        ("/v1/chat/completions", json!({ "extra_body": { "google": { "cached_content": cache } } })),
    ] {
        let calls = bodies::plain().into_iter().chain(bodies::others()).chain(bodies::streamed());
        let end = path.rsplit([':', '/']).next().unwrap();
        let call = calls.into_iter().find(|call| call.path.ends_with(end)).unwrap_or_else(|| panic!("{path}"));
        let mut body = call.body.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = read(harness.client.post(harness.url(path)).bearer_auth(&harness.key).json(&body)).await;
        assert_eq!(answer.status, 404, "{path} {more}: {}", answer.text);
        assert!(message(call.dialect, &answer.json()).contains("makes and binds none"), "{path}: {}", answer.text);
        if call.dialect == "gemini" {
            assert_eq!(answer.json()["error"]["status"], "NOT_FOUND");
        }
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    }
    assert_eq!(harness.upstream.count(), 0);
    // A new one is described, not named.
    for (endpoint, more) in [
        ("/v1beta/interactions", json!({ "environment": { "type": "remote" }, "cached_content": null })),
        ("/v1/messages", json!({ "container": { "skills": [] } })),
    ] {
        let mut call = bodies::plain().into_iter().find(|call| call.endpoint == endpoint).unwrap();
        call.body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(call.send(&harness, json!({})).await.status, 200, "{endpoint}");
    }
}

#[tokio::test]
async fn an_upstream_error_keeps_its_words_and_its_class_in_each_dialect() {
    let harness = gateway("").await;
    for call in bodies::plain() {
        for status in [400, 404, 500, 503] {
            let answer = call.send(&harness, json!({ "fault": "status", "status": status })).await;
            let expected = if call.dialect == "anthropic" && status == 503 { 529 } else { status };
            assert_eq!(answer.status, expected, "{}: {}", call.path, answer.text);
            assert!(!message(call.dialect, &answer.json()).is_empty());
            assert_eq!(answer.header("x-should-retry"), Some(if status >= 500 { "true" } else { "false" }));
            let view = harness.booked(&answer.request_id()).await;
            assert_eq!(
                (&view["outcome"], &view["charge_usd"], &view["dialect"], &view["endpoint"]),
                (&json!("upstream_error"), &json!("0.000000000"), &json!(call.dialect), &json!(call.endpoint))
            );
        }
        let limited = call.send(&harness, json!({ "fault": "status", "status": 429, "retry_after": "7" })).await;
        assert_eq!((limited.status, limited.header("retry-after")), (429, Some("7")), "{}", call.path);
        assert!(message(call.dialect, &limited.json()).contains("limiting this gateway's rate"), "{}", limited.text);
    }
}

#[tokio::test]
async fn a_streamed_array_has_its_errors_in_a_list_of_one() {
    let harness = gateway("").await;
    let call = bodies::streamed().pop().unwrap();
    let answer = call.send(&harness, json!({ "fault": "status", "status": 400 })).await;
    assert_eq!((answer.status, answer.json().as_array().map(Vec::len)), (400, Some(1)), "{}", answer.text);
    assert_eq!(answer.json()[0]["error"]["status"], "INVALID_ARGUMENT");
}

async fn limited(harness: &Harness, dialect: &str) -> (Answer, Answer) {
    let key = harness.new_key(json!({ "requests_per_minute": 1, "tokens_per_minute": 100_000 })).await;
    let call = bodies::plain().into_iter().find(|call| call.dialect == dialect).unwrap();
    let send = || read(harness.client.post(harness.url(call.path)).bearer_auth(&key).json(&call.body));
    (send().await, send().await)
}

#[tokio::test]
async fn limits_are_told_in_the_headers_of_the_dialect_and_in_no_others() {
    let harness = gateway("").await;
    let (first, second) = limited(&harness, "openai").await;
    assert_eq!((first.status, second.status), (200, 429));
    assert_eq!(second.header("x-ratelimit-limit-requests"), Some("1"));
    assert!(second.header("x-ratelimit-reset-requests").unwrap().ends_with('s'));

    let (first, second) = limited(&harness, "anthropic").await;
    assert_eq!((first.status, second.status), (200, 429), "{}", second.text);
    assert_eq!(second.json()["error"]["type"], "rate_limit_error");
    for answer in [&first, &second] {
        assert_eq!(answer.header("anthropic-ratelimit-requests-limit"), Some("1"));
        assert_eq!(answer.header("anthropic-ratelimit-requests-remaining"), Some("0"));
        assert_eq!(answer.header("anthropic-ratelimit-tokens-limit"), Some("100000"));
        let reset: jiff::Timestamp = answer.header("anthropic-ratelimit-requests-reset").unwrap().parse().unwrap();
        let wait = reset.as_second() - jiff::Timestamp::from_second(now_s()).unwrap().as_second();
        assert!((-1..=61).contains(&wait), "{wait}");
        assert_eq!(answer.header("x-ratelimit-limit-requests"), None);
    }
    assert!(second.header("retry-after").is_some());

    let (_, second) = limited(&harness, "gemini").await;
    assert_eq!(second.json()["error"]["status"], "RESOURCE_EXHAUSTED");
    let details = second.json()["error"]["details"].clone();
    assert!(
        details
            .as_array()
            .unwrap()
            .iter()
            .any(|detail| detail["retryDelay"].as_str().is_some_and(|d| d.ends_with('s')))
    );
    let (_, second) = limited(&harness, "bedrock").await;
    assert_eq!(second.header("x-amzn-errortype"), Some("ThrottlingException"));
    for dialect in ["gemini", "cohere", "ollama"] {
        let (_, second) = limited(&harness, dialect).await;
        assert!(!second.headers.keys().any(|name| name.as_str().contains("ratelimit")), "{dialect}");
    }
}

fn now_s() -> i64 {
    tollgate::clock::Clock::system().unix_us() / 1_000_000
}

#[tokio::test]
async fn unknown_paths_are_told_in_the_words_of_the_dialect_that_they_look_like() {
    let harness = gateway("").await;
    for (path, pointer) in [
        ("/v1/nothing", "/error/message"),
        ("/v1/messages/nothing", "/error/type"),
        ("/v1beta/models/gemini-model:doesNotExist", "/error/status"),
        ("/api/nothing", "/error"),
        ("/v2/nothing", "/message"),
        ("/model/bedrock-model/nothing", "/message"),
    ] {
        let answer = read(harness.client.post(harness.url(path)).bearer_auth(&harness.key).json(&json!({}))).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.json().pointer(pointer).is_some_and(Value::is_string), "{path}: {}", answer.text);
    }
    assert_eq!(harness.upstream.count(), 0);
}

#[tokio::test]
async fn what_could_not_be_metered_is_refused_by_name_and_never_passed_on() {
    let harness = gateway("").await;
    for (method, path) in [
        ("POST", "/v1/uploads"),
        ("GET", "/v1/vector_stores"),
        ("POST", "/v1/fine_tuning/jobs"),
        ("POST", "/v1beta/cachedContents"),
        ("POST", "/upload/v1beta/files"),
        ("POST", "/api/pull"),
    ] {
        let request = harness.client.request(method.parse().unwrap(), harness.url(path)).bearer_auth(&harness.key);
        let answer = read(request.body("{}")).await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
        assert!(answer.text.contains(&format!("does not pass {path} on")), "{method} {path}: {}", answer.text);
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    }
    assert_eq!(harness.upstream.count(), 0);
}
