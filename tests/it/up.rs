//! `tollgate up`: what it prints works, a restart finds everything again, Ctrl-C ends everything.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use crate::{
    harness::{Answer, read},
    workers::{Guarded, kill, runs, script},
};

/// `up` in a folder without configuration or prices, with a scripted worker.
fn command(dir: &Path, options: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command
        .current_dir(dir)
        .args(["up", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--worker"])
        .arg(script(dir, options))
        .env("TOLLGATE_SERVER__DATA_DIR", dir.join("data"))
        .env_remove("TOLLGATE_CONFIG");
    command
}

/// A running `up` and what it printed.
struct Up {
    process: Guarded,
    told: Value,
    client: reqwest::Client,
}

impl Up {
    fn start(dir: &Path) -> Self {
        let mut child = command(dir, "").arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let mut process = Guarded(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let told = serde_json::from_str(&line).unwrap_or_else(|error| {
            let mut errors = String::new();
            process.0.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
            panic!("{error}: {line:?} {errors}");
        });
        Self { process, told, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    fn text(&self, name: &str) -> &str {
        self.told[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.told))
    }

    async fn ask(&self) -> Answer {
        let body = json!({
            "model": self.text("model"), "messages": [{ "role": "user", "content": "What is break-even?" }],
            "x_worker": { "tokens": 50, "prefill_us": 50, "token_us": 10 },
        });
        let url = format!("{}/chat/completions", self.text("base_url"));
        read(self.client.post(url).bearer_auth(self.text("key")).json(&body)).await
    }

    fn cli(&self, args: &[&str]) -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .arg("--json")
            .args(args)
            .env("TOLLGATE_SERVER__DATA_DIR", self.text("data_dir"))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{args:?}: {error}: {text} {}", String::from_utf8_lossy(&output.stderr)))
    }

    fn worker_pid(&self) -> u32 {
        self.cli(&["workers", "list"])[0]["pid"].as_u64().unwrap().try_into().unwrap()
    }

    /// Ends it as Ctrl-C does.
    fn interrupt(mut self) {
        let worker = self.worker_pid();
        kill(self.process.0.id(), "INT");
        assert!(self.process.0.wait().unwrap().success());
        assert!(!runs(worker), "the worker has ended before the gateway");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_up_prints_works_every_request_moves_the_page_and_a_second_up_finds_it_all_again() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path());
    let key = up.text("key").to_owned();
    let browser = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let page = async || {
        let welcome = read(browser.get(up.text("dashboard_url"))).await;
        let cookie = welcome.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        read(browser.get(up.text("admin_url")).header("cookie", cookie)).await.text
    };
    let before = page().await;
    assert!(before.contains("0.0 %") && before.contains("stated scale") && before.contains("idle time"), "{before}");
    let answer = up.ask().await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    for _ in 0..100 {
        if !up.cli(&["usage"]).as_array().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let after = page().await;
    assert!(!after.contains("<strong>0.0 %"), "one request of fifty tokens shows: {after}");
    assert_eq!(up.cli(&["audit"])["differences"], json!([]));
    let mode = fs::metadata(dir.path().join("data/demo-key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let log = fs::read_to_string(up.text("log")).unwrap();
    assert!(log.contains("a worker says") && !log.contains(&key), "the log has the worker's lines and no key");
    up.interrupt();

    let up = Up::start(dir.path());
    assert_eq!(up.text("key"), key, "the same key");
    assert_eq!(up.ask().await.status, 200);
    let count = |args: &[&str]| up.cli(args).as_array().unwrap().len();
    assert_eq!((count(&["customers", "list"]), count(&["keys", "list"]), count(&["training", "list"])), (1, 1, 1));
    let key_id = up.cli(&["keys", "list"])[0]["id"].as_str().unwrap().to_owned();
    up.cli(&["keys", "revoke", &key_id]);
    up.interrupt();

    let up = Up::start(dir.path());
    assert_ne!(up.text("key"), key, "a revoked key is no use to anybody");
    assert_eq!(up.ask().await.status, 200);
    up.interrupt();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_curl_line_of_up_works_as_it_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Guarded(command(dir.path(), "").stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(process.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut text = String::new();
    for line in lines {
        text.push_str(&format!("{line}\n"));
        if line.contains("tollgate workers list") {
            break;
        }
    }
    for part in
        ["Base URL   http://127.0.0.1:", "Demo key   tg-", "Break-even http://127.0.0.1:", "illustrative", "Ctrl-C"]
    {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let curl = text.lines().find(|line| line.trim_start().starts_with("curl ")).unwrap();
    let pasted = Command::new("sh").args(["-c", curl]).stderr(Stdio::null()).output().unwrap();
    let answer: Value = serde_json::from_slice(&pasted.stdout).unwrap();
    assert_eq!(answer["choices"][0]["message"]["role"], "assistant", "{answer}");
    kill(process.0.id(), "TERM");
    assert!(process.0.wait().unwrap().success());
}

fn failed(output: Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_taken_port_is_told_with_what_to_do_and_no_worker_is_started() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (flag, variable) in
        [("--listen", "TOLLGATE_SERVER__LISTEN"), ("--admin-listen", "TOLLGATE_SERVER__ADMIN_LISTEN")]
    {
        let dir = tempfile::tempdir().unwrap();
        let other = if flag == "--listen" { "--admin-listen" } else { "--listen" };
        let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .current_dir(dir.path())
            .args(["up", flag, &address, other, "127.0.0.1:0", "--worker"])
            .arg(script(dir.path(), ""))
            .env("TOLLGATE_SERVER__DATA_DIR", dir.path().join("data"))
            .output()
            .unwrap();
        let errors = failed(output);
        for part in [address.as_str(), "in use", flag, variable] {
            assert!(errors.contains(part), "{part:?} is not in {errors}");
        }
        let log = fs::read_to_string(dir.path().join("data/tollgate.log")).unwrap();
        assert!(!log.contains("a worker was started"), "{log}");
    }
}

#[test]
fn a_worker_that_does_not_come_up_is_told_and_nothing_is_left_running() {
    let dir = tempfile::tempdir().unwrap();
    let errors = failed(command(dir.path(), "--die-after-ms 0").output().unwrap());
    for part in ["the local worker does not start", "exit status: 3", "tollgate.log"] {
        assert!(errors.contains(part), "{part:?} is not in {errors}");
    }
    let missing = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .current_dir(dir.path())
        .args(["up", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--worker", "no-such-worker"])
        .env("TOLLGATE_SERVER__DATA_DIR", dir.path().join("data"))
        .output()
        .unwrap();
    assert!(failed(missing).contains("no-such-worker cannot be started"));
}
