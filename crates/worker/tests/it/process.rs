//! The real process: it loads, answers, drains on SIGTERM with exact usage, and ends with whoever started it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

struct Process {
    child: Child,
    url: String,
}

impl Process {
    /// Starts `serve` with the shipped model on a free port and waits until it is ready.
    async fn start(extra: &[&str]) -> Self {
        Self::start_with("shipped", extra).await
    }

    async fn start_with(model: &str, extra: &[&str]) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        #[expect(clippy::zombie_processes, reason = "dropping a Process waits for its child")]
        let mut child = Command::new(env!("CARGO_BIN_EXE_tollgate-worker"))
            .args(["serve", "--model", model, "--listen", &format!("127.0.0.1:{port}")])
            .args(extra)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = child.stderr.take().unwrap();
        std::thread::spawn(move || BufReader::new(log).lines().map_while(Result::ok).for_each(drop));
        for _ in 0..400 {
            if reqwest::get(format!("{url}/ready")).await.is_ok_and(|answer| answer.status() == 200) {
                return Self { child, url };
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the worker does not get ready");
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Waits for the process to end.
    async fn ended(&mut self) -> bool {
        for _ in 0..400 {
            if self.child.try_wait().unwrap().is_some() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn on_sigterm_running_requests_end_with_their_usage_and_the_process_stops() {
    let folder = tempfile::tempdir().unwrap();
    crate::harness::write_slow_model(folder.path());
    let mut worker = Process::start_with(folder.path().to_str().unwrap(), &["--drain-ms-max", "50"]).await;
    let body = json!({ "prompt": "x", "max_tokens": 480, "ignore_eos": true, "stream": true });
    let client = reqwest::Client::new();
    let mut response = client.post(format!("{}/v1/completions", worker.url)).json(&body).send().await.unwrap();
    let mut text = String::from_utf8(response.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    worker.signal("-TERM");
    text.push_str(&response.text().await.unwrap());
    let events = crate::harness::events(&text);
    let [.., last, done] = events.as_slice() else { panic!("{text}") };
    assert_eq!((done, &last["choices"][0]["finish_reason"]), (&json!("[DONE]"), &json!("cancelled")));
    let tokens = last["usage"]["completion_tokens"].as_u64().unwrap();
    assert!(tokens < 480 && last["usage"]["worker"]["prefill_busy_us"].as_u64().unwrap() > 0, "{last}");
    assert!(worker.ended().await);
}

#[tokio::test]
async fn the_worker_ends_when_whoever_holds_its_standard_input_dies() {
    let mut worker = Process::start(&["--exit-with-parent"]).await;
    drop(worker.child.stdin.take());
    assert!(worker.ended().await);
}

#[tokio::test]
async fn a_worker_told_to_stop_ends_although_its_standard_input_stays_open() {
    let mut worker = Process::start(&["--exit-with-parent"]).await;
    worker.signal("-TERM");
    assert!(worker.ended().await);
}

#[tokio::test]
async fn health_says_what_is_served_and_the_process_has_one_compute_thread() {
    let worker = Process::start(&["--engine-threads", "3"]).await;
    let health: Value = reqwest::get(format!("{}/health", worker.url)).await.unwrap().json().await.unwrap();
    assert_eq!((&health["model"], &health["engine_threads"]), (&json!("tollgate-small"), &json!(3)), "{health}");
    assert_eq!(health["model_sha256"].as_str().unwrap().len(), 64);
    let environment = std::fs::read_to_string(format!("/proc/{}/environ", worker.child.id())).unwrap();
    assert!(environment.contains("CANDLE_NUM_THREADS=1") && environment.contains("RAYON_NUM_THREADS=1"));
    let metrics = reqwest::get(format!("{}/metrics", worker.url)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("tollgate_worker_ready 1\n"), "{metrics}");
}

#[test]
fn a_model_that_is_not_there_is_an_error_that_names_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate-worker"))
        .args(["serve", "--model", "/nowhere/model.gguf", "--listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/model.gguf"), "{output:?}");
}
