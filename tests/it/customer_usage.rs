//! A customer's own usage by its key: its own, and nothing of what the gateway pays.

use serde_json::json;

use crate::harness::{Harness, read};

async fn usage(harness: &Harness, key: &str, query: &str) -> crate::harness::Answer {
    read(harness.client.get(harness.url(&format!("/v1/usage{query}"))).bearer_auth(key)).await
}

#[tokio::test]
async fn a_customer_sees_its_own_usage_and_nobody_elses_nor_any_cost() {
    let harness = Harness::start().await;
    for _ in 0..3 {
        let id = harness.chat(json!({})).await.request_id();
        harness.booked(&id).await;
    }
    let own = usage(&harness, &harness.key, "").await;
    assert_eq!(own.status, 200, "{}", own.text);
    let rows = own.json()["data"].clone();
    assert_eq!(
        (rows.as_array().unwrap().len(), &rows[0]["model"], &rows[0]["requests"]),
        (1, &json!("demo-model"), &json!(3))
    );
    let totals = harness.totals().await;
    assert_eq!((&rows[0]["charge_usd"], &rows[0]["output"]), (&totals["charge_usd"], &totals["output"]));
    for hidden in ["cost_usd", "target", "attempts"] {
        assert!(!own.text.contains(hidden), "{}", own.text);
    }
    let by = usage(&harness, &harness.key, "?by=key,model,day&from=2020-01-01").await.json();
    assert!(by["data"][0]["key_id"].is_string() && by["data"][0]["day"].is_string(), "{by}");

    let other = harness.admin("POST", "/customers", Some(json!({ "name": "Other" }))).await.json()["id"].clone();
    let key = harness.admin("POST", "/keys", Some(json!({ "customer_id": other }))).await.json()["key"].clone();
    let others = usage(&harness, key.as_str().unwrap(), "?by=customer").await;
    assert_eq!((others.status, others.error_code()), (400, json!("invalid_query")), "{}", others.text);
    let others = usage(&harness, key.as_str().unwrap(), "").await.json();
    assert_eq!((&others["data"], &others["customer_id"]), (&json!([]), &other));
}

#[tokio::test]
async fn asking_needs_a_key_and_counts_against_its_limits() {
    let harness = Harness::start().await;
    assert_eq!(usage(&harness, "tg-wrong", "").await.status, 401);
    let key = harness.new_key(json!({ "requests_per_minute": 1 })).await;
    assert_eq!(usage(&harness, &key, "?from=2026-11-24T15:30:00Z").await.status, 400);
    let refused = usage(&harness, &key, "").await;
    assert_eq!((refused.status, refused.error_code()), (429, json!("rate_limit_exceeded")), "{}", refused.text);
}
