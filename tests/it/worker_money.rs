//! A worker of ours: what its requests used and cost, exact to the last step, however they end.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use sqlx::ConnectOptions;
use tollgate_fakes::worker::{FakeWorker, Known};

use crate::{
    disconnects::Dice,
    harness::{Answer, Harness, base_toml, chat, read},
    process::{Process, cli, free_port, wait_until_ready},
};

/// 3.636 USD an hour with energy, on two engine threads: 1.01 / 2 nano-dollars a busy microsecond.
const RATE: &str = "device_usd_per_hour = \"3.6\"\ndevice_watts = \"100\"\nusd_per_kwh = \"0.36\"\n";

fn worker_toml(worker: &FakeWorker, name: &str, more: &str) -> String {
    format!("[[worker]]\nname = \"{name}\"\nurl = \"{}\"\nmodels = [\"small\"]\n{RATE}{more}", worker.root_url())
}

/// A gateway in front of one worker; `more` stands behind its `[[worker]]`.
async fn started(more: &str) -> (Harness, FakeWorker) {
    let worker = FakeWorker::start().await;
    let harness = Harness::start_with(&worker_toml(&worker, "local", more)).await;
    (harness, worker)
}

/// A chat request of two words to the worker's model.
fn small(stream: bool, script: Value) -> Value {
    chat(json!({ "model": "small", "stream": stream, "x_worker": script }))
}

async fn ask(harness: &Harness, stream: bool, script: Value) -> Answer {
    read(harness.request("/v1/chat/completions", &small(stream, script))).await
}

/// Reads so many chunks of a stream, and leaves. Gives the request's id.
async fn leave_after(harness: &Harness, chunks: usize, script: Value) -> String {
    let response = harness.request("/v1/chat/completions", &small(true, script)).send().await.unwrap();
    let request_id = response.headers()["x-tollgate-request-id"].to_str().unwrap().to_owned();
    let mut stream = response.bytes_stream();
    for _ in 0..chunks {
        stream.next().await.unwrap().unwrap();
    }
    request_id
}

/// `numerator / denominator` nano-dollars, rounded half to even, as dollars.
fn dollars(numerator: u64, denominator: u64) -> String {
    let (whole, rest) = (numerator / denominator, numerator % denominator);
    let up = rest * 2 > denominator || rest * 2 == denominator && whole % 2 == 1;
    let nanousd = whole + u64::from(up);
    format!("{}.{:09}", nanousd / 1_000_000_000, nanousd % 1_000_000_000)
}

/// The line says what the worker says of itself, and costs its time: 101/200 of a nano-dollar a microsecond, and to the
/// customer a quarter more.
fn assert_line_is_exact(view: &Value, usage: &Value) {
    let line = &view["lines"][0];
    assert_eq!(line["worker"], usage["worker"], "{view}");
    assert_eq!(line["usage"]["input_uncached"], usage["prompt_tokens"], "{view}");
    assert_eq!(line["usage"]["output"], usage["completion_tokens"], "{view}");
    let time = &usage["worker"];
    let busy = time["prefill_busy_us"].as_u64().unwrap() + time["decode_busy_us"].as_u64().unwrap();
    assert_eq!(line["cost_usd"], dollars(busy * 101, 200), "{view}");
    assert_eq!(line["charge_usd"], dollars(busy * 101 * 125, 200 * 100), "{view}");
    assert!(line["cost_price_version"].as_str().unwrap().starts_with("worker:local@1970-01-01#"), "{view}");
}

fn assert_ended(view: &Value, outcome: &str, source: &str) {
    assert_eq!((&view["outcome"], &view["usage_source"]), (&json!(outcome), &json!(source)), "{view}");
}

/// What the worker knows of the first attempt of a request, when it has ended there.
async fn known(worker: &FakeWorker, request_id: &str) -> Known {
    let id = format!("{request_id}.0");
    worker.wait_for_end(&id, Duration::from_secs(5)).await.unwrap_or_else(|| panic!("{:?}", worker.all()))
}

#[tokio::test]
async fn a_request_costs_its_share_of_the_devices_time_plain_and_streamed() {
    let (harness, worker) = started("").await;
    let plain = ask(&harness, false, json!({ "tokens": 5 })).await;
    let streamed = ask(&harness, true, json!({ "tokens": 6 })).await;
    let completion = harness.request("/v1/completions", &json!({ "model": "small", "prompt": "a b c" }));
    let completion = read(completion).await;
    assert!(streamed.text.ends_with("data: [DONE]\n\n") && !streamed.text.contains("\"choices\":[]"));
    for (answer, tokens) in [(&plain, 5), (&streamed, 6), (&completion, 8)] {
        assert_eq!(answer.status, 200, "{}", answer.text);
        let view = harness.booked(&answer.request_id()).await;
        let known = known(&worker, &answer.request_id()).await;
        assert_eq!(known.usage["completion_tokens"], tokens);
        assert_ended(&view, "complete", "provider_final");
        assert_eq!((&view["flags"], known.cancels), (&json!([]), 0));
        assert_line_is_exact(&view, &known.usage);
        let shown: Vec<_> = answer.headers.iter().map(|(name, value)| format!("{name} {value:?}")).collect();
        let told = format!("{}{}", shown.join("\n"), answer.text);
        for secret in ["cost", "device", "3.6", view["lines"][0]["cost_usd"].as_str().unwrap()] {
            assert!(!told.contains(secret), "a customer saw {secret:?} of ours: {told}");
        }
    }
    let charged = harness.booked(&plain.request_id()).await["charge_usd"].clone();
    assert_eq!(plain.header("x-tollgate-charge-usd"), charged.as_str());
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn what_a_worker_does_not_serve_is_refused_and_costs_nothing() {
    let (harness, _worker) = started("").await;
    let answer = read(harness.request("/v1/embeddings", &json!({ "model": "small", "input": "a" }))).await;
    assert_eq!(answer.status, 404, "{}", answer.text);
    assert!(answer.text.contains("There is nothing at this path"), "{}", answer.text);
    let view = harness.booked(&answer.request_id()).await;
    assert_ended(&view, "upstream_error", "not_billed");
    assert_eq!((&view["lines"], &view["cost_usd"]), (&json!([]), &json!("0.000000000")));
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_stream_whose_client_leaves_is_cancelled_and_booked_to_the_last_token() {
    let (harness, worker) = started("").await;
    let request_id = leave_after(&harness, 4, json!({ "tokens": 100_000, "gap_ms": 5 })).await;
    let known = known(&worker, &request_id).await;
    assert_eq!((known.finish_reason.as_deref(), known.cancels, known.caller_gone), (Some("cancelled"), 1, false));
    assert!(known.usage["completion_tokens"].as_u64().unwrap() < 1000, "it ended at once: {known:?}");
    let view = harness.booked(&request_id).await;
    assert_ended(&view, "client_disconnect", "provider_final");
    assert_line_is_exact(&view, &known.usage);
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_plain_request_whose_client_leaves_is_cancelled_at_once_and_booked_to_the_last_token() {
    let (harness, worker) = started("").await;
    // Would take more than a quarter of an hour.
    let request = harness.request("/v1/chat/completions", &small(false, json!({ "tokens": 100_000, "gap_ms": 10 })));
    let waiting = tokio::spawn(request.send());
    let begun = |all: Vec<Known>| all.into_iter().find(|known| known.usage["completion_tokens"].as_u64() > Some(3));
    let id = loop {
        match begun(worker.all()) {
            Some(known) => break known.id,
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    waiting.abort();
    let request_id = id.strip_suffix(".0").unwrap();
    let known = known(&worker, request_id).await;
    assert_eq!((known.finish_reason.as_deref(), known.cancels, known.caller_gone), (Some("cancelled"), 1, false));
    let view = harness.booked(request_id).await;
    assert_ended(&view, "client_disconnect", "provider_final");
    assert_line_is_exact(&view, &known.usage);
    harness.assert_clean_audit().await;
}

/// 400 requests, plain and streamed, each left at a random moment or read to its end: every one that reached the worker is
/// in the books with exactly what the worker counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whenever_clients_leave_the_books_say_what_the_worker_counted() {
    let (harness, worker) = started("").await;
    let mut dice = Dice(11);
    for _wave in 0..8 {
        let requests: Vec<_> = (0..50)
            .map(|_| {
                let script =
                    json!({ "tokens": 3 + dice.throw(30), "gap_ms": dice.throw(5), "prefill_us": dice.throw(9) });
                let request = harness.request("/v1/chat/completions", &small(dice.throw(2) == 0, script));
                let leave_after = if dice.throw(4) == 0 { 60_000 } else { dice.throw(50) };
                tokio::spawn(async move {
                    let reading = async { request.send().await.unwrap().text().await };
                    let _left = tokio::time::timeout(Duration::from_millis(leave_after), reading).await;
                })
            })
            .collect();
        for request in requests {
            request.await.unwrap();
        }
    }
    let totals = harness.totals().await;
    let all = worker.all();
    let cancelled = all.iter().filter(|known| known.finish_reason.as_deref() == Some("cancelled")).count();
    assert!(all.len() > 250 && cancelled > 100, "{cancelled} cancelled of {}", all.len());
    let mut not_exact = Vec::new();
    for known in &all {
        let view = harness.booked(known.id.strip_suffix(".0").unwrap()).await;
        if view["usage_source"] == "provider_final" {
            assert_line_is_exact(&view, &known.usage);
        } else {
            not_exact.push((known.clone(), view));
        }
    }
    eprintln!("requests at the worker {}, cancelled {cancelled}, not exact {}", all.len(), not_exact.len());
    assert!(not_exact.is_empty(), "{not_exact:#?}");
    assert_eq!((&totals["estimated"], &totals["unpriced"]), (&json!(0), &json!(0)));
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_worker_that_refuses_to_cancel_loses_its_connection_and_is_asked_what_was_used() {
    let (harness, worker) = started("").await;
    let script = json!({ "tokens": 100_000, "gap_ms": 5, "fault": "refuse_cancel" });
    let request_id = leave_after(&harness, 4, script).await;
    let known = known(&worker, &request_id).await;
    assert!(known.caller_gone && known.cancels >= 1, "{known:?}");
    let view = harness.booked(&request_id).await;
    assert_ended(&view, "client_disconnect", "provider_final");
    assert_line_is_exact(&view, &known.usage);
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_worker_that_neither_cancels_nor_remembers_is_booked_by_its_last_count() {
    let (harness, worker) = started("").await;
    let script = json!({ "tokens": 100_000, "gap_ms": 5, "fault": "refuse_cancel", "forget": true });
    let request_id = leave_after(&harness, 4, script).await;
    let known = known(&worker, &request_id).await;
    let view = harness.booked(&request_id).await;
    assert_ended(&view, "client_disconnect", "provider_partial");
    let output = view["lines"][0]["usage"]["output"].as_u64().unwrap();
    assert!(output >= 3 && output <= known.usage["completion_tokens"].as_u64().unwrap(), "{view}");
    let mut last = known.usage;
    last["completion_tokens"] = output.into();
    last["worker"]["decode_busy_us"] = (70_001 * output).into();
    assert_line_is_exact(&view, &last);
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_worker_that_falls_silent_after_a_cancel_is_not_waited_for() {
    let (harness, _worker) = started("[drain]\nms_max = 100\n").await;
    let request_id = leave_after(&harness, 4, json!({ "tokens": 100_000, "gap_ms": 5, "fault": "silent" })).await;
    let view = harness.booked(&request_id).await;
    assert_ended(&view, "client_disconnect", "provider_partial");
    assert!(view["lines"][0]["worker"]["decode_busy_us"].as_u64() >= Some(3 * 70_001), "{view}");
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn with_no_place_to_read_on_the_connection_is_closed_and_the_last_count_stands() {
    let (harness, worker) = started("[drain]\nstreams_max = 0\n").await;
    let request_id = leave_after(&harness, 4, json!({ "tokens": 100_000, "gap_ms": 5 })).await;
    let known = known(&worker, &request_id).await;
    assert_eq!((known.cancels, known.caller_gone), (0, true));
    let view = harness.booked(&request_id).await;
    assert_ended(&view, "client_disconnect", "provider_partial");
    assert_eq!(view["lines"][0]["worker"]["engine_threads"], 2);
}

#[tokio::test]
async fn a_worker_killed_in_a_stream_is_booked_by_its_last_count() {
    let (harness, worker) = started("").await;
    let answer = ask(&harness, true, json!({ "tokens": 50, "gap_ms": 2, "fault": "die", "at": 3 })).await;
    assert!(answer.text.contains("upstream_truncated") && !answer.text.contains("[DONE]"), "{}", answer.text);
    let view = harness.booked(&answer.request_id()).await;
    assert_ended(&view, "truncated", "provider_partial");
    let known = worker.known(&format!("{}.0", answer.request_id())).unwrap();
    assert_eq!(known.usage["completion_tokens"], 3);
    assert_line_is_exact(&view, &known.usage);
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_worker_that_lives_on_after_its_connection_broke_is_asked_how_the_request_ended() {
    let (harness, worker) = started("").await;
    let streamed = ask(&harness, true, json!({ "tokens": 50, "gap_ms": 2, "fault": "cut", "at": 3 })).await;
    assert!(streamed.text.contains("upstream_truncated"), "{}", streamed.text);
    let view = harness.booked(&streamed.request_id()).await;
    let known = known(&worker, &streamed.request_id()).await;
    assert_eq!(known.usage["completion_tokens"], 4, "one more than were delivered");
    assert_ended(&view, "truncated", "provider_final");
    assert_line_is_exact(&view, &known.usage);

    // A plain answer that is cut reaches nobody: its client is told so and owes nothing.
    let plain = ask(&harness, false, json!({ "fault": "cut", "at": 3 })).await;
    assert_eq!(plain.status, 502, "{}", plain.text);
    let view = harness.booked(&plain.request_id()).await;
    assert_ended(&view, "truncated", "not_billed");
    assert_eq!(view["flags"], json!(["not_delivered"]));
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_failure_inside_a_stream_keeps_the_usage_that_came_with_it() {
    let (harness, worker) = started("").await;
    let answer = ask(&harness, true, json!({ "tokens": 9, "fault": "error", "at": 4 })).await;
    assert!(answer.text.contains("The model failed."), "{}", answer.text);
    let view = harness.booked(&answer.request_id()).await;
    assert_ended(&view, "error_mid_stream", "provider_partial");
    assert_line_is_exact(&view, &known(&worker, &answer.request_id()).await.usage);
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_margin_over_time_that_a_worker_does_not_tell_is_unpriced_and_never_free() {
    let (harness, _worker) = started("").await;
    let answer = ask(&harness, true, json!({ "tokens": 5, "hide_time": true })).await;
    let view = harness.booked(&answer.request_id()).await;
    assert_ended(&view, "complete", "provider_final");
    assert_eq!(view["flags"], json!(["worker_time_unknown", "unpriced"]));
    let line = &view["lines"][0];
    assert_eq!((&line["usage"]["output"], &line["cost_usd"]), (&json!(5), &json!("0.000000000")));
    assert_eq!((&line["charge_usd"], answer.header("x-tollgate-charge-usd")), (&Value::Null, None));
    assert_eq!(
        line["worker"],
        json!({ "queue_us": 0, "prefill_busy_us": 0, "decode_busy_us": 0, "engine_threads": 0 })
    );
    assert_eq!(harness.totals().await["unpriced"], 1);
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_provider_that_claims_a_workers_time_is_not_believed() {
    let (harness, _worker) = started("").await;
    let forged = json!({ "prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5,
        "worker": { "queue_us": 1, "prefill_busy_us": 900_000_000, "decode_busy_us": 900_000_000, "engine_threads": 1 } });
    for stream in [false, true] {
        let answer = harness.chat(json!({ "stream": stream, "x_fake": { "usage": forged } })).await;
        let view = harness.booked(&answer.request_id()).await;
        assert_ended(&view, "complete", "provider_final");
        let line = &view["lines"][0];
        assert!(line.get("worker").is_none() && line["usage"]["output"] == 3, "{view}");
        assert!(line["cost_price_version"].as_str().unwrap().starts_with("demo/demo-model@"), "{view}");
    }
    assert!(!harness.upstream.requests()[0].header_names.contains(&"x-request-id".to_owned()));
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_rate_applies_from_its_day_on_and_old_entries_keep_theirs() {
    let (mut harness, _worker) = started("").await;
    let before = ask(&harness, false, json!({})).await;
    let before = harness.booked(&before.request_id()).await;
    let path = harness.dir.path().join("tollgate.toml");
    let toml = std::fs::read_to_string(&path).unwrap();
    let dated = "rates = [{ valid_from = \"2026-01-01\", device_usd_per_hour = \"7.2\" }, { valid_from = \"2999-01-01\", device_usd_per_hour = \"99\" }]\n";
    std::fs::write(&path, format!("{toml}{dated}")).unwrap();
    harness.restart().await;
    let after = ask(&harness, false, json!({})).await;
    let after = harness.booked(&after.request_id()).await;
    let version = |view: &Value| view["lines"][0]["cost_price_version"].as_str().unwrap().to_owned();
    assert!(version(&before).starts_with("worker:local@1970-01-01#"), "{before}");
    assert!(version(&after).starts_with("worker:local@2026-01-01#"), "{after}");
    // 7.236 USD an hour: 2.01 / 2 nano-dollars a microsecond.
    let busy = 1_000_003 + 8 * 70_001;
    assert_eq!(after["cost_usd"], dollars(busy * 201, 200));
    assert_eq!(before["cost_usd"], dollars(busy * 101, 200));
    let prices = harness.admin("GET", "/prices?for=local", None).await.json();
    let rates = prices["data"].as_array().unwrap().iter().filter(|version| version["kind"] == "worker").count();
    assert_eq!(rates, 3);

    // The worker is gone from the configuration: what it cost is still in the books, and recomputed from its versions.
    std::fs::write(&path, toml.split("[[worker]]").next().unwrap()).unwrap();
    harness.restart().await;
    assert_eq!(ask(&harness, false, json!({})).await.status, 404);
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn another_rate_without_a_day_changes_nothing_of_the_past_and_one_with_a_day_does() {
    let (mut harness, _worker) = started("").await;
    let before = ask(&harness, false, json!({})).await;
    let before = harness.booked(&before.request_id()).await;
    let path = harness.dir.path().join("tollgate.toml");
    let toml = std::fs::read_to_string(&path).unwrap();
    let (flat, _) = toml.split_once("device_usd_per_hour = \"").unwrap().1.split_once('"').unwrap();
    let rerated =
        async |harness: &Harness| harness.admin("POST", "/rerate", Some(json!({ "apply": true }))).await.json();
    let edited = toml.replacen(&format!("device_usd_per_hour = \"{flat}\""), "device_usd_per_hour = \"36\"", 1);
    assert_ne!(edited, toml);
    std::fs::write(&path, &edited).unwrap();
    harness.restart().await;
    let after = ask(&harness, false, json!({})).await;
    let after = harness.booked(&after.request_id()).await;
    assert_ne!(after["cost_usd"], before["cost_usd"], "it applies from now on");
    let nothing = rerated(&harness).await;
    assert_eq!((&nothing["entries"], &nothing["corrected"]), (&json!(2), &json!(0)), "{nothing}");

    let dated = "rates = [{ valid_from = \"2026-01-01\", device_usd_per_hour = \"36\" }]\n";
    std::fs::write(&path, format!("{edited}{dated}")).unwrap();
    harness.restart().await;
    let corrected = rerated(&harness).await;
    assert_eq!(corrected["corrected"], 1, "a day says that it was so since then: {corrected}");
    let view = harness.booked(before["request_id"].as_str().unwrap()).await;
    assert_eq!(view["cost_usd"], after["cost_usd"]);
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn the_audit_sees_busy_time_that_no_entry_bears_out() {
    let (mut harness, _worker) = started("").await;
    let answer = ask(&harness, false, json!({})).await;
    harness.booked(&answer.request_id()).await;
    harness.gateway.take().unwrap().stop().await;
    let path = harness.dir.path().join("data/tollgate.db");
    let mut database = sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    let raised = "update rollups_hourly set worker_busy_us = worker_busy_us + 1 where worker_busy_us > 0";
    assert_eq!(sqlx::query(raised).execute(&mut database).await.unwrap().rows_affected(), 1);
    drop(database);
    let report = cli(&harness.dir.path().join("tollgate.toml"), &["audit"]);
    let difference = &report["differences"][0];
    let busy = 1_000_003 + 8 * 70_001;
    assert_eq!(difference["what"], "rollup worker_busy_us", "{report}");
    assert_eq!(
        (&difference["expected"], &difference["found"]),
        (&json!(busy.to_string()), &json!((busy + 1).to_string()))
    );
}

#[tokio::test]
async fn a_worker_that_is_down_is_passed_over_for_another_that_serves_the_same_model() {
    let (down, up) = (FakeWorker::start().await, FakeWorker::start().await);
    down.kill();
    let toml = format!("{}{}", worker_toml(&down, "a", ""), worker_toml(&up, "local", ""));
    let harness = Harness::start_with(&toml).await;
    let answer = ask(&harness, true, json!({})).await;
    assert_eq!(harness.totals().await["attempts"], 1);
    let view = harness.booked(&answer.request_id()).await;
    let attempts: Vec<_> = view["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["target"]).collect();
    assert_eq!(attempts, ["local/small"], "nothing is opened for a worker that is known to be down");
    let known = up.known(&format!("{}.0", answer.request_id())).unwrap();
    assert_line_is_exact(&view, &known.usage);
    assert_eq!(view["flags"], json!([]));
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_shutdown_cancels_what_a_worker_still_computes_and_books_it_exactly() {
    let (mut harness, worker) = started("").await;
    let endless = json!({ "tokens": 1_000_000, "gap_ms": 5 });
    let streamed = harness.request("/v1/chat/completions", &small(true, endless.clone())).send().await.unwrap();
    let waiting = tokio::spawn(harness.request("/v1/chat/completions", &small(false, endless)).send());
    while worker.all().len() < 2 || worker.all().iter().any(|known| known.usage["completion_tokens"] == 0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let gateway = harness.gateway.take().unwrap();
    tokio::time::timeout(Duration::from_secs(8), gateway.stop()).await.expect("a shutdown must not wait for a worker");
    drop((streamed, waiting));
    let config = harness.dir.path().join("tollgate.toml");
    for known in worker.all() {
        assert_eq!((known.finish_reason.as_deref(), known.cancels), (Some("cancelled"), 1), "{known:?}");
        let view = cli(&config, &["requests", "show", known.id.strip_suffix(".0").unwrap()]);
        assert_ended(&view, "shutdown", "provider_final");
        assert_line_is_exact(&view, &known.usage);
    }
    assert_eq!(cli(&config, &["audit"])["differences"], json!([]));
}

/// A gateway in a process of its own, in front of one worker.
struct Killable {
    worker: FakeWorker,
    config: std::path::PathBuf,
    process: Process,
    dir: tempfile::TempDir,
    /// A chat request without a body.
    chat: reqwest::RequestBuilder,
}

impl Killable {
    async fn start() -> Self {
        let worker = FakeWorker::start().await;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("upstream-key"), "sk-upstream-secret").unwrap();
        let (data, admin) = (free_port(), free_port());
        let toml = base_toml(dir.path(), "http://127.0.0.1:9/v1")
            .replacen("127.0.0.1:0", &format!("127.0.0.1:{data}"), 1)
            .replacen("127.0.0.1:0", &format!("127.0.0.1:{admin}"), 1);
        let config = dir.path().join("tollgate.toml");
        std::fs::write(&config, format!("{toml}{}", worker_toml(&worker, "local", ""))).unwrap();
        let customer = cli(&config, &["customers", "create", "Acme"])["id"].as_str().unwrap().to_owned();
        let key = cli(&config, &["keys", "create", "--customer", &customer])["key"].as_str().unwrap().to_owned();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let process = Process::start(&config, &[]);
        wait_until_ready(&http, admin).await;
        let chat = http.post(format!("http://127.0.0.1:{data}/v1/chat/completions")).bearer_auth(&key);
        Self { worker, config, process, dir, chat }
    }
}

#[tokio::test]
async fn a_gateway_killed_in_a_stream_books_the_workers_time_that_it_had_noted() {
    let Killable { worker, config, process, dir: _dir, chat } = Killable::start().await;
    let body = small(true, json!({ "tokens": 100_000, "gap_ms": 10 }));
    let response = chat.json(&body).send().await.unwrap();
    let request_id = response.headers()["x-tollgate-request-id"].to_str().unwrap().to_owned();
    let mut stream = response.bytes_stream();
    // What was counted is noted once a second.
    let reading = async { while stream.next().await.is_some() {} };
    let _elapsed = tokio::time::timeout(Duration::from_millis(2500), reading).await;
    process.kill();
    let known = known(&worker, &request_id).await;
    assert!(known.caller_gone, "{known:?}");
    let view = cli(&config, &["requests", "show", &request_id]);
    assert_ended(&view, "interrupted", "estimated");
    assert_eq!(view["flags"], json!(["recovered"]));
    let output = view["lines"][0]["usage"]["output"].as_u64().unwrap();
    assert!(output > 0 && output < known.usage["completion_tokens"].as_u64().unwrap(), "{view}");
    let mut noted = known.usage;
    noted["completion_tokens"] = output.into();
    noted["worker"]["decode_busy_us"] = (70_001 * output).into();
    assert_line_is_exact(&view, &noted);
    assert_eq!(cli(&config, &["audit"])["differences"], json!([]));
}

#[tokio::test]
async fn a_gateway_killed_before_it_noted_anything_says_that_the_time_is_not_known() {
    let Killable { worker, config, process, dir: _dir, chat } = Killable::start().await;
    let body = small(false, json!({ "tokens": 100_000, "gap_ms": 10 }));
    let waiting = tokio::spawn(chat.json(&body).send());
    while worker.all().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    process.kill();
    assert!(waiting.await.unwrap().is_err());
    let id = worker.all()[0].id.clone();
    let view = cli(&config, &["requests", "show", id.strip_suffix(".0").unwrap()]);
    assert_ended(&view, "interrupted", "estimated");
    assert_eq!(view["flags"], json!(["recovered", "worker_time_unknown", "unpriced"]));
    assert_eq!((&view["cost_usd"], &view["lines"][0]["worker"]["engine_threads"]), (&json!("0.000000000"), &json!(0)));
    assert_eq!(view["charge_usd"], Value::Null, "a margin over an unknown time is unpriced");
    assert_eq!(cli(&config, &["audit"])["differences"], json!([]));
}
