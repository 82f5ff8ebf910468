//! Load on a gateway that dies under it, and what the books say of every request afterwards.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate::{clock::Clock, store::Store};
use tollgate_core::{entry::Entry, estimate::tokens_from_bytes};
use tollgate_fakes::FakeUpstream;

use crate::{
    process::{Process, cli, free_port, wait_until_ready},
    setting::{base_toml, chat},
};

const CLIENTS: u64 = 16;
/// No answer takes so long; a request that a dying gateway swallowed is given up then.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A data folder, an upstream, and clients that know what they got; the gateway comes and goes.
pub(crate) struct Scene {
    dir: TempDir,
    upstream: FakeUpstream,
    config: PathBuf,
    admin: u16,
    url: String,
    key: String,
    http: reqwest::Client,
    seen: Arc<Seen>,
}

/// What clients saw, by the `user` that each request carried.
#[derive(Default)]
pub(crate) struct Seen {
    /// Answers that came whole, and their output tokens: they must be in the books, exactly.
    complete: Mutex<HashMap<String, u64>>,
    /// Answers of the gateway that were refusals.
    refused: AtomicU64,
    count: AtomicU64,
}

impl Seen {
    /// How many answers came whole.
    pub(crate) fn complete(&self) -> usize {
        self.complete.lock().unwrap().len()
    }

    /// How many requests the gateway refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Clients at work.
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// What the books say.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Requests that reached the upstream.
    pub(crate) reached: u64,
    /// Answers that came whole to their clients.
    pub(crate) complete: u64,
    /// Attempts resolved by recovery.
    pub(crate) orphans: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) wrong: u64,
}

impl Scene {
    /// `journal` is the `[journal]` section of its gateways.
    pub(crate) async fn new(journal: &str) -> Self {
        let upstream = FakeUpstream::start().await;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("upstream-key"), "sk-upstream-secret").unwrap();
        let (data, admin) = (free_port(), free_port());
        let toml = base_toml(dir.path(), &upstream.openai_url())
            .replacen("127.0.0.1:0", &format!("127.0.0.1:{data}"), 1)
            .replacen("127.0.0.1:0", &format!("127.0.0.1:{admin}"), 1);
        let config = dir.path().join("tollgate.toml");
        std::fs::write(&config, format!("{journal}{toml}")).unwrap();
        // With no gateway running the command opens the books itself.
        let customer = cli(&config, &["customers", "create", "Acme"])["id"].as_str().unwrap().to_owned();
        let key = cli(&config, &["keys", "create", "--customer", &customer])["key"].as_str().unwrap().to_owned();
        let url = format!("http://127.0.0.1:{data}/v1/chat/completions");
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { dir, upstream, config, admin, url, key, http, seen: Arc::default() }
    }

    /// Starts the gateway, with more in its environment.
    pub(crate) fn spawn(&self, env: &[(&str, &str)]) -> Process {
        Process::start(&self.config, env)
    }

    /// Starts the gateway and waits until it serves; says how many milliseconds that took, recovery included.
    pub(crate) async fn start(&self, env: &[(&str, &str)]) -> (Process, u128) {
        let clock = Clock::system();
        let process = self.spawn(env);
        wait_until_ready(&self.http, self.admin).await;
        (process, clock.monotonic().as_millis())
    }

    /// Sets clients to work; `slow_ms` is a pause between chunks of some of the streams.
    pub(crate) fn clients(&self, slow_ms: u64) -> Clients {
        Clients::at(vec![self.url.clone()], &self.key, &self.seen, slow_ms)
    }

    /// Recovers what the last gateway left, recomputes the books, and compares them with what upstream and clients saw.
    pub(crate) async fn verdict(&self) -> Verdict {
        // Opening the books recovers; the audit recomputes everything.
        let audit = cli(&self.config, &["audit"]);
        assert_eq!(audit["differences"], json!([]), "{audit}");
        let journal = cli(&self.config, &["journal", "verify"]);
        assert_eq!((&journal["missing"], &journal["damaged"]), (&json!(0), &json!(0)), "a kill damages nothing");
        let store = Store::open(&self.dir.path().join("data/tollgate.db")).await.unwrap();
        let verdict = Verdict::of(&store, &self.upstream, &self.seen).await;
        store.close().await;
        verdict
    }
}

/// Every entry of the books, by its request's `user`.
async fn entries(store: &Store) -> HashMap<String, Vec<Entry>> {
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
    entries
}

impl Clients {
    /// Sets clients to work at these addresses, one request after the other at the next one.
    pub(crate) fn at(urls: Vec<String>, key: &str, seen: &Arc<Seen>, slow_ms: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..CLIENTS).map(|number| {
            let (urls, key) = (urls.clone(), key.to_owned());
            let (seen, stop) = (Arc::clone(seen), Arc::clone(&stop));
            // A client of its own: the connections of one that died are of no use to the next.
            let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_MAX).build().unwrap();
            tokio::spawn(async move {
                let slow_ms = if number % 4 == 0 { slow_ms } else { 0 };
                for url in urls.iter().cycle().skip(usize::try_from(number).unwrap()) {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    if !ask(&client, url, &key, &seen, slow_ms).await {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            })
        });
        let tasks = tasks.collect();
        Self { stop, tasks }
    }

    /// Lets them finish what they have begun.
    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

impl Verdict {
    /// Compares the books with what upstream and clients saw.
    pub(crate) async fn of(store: &Store, upstream: &FakeUpstream, seen: &Seen) -> Self {
        let entries = entries(store).await;
        let mut verdict = Self::default();
        for request in upstream.requests() {
            verdict.reached += 1;
            match entries.get(request.user.as_deref().unwrap()).map(Vec::as_slice) {
                None => verdict.lost += 1,
                Some([entry]) => verdict.count_orphan(entry),
                Some(_) => verdict.doubled += 1,
            }
        }
        for (user, tokens) in seen.complete.lock().unwrap().iter() {
            verdict.complete += 1;
            let is_exact = entries.get(user).is_some_and(|found| {
                found.len() == 1
                    && found[0].usage_source.name() == "provider_final"
                    && found[0].lines[0].usage.output == *tokens
            });
            verdict.wrong += u64::from(!is_exact);
        }
        verdict
    }

    /// An orphan is as the published rule says.
    fn count_orphan(&mut self, entry: &Entry) {
        if entry.outcome.name() != "interrupted" {
            return;
        }
        self.orphans += 1;
        let usage = entry.lines[0].usage;
        assert_eq!(entry.usage_source.name(), "estimated");
        assert_eq!(usage.input_uncached, entry.admission.input_estimate, "the published rule");
        assert!(usage.output <= tokens_from_bytes(1000), "{usage:?}");
        assert!(entry.cost().is_some() && entry.charge().is_some(), "an orphan is priced by the versions it names");
    }
}

/// One request; false when it got no whole answer.
async fn ask(client: &reqwest::Client, url: &str, key: &str, seen: &Seen, slow_ms: u64) -> bool {
    let number = seen.count.fetch_add(1, Ordering::Relaxed);
    let user = format!("user-{number}");
    let (chunks, gap_ms) = (2 + number % 7, if slow_ms > 0 { slow_ms } else { number % 3 });
    let stream = slow_ms > 0 || number.is_multiple_of(2);
    let fake = json!({ "chunks": chunks, "gap_ms": gap_ms });
    let body: Value = chat(json!({ "user": user, "stream": stream, "x_fake": fake }));
    let answer = async {
        let answer = client.post(url).bearer_auth(key).json(&body).send().await?;
        seen.refused.fetch_add(u64::from(!answer.status().is_success()), Ordering::Relaxed);
        answer.error_for_status()?.text().await
    };
    let is_whole = answer.await.is_ok_and(|text| text.ends_with("data: [DONE]\n\n") || text.contains("\"usage\":{"));
    if is_whole {
        seen.complete.lock().unwrap().insert(user, chunks);
    }
    is_whole
}
