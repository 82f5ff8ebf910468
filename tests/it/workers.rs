//! Workers that the gateway runs or only looks at: restarts, refusals, and no process left behind.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use tollgate::{
    clock::Clock,
    config::Worker,
    store::Store,
    workers::{
        Patience, Workers,
        board::{Board, State, Status},
    },
};
use tollgate_fakes::worker::{FakeWorker, process};

use crate::{
    harness::{Answer, Harness, base_toml, chat, config, read},
    process::{free_port, wait_until_ready},
};

const RATE: &str = "device_usd_per_hour = \"3.6\"\ndevice_idle_watts = \"100\"\nusd_per_kwh = \"0.36\"\n";

/// The body of a worker's process: the gateway starts this test binary anew, through [`script`].
#[test]
#[ignore = "the body of a process that other tests start"]
fn plays_a_worker() {
    let args = std::env::args().skip_while(|arg| arg != "--").skip(1);
    let args: Vec<String> = std::iter::once("worker".to_owned()).chain(args).collect();
    if args.len() == 1 {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::process::exit(i32::from(runtime.block_on(process::run(args)).is_err()) * 3);
}

/// A program that plays a worker with these options, and those that it is started with.
pub(crate) fn script(dir: &Path, options: &str) -> PathBuf {
    let path = dir.join("worker.sh");
    let me = std::env::current_exe().unwrap();
    let body =
        format!("#!/bin/sh\nexec {me:?} --ignored --exact --nocapture workers::plays_a_worker -- {options} \"$@\"\n");
    fs::write(&path, body).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// `[[worker]]` that is spawned with these options.
fn spawned_toml(dir: &Path, options: &str) -> String {
    format!(
        "[[worker]]\nname = \"local\"\nurl = \"http://127.0.0.1:{}\"\nmodels = [\"small\"]\n{RATE}spawn = [\"sh\", {:?}, \"serve\"]\n",
        free_port(),
        script(dir, options)
    )
}

fn status(harness: &Harness) -> Arc<Status> {
    harness.gateway().proxy.workers.place("local").unwrap().status()
}

/// Waits until the worker's status is as asked.
async fn until(board: &Board, what: &str, asked: impl Fn(&Status) -> bool) -> Arc<Status> {
    let place = board.place("local").unwrap();
    for _ in 0..1500 {
        let status = place.status();
        if asked(&status) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited fifteen seconds for {what}: {:?}", place.status());
}

async fn until_ready(harness: &Harness) -> Arc<Status> {
    until(&harness.gateway().proxy.workers, "ready", |status| status.state == State::Ready).await
}

async fn ask(harness: &Harness) -> Answer {
    let script = json!({ "prefill_us": 50, "token_us": 10 });
    read(harness.request("/v1/chat/completions", &chat(json!({ "model": "small", "x_worker": script })))).await
}

/// Whether a process runs; a dead one that nobody has asked after does not.
pub(crate) fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

async fn until_gone(pid: u32) {
    for _ in 0..1000 {
        if !runs(pid) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    kill(pid, "KILL");
    panic!("process {pid} was left behind");
}

pub(crate) fn kill(pid: u32, signal: &str) {
    Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().unwrap();
}

fn assert_unavailable(answer: &Answer) {
    assert_eq!((answer.status, answer.error_code()), (503, json!("worker_unavailable")), "{}", answer.text);
    assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().unwrap() >= 1));
    assert_eq!(answer.header("x-should-retry"), Some("true"));
    assert_eq!(answer.json()["error"]["param"], "model");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_is_started_again_and_requests_in_between_are_told_to_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let harness = Harness::start_at_once(&spawned_toml(dir.path(), "")).await;
    let first = until_ready(&harness).await;
    assert_eq!(ask(&harness).await.status, 200);
    kill(first.pid.unwrap(), "KILL");
    let mut refused = 0;
    let mut statuses = Vec::new();
    loop {
        let answer = ask(&harness).await;
        statuses.push(answer.status);
        match answer.status {
            200 if refused > 0 => break,
            503 => {
                assert_unavailable(&answer);
                refused += 1;
            }
            // Its connection broke under the request, before the process was seen to be gone.
            502 if refused == 0 => {}
            200 => {}
            _ => panic!("{} {}", answer.status, answer.text),
        }
        assert!(statuses.len() < 2000, "{statuses:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let second = status(&harness);
    assert_eq!((first.restarts, second.restarts), (0, 1));
    assert_ne!(first.pid, second.pid);
    let totals = harness.totals().await;
    let served = statuses.iter().filter(|status| **status != 503).count() + 1;
    let not_sent = totals["attempts"].as_u64().unwrap() - u64::try_from(served).unwrap();
    // A refusal opens nothing, but for the moment in which the death was not seen yet.
    assert!(not_sent <= 3, "{totals} {statuses:?}");
    harness.assert_clean_audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_at_once_is_started_ever_more_slowly_and_the_gateway_serves_on() {
    let dir = tempfile::tempdir().unwrap();
    let started = tokio::time::Instant::now();
    let harness = Harness::start_at_once(&spawned_toml(dir.path(), "--die-after-ms 0")).await;
    let board = &harness.gateway().proxy.workers;
    let third = until(board, "the third restart", |status| status.restarts == 3).await;
    // Waits of 0.5, 1 and 2 seconds lie before it.
    assert!(started.elapsed() >= Duration::from_millis(3500), "{:?}", started.elapsed());
    let down = until(board, "its end", |status| status.pid.is_none()).await;
    assert!(down.state.reason().unwrap().contains("exit status: 3"), "{third:?} {down:?}");
    assert_unavailable(&ask(&harness).await);
    assert_eq!(harness.chat(json!({})).await.status, 200, "other models are served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_never_gets_ready_is_named_and_holds_up_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut harness = Harness::start_at_once(&spawned_toml(dir.path(), "--load-ms 10000000")).await;
    let board = &harness.gateway().proxy.workers;
    let loads = until(board, "a first look", |status| status.health.is_some()).await;
    assert_eq!((loads.state.word(), loads.state.reason()), ("starting", Some("it loads its model")));
    assert_unavailable(&ask(&harness).await);
    let ready = read(harness.client.get(harness.admin_url("/readyz"))).await;
    assert_eq!((ready.status, &ready.json()["workers"]), (200, &json!({ "local": "starting" })));
    let listed = harness.admin("GET", "/workers", None).await.json();
    let shown = &listed["data"][0];
    assert_eq!((&shown["state"], &shown["reason"]), (&json!("starting"), &json!("it loads its model")));
    assert_eq!((&shown["model"], &shown["engine_threads"]), (&Value::Null, &Value::Null));
    assert_eq!(harness.totals().await, Value::Null, "a refusal opens nothing in the journal");
    harness.gateway.take().unwrap().stop().await;
    until_gone(loads.pid.unwrap()).await;
}

#[tokio::test]
async fn an_unready_worker_is_passed_over_for_the_next_target_and_taken_again_when_it_is_ready() {
    let worker = FakeWorker::start().await;
    let toml = format!(
        "[[worker]]\nname = \"local\"\nurl = \"{}\"\nmodels = [\"small\"]\n{RATE}\
         [[model]]\nname = \"both\"\ntargets = [{{ provider = \"local\", model = \"small\" }}, {{ provider = \"demo\", model = \"demo-model\" }}]\n",
        worker.root_url()
    );
    let harness = Harness::start_with(&toml).await;
    let board = &harness.gateway().proxy.workers;
    let served_by = async || {
        let answer = harness.chat(json!({ "model": "both" })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let booked = harness.booked(&answer.request_id()).await;
        let attempts = booked["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 1, "nothing is tried at a worker that is not ready: {booked}");
        attempts[0]["target"].as_str().unwrap().to_owned()
    };
    assert_eq!(served_by().await, "local/small");
    for state in ["draining", "loading", "odd"] {
        worker.set_status(state);
        until(board, state, |status| status.state != State::Ready).await;
        assert_eq!(served_by().await, "demo/demo-model", "{state}");
        assert_unavailable(&ask(&harness).await);
        worker.set_status("ok");
        until(board, "ready", |status| status.state == State::Ready).await;
        assert_eq!(served_by().await, "local/small");
    }
    worker.kill();
    until(board, "unready", |status| status.state.word() == "unready").await;
    assert_eq!(served_by().await, "demo/demo-model");
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_full_queue_is_told_as_a_busy_model_and_never_as_our_account() {
    let worker = FakeWorker::start().await;
    let toml = format!("[[worker]]\nname = \"local\"\nurl = \"{}\"\nmodels = [\"small\"]\n{RATE}", worker.root_url());
    let harness = Harness::start_with(&toml).await;
    worker.set_full(true);
    let answer = ask(&harness).await;
    assert_eq!((answer.status, answer.error_code()), (429, json!("worker_busy")));
    assert_eq!((answer.header("retry-after"), answer.header("x-should-retry")), (Some("7"), Some("true")));
    for word in ["worker-7", "account", "gateway's rate", "upstream"] {
        assert!(!answer.text.contains(word), "{word}: {}", answer.text);
    }
    assert!(answer.text.contains("small") && answer.text.contains("busy"), "{}", answer.text);
    worker.set_full(false);
    assert_eq!(ask(&harness).await.status, 200);
}

/// Workers without a gateway, with a patience of their own.
async fn keep(dir: &Path, worker: &Worker, patience: Patience) -> (Workers, Board, Store) {
    let store = Store::open(&dir.join("t.db")).await.unwrap();
    let clock = Clock::system();
    let workers = std::slice::from_ref(worker);
    let board = Board::new(workers, clock.unix_us());
    (Workers::start(workers, &board, &store, &clock, patience), board, store)
}

fn spawned(dir: &Path, options: &str) -> Worker {
    let toml = format!("{}{}", base_toml(dir, "http://127.0.0.1:9/v1"), spawned_toml(dir, options));
    config(dir, &toml).config.workers.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_does_not_end_when_told_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let patience = Patience { stop_max: Duration::from_millis(300), ..Patience::default() };
    let (workers, board, _store) =
        keep(dir.path(), &spawned(dir.path(), "--ignore-term --ignore-parent"), patience).await;
    let pid = until(&board, "ready", |status| status.state == State::Ready).await.pid.unwrap();
    tokio::time::timeout(Duration::from_secs(10), workers.stop()).await.expect("a stop is bounded");
    until_gone(pid).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_lingers_at_its_standard_input_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let patience = Patience { stop_max: Duration::from_secs(3600), ..Patience::default() };
    let (workers, board, _store) = keep(dir.path(), &spawned(dir.path(), "--linger"), patience).await;
    let pid = until(&board, "ready", |status| status.state == State::Ready).await.pid.unwrap();
    tokio::time::timeout(Duration::from_secs(20), workers.stop()).await.expect("its standard input ends");
    until_gone(pid).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_hangs_is_ended_and_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let patience = Patience {
        answer_max: Duration::from_millis(100),
        first_answer_max: Duration::from_millis(600),
        stop_max: Duration::from_millis(300),
        ..Patience::default()
    };
    let (workers, board, _store) = keep(dir.path(), &spawned(dir.path(), "--hang"), patience).await;
    let first = until(&board, "a process", |status| status.pid.is_some()).await.pid.unwrap();
    let again = until(&board, "another process", |status| status.pid.is_some_and(|pid| pid != first)).await;
    assert!(again.restarts >= 1);
    until_gone(first).await;
    workers.stop().await;
    until_gone(again.pid.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_else_listens_at_a_spawned_workers_address_is_not_taken_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let other = FakeWorker::start().await;
    let mut worker = spawned(dir.path(), "");
    worker.root_url = other.root_url();
    let (workers, board, _store) = keep(dir.path(), &worker, Patience::default()).await;
    let down = until(&board, "a refusal", |status| status.restarts >= 1).await;
    assert!(down.state.reason().is_some_and(|reason| reason.contains("in use")), "{down:?}");
    assert_eq!((down.pid, &down.health), (None, &None));
    other.kill();
    until(&board, "ready", |status| status.state == State::Ready && status.pid.is_some()).await;
    workers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_does_not_exist_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut worker = spawned(dir.path(), "");
    worker.spawn = Some(vec!["no-such-worker".to_owned()]);
    let (workers, board, _store) = keep(dir.path(), &worker, Patience::default()).await;
    let down = until(&board, "a failure", |status| status.state.word() == "unready").await;
    assert!(down.state.reason().unwrap().starts_with("no-such-worker cannot be started"), "{down:?}");
    workers.stop().await;
}

/// A process that is killed when a test fails.
pub(crate) struct Guarded(pub(crate) Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // Dead already, in most tests.
        let _dead = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A gateway in a process of its own, with a spawned worker.
struct Spawning {
    process: Guarded,
    path: PathBuf,
    data: u16,
    http: reqwest::Client,
    _dir: tempfile::TempDir,
}

impl Spawning {
    async fn start(options: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (data, admin) = (free_port(), free_port());
        let toml = format!("{}{}", base_toml(dir.path(), "http://127.0.0.1:9/v1"), spawned_toml(dir.path(), options))
            .replacen("127.0.0.1:0", &format!("127.0.0.1:{data}"), 1)
            .replacen("127.0.0.1:0", &format!("127.0.0.1:{admin}"), 1);
        let path = dir.path().join("tollgate.toml");
        fs::write(dir.path().join("upstream-key"), "k").unwrap();
        fs::write(&path, toml).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(["--config", path.to_str().unwrap(), "serve"])
            .env("OPENAI_API_KEY", "sk-a-secret-of-ours")
            .stderr(Stdio::null())
            // As a shell starts it: the leader of a group of its own.
            .process_group(0)
            .spawn();
        let process = Guarded(process.unwrap());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        wait_until_ready(&http, admin).await;
        Self { process, path, data, http, _dir: dir }
    }

    fn worker_pid(&self) -> u32 {
        let worker = crate::process::cli(&self.path, &["workers", "list"])[0].clone();
        assert_eq!(worker["state"], "ready", "{worker}");
        worker["pid"].as_u64().unwrap().try_into().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_killed_or_told_to_end_leaves_no_worker_behind_and_gives_it_no_secret() {
    for signal in ["KILL", "TERM", "INT"] {
        let mut gateway = Spawning::start("").await;
        let pid = gateway.worker_pid();
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        let environment = String::from_utf8_lossy(&environment);
        assert!(environment.contains("CANDLE_NUM_THREADS=1") && !environment.contains("sk-a-secret"), "{environment}");
        kill(gateway.process.0.id(), signal);
        let ended = gateway.process.0.wait().unwrap();
        assert_eq!(ended.success(), signal != "KILL", "{signal}: {ended}");
        until_gone(pid).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_at_a_terminal_lets_a_running_request_end_at_its_worker() {
    let mut gateway = Spawning::start("").await;
    let customer =
        crate::process::cli(&gateway.path, &["customers", "create", "Acme"])["id"].as_str().unwrap().to_owned();
    let key = crate::process::cli(&gateway.path, &["keys", "create", "--customer", &customer])["key"].clone();
    let body = chat(json!({ "model": "small", "stream": true, "x_worker": { "tokens": 8, "gap_ms": 25 } }));
    let url = format!("http://127.0.0.1:{}/v1/chat/completions", gateway.data);
    let answer = gateway.http.post(url).bearer_auth(key.as_str().unwrap()).json(&body).send().await.unwrap();
    // A terminal signals the whole group of the process in its foreground.
    let group = format!("-{}", gateway.process.0.id());
    Command::new("kill").args(["-INT", "--", &group]).status().unwrap();
    let text = answer.text().await.unwrap();
    assert!(text.contains("w7 ") && text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(gateway.process.0.wait().unwrap().success());
    let usage = crate::process::cli(&gateway.path, &["usage"]);
    assert_eq!((&usage[0]["output"], &usage[0]["estimated"]), (&json!(8), &json!(0)), "{usage}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_a_worker_that_does_not_want_to_at_once() {
    let mut gateway = Spawning::start("--ignore-term --ignore-parent").await;
    let pid = gateway.worker_pid();
    let gateway_pid = gateway.process.0.id();
    kill(gateway_pid, "INT");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(runs(pid) && runs(gateway_pid), "the worker gets its ten seconds after the first signal");
    kill(gateway_pid, "INT");
    assert!(gateway.process.0.wait().unwrap().success());
    until_gone(pid).await;
}
