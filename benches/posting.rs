//! How fast a backlog of the journal drains into the books: entries, rollups and cursor, on a private Postgres that syncs
//! its commits, and on SQLite. Run with `cargo bench --bench posting [-- ENTRIES]`.

use std::{
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use tollgate::{
    clock::Clock,
    config::{
        self,
        store_url::{Database, StoreUrl},
    },
    journal::{Durability, Journal, Options},
    posting::recover::recover,
    store::Store,
};
use tollgate_core::{
    entry::{Admission, Entry, Line, Outcome, UsageSource},
    id::{AttemptId, BootId, CustomerId, KeyId, RequestId},
    money::NanoUsd,
    usage::Usage,
};

const ENTRIES_DEFAULT: u64 = 200_000;
const PRODUCERS: u64 = 512;
/// Customers, each with two keys and four models: so many cells an hour.
const CUSTOMERS: u64 = 50;
/// The backlog is of so long an outage.
const OUTAGE_US: u64 = 3_600_000_000;
const BEGAN_US: u64 = 1_793_500_000_000_000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    // Cargo passes `--bench`; the rest is ours.
    let entries = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let entries = entries.map_or(Ok(ENTRIES_DEFAULT), |text| text.parse())?;
    let dir = tempfile::tempdir()?;
    let mut keeper = Command::new("scripts/postgres.sh")
        .arg("run")
        .arg(dir.path().join("postgres"))
        .env("FSYNC", "on")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    // The server ends when this is dropped.
    let alive = keeper.stdin.take();
    let mut url = String::new();
    BufReader::new(keeper.stdout.take().ok_or("no output")?).read_line(&mut url)?;
    let postgres = StoreUrl::Plain(Database::Postgres(url.trim().to_owned()));
    let sqlite = StoreUrl::Plain(Database::Sqlite(dir.path().join("books.db")));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for (number, (name, url)) in [("postgres", postgres), ("sqlite", sqlite)].into_iter().enumerate() {
        let boot_id = BootId::new(u64::try_from(number)?, &[0; 10]);
        runtime.block_on(drain(name, &url, &dir.path().join(name), boot_id, entries))?;
    }
    drop(alive);
    keeper.wait()?;
    Ok(())
}

async fn drain(name: &str, url: &StoreUrl, dir: &Path, boot_id: BootId, entries: u64) -> Result<(), Failure> {
    let store = Store::open_configured(&config::Store::new(url.clone())).await?;
    let options = Options { durability: Durability::Relaxed, ..Options::new(dir.to_owned(), "bench".to_owned()) };
    let journal = Journal::open(options, boot_id)?;
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let journal = journal.clone();
            tokio::spawn(async move { produce(&journal, producer, entries).await })
        })
        .collect();
    for producer in producers {
        producer.await??;
    }
    journal.shut_down().await;
    drop(journal);
    let clock = Clock::system();
    let recovered = recover(&store, dir, "bench").await?;
    let elapsed = clock.monotonic();
    let per_second = u128::from(recovered.entries) * 1_000_000 / elapsed.as_micros().max(1);
    let cells = store.rollup_cells().await?.len();
    writeln!(
        io::stdout(),
        "{name}: {} entries into {cells} cells in {elapsed:.2?}: {per_second} entries/s; gap {}",
        recovered.entries,
        store.usage_gap().await?
    )?;
    store.close().await;
    Ok(())
}

async fn produce(journal: &Journal, producer: u64, entries: u64) -> Result<(), Failure> {
    let mut number = producer;
    while number < entries {
        let admission = admission(number, BEGAN_US + OUTAGE_US * number / entries);
        let entry = entry(&admission);
        let attempt = journal.try_permit()?.open(admission).await?;
        attempt.sent();
        attempt.end(entry).await?;
        number += PRODUCERS;
    }
    Ok(())
}

fn admission(number: u64, at_us: u64) -> Admission {
    let mut random = [0; 10];
    for (to, from) in random.iter_mut().zip(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()) {
        *to = from;
    }
    let customer = number % CUSTOMERS;
    Admission {
        id: AttemptId { request_id: RequestId::new(at_us / 1000, &random), attempt: 0 },
        customer_id: CustomerId::new(customer, &[1; 10]),
        key_id: KeyId::new(customer * 2 + number / CUSTOMERS % 2, &[2; 10]),
        dialect: "openai".to_owned(),
        endpoint: "/v1/chat/completions".to_owned(),
        model: format!("a-public-model-{}", number / CUSTOMERS % 4),
        target: "provider/a-provider-model".to_owned(),
        stream: true,
        admitted_at_us: i64::try_from(at_us).unwrap_or(0),
        cost_price_version: Some("0123456789abcdef".to_owned()),
        charge_price_version: Some("0123456789abcdef".to_owned()),
        input_estimate: 1_000,
        end_user: Some("user-1234567890".to_owned()),
        tags: None,
    }
}

fn entry(admission: &Admission) -> Entry {
    let usage = Usage { input_uncached: 1_000, output: 500, ..Usage::default() };
    let money = Some(NanoUsd::new(123_456_789));
    Entry {
        admission: admission.clone(),
        outcome: Outcome::Complete,
        usage_source: UsageSource::ProviderFinal,
        flags: Vec::new(),
        lines: vec![Line {
            billed_model: "a-provider-model".to_owned(),
            usage,
            cost: money,
            charge: money,
            ..Line::default()
        }],
        ended_at_us: admission.admitted_at_us,
        elapsed_us: 1_000_000,
        first_byte_us: Some(100_000),
        status: Some(200),
        raw_usage: Some(r#"{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500}"#.to_owned()),
        reported_total: Some(1_500),
        reported_cost_usd: None,
        counters: tollgate_core::counters::Counters::default(),
        corrects: None,
        output_estimate: None,
    }
}
