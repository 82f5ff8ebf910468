//! The journal as a whole, on real files: what it promises, and attempts to break it.

mod appends;
mod boots;
mod couriers;
mod damage;
mod faults;
mod faulty;
mod formats;
mod kill;
mod power;
mod quarantined;
mod rescued;
mod rooms;
mod simulated;

use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use tempfile::TempDir;
use tollgate_core::{
    entry::{Admission, Entry, Line, Outcome, UsageSource},
    id::{AttemptId, BootId, CustomerId, KeyId, RequestId},
    money::NanoUsd,
    record::{Progress, Record},
    usage::Usage,
};

use self::faulty::{FOR_EVER, Script, Torn};
use super::{
    Durability, Journal, Options, attempt::OpenAttempt, disk::os::OsDisk, gaps::Damage, reader::BootReader, segment,
};

fn boot(number: u8) -> BootId {
    BootId::new(u64::from(number), &[number; 10])
}

fn attempt_id(number: u64) -> AttemptId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    AttemptId { request_id: RequestId::new(1, &random), attempt: 0 }
}

fn admission(number: u64) -> Admission {
    Admission {
        id: attempt_id(number),
        customer_id: CustomerId::new(1, &[1; 10]),
        key_id: KeyId::new(1, &[2; 10]),
        dialect: "openai".to_owned(),
        endpoint: "/v1/chat/completions".to_owned(),
        model: "fast".to_owned(),
        target: "provider/model".to_owned(),
        stream: true,
        admitted_at_us: 1_700_000_000_000_000,
        cost_price_version: None,
        charge_price_version: None,
        input_estimate: number,
        end_user: None,
        tags: None,
    }
}

fn entry(admission: &Admission) -> Entry {
    let usage = Usage { input_uncached: admission.input_estimate, output: 7, ..Usage::default() };
    let money = Some(NanoUsd::new(1_000));
    Entry {
        admission: admission.clone(),
        outcome: Outcome::Complete,
        usage_source: UsageSource::ProviderFinal,
        flags: Vec::new(),
        lines: vec![Line { billed_model: "model".to_owned(), usage, cost: money, charge: money, ..Line::default() }],
        ended_at_us: 1_700_000_001_000_000,
        elapsed_us: 1_000_000,
        first_byte_us: Some(1_000),
        status: Some(200),
        raw_usage: None,
        reported_total: None,
        reported_cost_usd: None,
        counters: tollgate_core::counters::Counters::default(),
        corrects: None,
        output_estimate: None,
    }
}

fn progress(number: u64, delivered_bytes: u64) -> Progress {
    Progress::delivered(attempt_id(number), delivered_bytes)
}

fn options(dir: &TempDir) -> Options {
    Options {
        segment_bytes: 4096,
        in_flight_max: 256,
        // Segments that small hold few records; what is promised to attempts has tests of its own.
        attempt_bytes_reserved: 0,
        ..Options::new(dir.path().to_owned(), "one".to_owned())
    }
}

fn open(dir: &TempDir) -> Journal {
    Journal::open(options(dir), boot(1)).unwrap()
}

async fn opened(journal: &Journal, number: u64) -> OpenAttempt {
    journal.try_permit().unwrap().open(admission(number)).await.unwrap()
}

/// Opens and ends attempts `numbers` one after another: two records each.
async fn run(journal: &Journal, numbers: std::ops::Range<u64>) {
    for number in numbers {
        opened(journal, number).await.end(entry(&admission(number))).await.unwrap();
    }
}

/// Drops the journal as a killed process would, and waits until its thread is gone.
async fn drop_and_wait(journal: Journal) {
    let mut stopped = journal.inner.stopped.clone();
    drop(journal);
    while stopped.changed().await.is_ok() {}
}

/// Reads boot 1 from after a sequence.
fn reader_of(boot_dir: &Path, after_sequence: u64) -> BootReader {
    BootReader::after(OsDisk::shared(), boot_dir, boot(1), after_sequence)
}

fn segments(boot_dir: &Path) -> Vec<u64> {
    segment::indexes(&OsDisk, boot_dir).unwrap()
}

fn replay(boot_dir: &Path) -> (Vec<(u64, Record)>, Damage) {
    let mut reader = reader_of(boot_dir, 0);
    let mut records = Vec::new();
    loop {
        // A batch of an odd size, so that batches end everywhere.
        let batch = reader.read_batch(None, 7).unwrap();
        if batch.is_empty() {
            return (records, reader.damage());
        }
        records.extend(batch);
    }
}

fn sequences(records: &[(u64, Record)]) -> Vec<u64> {
    records.iter().map(|(sequence, _)| *sequence).collect()
}

/// Every attempt of `numbers` has one OPENED and then one ENDED, and the sequences have no gap.
fn assert_whole(records: &[(u64, Record)], numbers: std::ops::Range<u64>) {
    assert_eq!(sequences(records), (1..=u64::try_from(records.len()).unwrap()).collect::<Vec<_>>());
    for number in numbers {
        let of_attempt: Vec<_> =
            records.iter().filter(|(_, record)| record.attempt_id() == attempt_id(number)).collect();
        assert!(
            matches!(of_attempt.as_slice(), [(_, Record::Opened(_)), (_, Record::Ended(_))]),
            "attempt {number}: {of_attempt:?}"
        );
    }
}
