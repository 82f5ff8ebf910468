//! OpenAI's batches: each result is booked once, at the price of a batch.

use serde_json::{Value, json};

use super::scene::{line, lines, start};

#[tokio::test]
async fn each_result_becomes_one_entry_at_the_price_of_a_batch() {
    let harness = start().await;
    let content = format!(
        "{}{}{}",
        line("a", "public", json!({ "chunks": 3 })),
        line("b", "other", json!({ "chunks": 5 })),
        line("c", "public", json!({ "status": 500 })),
    );
    let file = harness.upload(&content).await;
    let made = harness.make_batch(&file).await;
    assert_eq!(made.status, 200, "{}", made.text);
    // The request that made it, and one for each that succeeded.
    let rows = harness.usage_of(3).await;
    let row = |model: &str| rows.iter().find(|row| row["model"] == model).unwrap();
    assert_eq!(
        (&row("public")["requests"], &row("public")["input_uncached"], &row("public")["output"]),
        (&json!(2), &json!(2), &json!(3))
    );
    // 2 x 0.50 + 3 x 2.00 per million; twice that is owed.
    assert_eq!(
        (&row("public")["cost_usd"], &row("public")["charge_usd"]),
        (&json!("0.000007000"), &json!("0.000014000"))
    );
    assert_eq!(
        (&row("other")["cost_usd"], &row("other")["charge_usd"]),
        (&json!("0.000110000"), &json!("0.000220000"))
    );
    let view = harness.booked(&made.request_id()).await;
    assert_eq!(
        (&view["outcome"], &view["usage_source"], &view["endpoint"], &view["lines"]),
        (&json!("pending"), &json!("deferred"), &json!("/v1/batches"), &json!([]))
    );
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn the_results_are_their_customers_and_reading_them_first_changes_nothing() {
    let harness = start().await;
    let other = harness.other_key().await;
    harness.upstream.set_plan(&json!({ "hold": true })).unwrap();
    let content = format!("{}{}", lines("public", 20), line("bad", "public", json!({ "status": 429 })));
    let batch = harness.batch_of(&content).await;
    assert_eq!(harness.get(&format!("/v1/batches/{batch}")).await.json()["status"], "in_progress");
    harness.upstream.set_plan(&json!({})).unwrap();
    let told = harness.get(&format!("/v1/batches/{batch}")).await.json();
    assert_eq!(told["status"], "completed");
    let (output, errors) = (told["output_file_id"].as_str().unwrap(), told["error_file_id"].as_str().unwrap());
    assert_eq!(harness.get(&format!("/v1/files/{output}/content")).await.text.lines().count(), 20);
    assert_eq!(harness.get(&format!("/v1/files/{errors}/content")).await.text.lines().count(), 1);
    for path in [format!("/v1/batches/{batch}"), format!("/v1/files/{output}"), format!("/v1/files/{output}/content")] {
        assert_eq!(harness.call(&other, "GET", &path, None).await.status, 404, "{path}");
    }
    assert_eq!(harness.call(&other, "POST", &format!("/v1/batches/{batch}/cancel"), None).await.status, 404);
    assert_eq!(harness.call(&other, "GET", "/v1/batches", None).await.json()["data"], json!([]));
    let own = harness.get("/v1/batches").await.json();
    assert_eq!((own["data"].as_array().unwrap().len(), &own["data"][0]["id"]), (1, &json!(batch)));
    harness.usage_of(21).await;
    assert_eq!(harness.call(&harness.key, "DELETE", &format!("/v1/files/{output}"), None).await.status, 200);
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_batch_reads_its_customers_file_and_no_other() {
    let harness = start().await;
    let other = harness.other_key().await;
    let file = harness.upload(&lines("public", 1)).await;
    let plain = harness.upload_as(&harness.key, "user_data", &lines("public", 1)).await.json()["id"].clone();
    let scoped = harness.new_key(json!({ "models": ["other"] })).await;
    let sent = harness.upstream.count();
    let body = |file: &Value, endpoint: &str| json!({ "input_file_id": file, "endpoint": endpoint, "completion_window": "24h" });
    let (file, chat) = (json!(file), "/v1/chat/completions");
    for (key, body, status, param) in [
        (&other, body(&file, chat), 404, "input_file_id"),
        (&harness.key, body(&json!("file-nobodys"), chat), 404, "input_file_id"),
        (&harness.key, body(&plain, chat), 400, "input_file_id"),
        (&harness.key, body(&file, "/v1/responses"), 400, "endpoint"),
        (&harness.key, json!({ "endpoint": chat }), 400, "input_file_id"),
        (&scoped, body(&file, chat), 403, "model"),
    ] {
        let refused = harness.call(key, "POST", "/v1/batches", Some(body)).await;
        assert_eq!((refused.status, &refused.json()["error"]["param"]), (status, &json!(param)), "{}", refused.text);
    }
    let twice = format!(r#"{{"input_file_id":"file-nobodys","input_file_id":{file},"endpoint":"{chat}"}}"#);
    let request = harness.client.post(harness.url("/v1/batches")).bearer_auth(&harness.key).body(twice);
    assert_eq!(crate::harness::read(request).await.status, 400);
    assert_eq!(harness.upstream.count(), sent, "something of this was sent upstream");
}

#[tokio::test]
async fn what_a_cancelled_or_expired_batch_has_done_is_charged() {
    let harness = start().await;
    harness.upstream.set_plan(&json!({ "hold": true })).unwrap();
    let batch = harness.batch_of(&lines("public", 5)).await;
    let cancelled = harness.call(&harness.key, "POST", &format!("/v1/batches/{batch}/cancel"), None).await;
    assert_eq!(cancelled.json()["status"], "cancelled");
    assert_eq!(harness.usage_of(2).await[0]["output"], 1);
    harness.upstream.set_plan(&json!({ "expires_after": 3 })).unwrap();
    let batch = harness.batch_of(&lines("public", 5)).await;
    assert_eq!(harness.get(&format!("/v1/batches/{batch}")).await.json()["status"], "expired");
    assert_eq!(harness.usage_of(6).await[0]["output"], 4);
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn results_that_come_broken_are_read_again_and_booked_once() {
    let harness = start().await;
    harness.upstream.set_plan(&json!({ "results": "cut" })).unwrap();
    harness.batch_of(&lines("public", 1200)).await;
    // The first lines of each try are posted; the last time in another order.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    harness.upstream.set_plan(&json!({})).unwrap();
    assert_eq!(harness.usage_of(1201).await[0]["output"], 1200);
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn results_that_are_gone_cost_what_the_provider_says_of_the_whole() {
    let harness = start().await;
    harness.upstream.set_plan(&json!({ "results": "gone", "tells_usage": true })).unwrap();
    harness.batch_of(&lines("public", 10)).await;
    let row = &harness.usage_of(2).await[0];
    assert_eq!(
        (&row["input_uncached"], &row["output"], &row["estimated"]),
        (&json!(20), &json!(10), &json!(2)),
        "{row}"
    );
    harness.assert_clean_audit().await;
    // Each at the price of its share: 10 x (2 x 0.5 + 1 x 2) per million.
    assert_eq!(row["cost_usd"], "0.000030000");
    // What could be read is booked as it was read, and the rest by what the provider says of the whole.
    harness.upstream.set_plan(&json!({ "results": "damaged", "tells_usage": true })).unwrap();
    harness.batch_of(&lines("public", 10)).await;
    let told = |row: &serde_json::Value| (row["input_uncached"].as_u64().unwrap(), row["output"].as_u64().unwrap());
    let mut row = harness.usage_of(4).await[0].clone();
    for _ in 0..100 {
        if told(&row) == (40, 20) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        row = harness.usage_of(4).await[0].clone();
    }
    assert_eq!(told(&row), (40, 20), "{row}");
    // And without its word, the estimate of the input: never nothing.
    harness.upstream.set_plan(&json!({ "results": "gone" })).unwrap();
    let before = row["requests"].as_u64().unwrap();
    harness.batch_of(&lines("public", 10)).await;
    let row = &harness.usage_of(before + 2).await[0];
    assert!(told(row).0 > 40, "{row}");
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_provider_that_does_not_make_a_batch_is_recorded_and_owes_nothing() {
    let harness = start().await;
    let file = harness.upload(&lines("public", 1)).await;
    // The provider has lost the file.
    let upstream_only = reqwest::Client::new().delete(format!("{}/files/{file}", harness.upstream.openai_url()));
    assert!(upstream_only.send().await.unwrap().status().is_success());
    let refused = harness.make_batch(&file).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    let view = harness.booked(&refused.request_id()).await;
    assert_eq!((&view["outcome"], &view["usage_source"]), (&json!("upstream_error"), &json!("not_billed")));
    assert_eq!(harness.get("/v1/batches").await.json()["data"], json!([]));
    harness.assert_clean_audit().await;
}
