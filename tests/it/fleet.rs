//! Several gateways, each a process of its own, on one Postgres.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate_fakes::FakeUpstream;

use crate::process::{Process, cli, free_port, wait_until_ready};
use crate::setting::{SMALL_JOURNAL, base_toml, chat};

/// One gateway: its folder, its addresses, and its process while it runs.
pub(crate) struct Replica {
    pub(crate) config: PathBuf,
    pub(crate) data: u16,
    pub(crate) admin: u16,
    pub(crate) process: Option<Process>,
}

/// Gateways on one database, in front of one scripted upstream.
pub(crate) struct Fleet {
    pub(crate) dir: TempDir,
    pub(crate) upstream: FakeUpstream,
    pub(crate) http: reqwest::Client,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) url: String,
}

impl Fleet {
    /// Prepares so many gateways; none runs yet. `url` is the database's.
    pub(crate) async fn new(count: usize, url: &str) -> Self {
        let upstream = FakeUpstream::start().await;
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("pepper"), "cd".repeat(32)).unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        let mut fleet = Self { dir, upstream, http, replicas: Vec::new(), url: url.to_owned() };
        for number in 0..count {
            fleet.add(&format!("gateway-{number}"), &format!("gateway-{number}"), "");
        }
        fleet
    }

    /// Prepares a gateway in a folder of its own, under a name.
    pub(crate) fn add(&mut self, folder: &str, name: &str, more: &str) -> usize {
        let (data, admin) = (free_port(), free_port());
        let folder = self.dir.path().join(folder);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("upstream-key"), "sk-upstream-secret").unwrap();
        let toml = base_toml(&folder, &self.upstream.openai_url())
            .replacen("127.0.0.1:0", &format!("127.0.0.1:{data}"), 1)
            .replacen("127.0.0.1:0", &format!("127.0.0.1:{admin}"), 1);
        let pepper = self.dir.path().join("pepper");
        let shared = format!(
            "{SMALL_JOURNAL}replica = \"{name}\"\n[store]\nurl = \"{}\"\n[keys]\npepper = \"file:{}\"\n",
            self.url,
            pepper.display()
        );
        let config = folder.join("tollgate.toml");
        fs::write(&config, format!("{shared}{toml}{more}")).unwrap();
        self.replicas.push(Replica { config, data, admin, process: None });
        self.replicas.len() - 1
    }

    pub(crate) async fn start(&mut self, number: usize) {
        let replica = &mut self.replicas[number];
        replica.process = Some(Process::start(&replica.config, &[]));
        wait_until_ready(&self.http, replica.admin).await;
    }

    pub(crate) async fn start_all(&mut self) {
        for replica in &mut self.replicas {
            replica.process = Some(Process::start(&replica.config, &[]));
        }
        for replica in &self.replicas {
            wait_until_ready(&self.http, replica.admin).await;
        }
    }

    /// SIGTERM, and how long it took to end.
    pub(crate) async fn stop(&mut self, number: usize) -> Duration {
        let mut process = self.replicas[number].process.take().unwrap();
        let started = tokio::time::Instant::now();
        let pid = rustix::process::Pid::from_child(&process.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        while process.0.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        started.elapsed()
    }

    pub(crate) async fn stop_all(&mut self) {
        for number in 0..self.replicas.len() {
            if self.replicas[number].process.is_some() {
                self.stop(number).await;
            }
        }
    }

    /// A command through a gateway's socket, or on the books when it does not run.
    pub(crate) fn cli(&self, number: usize, args: &[&str]) -> Value {
        cli(&self.replicas[number].config, args)
    }

    pub(crate) fn new_key(&self, number: usize) -> Value {
        let customer = self.cli(number, &["customers", "create", "Acme"])["id"].as_str().unwrap().to_owned();
        self.cli(number, &["keys", "create", "--customer", &customer])
    }

    /// Sends a request with a key; gives the answer's status.
    pub(crate) async fn ask(&self, number: usize, key: &str, body: Value) -> reqwest::Result<reqwest::Response> {
        let url = format!("http://127.0.0.1:{}/v1/chat/completions", self.replicas[number].data);
        self.http.post(url).bearer_auth(key).json(&body).send().await
    }

    /// How long until a gateway answers a key with this status; at most two seconds.
    pub(crate) async fn until_status(&self, number: usize, key: &str, status: u16) -> Duration {
        let started = tokio::time::Instant::now();
        while started.elapsed() < Duration::from_secs(2) {
            let user = format!("probe-{number}-{}", started.elapsed().as_micros());
            if self.ask(number, key, chat(json!({ "user": user }))).await.unwrap().status() == status {
                return started.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("gateway {number} does not answer with {status} after two seconds");
    }

    pub(crate) async fn ready(&self, number: usize) -> (u16, Value) {
        let url = format!("http://127.0.0.1:{}/readyz", self.replicas[number].admin);
        let answer = self.http.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Waits until a gateway's journal is in the books.
    pub(crate) async fn until_posted(&self, number: usize) {
        for _ in 0..1200 {
            let (_, ready) = self.ready(number).await;
            if ready["store_lag_records"] == 0 && ready["store"] == true {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("gateway {number} has not posted its journal after thirty seconds");
    }
}

/// Promised for keys: everywhere within a second.
const SECOND: Duration = Duration::from_secs(1);

async fn fleet(count: usize) -> Fleet {
    Fleet::new(count, &crate::cluster::Cluster::shared().database().await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_gateways_agree_on_keys_and_sums() {
    let mut fleet = fleet(3).await;
    fleet.start_all().await;
    let key = fleet.new_key(0);
    let text = key["key"].as_str().unwrap();
    for number in 0..3 {
        let waited = fleet.until_status(number, text, 200).await;
        assert!(waited < SECOND, "a new key works at gateway {number} after {waited:?}");
    }
    for round in 0..30 {
        let stream = json!({ "stream": round % 2 == 0 });
        assert_eq!(fleet.ask(round % 3, text, chat(stream)).await.unwrap().status(), 200);
    }
    for number in 0..3 {
        fleet.until_posted(number).await;
    }
    let sums: Vec<Value> = (0..3).map(|number| fleet.cli(number, &["usage", "--by", "key,model"])).collect();
    assert_eq!(sums[0][0]["requests"], 33);
    assert!(sums[1] == sums[0] && sums[2] == sums[0], "{sums:?}");
    fleet.cli(2, &["keys", "revoke", key["id"].as_str().unwrap()]);
    for number in 0..3 {
        let waited = fleet.until_status(number, text, 401).await;
        assert!(waited < SECOND, "a revoked key stops at gateway {number} after {waited:?}");
    }
    let names: Vec<Value> = fleet.cli(0, &["replicas", "list"]).as_array().unwrap().clone();
    assert!(names.len() == 3 && names.iter().all(|replica| replica["status"] == "live"), "{names:?}");
    let audit = fleet.cli(0, &["audit"]);
    assert_eq!((&audit["entries"], &audit["lost"], &audit["differences"]), (&json!(33), &json!(0), &json!([])));
    fleet.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_stops_everywhere_also_when_no_word_of_it_arrives() {
    let mut fleet = fleet(2).await;
    fleet.start_all().await;
    // As if every notification were lost.
    let pool = sqlx::PgPool::connect(&fleet.url).await.unwrap();
    let mute = "create or replace function note_change() returns trigger language plpgsql as $$ begin \
                update changes set version = version + 1 where topic = tg_argv[0]; return null; end $$";
    sqlx::query(mute).execute(&pool).await.unwrap();
    let key = fleet.new_key(0);
    let text = key["key"].as_str().unwrap();
    assert!(fleet.until_status(1, text, 200).await < SECOND);
    // By another hand than ours.
    sqlx::query("update keys set revoked_at_us = 1").execute(&pool).await.unwrap();
    for number in [0, 1] {
        let waited = fleet.until_status(number, text, 401).await;
        assert!(waited < SECOND, "{waited:?}");
    }
    fleet.stop_all().await;
}

/// Writes price files in which the demo model's output costs so much.
fn price_files(fleet: &Fleet, folder: &str, output: &str) -> String {
    let dir = fleet.dir.path().join(folder);
    fs::create_dir(&dir).unwrap();
    let shipped = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("pricing");
    fs::copy(shipped.join("books.toml"), dir.join("books.toml")).unwrap();
    let demo = fs::read_to_string(shipped.join("demo.toml")).unwrap();
    let changed = demo.replacen("output = \"2.00\"", &format!("output = \"{output}\""), 1);
    fs::write(dir.join("demo.toml"), changed).unwrap();
    format!("[prices]\ndir = {dir:?}\n")
}

/// What a gateway charges for one and the same request.
async fn charge(fleet: &Fleet, number: usize, key: &str) -> String {
    let answer = fleet.ask(number, key, chat(json!({}))).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.headers()["x-tollgate-charge-usd"].to_str().unwrap().to_owned()
}

async fn until_all_charge(fleet: &Fleet, numbers: &[usize], key: &str, expected: &str) {
    let started = tokio::time::Instant::now();
    for number in numbers {
        while charge(fleet, *number, key).await != expected {
            assert!(started.elapsed() < Duration::from_secs(3), "gateway {number} charges by other prices");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_price_applies_everywhere_at_once_and_an_old_file_does_not_bring_the_old_one_back() {
    let mut fleet = fleet(0).await;
    let old = price_files(&fleet, "old-prices", "3.00");
    let new = price_files(&fleet, "new-prices", "4.00");
    for (name, prices) in [("a", &old), ("b", &old), ("c", &new)] {
        fleet.add(name, name, prices);
    }
    fleet.start(0).await;
    fleet.start(1).await;
    let key = fleet.new_key(0)["key"].as_str().unwrap().to_owned();
    fleet.until_status(1, &key, 200).await;
    let before = charge(&fleet, 0, &key).await;
    assert_eq!(charge(&fleet, 1, &key).await, before);

    fleet.start(2).await;
    let after = charge(&fleet, 2, &key).await;
    assert_ne!(before, after);
    until_all_charge(&fleet, &[0, 1], &key, &after).await;

    // One that still has the old files starts again: it follows the others.
    fleet.stop(0).await;
    fleet.start(0).await;
    until_all_charge(&fleet, &[0, 1, 2], &key, &after).await;
    // To go back is a decision, and it is taken for all.
    fleet.cli(1, &["prices", "publish"]);
    until_all_charge(&fleet, &[0, 1, 2], &key, &before).await;
    for number in 0..3 {
        fleet.until_posted(number).await;
    }
    let audit = fleet.cli(0, &["audit"]);
    assert_eq!(audit["differences"], json!([]), "each entry names the prices that it was charged by");
    fleet.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_living_gateways_of_one_name_are_refused_and_a_dead_ones_name_is_free() {
    let mut fleet = fleet(1).await;
    let twin = fleet.add("twin", "gateway-0", "");
    fleet.start(0).await;
    let refused = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["--config", fleet.replicas[twin].config.to_str().unwrap(), "serve"])
        .stdout(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && text.contains("the replica `gateway-0` runs already"), "{text}");
    assert_eq!(fleet.ready(0).await.0, 200, "the first one goes on");
    // Killed, it does not give its name back: that runs out.
    fleet.replicas[0].process.take().unwrap().kill();
    fleet.start(twin).await;
    assert_eq!(fleet.ready(twin).await.0, 200);
    // On the same journal a successor does not wait: here of one that was killed.
    fleet.replicas[twin].process.take().unwrap().kill();
    let started = tokio::time::Instant::now();
    fleet.start(twin).await;
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    fleet.stop_all().await;
}
