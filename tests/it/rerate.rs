//! Prices that change while the gateway runs, answers of other models, and corrections of what was charged.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::harness::Harness;

const BOOK: &str = "[[book]]\nname = \"default\"\n[[book.rule]]\nmodel = \"*\"\nvalid_from = \"2025-01-01\"\nmargin_over_cost = \"0.25\"\n";

fn price(model: &str, recorded_at: &str, input: &str, output: &str) -> String {
    format!(
        "[[price]]\nprovider = \"demo\"\nmodel = \"{model}\"\nvalid_from = \"2025-01-01\"\nrecorded_at = \"{recorded_at}\"\n\
         source = \"a test\"\nusd_per_mtok = {{ input = \"{input}\", cache_read = \"0.05\", output = \"{output}\" }}\n"
    )
}

fn write(dir: &Path, tables: &[String], book: &str) {
    fs::write(dir.join("prices.toml"), format!("{}{book}", tables.concat())).unwrap();
}

/// A gateway whose price files may be changed under it.
async fn gateway(tables: &[String], book: &str, more: &str) -> (tempfile::TempDir, Harness) {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), tables, book);
    let more_keys = if more.contains("unpriced") { "unpriced = \"record\"\n" } else { "" };
    let models = "[[model]]\nname = \"late\"\ntargets = [{ provider = \"demo\", model = \"late-model\" }]\n";
    let toml = format!("[prices]\ndir = {:?}\n{more_keys}{models}", dir.path());
    (dir, Harness::start_with(&toml).await)
}

/// Asks once and waits for the books.
async fn booked(harness: &Harness, extra: Value) -> Value {
    let answer = harness.chat(extra).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    harness.booked(&answer.request_id()).await
}

async fn rerate(harness: &Harness, body: Value) -> Value {
    harness.admin("POST", "/rerate", Some(body)).await.json()
}

fn nanousd(value: &Value) -> i64 {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no amount"));
    text.replace('.', "").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_correction_is_booked_once_as_the_difference_and_the_original_stays() {
    let first = price("demo-model", "2025-01-01", "0.50", "2.00");
    let (dir, harness) = gateway(std::slice::from_ref(&first), BOOK, "").await;
    let mut before = Vec::new();
    for chunks in [3, 5, 8] {
        before.push(booked(&harness, json!({ "x_fake": { "chunks": chunks } })).await);
    }
    let charged: i64 = before.iter().map(|view| nanousd(&view["charge_usd"])).sum();
    assert!(charged > 0);
    // Known later, valid since then: everything costs twice as much.
    write(dir.path(), &[first, price("demo-model", "2025-02-01", "1.00", "4.00")], BOOK);
    let published = harness.admin("POST", "/prices/publish", Some(json!({}))).await;
    assert_eq!(published.status, 200, "{}", published.text);
    let dry = rerate(&harness, json!({})).await;
    assert_eq!((&dry["dry_run"], &dry["entries"], &dry["corrected"]), (&json!(true), &json!(3), &json!(3)), "{dry}");
    assert_eq!(nanousd(&harness.totals().await["charge_usd"]), charged, "a dry run changes nothing");
    let nobody = rerate(&harness, json!({ "to": "2026-01-01T00:00:00Z", "apply": true })).await;
    assert_eq!(nobody["entries"], 0);

    let applied = rerate(&harness, json!({ "apply": true })).await;
    assert_eq!(applied["corrected"], 3, "{applied}");
    assert_eq!(nanousd(&applied["customers"][0]["charge_difference_usd"]), charged);
    assert_eq!(applied["customers"], dry["customers"], "as the dry run said");
    let totals = harness.totals().await;
    assert_eq!((nanousd(&totals["charge_usd"]), &totals["requests"]), (2 * charged, &json!(3)));
    let view = harness.booked(before[0]["request_id"].as_str().unwrap()).await;
    assert_eq!(view["lines"], before[0]["lines"], "the original stays");
    assert_eq!(nanousd(&view["charge_usd"]), 2 * nanousd(&before[0]["charge_usd"]));
    assert_eq!(view["corrections"].as_array().unwrap().len(), 1);
    harness.assert_clean_audit().await;

    let again = rerate(&harness, json!({ "apply": true })).await;
    assert_eq!((&again["corrected"], &again["customers"]), (&json!(0), &json!([])), "twice changes nothing");
    // Taken back, and the whole way again.
    write(dir.path(), &[price("demo-model", "2025-03-01", "0.50", "2.00")], BOOK);
    assert_eq!(harness.admin("POST", "/prices/publish", Some(json!({}))).await.status, 200);
    assert_eq!(rerate(&harness, json!({ "apply": true })).await["corrected"], 3);
    assert_eq!(nanousd(&harness.totals().await["charge_usd"]), charged);
    harness.assert_clean_audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_had_no_price_is_alarmed_and_priced_when_a_table_arrives_by_a_file() {
    let first = price("demo-model", "2025-01-01", "0.50", "2.00");
    let (dir, harness) = gateway(std::slice::from_ref(&first), BOOK, "unpriced").await;
    let answer = harness.chat(json!({ "model": "late" })).await;
    let view = harness.booked(&answer.request_id()).await;
    assert_eq!((&view["charge_usd"], &view["flags"]), (&Value::Null, &json!(["unpriced"])));
    let metrics = harness.client.get(harness.admin_url("/metrics")).bearer_auth(&harness.gateway().admin_token);
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("\ntollgate_unpriced_total 1\n"), "{metrics}");
    assert_eq!(harness.totals().await["unpriced"], 1);
    assert_eq!(rerate(&harness, json!({})).await["unpriced"], 1, "there is still no price");

    write(dir.path(), &[first, price("late-model", "2025-01-01", "1", "1")], BOOK);
    for _ in 0..100 {
        let prices = harness.admin("GET", "/prices?for=demo/late-model", None).await.json();
        if prices["data"] != json!([]) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let applied = rerate(&harness, json!({ "apply": true })).await;
    assert_eq!((&applied["corrected"], &applied["customers"][0]["settled"]), (&json!(1), &json!(1)), "{applied}");
    let view = harness.booked(&answer.request_id()).await;
    let tokens = view["lines"][0]["usage"]["input_uncached"].as_i64().unwrap()
        + view["lines"][0]["usage"]["output"].as_i64().unwrap();
    // A dollar a million is a thousand nano-dollars a token, and a quarter more.
    assert_eq!((nanousd(&view["cost_usd"]), nanousd(&view["charge_usd"])), (tokens * 1000, tokens * 1250));
    assert_eq!(harness.totals().await["unpriced"], 0);
    assert_eq!(rerate(&harness, json!({ "apply": true })).await["corrected"], 0);
    harness.assert_clean_audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cost_that_the_provider_tells_otherwise_is_flagged_and_counted_and_changes_no_price() {
    let (_dir, harness) = gateway(&[price("demo-model", "2025-01-01", "0.50", "2.00")], BOOK, "").await;
    for (told, flags) in [("0.0025", json!([])), ("2.51e-3", json!([])), ("0.0133", json!(["cost_differs"]))] {
        let usage: Value = serde_json::from_str(&format!(
            r#"{{"prompt_tokens":1000,"completion_tokens":1000,"total_tokens":2000,"cost":{told}}}"#
        ))
        .unwrap();
        let view = booked(&harness, json!({ "x_fake": { "usage": usage } })).await;
        assert_eq!((nanousd(&view["cost_usd"]), &view["flags"]), (2_500_000, &flags), "{told}: {view}");
    }
    let metrics = harness.client.get(harness.admin_url("/metrics")).bearer_auth(&harness.gateway().admin_token);
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("\ntollgate_cost_differs_total 1\n"), "{metrics}");
    harness.assert_clean_audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_without_a_price_is_alarmed_its_tokens_are_charged_and_rerate_adds_it() {
    let first = price("demo-model", "2025-01-01", "0.50", "2.00");
    let (dir, harness) = gateway(std::slice::from_ref(&first), BOOK, "").await;
    let usage =
        json!({ "prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, "num_search_queries": 2 });
    let view = booked(&harness, json!({ "x_fake": { "usage": usage } })).await;
    // 1000 x 0.50 + 100 x 2.00 USD per million, and a quarter more.
    assert_eq!((nanousd(&view["cost_usd"]), nanousd(&view["charge_usd"])), (700_000, 875_000), "{view}");
    assert_eq!(view["flags"], json!(["unpriced"]));
    assert_eq!(view["lines"][0]["unpriced_counters"], json!(["web_search_requests"]), "{view}");
    let metrics = harness.client.get(harness.admin_url("/metrics")).bearer_auth(&harness.gateway().admin_token);
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("\ntollgate_unpriced_total 1\n"), "{metrics}");
    let totals = harness.totals().await;
    assert_eq!((nanousd(&totals["charge_usd"]), &totals["unpriced"]), (875_000, &json!(1)));
    assert_eq!(rerate(&harness, json!({ "apply": true })).await["unpriced"], 1, "there is still no price");
    harness.assert_clean_audit().await;

    let publish = async |tables: &[String]| {
        write(dir.path(), tables, BOOK);
        let published = harness.admin("POST", "/prices/publish", Some(json!({ "force": true }))).await;
        assert_eq!(published.status, 200, "{}", published.text);
    };
    let with_unit = price("demo-model", "2025-02-01", "0.50", "2.00") + "usd_per_unit = { web_search = \"0.01\" }\n";
    publish(&[first.clone(), with_unit.clone()]).await;
    let applied = rerate(&harness, json!({ "apply": true })).await;
    assert_eq!((&applied["corrected"], &applied["customers"][0]["settled"]), (&json!(1), &json!(1)), "{applied}");
    let totals = harness.totals().await;
    assert_eq!((nanousd(&totals["charge_usd"]), &totals["unpriced"]), (25_875_000, &json!(0)));
    harness.assert_clean_audit().await;
    // A unit that has no price any more is left as it is.
    publish(&[first, with_unit, price("demo-model", "2025-03-01", "0.50", "2.00")]).await;
    assert_eq!(rerate(&harness, json!({ "apply": true })).await["corrected"], 0);
    assert_eq!(nanousd(&harness.totals().await["charge_usd"]), 25_875_000);
    harness.assert_clean_audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_another_model_costs_what_that_model_costs() {
    let tables = [
        price("demo-model", "2025-01-01", "0.50", "2.00"),
        price("big-model", "2025-01-01", "5", "20").replace("valid_from", "aliases = [\"big-*\"]\nvalid_from"),
    ];
    let (_dir, harness) = gateway(&tables, BOOK, "").await;
    let own = booked(&harness, json!({ "x_fake": { "chunks": 4 } })).await;
    for (answered, version, times) in
        [("big-2026-01-01", "demo/big-model@2025-01-01#", 10), ("somebody-else", "demo/demo-model@2025-01-01#", 1)]
    {
        let view = booked(&harness, json!({ "x_fake": { "chunks": 4, "answer_model": answered } })).await;
        let line = &view["lines"][0];
        assert_eq!(line["billed_model"], answered);
        assert!(line["cost_price_version"].as_str().unwrap().starts_with(version), "{line}");
        assert_eq!(nanousd(&view["cost_usd"]), times * nanousd(&own["cost_usd"]), "{answered}");
        assert_eq!(line["cost_parts"].as_array().unwrap().len(), 2, "{line}");
        assert_eq!(line["charge_parts"], json!({ "rule": "margin_over_cost", "factor": "0.25" }));
        let stands_for = if times == 1 { json!(["priced_as_target"]) } else { json!([]) };
        assert_eq!(view["flags"], stands_for, "{answered}");
    }
    assert_eq!(own["flags"], json!([]));
    let metrics = harness.client.get(harness.admin_url("/metrics")).bearer_auth(&harness.gateway().admin_token);
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("\ntollgate_priced_as_target_total 1\n"), "{metrics}");
    harness.assert_clean_audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_price_applies_also_to_answers_by_another_name_of_the_model() {
    let tables = [
        price("demo-model", "2025-01-01", "0.50", "2.00")
            .replace("valid_from", "aliases = [\"demo-2025\"]\nvalid_from"),
        // It does not say the other name again.
        price("demo-model", "2025-06-01", "5", "20"),
    ];
    let (_dir, harness) = gateway(&tables, BOOK, "").await;
    let own = booked(&harness, json!({ "x_fake": { "chunks": 4 } })).await;
    let dated = booked(&harness, json!({ "x_fake": { "chunks": 4, "answer_model": "Demo-2025" } })).await;
    assert_eq!(dated["lines"][0]["billed_model"], "Demo-2025");
    assert_eq!(dated["cost_usd"], own["cost_usd"]);
    assert_eq!(dated["lines"][0]["cost_parts"][0]["usd_per_mtok"], "5", "{dated}");
    assert_eq!(rerate(&harness, json!({})).await["corrected"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_files_and_thousandfold_prices_are_refused_and_the_old_prices_stay() {
    let first = price("demo-model", "2025-01-01", "0.50", "2.00");
    let (dir, harness) = gateway(std::slice::from_ref(&first), BOOK, "").await;
    let before = booked(&harness, json!({})).await;
    let publish = async |force: bool| harness.admin("POST", "/prices/publish", Some(json!({ "force": force }))).await;
    write(dir.path(), &[first.replace("\"2.00\"", "2.00")], BOOK);
    let refused = publish(true).await;
    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("prices_refused")));
    assert!(refused.text.contains("prices.toml:7: output: write the price in quotes"), "{}", refused.text);
    write(dir.path(), &[price("demo-model", "2025-02-01", "500", "2.00")], BOOK);
    assert!(publish(false).await.text.contains("demo/demo-model: input 0.5 -> 500"));
    // The running gateway looks at its files by itself, too.
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(booked(&harness, json!({})).await["cost_usd"], before["cost_usd"]);
    assert_eq!(publish(true).await.status, 200);
    let dear = booked(&harness, json!({})).await;
    assert_eq!(dear["lines"][0]["cost_parts"][0]["usd_per_mtok"], "500", "{dear}");
    harness.assert_clean_audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_costs_at_least_the_minimum_of_its_book() {
    let book = BOOK.replace("margin_over_cost = \"0.25\"", "multiplier = \"2\"\nusd_per_request_min = \"0.01\"");
    let (_dir, harness) = gateway(&[price("demo-model", "2025-01-01", "0.50", "2.00")], &book, "").await;
    let small = booked(&harness, json!({})).await;
    assert_eq!(small["charge_usd"], "0.010000000");
    let line = &small["lines"][0];
    assert_eq!(line["charge_parts"], json!({ "rule": "multiplier", "factor": "2", "usd_per_request_min": "0.01" }));
    let large = booked(&harness, json!({ "x_fake": { "usage": { "prompt_tokens": 20_000, "completion_tokens": 1_000, "total_tokens": 21_000 } } })).await;
    // 20,000 x 0.50 + 1,000 x 2.00 USD per million, twice.
    assert_eq!(large["charge_usd"], "0.024000000");
    harness.assert_clean_audit().await;
}
