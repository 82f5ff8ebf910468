//! The log of a real process under faults: lines of known form that name a request, and no word of prompts, answers or secrets.

use std::{fs::File, path::Path, process::Command, time::Duration};

use serde_json::{Value, json};
use tollgate_fakes::FakeUpstream;

use crate::{
    process::{Process, cli, free_port, wait_until_ready},
    setting::{SMALL_JOURNAL, base_toml, chat},
};

/// A gateway process whose standard error goes to a file.
struct Logged {
    _process: Process,
    _upstream: FakeUpstream,
    http: reqwest::Client,
    url: String,
    admin: String,
    key: String,
    dir: tempfile::TempDir,
}

impl Logged {
    async fn start(telemetry: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let upstream = FakeUpstream::start().await;
        std::fs::write(dir.path().join("upstream-key"), "sk-upstream-secret").unwrap();
        let (data, admin) = (free_port(), free_port());
        let toml = base_toml(dir.path(), &upstream.openai_url())
            .replacen("127.0.0.1:0", &format!("127.0.0.1:{data}"), 1)
            .replacen("127.0.0.1:0", &format!("127.0.0.1:{admin}"), 1);
        let config = dir.path().join("tollgate.toml");
        std::fs::write(&config, format!("{SMALL_JOURNAL}{toml}[telemetry]\n{telemetry}")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(["--config", config.to_str().unwrap(), "serve"])
            .stderr(File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let process = Process(child);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        wait_until_ready(&http, admin).await;
        let customer = cli(&config, &["customers", "create", "Acme"])["id"].as_str().unwrap().to_owned();
        let key = cli(&config, &["keys", "create", "--customer", &customer])["key"].as_str().unwrap().to_owned();
        Self {
            _process: process,
            _upstream: upstream,
            http,
            url: format!("http://127.0.0.1:{data}"),
            admin: format!("http://127.0.0.1:{admin}"),
            key,
            dir,
        }
    }

    /// Sends a chat request whose every part that is the client's says so; gives its id.
    async fn ask(&self, extra: Value) -> String {
        let mut body =
            chat(json!({ "user": "USER-MARKER", "messages": [{ "role": "user", "content": "PROMPT-MARKER" }] }));
        for (name, value) in extra.as_object().unwrap() {
            body[name] = value.clone();
        }
        let request = self.http.post(format!("{}/v1/chat/completions", self.url)).bearer_auth(&self.key).json(&body);
        let request = request.header("x-tollgate-tags", "team=TAG-MARKER").header("user-agent", "AGENT-MARKER");
        let answer = request.send().await.unwrap();
        let id = answer.headers()["x-tollgate-request-id"].to_str().unwrap().to_owned();
        // A stream that breaks off ends in an error, and that is what is wanted.
        let _broken = answer.bytes().await;
        id
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// Waits until the log says this; lines are written behind the answer.
    async fn says(&self, text: &str) -> String {
        for _ in 0..200 {
            if let Some(line) = self.log().lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{text} is not in {}", self.log());
    }

    async fn metrics(&self) -> String {
        let token = secret(self.dir.path(), "admin-token");
        let request = self.http.get(format!("{}/metrics", self.admin)).bearer_auth(token);
        request.send().await.unwrap().text().await.unwrap()
    }
}

fn secret(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join("data").join(name)).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_faults_no_word_of_prompt_answer_or_secret_is_in_the_log_or_the_metrics() {
    let gateway = Logged::start("log_requests = \"all\"\n").await;
    let mut last = String::new();
    for fault in [
        json!({}),
        json!({ "fault": "status", "status": 500, "code": "CODE-MARKER" }),
        json!({ "fault": "status", "status": 401 }),
        json!({ "fault": "html" }),
        json!({ "fault": "cut", "chunks": 8, "at": 3 }),
        json!({ "fault": "error_mid_stream", "at": 2 }),
        json!({ "usage": { "prompt_tokens": -1, "completion_tokens": "ANSWER-MARKER" } }),
        json!({ "text": "ANSWER-MARKER" }),
    ] {
        for stream in [false, true] {
            last = gateway.ask(json!({ "stream": stream, "x_fake": fault })).await;
        }
    }
    for body in [
        json!({ "model": "MODEL-MARKER" }),
        json!({ "max_tokens": "VALUE-MARKER" }),
        json!({ "messages": "PROMPT-MARKER" }),
    ] {
        gateway.ask(body).await;
    }
    let stranger = format!("tg-SECRETMARKER-{}", "5ec2e7".repeat(10));
    let request = gateway.http.post(format!("{}/v1/chat/completions?key=QUERY-MARKER", gateway.url));
    assert_eq!(request.bearer_auth(&stranger).json(&chat(json!({}))).send().await.unwrap().status(), 401);
    let path = format!("{}/v1/PATH-MARKER", gateway.url);
    assert_eq!(gateway.http.post(path).send().await.unwrap().status(), 404);
    gateway.says(&last).await;
    gateway.says("invalid_api_key").await;
    let secrets = [
        gateway.key.clone(),
        gateway.key.rsplit_once('-').unwrap().1.to_owned(),
        secret(gateway.dir.path(), "pepper"),
        secret(gateway.dir.path(), "admin-token"),
        "sk-upstream-secret".to_owned(),
        "MARKER".to_owned(),
        "5ec2e7".to_owned(),
    ];
    for (what, text) in [("log", gateway.log()), ("metrics", gateway.metrics().await)] {
        for secret in &secrets {
            let line = text.lines().find(|line| line.contains(secret.as_str()));
            assert_eq!(line, None, "the {what} tells {secret}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_names_request_key_model_outcome_and_status_in_the_configured_form() {
    let gateway = Logged::start("log_requests = \"all\"\n").await;
    let id = gateway.ask(json!({ "x_fake": { "chunks": 4 } })).await;
    let line: Value = serde_json::from_str(&gateway.says(&id).await).unwrap();
    let public_id = gateway.key.split('-').nth(1).unwrap();
    assert_eq!(
        (&line["message"], &line["level"], &line["request_id"]),
        (&json!("attempt"), &json!("INFO"), &json!(id))
    );
    assert_eq!(
        (&line["key"], &line["model"], &line["target"]),
        (&json!(public_id), &json!("demo-model"), &json!("demo/demo-model"))
    );
    assert_eq!(
        (&line["outcome"], &line["status"], &line["output_tokens"]),
        (&json!("complete"), &json!(200), &json!(4))
    );
    assert!(line["elapsed_ms"].is_u64() && line["first_byte_ms"].is_u64() && line["charge_usd"].is_string());
    let refused = gateway.ask(json!({ "model": "nobody" })).await;
    let line: Value = serde_json::from_str(&gateway.says(&refused).await).unwrap();
    assert_eq!(
        (&line["outcome"], &line["code"], &line["status"]),
        (&json!("refused"), &json!("model_not_found"), &json!(404))
    );
    for line in gateway.log().lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_default_only_failures_are_logged_and_text_is_text() {
    let gateway = Logged::start("log_format = \"text\"\n").await;
    let good = gateway.ask(json!({})).await;
    let refused = gateway.ask(json!({ "model": "nobody" })).await;
    let bad = gateway.ask(json!({ "x_fake": { "fault": "status", "status": 500 } })).await;
    let line = gateway.says(&bad).await;
    assert!(
        line.contains(" WARN ") && line.contains("outcome=\"upstream_error\"") && line.contains("status=500"),
        "{line}"
    );
    let log = gateway.log();
    assert!(!log.contains(&good) && !log.contains(&refused), "{log}");
    assert!(!log.contains('\u{1b}'), "no colours in a file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_holds_up_no_request_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = FakeUpstream::start().await;
    std::fs::write(dir.path().join("upstream-key"), "k").unwrap();
    let (data, admin) = (free_port(), free_port());
    let toml = base_toml(dir.path(), &upstream.openai_url())
        .replacen("127.0.0.1:0", &format!("127.0.0.1:{data}"), 1)
        .replacen("127.0.0.1:0", &format!("127.0.0.1:{admin}"), 1);
    let config = dir.path().join("tollgate.toml");
    std::fs::write(&config, format!("{SMALL_JOURNAL}{toml}[telemetry]\nlog_requests = \"all\"\n")).unwrap();
    // A pipe that is never read: 64 KiB fit, then a write waits for ever.
    let child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["--config", config.to_str().unwrap(), "serve"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let _process = Process(child);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    wait_until_ready(&http, admin).await;
    let customer = cli(&config, &["customers", "create", "Acme"])["id"].as_str().unwrap().to_owned();
    let key = cli(&config, &["keys", "create", "--customer", &customer])["key"].as_str().unwrap().to_owned();
    let token = secret(dir.path(), "admin-token");
    // Refusals are quick; each leaves a line.
    let send = |_| async {
        let request = http.post(format!("http://127.0.0.1:{data}/v1/chat/completions")).bearer_auth(&key);
        assert_eq!(request.json(&chat(json!({ "model": "nobody" }))).send().await.unwrap().status(), 404);
    };
    futures_util::StreamExt::for_each_concurrent(futures_util::stream::iter(0..10_000), 32, send).await;
    let metrics = http.get(format!("http://127.0.0.1:{admin}/metrics")).bearer_auth(token);
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    let row = metrics.lines().find(|line| line.starts_with("tollgate_log_lines_dropped_total")).unwrap();
    assert!(row.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() > 0.0, "{row}");
}
