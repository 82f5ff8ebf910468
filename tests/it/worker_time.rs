//! The time of workers in the books: capacity, busy and idle, whatever is seen twice, late, or not at all.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate::{
    config::Worker,
    reports::workers::{WorkerTimeView, workers},
    store::{Store, rollups::HOUR_US, worker_hours::WorkerHourRow},
};
use tollgate_fakes::worker::FakeWorker;

use crate::harness::{Harness, base_toml, chat, config, read};

/// 3.6 USD an hour and 100 W idle at 0.36 USD a kWh: 3.636 USD an hour, 1.01 nano-dollars a microsecond.
const RATE: &str =
    "device_usd_per_hour = \"3.6\"\ndevice_watts = \"200\"\ndevice_idle_watts = \"100\"\nusd_per_kwh = \"0.36\"\n";

fn row(worker_id: &str, hour: i64, uptime_us: u64, busy_us: u64) -> WorkerHourRow {
    WorkerHourRow {
        worker: "local".to_owned(),
        worker_id: worker_id.to_owned(),
        hour_us: hour * HOUR_US,
        model: "small".to_owned(),
        model_sha256: "00".to_owned(),
        engine_threads: 2,
        uptime_us,
        busy_us,
        requests: busy_us / 10,
    }
}

struct Ledger {
    dir: tempfile::TempDir,
    store: Store,
    configured: Vec<Worker>,
}

impl Ledger {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("t.db")).await.unwrap();
        let toml = format!(
            "{}[[worker]]\nname = \"local\"\nurl = \"http://127.0.0.1:9\"\nmodels = [\"small\"]\n{RATE}",
            base_toml(dir.path(), "http://127.0.0.1:9/v1")
        );
        let configured = config(dir.path(), &toml).config.workers;
        Self { dir, store, configured }
    }

    async fn time(&self) -> WorkerTimeView {
        let mut times = workers(&self.store, &self.configured).await.unwrap();
        assert_eq!(times.len(), 1);
        times.remove(0)
    }
}

#[tokio::test]
async fn observations_that_come_again_late_or_out_of_order_change_nothing() {
    let ledger = Ledger::open().await;
    let seen = [
        row("a", 1, 1_000_000, 100),
        row("a", 1, 2_000_000, 300),
        row("a", 2, 5_000_000, 400),
        row("b", 2, 1_000_000, 50),
        row("b", 4, 3_000_000, 70),
    ];
    ledger.store.save_worker_hours(&seen).await.unwrap();
    let first = ledger.time().await;
    assert_eq!((first.runs, first.capacity_us, first.busy_us), (2, 16_000_000, 470));
    assert_eq!(first.capacity_us, first.busy_us + first.idle_us);
    // Half of 1.01 nano-dollars a microsecond of one of two threads.
    assert_eq!(first.idle_cost_usd.unwrap().to_string(), "0.008079763");
    let kept = ledger.store.worker_hours().await.unwrap();
    assert_eq!(kept.len(), 4);
    // A dumb second opinion: every order of every row, twice.
    for rotation in 0..seen.len() {
        let mut again = seen.to_vec();
        again.rotate_left(rotation);
        again.extend(seen.iter().rev().cloned());
        for one in again {
            ledger.store.save_worker_hours(&[one]).await.unwrap();
        }
        assert_eq!(ledger.store.worker_hours().await.unwrap(), kept);
        assert_eq!(ledger.time().await, first);
    }
    let reopened = Store::open(&ledger.dir.path().join("t.db")).await.unwrap();
    assert_eq!(workers(&reopened, &ledger.configured).await.unwrap(), [first]);
}

#[tokio::test]
async fn a_worker_that_left_the_configuration_keeps_its_hours_and_has_no_made_up_cost() {
    let ledger = Ledger::open().await;
    ledger.store.save_worker_hours(&[row("a", 1, 1_000_000, 100)]).await.unwrap();
    let times = workers(&ledger.store, &[]).await.unwrap();
    assert_eq!((times[0].name.as_str(), times[0].busy_us, times[0].idle_us), ("local", 100, 1_999_900));
    assert_eq!((times[0].idle_cost_usd, times[0].unpriced_idle_us), (None, 1_999_900));
}

/// What the admin API says of the worker, when the ledger was booked at least up to this busy time.
async fn time_of(harness: &Harness, busy_us: u64) -> Value {
    for _ in 0..600 {
        let time = harness.admin("GET", "/workers", None).await.json()["data"][0].clone();
        if time["busy_us"].as_u64().unwrap() >= busy_us {
            return time;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("no busy time of {busy_us} us was booked within fifteen seconds");
}

async fn ask(harness: &Harness, prefill_us: u64) {
    let script = json!({ "tokens": 4, "prefill_us": prefill_us, "token_us": 10 });
    let answer =
        read(harness.request("/v1/chat/completions", &chat(json!({ "model": "small", "x_worker": script })))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    harness.booked(&answer.request_id()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_run_of_a_worker_loses_no_time_and_idle_cost_stays_apart_from_inference() {
    let worker = FakeWorker::start().await;
    let root_url = worker.root_url();
    let toml = format!("[[worker]]\nname = \"local\"\nurl = \"{root_url}\"\nmodels = [\"small\"]\n{RATE}");
    let mut harness = Harness::start_with(&toml).await;
    ask(&harness, 960).await;
    let first = time_of(&harness, 1000).await;
    assert_eq!(
        (&first["busy_us"], &first["attributed_us"], &first["unattributed_us"]),
        (&json!(1000), &json!(1000), &json!(0))
    );
    // Another process at the same address, whose counters begin anew.
    drop(worker);
    let address = root_url.strip_prefix("http://").unwrap().parse().unwrap();
    let mut again = FakeWorker::bind(address);
    while again.is_err() {
        // The old one's listener closes a moment after it.
        tokio::time::sleep(Duration::from_millis(5)).await;
        again = FakeWorker::bind(address);
    }
    let board = &harness.gateway().proxy.workers;
    for _ in 0..600 {
        let health = board.place("local").unwrap().status().health.clone();
        if health.is_some_and(|health| json!(health.worker_id) != first["worker_id"])
            && harness.admin("GET", "/workers", None).await.json()["data"][0]["state"] == "ready"
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    ask(&harness, 1960).await;
    let both = time_of(&harness, 3000).await;
    assert_eq!((&both["runs"], &both["busy_us"], &both["unattributed_us"]), (&json!(2), &json!(3000), &json!(0)));
    // A stop books what was seen last; a start finds it.
    harness.restart().await;
    let after = time_of(&harness, 3000).await;
    let number = |time: &Value, name: &str| time[name].as_u64().unwrap();
    assert_eq!(number(&after, "busy_us"), 3000);
    assert!(number(&after, "capacity_us") >= number(&both, "capacity_us"));
    assert_eq!(number(&after, "capacity_us"), number(&after, "busy_us") + number(&after, "idle_us"));

    let economics = harness.admin("GET", "/economics", None).await.json();
    let (model, worker) = (&economics["without_training"][0], &economics["workers"][0]);
    // 200 W under load: 3.672 USD an hour on two threads are 0.51 nano-dollars a busy microsecond.
    assert_eq!((&model["model"], &model["cost_usd"]), (&json!("small"), &json!("0.000001530")));
    assert_eq!(worker["inference_cost_usd"], "0.000001530");
    let idle = worker["idle_cost_usd"].as_str().unwrap();
    assert!(idle > "0.000001530" && worker["utilisation"].as_str().unwrap().starts_with("0.0"), "{worker}");
    let page = read(harness.client.get(harness.admin_url("/")).bearer_auth(&harness.gateway().admin_token)).await.text;
    assert!(page.contains("Local workers: idle time") && page.contains("0.000001530"), "{page}");
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_stop_books_what_was_seen_last() {
    let worker = FakeWorker::start().await;
    let toml = format!("[[worker]]\nname = \"local\"\nurl = \"{}\"\nmodels = [\"small\"]\n{RATE}", worker.root_url());
    let mut harness = Harness::start_with(&toml).await;
    ask(&harness, 960).await;
    harness.gateway.take().unwrap().stop().await;
    let store = Store::open(&harness.dir.path().join("data/tollgate.db")).await.unwrap();
    let kept = store.worker_hours().await.unwrap();
    assert_eq!(kept.last().map(|row| (row.busy_us, row.requests)), Some((1000, 1)), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_are_listed_with_what_they_say_of_themselves() {
    let worker = FakeWorker::start().await;
    let toml = format!("[[worker]]\nname = \"local\"\nurl = \"{}\"\nmodels = [\"small\"]\n{RATE}", worker.root_url());
    let harness = Harness::start_with(&toml).await;
    let path = harness.dir.path().join("tollgate.toml");
    let table = crate::commands::ok(&path, &["workers", "list"]);
    for part in ["local", "ready", "small", "cafecafecafe ", "avx2,fma", "F32:22", "UTILISATION", "IDLE COST USD"] {
        assert!(table.contains(part), "{part:?} is not in\n{table}");
    }
    let shown = harness.admin("GET", "/workers", None).await.json()["data"][0].clone();
    assert_eq!((&shown["spawned"], &shown["pid"], &shown["restarts"]), (&json!(false), &Value::Null, &json!(0)));
    assert_eq!((&shown["model_sha256"], &shown["models"]), (&json!("cafe".repeat(16)), &json!(["small"])));
    let metrics =
        read(harness.client.get(harness.admin_url("/metrics")).bearer_auth(&harness.gateway().admin_token)).await;
    assert!(metrics.text.contains("tollgate_worker_ready{worker=\"local\"} 1\n"), "{}", metrics.text);
}

#[test]
fn workers_are_listed_with_no_gateway_running_as_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let toml = format!(
        "{}[[worker]]\nname = \"local\"\nurl = \"http://127.0.0.1:9\"\nmodels = [\"small\"]\n{RATE}",
        base_toml(dir.path(), "http://127.0.0.1:9/v1")
    );
    let path = dir.path().join("tollgate.toml");
    std::fs::write(&path, toml).unwrap();
    std::fs::write(dir.path().join("upstream-key"), "k").unwrap();
    let listed = crate::process::cli(&path, &["workers", "list"]);
    assert_eq!((&listed[0]["state"], &listed[0]["worker_id"]), (&json!("unknown"), &Value::Null));
}
