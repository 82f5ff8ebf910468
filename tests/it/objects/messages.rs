//! Anthropic's batches.

use serde_json::{Value, json};

use super::scene::{BOTH, PRICES, start};
use crate::harness::{Answer, Harness};

fn request(custom_id: &str, model: &str, fake: Value) -> Value {
    json!({ "custom_id": custom_id, "params": { "model": model, "max_tokens": 64,
        "messages": [{ "role": "user", "content": "hello there" }], "x_fake": fake } })
}

async fn make(harness: &Harness, requests: Vec<Value>) -> Answer {
    harness.call(&harness.key, "POST", "/v1/messages/batches", Some(json!({ "requests": requests }))).await
}

#[tokio::test]
async fn each_message_becomes_one_entry_and_its_caches_keep_their_buckets() {
    let harness = start().await;
    let other = harness.other_key().await;
    let fake = json!({ "chunks": 4, "cached_tokens": 1 });
    let made = make(&harness, vec![request("a", "poet", fake), request("b", "poet", json!({ "status": 529 }))]).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/messages/batches/{id}");
    assert_eq!(harness.get(&path).await.json()["results_url"], json!(format!("{path}/results")));
    let results = harness.get(&format!("{path}/results")).await;
    assert_eq!(results.text.lines().count(), 2);
    let rows = harness.usage_of(2).await;
    assert_eq!(
        (&rows[0]["input_uncached"], &rows[0]["cache_read"], &rows[0]["output"]),
        (&json!(1), &json!(1), &json!(4)),
        "{rows:?}"
    );
    // 1 x 1 + 1 x 0.1 + 4 x 5 per million.
    assert_eq!(rows[0]["cost_usd"], "0.000021100");
    let sent = harness.upstream.count();
    for (method, below) in [("GET", ""), ("GET", "/results"), ("POST", "/cancel"), ("DELETE", "")] {
        let refused = harness.call(&other, method, &format!("{path}{below}"), None).await;
        assert_eq!((refused.status, &refused.json()["error"]["type"]), (404, &json!("not_found_error")));
    }
    assert_eq!(harness.call(&other, "GET", "/v1/messages/batches", None).await.json()["data"], json!([]));
    assert_eq!(harness.upstream.count(), sent);
    assert_eq!(harness.get("/v1/messages/batches").await.json()["data"][0]["id"], json!(id));
    assert_eq!(harness.call(&harness.key, "DELETE", &path, None).await.status, 200);
    assert_eq!(harness.get(&path).await.status, 404);
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_request_of_a_batch_reads_no_file_and_no_container_that_is_not_its_customers() {
    let harness = start().await;
    let file = json!([{ "role": "user", "content": [{ "type": "container_upload", "file_id": "file_1" }] }]);
    for (field, value) in [("container", json!("container_1")), ("messages", file)] {
        let mut line = request("a", "poet", json!({}));
        line["params"][field] = value;
        let refused = make(&harness, vec![line]).await;
        assert_eq!((refused.status, harness.upstream.count()), (400, 0), "{field}: {}", refused.text);
        assert!(refused.text.contains("Request 1 of the batch") && refused.text.contains("binds none"));
    }
}

#[tokio::test]
async fn results_that_came_compressed_unasked_are_not_passed_on_as_if_they_could_be_read() {
    let harness = start().await;
    let id = make(&harness, vec![request("a", "poet", json!({}))]).await.json()["id"].as_str().unwrap().to_owned();
    harness.usage_of(2).await;
    harness.upstream.set_plan(&json!({ "results": "compressed" })).unwrap();
    let results = harness.get(&format!("/v1/messages/batches/{id}/results")).await;
    assert_eq!((results.status, &results.json()["error"]["type"]), (502, &json!("api_error")), "{}", results.text);
}

#[tokio::test]
async fn a_batch_is_not_deleted_before_it_is_booked() {
    let harness = start().await;
    harness.upstream.set_plan(&json!({ "hold": true })).unwrap();
    let id = make(&harness, vec![request("a", "poet", json!({}))]).await.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/messages/batches/{id}");
    assert_eq!(harness.call(&harness.key, "DELETE", &path, None).await.status, 409);
    harness.upstream.set_plan(&json!({})).unwrap();
    harness.usage_of(2).await;
    assert_eq!(harness.call(&harness.key, "DELETE", &path, None).await.status, 200);
}

#[tokio::test]
async fn a_request_of_a_batch_is_checked_as_a_direct_one_is() {
    let harness = start().await;
    let good = request("a", "poet", json!({}));
    let with = |field: &str, value: Value| {
        let mut changed = good.clone();
        changed["params"][field] = value;
        changed
    };
    for (requests, status) in [
        (vec![], 400),
        (vec![good.clone(), good.clone()], 400),
        (vec![with("model", json!("nobody-knows"))], 404),
        (vec![with("model", json!("public"))], 400),
        (vec![with("stream", json!(true))], 400),
        (vec![with("max_tokens", json!(-1))], 400),
    ] {
        let refused = make(&harness, requests).await;
        assert_eq!((refused.status, &refused.json()["type"]), (status, &json!("error")), "{}", refused.text);
    }
    let twice =
        r#"{"requests":[{"custom_id":"a","params":{"model":"poet","model":"x","max_tokens":1,"messages":[]}}]}"#;
    let request = harness.client.post(harness.url("/v1/messages/batches")).bearer_auth(&harness.key).body(twice);
    assert_eq!(crate::harness::read(request).await.status, 400);
    assert_eq!(harness.upstream.count(), 0);
}

#[tokio::test]
async fn pages_go_both_ways() {
    let harness = start().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let made = make(&harness, vec![request("a", "poet", json!({ "chunks": 1 }))]).await;
        ids.insert(0, made.json()["id"].as_str().unwrap().to_owned());
    }
    let of = |list: &Value| -> Vec<String> {
        list["data"].as_array().unwrap().iter().map(|batch| batch["id"].as_str().unwrap().to_owned()).collect()
    };
    let harness = &harness;
    let list = |query: String| async move { harness.get(&format!("/v1/messages/batches?{query}")).await.json() };
    let first = list("limit=2".into()).await;
    assert_eq!((of(&first), &first["has_more"], &first["last_id"]), (ids[..2].to_vec(), &json!(true), &json!(ids[1])));
    let next = list(format!("limit=2&after_id={}", ids[1])).await;
    assert_eq!(of(&next), ids[2..4]);
    let before = list(format!("limit=2&before_id={}", ids[3])).await;
    assert_eq!((of(&before), &before["has_more"]), (ids[1..3].to_vec(), &json!(true)));
}

#[tokio::test]
async fn a_batch_that_its_provider_forgets_is_booked_by_the_rule_when_it_is_old() {
    // Old after 288 of the longest waits.
    let quick = BOTH.replace("poll_ms_min = 50", "poll_ms_min = 10").replace("poll_ms_max = 100", "poll_ms_max = 10");
    let harness = Harness::start_with_prices(&quick, PRICES).await;
    harness.upstream.set_plan(&json!({ "hold": true })).unwrap();
    let requests = (0..3).map(|n| request(&format!("r{n}"), "poet", json!({}))).collect();
    let id = make(&harness, requests).await.json()["id"].as_str().unwrap().to_owned();
    let account = format!("{}/v1/messages/batches/{id}", harness.upstream.base_url());
    assert!(harness.client.delete(account).send().await.unwrap().status().is_success());
    let rows = harness.usage_of(2).await;
    assert!(rows[0]["input_uncached"].as_u64().unwrap() >= 3, "{rows:?}");
    assert_eq!((&rows[0]["output"], &rows[0]["unpriced"]), (&json!(0), &json!(0)));
    harness.assert_clean_audit().await;
}
