//! Several gateways, each a process of its own, on one Postgres: started, killed, asked and judged.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate_fakes::FakeUpstream;

use crate::{
    cluster::{Cluster, open},
    load::{Clients, Seen, Verdict},
    process::{Process, cli, free_port, wait_until_ready},
    setting::{SMALL_JOURNAL, base_toml, chat},
    wire::Wire,
};

/// Requests that only ask whether a key is known.
static PROBES: AtomicU64 = AtomicU64::new(0);

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

    /// So many gateways on a database, running, and a key that all of them know.
    pub(crate) async fn running(count: usize, url: &str) -> (Self, String) {
        let mut fleet = Self::new(count, url).await;
        fleet.start_all().await;
        let key = fleet.known_key().await;
        (fleet, key)
    }

    /// The same behind a wire that can be disturbed. The database is migrated before, so that what the wire does meets posting.
    pub(crate) async fn behind_a_wire(count: usize, cluster: &Cluster) -> (Wire, Self, String) {
        let url = cluster.database().await;
        open(&url).await.close().await;
        let wire = Wire::to(cluster.port()).await;
        let (fleet, key) = Self::running(count, &wire.through(&url)).await;
        (wire, fleet, key)
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
        self.start_with(number, &[]).await;
    }

    /// Starts a gateway with more in its environment.
    pub(crate) async fn start_with(&mut self, number: usize, env: &[(&str, &str)]) {
        let replica = &mut self.replicas[number];
        replica.process = Some(Process::start(&replica.config, env));
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
            // Each its own name: of two requests with one name the verdict could not tell which entry is whose.
            let user = format!("probe-{}", PROBES.fetch_add(1, Ordering::Relaxed));
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

    /// Waits until a gateway's journal is in the books; under load there is always something that is not yet.
    pub(crate) async fn until_posted(&self, number: usize) {
        self.until_behind_by(number, 0).await;
    }

    /// Waits until at most so many records of a gateway's journal are not in the books yet.
    pub(crate) async fn until_behind_by(&self, number: usize, records: u64) {
        let mut lag = 0;
        for _ in 0..1200 {
            let (_, ready) = self.ready(number).await;
            lag = ready["store_lag_records"].as_u64().unwrap();
            if lag <= records && ready["store"] == true {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("gateway {number} has {lag} records to post after thirty seconds; at most {records} were waited for");
    }

    /// Makes a key and waits until every running gateway knows it.
    pub(crate) async fn known_key(&self) -> String {
        let key = self.new_key(0)["key"].as_str().unwrap().to_owned();
        for (number, replica) in self.replicas.iter().enumerate() {
            if replica.process.is_some() {
                self.until_status(number, &key, 200).await;
            }
        }
        key
    }

    /// Sets clients to work at every gateway that runs; some of their streams last.
    pub(crate) fn load(&self, key: &str, seen: &Arc<Seen>, slow_ms: u64) -> Clients {
        let urls = self.replicas.iter().filter(|replica| replica.process.is_some());
        let urls = urls.map(|replica| format!("http://127.0.0.1:{}/v1/chat/completions", replica.data)).collect();
        Clients::at(urls, key, seen, slow_ms)
    }

    /// Waits for the books, audits them, stops all, and compares the books with what upstream and clients saw.
    pub(crate) async fn judge(&mut self, seen: &Seen) -> Verdict {
        for number in 0..self.replicas.len() {
            self.until_posted(number).await;
        }
        let audit = self.cli(0, &["audit"]);
        assert_eq!((&audit["lost"], &audit["doubled"], &audit["differences"]), (&json!(0), &json!(0), &json!([])));
        self.stop_all().await;
        let store = open(&self.url).await;
        let verdict = Verdict::of(&store, &self.upstream, seen).await;
        store.close().await;
        verdict
    }
}
