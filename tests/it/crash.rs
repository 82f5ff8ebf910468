//! kill -9 under load: nothing lost, nothing doubled, every orphan resolved by the published rule.

use std::{
    collections::HashMap,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tollgate_core::{entry::Entry, estimate::tokens_from_bytes};
use tollgate_fakes::FakeUpstream;

use crate::harness::{base_toml, chat};

const ROUNDS: u64 = 20;
const CLIENTS: u64 = 16;

/// A gateway in a process of its own.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(config: &Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(["--config", config.to_str().unwrap(), "serve"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A command and its JSON.
pub(crate) fn cli(config: &Path, args: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["--config", config.to_str().unwrap(), "--json"])
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{args:?}: {error}: {text} {}", String::from_utf8_lossy(&output.stderr)))
}

pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) async fn wait_until_ready(client: &reqwest::Client, admin: u16) {
    for _ in 0..200 {
        if let Ok(response) = client.get(format!("http://127.0.0.1:{admin}/readyz")).send().await
            && response.status().is_success()
            && !response.text().await.unwrap().contains("starting")
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the gateway was not ready within five seconds");
}

/// What clients saw, by the `user` that each request carried.
#[derive(Default)]
struct Seen {
    /// Answers that came whole: they must be in the books, exactly.
    complete: std::sync::Mutex<HashMap<String, u64>>,
}

async fn client_loop(
    client: reqwest::Client,
    url: String,
    key: String,
    round: u64,
    number: u64,
    seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
) {
    while !stop.load(Ordering::Relaxed) {
        let n = count.fetch_add(1, Ordering::Relaxed);
        let user = format!("r{round}-c{number}-{n}");
        let chunks = 2 + n % 7;
        let body = chat(
            json!({ "user": user, "stream": n.is_multiple_of(2), "x_fake": { "chunks": chunks, "gap_ms": n % 3 } }),
        );
        let answer =
            async { client.post(&url).bearer_auth(&key).json(&body).send().await?.error_for_status()?.text().await };
        if let Ok(text) = answer.await
            && (text.ends_with("data: [DONE]\n\n") || text.contains("\"usage\":{"))
        {
            seen.complete.lock().unwrap().insert(user, chunks);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_nine_at_random_under_load_loses_nothing_and_doubles_nothing() {
    let upstream = FakeUpstream::start().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("upstream-key"), "sk-upstream-secret").unwrap();
    let (data, admin) = (free_port(), free_port());
    let toml = base_toml(dir.path(), &upstream.openai_url())
        .replacen("127.0.0.1:0", &format!("127.0.0.1:{data}"), 1)
        .replacen("127.0.0.1:0", &format!("127.0.0.1:{admin}"), 1);
    let config = dir.path().join("tollgate.toml");
    std::fs::write(&config, toml).unwrap();
    // With no gateway running the command opens the books itself.
    let customer = cli(&config, &["customers", "create", "Acme"])["id"].as_str().unwrap().to_owned();
    let key = cli(&config, &["keys", "create", "--customer", &customer])["key"].as_str().unwrap().to_owned();
    let seen = Arc::new(Seen::default());
    let count = Arc::new(AtomicU64::new(0));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for round in 0..ROUNDS {
        let process = Process::start(&config);
        wait_until_ready(&http, admin).await;
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let client = reqwest::Client::builder().no_proxy().build().unwrap();
                let url = format!("http://127.0.0.1:{data}/v1/chat/completions");
                tokio::spawn(client_loop(
                    client,
                    url,
                    key.clone(),
                    round,
                    number,
                    Arc::clone(&seen),
                    Arc::clone(&stop),
                    Arc::clone(&count),
                ))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(60 + round * 37 % 200)).await;
        process.kill();
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.await.unwrap();
        }
    }
    // Opening the books recovers what the last kill left; the audit recomputes everything.
    let audit = cli(&config, &["audit"]);
    assert_eq!(audit["differences"], json!([]), "{audit}");

    let store = tollgate::store::Store::open(&dir.path().join("data/tollgate.db")).await.unwrap();
    let mut entries: HashMap<String, Vec<Entry>> = HashMap::new();
    let mut after = None;
    loop {
        let page = store.entries_after(after, 1000).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.entry.admission.id);
        for stored in page {
            entries.entry(stored.entry.admission.end_user.clone().unwrap()).or_default().push(stored.entry);
        }
    }
    let reached: Vec<_> = upstream.requests();
    let (mut lost, mut doubled, mut wrong, mut orphans) = (0, 0, 0, 0);
    for request in &reached {
        match entries.get(request.user.as_deref().unwrap()).map(Vec::as_slice) {
            None => lost += 1,
            Some([entry]) => {
                if entry.outcome.name() == "interrupted" {
                    orphans += 1;
                    let usage = entry.lines[0].usage;
                    assert_eq!(entry.usage_source.name(), "estimated");
                    assert_eq!(usage.input_uncached, entry.admission.input_estimate, "the published rule");
                    assert!(usage.output <= tokens_from_bytes(1000), "{usage:?}");
                    assert!(
                        entry.cost().is_some() && entry.charge().is_some(),
                        "an orphan is priced by the versions it names"
                    );
                }
            }
            Some(_) => doubled += 1,
        }
    }
    let complete = seen.complete.lock().unwrap();
    for (user, chunks) in complete.iter() {
        let exact = entries.get(user).is_some_and(|found| {
            found.len() == 1
                && found[0].usage_source.name() == "provider_final"
                && found[0].lines[0].usage.output == *chunks
        });
        wrong += u64::from(!exact);
    }
    eprintln!(
        "kill -9 rounds {ROUNDS}, reached the upstream {}, complete at the client {}, entries {}, orphans {orphans}, lost {lost}, doubled {doubled}, wrong {wrong}",
        reached.len(),
        complete.len(),
        entries.len()
    );
    assert!(complete.len() > 200, "too little load to mean anything: {}", complete.len());
    assert!(orphans > 0, "no kill hit a request under way");
    assert_eq!((lost, doubled, wrong), (0, 0, 0));
}

#[tokio::test]
async fn sigterm_ends_endless_streams_after_the_grace_and_records_them() {
    let mut harness = crate::harness::Harness::start().await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let body = chat(json!({ "stream": true, "x_fake": { "fault": "stall", "at": 1 } }));
        streams.push(harness.request("/v1/chat/completions", &body).send().await.unwrap());
    }
    let gateway = harness.gateway.take().unwrap();
    tokio::time::timeout(Duration::from_secs(10), gateway.stop()).await.expect("a shutdown must not wait for streams");
    drop(streams);
    let path = harness.dir.path().join("tollgate.toml");
    let audit = cli(&path, &["audit"]);
    assert_eq!((&audit["entries"], &audit["differences"]), (&json!(20), &json!([])));
    let usage = cli(&path, &["usage", "--by", "model"]);
    assert_eq!(usage[0]["estimated"], 20);
}
