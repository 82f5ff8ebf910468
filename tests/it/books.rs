//! Posting is idempotent, recovery too, and a month begins and ends at midnight UTC.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use tollgate::{
    billing::{
        audit::audit,
        statement::{Month, statement},
    },
    catalog::{Catalog, device::CostVersion, load_shipped},
    clock::Clock,
    journal::{Journal, Options},
    posting::{
        recover::{Recovered, recover},
        ship::Shipper,
    },
    store::{Store, customers::CustomerRow, entries::PostBatch, prices::PriceVersionRow},
};
use tollgate_core::{
    counters::Counters,
    entry::{Admission, Entry, Line, Outcome, UsageSource},
    id::{AttemptId, BootId, CustomerId, KeyId, RequestId},
    price::{Query, price_line},
    pricing_context::PricingContext,
    record::Progress,
    usage::Usage,
};

use crate::cluster::{Cluster, open};

pub(crate) const NOVEMBER_US: i64 = 1_793_491_200_000_000;

pub(crate) fn customer() -> CustomerId {
    CustomerId::new(1, &[9; 10])
}

/// A migrated store on a fresh database of the shared server, and the database's URL.
pub(crate) async fn postgres_store() -> (Store, String) {
    let url = Cluster::shared().database().await;
    (open(&url).await, url)
}

async fn store(dir: &Path) -> Store {
    let store = Store::open(&dir.join("t.db")).await.unwrap();
    seed(&store).await;
    store
}

/// A customer and the shipped prices.
pub(crate) async fn seed(store: &Store) {
    let row = CustomerRow {
        id: customer(),
        name: "=Acme".into(),
        external_id: None,
        billing: "postpaid".into(),
        price_book: "default".into(),
        created_at_us: 0,
    };
    // Opened twice by some tests: then the customer is there already.
    let _there = store.insert_customer(&row).await;
    let versions: Vec<PriceVersionRow> = load_shipped()
        .unwrap()
        .stored_versions()
        .into_iter()
        .map(|version| PriceVersionRow { id: version.id, kind: version.kind.to_owned(), body: version.body })
        .collect();
    store.save_price_versions(&versions, 0).await.unwrap();
}

/// An entry whose request id was made when it was admitted, as a gateway makes it.
pub(crate) fn dated_entry(number: u64, admitted_at_us: i64) -> Entry {
    let mut entry = entry(number, admitted_at_us);
    let mut random = [1; 10];
    random[..8].copy_from_slice(&number.to_be_bytes());
    let unix_ms = u64::try_from(admitted_at_us / 1000).unwrap();
    entry.admission.id.request_id = RequestId::new(unix_ms, &random);
    entry
}

/// Read once: they are long.
fn shipped_prices() -> &'static Catalog {
    static SHIPPED: OnceLock<Catalog> = OnceLock::new();
    SHIPPED.get_or_init(|| load_shipped().unwrap())
}

pub(crate) fn admission(number: u64, admitted_at_us: i64) -> Admission {
    let catalog = shipped_prices();
    Admission {
        id: AttemptId { request_id: RequestId::new(number, &[1; 10]), attempt: 0 },
        customer_id: customer(),
        key_id: KeyId::new(1, &[3; 10]),
        dialect: "openai".into(),
        endpoint: "/v1/chat/completions".into(),
        model: "demo-model".into(),
        target: "demo/demo-model".into(),
        stream: true,
        admitted_at_us,
        cost_price_version: catalog.cost("demo", "demo-model", admitted_at_us).map(|version| version.id().to_owned()),
        charge_price_version: catalog
            .charge_rule("default", "demo-model", admitted_at_us)
            .map(|version| version.id.clone()),
        input_estimate: 100,
        end_user: None,
        tags: None,
    }
}

pub(crate) fn entry(number: u64, admitted_at_us: i64) -> Entry {
    let catalog = shipped_prices();
    let admission = admission(number, admitted_at_us);
    let usage = Usage { input_uncached: 10 + number, output: 3 * number, ..Usage::default() };
    let version = catalog.cost("demo", "demo-model", admitted_at_us);
    let rule = catalog.charge_rule("default", "demo-model", admitted_at_us).map(|version| &version.rule);
    let (counters, context) = (Counters::default(), PricingContext::default());
    let query = Query {
        usage: &usage,
        counters: Some(&counters),
        context: &context,
        at_us: admitted_at_us,
        is_used_elsewhere: false,
    };
    let (cost, charge) = price_line(&query, None, version.as_ref().map(CostVersion::basis), rule);
    Entry {
        admission,
        outcome: Outcome::Complete,
        usage_source: UsageSource::ProviderFinal,
        flags: Vec::new(),
        lines: vec![Line { billed_model: "demo-model".into(), usage, cost, charge, ..Line::default() }],
        ended_at_us: admitted_at_us,
        elapsed_us: 1,
        first_byte_us: None,
        status: Some(200),
        raw_usage: None,
        reported_total: None,
        reported_cost_usd: None,
        counters,
        corrects: None,
        output_estimate: None,
    }
}

fn batch(numbers: std::ops::Range<u64>) -> PostBatch {
    let at_us = |number: u64| NOVEMBER_US + i64::try_from(number).unwrap() * 1_000_000_000;
    let through_sequence = numbers.end;
    // Sequences begin with 1.
    let entries = numbers.map(|number| (number + 1, entry(number, at_us(number)))).collect();
    PostBatch::new("main".into(), BootId::new(1, &[4; 10]), through_sequence, entries)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_entries_posted_again_and_by_two_posters_at_once_count_once() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (store(dir.path()).await, store(dir.path()).await);
    let posters: Vec<_> = [one.clone(), two, one.clone()]
        .into_iter()
        .map(|store| {
            tokio::spawn(async move {
                let mut inserted = 0;
                for start in (0..200).step_by(20) {
                    inserted += store.post(&batch(start..start + 30)).await.unwrap().inserted;
                }
                inserted
            })
        })
        .collect();
    let mut inserted = 0;
    for poster in posters {
        inserted += poster.await.unwrap();
    }
    assert_eq!((inserted, one.entry_count().await.unwrap()), (210, 210));
    let report = audit(&one).await.unwrap();
    assert!(report.differences.is_empty(), "{report:?}");
    assert_eq!(one.cursor("main", BootId::new(1, &[4; 10])).await.unwrap(), 210);
}

#[tokio::test]
async fn orphans_are_resolved_once_by_the_published_rule_and_priced() {
    let dir = tempfile::tempdir().unwrap();
    let journal_dir = dir.path().join("journal");
    let journal = Journal::open(Options::new(journal_dir.clone(), "main".into()), BootId::new(1, &[4; 10])).unwrap();
    let open = |number: u64| journal.try_permit().unwrap().open(admission(number, NOVEMBER_US));
    let nothing_known = open(1).await.unwrap();
    let delivered = open(2).await.unwrap();
    delivered.progress(Progress::delivered(delivered.admission().id, 41));
    let reported = open(3).await.unwrap();
    let counted = Usage { input_uncached: 7, output: 5, ..Usage::default() };
    reported.progress(Progress { reported: Some(counted), ..Progress::delivered(reported.admission().id, 41) });
    open(4).await.unwrap().void();
    let ended = open(5).await.unwrap();
    ended.end(entry(5, NOVEMBER_US)).await.unwrap();
    // As a kill leaves them: neither ended nor voided.
    journal.shut_down().await;
    drop((nothing_known, delivered, reported, journal));

    let store = store(dir.path()).await;
    let recovered = recover(&store, &journal_dir, "main").await.unwrap();
    assert_eq!(recovered, Recovered { boots: 1, entries: 1, orphans: 3, missing: 0, damaged: 0, kept: 0 });
    assert_eq!(
        recover(&store, &journal_dir, "main").await.unwrap(),
        Recovered::default(),
        "there is nothing left to adopt"
    );
    for (number, input, output) in [(1, 100, 0), (2, 100, 11), (3, 7, 5)] {
        let entries = store.entries_of_request(RequestId::new(number, &[1; 10])).await.unwrap();
        let line = &entries[0].lines[0];
        assert_eq!((line.usage.input_uncached, line.usage.output), (input, output), "request {number}");
        assert_eq!((entries[0].outcome, entries[0].usage_source), (Outcome::Interrupted, UsageSource::Estimated));
        assert!(line.cost.is_some() && line.charge.is_some());
    }
    assert!(
        store.entries_of_request(RequestId::new(4, &[1; 10])).await.unwrap().is_empty(),
        "what was voided never was"
    );
    assert!(audit(&store).await.unwrap().differences.is_empty());
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_told_by_the_audit_and_stops_no_posting() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path()).await;
    let mut damaged = batch(0..3);
    damaged.entries[1].1.body = vec![1, 0xff];
    let shipper = Shipper::new(store.clone(), Clock::system(), Arc::default());
    assert_eq!(shipper.ship(&damaged).await.unwrap().inserted, 3);
    // As after an acknowledgement that was lost; and once more where the books have the entry whole.
    assert_eq!(shipper.ship(&damaged).await.unwrap().already_there, 3);
    store.post(&batch(3..4)).await.unwrap();
    let mut late = batch(3..4);
    late.entries[0].1.body = vec![1, 0xff];
    assert_eq!(shipper.ship(&late).await.unwrap().already_there, 1);
    assert_eq!(store.dead_letter_count().await.unwrap(), 0);
    assert!(audit(&store).await.is_err());
}

#[tokio::test]
async fn a_month_is_half_open_at_midnight_utc() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path()).await;
    let (from_us, to_us) = Month::parse("2026-11").unwrap().bounds_us();
    assert_eq!(from_us, NOVEMBER_US);
    let entries =
        vec![(1, entry(1, from_us - 1)), (2, entry(2, from_us)), (3, entry(3, to_us - 1)), (4, entry(4, to_us))];
    let batch = PostBatch::new("main".into(), BootId::new(1, &[4; 10]), 4, entries);
    store.post(&batch).await.unwrap();
    let november = statement(&store, customer(), Month::parse("2026-11").unwrap()).await.unwrap();
    assert_eq!((november.lines[0].requests, november.lines[0].usage.output), (2, 15));
    assert!(november.to_csv().unwrap().contains(",'=Acme,"), "a name is no formula");
    for text in ["2026-13", "2026-1", "november", "2026-11-01", ""] {
        assert!(Month::parse(text).is_err(), "{text}");
    }
    assert!(audit(&store).await.unwrap().differences.is_empty());
}
