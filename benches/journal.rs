//! How many records a second the journal acknowledges to 64 waiting producers, how long each waits, and what one raw
//! fdatasync costs beside it. Run with `cargo bench --bench journal [DIR]`; DIR decides which disk is measured.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::FileExt,
    path::Path,
    time::Duration,
};

use tollgate::{
    clock::Clock,
    journal::{Durability, Journal, Options},
};
use tollgate_core::{
    entry::{Admission, Entry, Line, Outcome, UsageSource},
    id::{AttemptId, BootId, CustomerId, KeyId, RequestId},
    money::NanoUsd,
    usage::Usage,
};

const PRODUCERS: u64 = 64;
const ATTEMPTS_PER_PRODUCER: u64 = 3_000;
const RAW_SYNCS: u64 = 2_000;
const RECORD_BYTES: usize = 256;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    // Cargo passes `--bench`; the rest is ours.
    let dir = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let dir = match dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    raw(dir.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for (number, durability) in [Durability::Fsync, Durability::Relaxed].into_iter().enumerate() {
        let boot_id = BootId::new(u64::try_from(number)?, &[0; 10]);
        runtime.block_on(journal(dir.path(), durability, boot_id))?;
    }
    Ok(())
}

fn raw(dir: &Path) -> Result<(), Failure> {
    let clock = Clock::system();
    let file = OpenOptions::new().write(true).create_new(true).open(dir.join("raw"))?;
    file.write_all_at(&vec![0; RECORD_BYTES * usize::try_from(RAW_SYNCS)?], 0)?;
    file.sync_all()?;
    let mut waits = Vec::new();
    for offset in 0..RAW_SYNCS {
        let started = clock.monotonic();
        file.write_all_at(&[7; RECORD_BYTES], offset * u64::try_from(RECORD_BYTES)?)?;
        file.sync_data()?;
        waits.push(clock.monotonic().saturating_sub(started));
    }
    print("raw write + fdatasync, one producer", &mut waits, clock.monotonic())?;
    Ok(())
}

async fn journal(dir: &Path, durability: Durability, boot_id: BootId) -> Result<(), Failure> {
    let clock = Clock::system();
    let journal = Journal::open(Options { durability, ..Options::new(dir.to_owned(), "bench".to_owned()) }, boot_id)?;
    let opened_in = clock.monotonic();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let (journal, clock) = (journal.clone(), clock.clone());
            tokio::spawn(async move { produce(&journal, &clock, producer).await })
        })
        .collect();
    let mut waits = Vec::new();
    for producer in producers {
        waits.extend(producer.await??);
    }
    let elapsed = clock.monotonic().saturating_sub(opened_in);
    print(&format!("journal, {durability:?}, {PRODUCERS} producers"), &mut waits, elapsed)?;
    journal.shut_down().await;

    let started = clock.monotonic();
    let mut reader = journal.reader(0);
    let mut records = 0_u64;
    while let count @ 1.. = reader.read_batch(None, 500)?.len() {
        records += u64::try_from(count)?;
    }
    let elapsed = clock.monotonic().saturating_sub(started);
    writeln!(
        io::stdout(),
        "  opened in {opened_in:.1?}; replayed {records} records in {elapsed:.1?}; {:?}",
        reader.damage()
    )?;
    Ok(())
}

async fn produce(journal: &Journal, clock: &Clock, producer: u64) -> Result<Vec<Duration>, Failure> {
    let mut waits = Vec::new();
    for number in 0..ATTEMPTS_PER_PRODUCER {
        let admission = admission(producer << 32 | number);
        let entry = entry(&admission);
        let started = clock.monotonic();
        let attempt = journal.try_permit()?.open(admission).await?;
        let opened = clock.monotonic();
        waits.push(opened.saturating_sub(started));
        attempt.end(entry).await?;
        waits.push(clock.monotonic().saturating_sub(opened));
    }
    Ok(waits)
}

fn print(what: &str, waits: &mut [Duration], elapsed: Duration) -> io::Result<()> {
    waits.sort_unstable();
    let at = |per_mille: usize| waits.get(waits.len() * per_mille / 1000).copied().unwrap_or_default();
    let per_second = u128::try_from(waits.len()).unwrap_or(0) * 1_000_000 / elapsed.as_micros().max(1);
    let (p50, p99, p999, most) = (at(500), at(990), at(999), waits.last().copied().unwrap_or_default());
    writeln!(
        io::stdout(),
        "{what}: {per_second} records/s, p50 {p50:.1?}, p99 {p99:.1?}, p99.9 {p999:.1?}, max {most:.1?}"
    )
}

fn admission(number: u64) -> Admission {
    let mut random = [0; 10];
    for (to, from) in random.iter_mut().zip(number.to_le_bytes()) {
        *to = from;
    }
    Admission {
        id: AttemptId { request_id: RequestId::new(1, &random), attempt: 0 },
        customer_id: CustomerId::new(1, &[1; 10]),
        key_id: KeyId::new(1, &[2; 10]),
        dialect: "openai".to_owned(),
        endpoint: "/v1/chat/completions".to_owned(),
        model: "a-public-model".to_owned(),
        target: "provider/a-provider-model".to_owned(),
        stream: true,
        admitted_at_us: 1_700_000_000_000_000,
        cost_price_version: Some("0123456789abcdef".to_owned()),
        charge_price_version: Some("0123456789abcdef".to_owned()),
        input_estimate: 1_000,
        end_user: None,
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
        ended_at_us: 1_700_000_001_000_000,
        elapsed_us: 1_000_000,
        first_byte_us: Some(100_000),
        status: Some(200),
        raw_usage: None,
        reported_total: Some(1_500),
        reported_cost_usd: None,
        counters: tollgate_core::counters::Counters::default(),
        corrects: None,
        output_estimate: None,
    }
}
