//! Both engines and a dumb model are asked the same things in the same order, and must answer the same.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};

use proptest::{prelude::*, sample::subsequence, strategy::ValueTree, test_runner::Config};
use sqlx::{PgPool, Row};
use tollgate::store::{
    Store, StoreError,
    archives::ArchiveRow,
    customers::CustomerRow,
    dump::digest,
    entries::{PostBatch, Stage},
    keys::KeyRow,
    objects::{ObjectKind, ObjectRow, PageOf},
    prices::PriceVersionRow,
    rollups::{By, HOUR_US, Span},
    training::{Place, TrainingRow},
    worker_hours::WorkerHourRow,
};
use tollgate_core::{
    entry::{Admission, Entry, Line, Outcome, UsageSource},
    entry_row::EntryRow,
    id::{AttemptId, BootId, CustomerId, KeyId, ObjectId, RequestId, TrainingRunId},
    money::NanoUsd,
    record::RecordKind,
    usage::Usage,
    worker_cost::WorkerTime,
};

use crate::{
    books::postgres_store,
    store_model::{Model, Refused},
};

/// Midnight UTC of a day in November 2026, microseconds.
const DAY: i64 = 1_793_491_200_000_000;

/// Writing books out and reading them back syncs many files; not every case does it.
const CASES_PER_DUMP: u32 = 8;

#[derive(Clone, Debug)]
enum Ask {
    InsertCustomer(CustomerRow),
    Customer(CustomerId),
    InsertKey(KeyRow),
    Key(KeyId),
    RevokeKey(KeyId, i64),
    SavePrices(Vec<PriceVersionRow>),
    InsertTraining(TrainingRow),
    ReplaceTrainings(Vec<TrainingRow>),
    Post(PostBatch),
    CloseBoot(u64, u64),
    Bury(PostBatch),
    Revive(AttemptId),
    Request(RequestId),
    Page(Option<AttemptId>, u32),
    Usage(Vec<By>, Span),
    Pin(String, String),
    WorkerHours(Vec<WorkerHourRow>),
    SealOldestDay,
    Object(ObjectAsk),
    Everything,
}

fn customer_id(n: u64) -> CustomerId {
    CustomerId::new(n, &[9; 10])
}

fn key_id(n: u64) -> KeyId {
    KeyId::new(n, &[8; 10])
}

fn boot(n: u64) -> (String, BootId) {
    (format!("replica-{}", n % 2), BootId::new(n, &[7; 10]))
}

/// Some in 1970, where no partition will ever be; some on both sides of a midnight.
fn request_id(n: u64) -> RequestId {
    let midnight_ms = u64::try_from(DAY / 1000).unwrap();
    let unix_ms = if n.is_multiple_of(5) { n } else { midnight_ms + n * 20_000_000 - 100_000_000 };
    RequestId::new(unix_ms, &[1; 10])
}

fn customers() -> impl Strategy<Value = CustomerRow> {
    (0..5_u64, "[a-zé%_' ]{1,8}", proptest::option::of("[ab]"), 0..3_i64).prop_map(|(n, name, external_id, at)| {
        CustomerRow {
            id: customer_id(n),
            name,
            external_id,
            billing: "postpaid".into(),
            price_book: format!("book-{at}"),
            created_at_us: at,
        }
    })
}

fn keys() -> impl Strategy<Value = KeyRow> {
    let limits = (
        proptest::option::of(any::<u32>()),
        proptest::option::of(0..=u64::try_from(i64::MAX).unwrap()),
        proptest::option::of(any::<u32>()),
    );
    let rest = (proptest::option::of(prop::collection::vec("[a-c]", 1..3)), proptest::option::of(any::<i64>()));
    (0..6_u64, 0..5_u64, 0..6_u64, limits, rest).prop_map(|(n, customer, public, limits, (models, expires_at_us))| {
        KeyRow {
            id: key_id(n),
            customer_id: customer_id(customer),
            price_book: String::new(),
            public_id: format!("public-{public}"),
            name: Some(format!("key {n}")).filter(|_| n > 2),
            secret_hash: [u8::try_from(n).unwrap(); 32],
            requests_per_minute: limits.0,
            tokens_per_minute: limits.1,
            concurrent_requests: limits.2,
            models,
            expires_at_us,
            revoked_at_us: None,
            created_at_us: 1,
            rotated_from: Some(key_id(0)).filter(|_| n > 3),
        }
    })
}

fn prices() -> impl Strategy<Value = Vec<PriceVersionRow>> {
    let version = (0..8_u32, "[a-z{}\"]{1,6}");
    let row = |(n, body): (u32, String)| PriceVersionRow { id: format!("p/{n}"), kind: "cost".into(), body };
    // One version an id within a batch, as a catalog has it.
    prop::collection::vec(version.prop_map(row), 0..5).prop_map(|versions| {
        let by_id: BTreeMap<String, PriceVersionRow> =
            versions.into_iter().map(|version| (version.id.clone(), version)).collect();
        by_id.into_values().collect()
    })
}

fn training(source: &'static str) -> impl Strategy<Value = TrainingRow> {
    (any::<u64>(), 0..3_u32, 0..2_u32, 0..3_i64, 1..3_i8).prop_map(move |(id, model, name, cost, month)| TrainingRow {
        id: TrainingRunId::new(
            id >> 16,
            &id.to_be_bytes().iter().copied().chain([0, 0]).collect::<Vec<_>>().try_into().unwrap(),
        ),
        model: format!("m{model}"),
        name: format!("n{name}"),
        cost: NanoUsd::new(cost),
        in_service: jiff::civil::date(2026, month, 1),
        source: source.into(),
        recorded_at_us: 1,
    })
}

fn amounts() -> impl Strategy<Value = i64> {
    prop_oneof![20 => 0..1_000_i64, 1 => Just(i64::MAX / 2), 1 => Just(i64::MAX)]
}

fn entries() -> impl Strategy<Value = Entry> {
    let ids = (0..14_u64, 0..2_u16, 0..3_u64, 0..3_u64, 0..2_u32);
    let numbers = (amounts(), amounts(), prop_oneof![30 => 0..500_u64, 1 => Just(u64::MAX)], 0..40_i64, any::<bool>());
    (ids, numbers).prop_map(|((request, attempt, customer, key, model), (cost, charge, output, hours, priced))| {
        let usage = Usage { input_uncached: request, cache_read: 2, output, reasoning: 1, ..Usage::default() };
        let (cost, charge) = (NanoUsd::new(cost), NanoUsd::new(charge));
        let worker =
            priced.then_some(WorkerTime { prefill_busy_us: request, decode_busy_us: 3, ..WorkerTime::default() });
        let line = Line {
            billed_model: "b".into(),
            usage,
            cost: priced.then_some(cost),
            charge: Some(charge),
            worker,
            ..Line::default()
        };
        Entry {
            admission: Admission {
                id: AttemptId { request_id: request_id(request), attempt },
                customer_id: customer_id(customer),
                key_id: key_id(key),
                dialect: "openai".into(),
                endpoint: "/v1/chat/completions".into(),
                model: format!("m{model}"),
                target: format!("p/m{model}"),
                stream: priced,
                admitted_at_us: DAY + hours * HOUR_US / 2,
                cost_price_version: None,
                charge_price_version: None,
                input_estimate: request,
                end_user: None,
                tags: None,
            },
            outcome: if priced { Outcome::Complete } else { Outcome::Interrupted },
            usage_source: if priced { UsageSource::ProviderFinal } else { UsageSource::Estimated },
            flags: Vec::new(),
            lines: if output == 0 { Vec::new() } else { vec![line] },
            ended_at_us: DAY,
            elapsed_us: output,
            first_byte_us: None,
            status: Some(200),
            raw_usage: None,
            reported_total: None,
            reported_cost_usd: None,
            counters: tollgate_core::counters::Counters::default(),
            corrects: None,
            output_estimate: None,
        }
    })
}

fn batches(entries_max: usize) -> impl Strategy<Value = PostBatch> {
    let kinds = prop::sample::select(vec![
        RecordKind::Opened,
        RecordKind::Sent,
        RecordKind::Progress,
        RecordKind::Ended,
        RecordKind::Void,
    ]);
    let stage = prop::sample::select(vec![Stage::Reading, Stage::Reading, Stage::Resolving, Stage::Closing]);
    let numbered = prop::collection::vec((0..60_u64, entries()), 0..=entries_max);
    let records = prop::collection::vec((0..60_u64, kinds), 0..8);
    let after = prop_oneof![3 => Just(0), 1 => 0..60_u64];
    (0..4_u64, after, 0..60_u64, numbered, records, 0..3_u64, stage).prop_map(
        |(n, after_sequence, through, entries, records, missing, stage)| {
            let (replica, boot_id) = boot(n);
            let batch = PostBatch::new(replica, boot_id, through, entries);
            PostBatch { after_sequence, records, missing, stage, ..batch }
        },
    )
}

fn spans() -> impl Strategy<Value = Span> {
    let hour = || proptest::option::of((0..20_i64).prop_map(|hours| DAY + hours * HOUR_US));
    (hour(), hour(), proptest::option::of((0..3_u64).prop_map(customer_id)))
        .prop_map(|(from_us, to_us, customer_id)| Span { from_us, to_us, customer_id })
}

fn worker_hours() -> impl Strategy<Value = WorkerHourRow> {
    (0..2_u8, 0..2_u8, 0..3_i64, 0..9_u64, 0..9_u64).prop_map(|(worker, run, hour, uptime_us, busy_us)| WorkerHourRow {
        worker: format!("w{worker}"),
        worker_id: format!("run-{run}"),
        hour_us: hour * HOUR_US,
        model: "m".into(),
        model_sha256: "00".into(),
        engine_threads: 2,
        uptime_us,
        busy_us,
        requests: busy_us / 2,
    })
}

fn asks() -> impl Strategy<Value = Ask> {
    let attempt = || (0..14_u64, 0..2_u16).prop_map(|(n, attempt)| AttemptId { request_id: request_id(n), attempt });
    let by = subsequence(vec![By::Key, By::Customer, By::Model, By::Target, By::Day], 0..=5).prop_shuffle();
    prop_oneof![
        2 => customers().prop_map(Ask::InsertCustomer),
        1 => (0..6_u64).prop_map(|n| Ask::Customer(customer_id(n))),
        3 => keys().prop_map(Ask::InsertKey),
        1 => (0..7_u64).prop_map(|n| Ask::Key(key_id(n))),
        2 => (0..7_u64, 0..5_i64).prop_map(|(n, at)| Ask::RevokeKey(key_id(n), at)),
        1 => prices().prop_map(Ask::SavePrices),
        1 => training("added").prop_map(Ask::InsertTraining),
        1 => prop::collection::vec(training("config"), 0..4).prop_map(Ask::ReplaceTrainings),
        8 => batches(9).prop_map(Ask::Post),
        1 => (0..4_u64, 0..60_u64).prop_map(|(n, through)| Ask::CloseBoot(n, through)),
        2 => batches(2).prop_map(Ask::Bury),
        2 => attempt().prop_map(Ask::Revive),
        1 => (0..14_u64).prop_map(|n| Ask::Request(request_id(n))),
        2 => (proptest::option::of(attempt()), 0..9_u32).prop_map(|(after, most)| Ask::Page(after, most)),
        3 => (by, spans()).prop_map(|(by, span)| Ask::Usage(by, span)),
        1 => ("[ab]", "[cd]").prop_map(|(name, value)| Ask::Pin(name, value)),
        1 => prop::collection::vec(worker_hours(), 0..4).prop_map(Ask::WorkerHours),
        1 => Just(Ask::SealOldestDay),
        8 => object_asks().prop_map(Ask::Object),
        2 => Just(Ask::Everything),
    ]
}

/// What is asked of objects. Times of polling are the database's; what is due lies far in the past.
#[derive(Clone, Debug)]
enum ObjectAsk {
    Bind(Vec<ObjectRow>),
    Name(u64, u64, bool),
    Forget(u64),
    Get(u64, ObjectKind, u64),
    At(u8, ObjectKind, u64),
    Page(PageOf),
    Delete(u64, i64),
    Claim,
    ForgetResponses(u64, u32),
    Finish(u64, i64),
    Metered(u64, i64, u64),
}

fn object_id(n: u64) -> ObjectId {
    ObjectId::new(n, &[5; 10])
}

fn object_kinds() -> impl Strategy<Value = ObjectKind> {
    prop::sample::select(vec![ObjectKind::File, ObjectKind::Batch, ObjectKind::Response])
}

fn objects() -> impl Strategy<Value = ObjectRow> {
    let names = (0..9_u64, object_kinds(), 0..2_u8, proptest::option::of(0..6_u64), 0..2_u64);
    let rest = (0..4_i64, proptest::option::of(0..5_i64), proptest::option::of("[a-z/]{1,4}"), "[{}a-z\"\t]{0,5}");
    (names, rest).prop_map(|((n, kind, provider, upstream, customer), (at, due, model, detail))| ObjectRow {
        id: object_id(n),
        kind,
        provider: format!("p{provider}"),
        upstream_id: upstream.map(|n| format!("id-{n}")),
        customer_id: customer_id(customer),
        key_id: key_id(n),
        request_id: request_id(n),
        target: model.clone(),
        price_book: model.clone(),
        model,
        detail,
        created_at_us: DAY + at,
        deleted_at_us: None,
        finished_at_us: None,
        metered_at_us: None,
        result_lines: None,
        polled_at_us: None,
        // Due ones in an order of their own.
        poll_after_us: due.map(|due| due * 100 + i64::try_from(n).unwrap()),
    })
}

fn object_asks() -> impl Strategy<Value = ObjectAsk> {
    let page = (0..2_u64, object_kinds(), proptest::option::of((0..4_i64, 0..9_u64)), any::<bool>(), 1..5_u32);
    prop_oneof![
        4 => prop::collection::vec(objects(), 0..4).prop_map(ObjectAsk::Bind),
        2 => (0..9_u64, 0..6_u64, any::<bool>()).prop_map(|(n, upstream, poll)| ObjectAsk::Name(n, upstream, poll)),
        1 => (0..9_u64).prop_map(ObjectAsk::Forget),
        3 => (0..2_u64, object_kinds(), 0..6_u64).prop_map(|(n, kind, upstream)| ObjectAsk::Get(n, kind, upstream)),
        1 => (0..2_u8, object_kinds(), 0..6_u64).prop_map(|(n, kind, upstream)| ObjectAsk::At(n, kind, upstream)),
        2 => page.prop_map(|(customer, kind, after, oldest_first, rows_max)| ObjectAsk::Page(PageOf {
            customer_id: customer_id(customer),
            kind,
            after: after.map(|(at, n)| (DAY + at, object_id(n))),
            oldest_first,
            rows_max,
        })),
        1 => (0..9_u64, 0..5_i64).prop_map(|(n, at)| ObjectAsk::Delete(n, at)),
        2 => Just(ObjectAsk::Claim),
        1 => (0..9_u64, 0..3_u32).prop_map(|(n, most)| ObjectAsk::ForgetResponses(n, most)),
        1 => (0..9_u64, 0..5_i64).prop_map(|(n, at)| ObjectAsk::Finish(n, at)),
        1 => (0..9_u64, 0..5_i64, 0..5_u64).prop_map(|(n, at, lines)| ObjectAsk::Metered(n, at, lines)),
    ]
}

/// What leaves times of the database's clock in the books, which no two of them have in common.
const fn is_timed(ask: &Ask) -> bool {
    matches!(ask, Ask::Object(ObjectAsk::Claim | ObjectAsk::Name(_, _, true)))
}

/// Without what the database's clock says.
fn timeless(object: ObjectRow) -> ObjectRow {
    let poll_after_us = object.poll_after_us.map(|at| if at > DAY { i64::MAX } else { at });
    ObjectRow { poll_after_us, polled_at_us: object.polled_at_us.map(|_| 0), ..object }
}

async fn ask_store_of_objects(store: &Store, ask: &ObjectAsk) -> String {
    let held = std::time::Duration::from_secs(3600);
    let name = |n: &u64| format!("id-{n}");
    match ask {
        ObjectAsk::Bind(objects) => told(store.bind_objects(objects).await),
        ObjectAsk::Name(n, upstream, poll) => {
            told(store.name_object(object_id(*n), &name(upstream), poll.then_some(held)).await)
        }
        ObjectAsk::Forget(n) => told(store.forget_object(object_id(*n)).await),
        ObjectAsk::Get(n, kind, upstream) => {
            told(store.object(customer_id(*n), *kind, &name(upstream)).await.map(|found| found.map(timeless)))
        }
        ObjectAsk::At(n, kind, upstream) => {
            let found = store.object_at(&format!("p{n}"), *kind, &name(upstream)).await;
            told(found.map(|found| found.map(timeless)))
        }
        ObjectAsk::Page(page) => {
            let found = store.objects_page(page).await;
            told(found.map(|found| found.into_iter().map(timeless).collect::<Vec<_>>()))
        }
        ObjectAsk::Delete(n, at_us) => told(store.delete_object(object_id(*n), *at_us).await),
        ObjectAsk::Claim => told(store.claim_object(held).await.map(|found| found.map(timeless))),
        ObjectAsk::ForgetResponses(n, most) => told(store.forget_responses(object_id(*n), *most).await),
        ObjectAsk::Finish(n, at_us) => told(store.finish_object(object_id(*n), *at_us).await),
        ObjectAsk::Metered(n, at_us, lines) => told(store.object_is_metered(object_id(*n), *at_us, *lines).await),
    }
}

fn ask_model_of_objects(model: &mut Model, ask: &ObjectAsk) -> String {
    let name = |n: &u64| format!("id-{n}");
    match ask {
        ObjectAsk::Bind(objects) => modelled(Ok(model.bind_objects(objects))),
        ObjectAsk::Name(n, upstream, poll) => modelled(model.name_object(object_id(*n), &name(upstream), *poll)),
        ObjectAsk::Forget(n) => {
            model.forget_object(object_id(*n));
            "Ok(())".to_owned()
        }
        ObjectAsk::Get(n, kind, upstream) => modelled(Ok(model.object(customer_id(*n), *kind, &name(upstream)))),
        ObjectAsk::At(n, kind, upstream) => modelled(Ok(model.object_at(&format!("p{n}"), *kind, &name(upstream)))),
        ObjectAsk::Page(page) => modelled(Ok(model.objects_page(page))),
        ObjectAsk::Delete(n, at_us) => {
            model.delete_object(object_id(*n), *at_us);
            "Ok(())".to_owned()
        }
        ObjectAsk::Claim => modelled(Ok(model.claim_object())),
        ObjectAsk::ForgetResponses(n, most) => modelled(Ok(model.forget_responses(object_id(*n), *most))),
        ObjectAsk::Finish(n, at_us) => modelled(model.finish_object(object_id(*n), *at_us)),
        ObjectAsk::Metered(n, at_us, lines) => {
            model.object_is_metered(object_id(*n), *at_us, *lines);
            "Ok(())".to_owned()
        }
    }
}

fn told<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    let answer = answer.map_err(|error| match error {
        StoreError::Exists(_) => Refused::Exists,
        StoreError::NotFound(_) => Refused::NotFound,
        StoreError::TooLarge => Refused::TooLarge,
        StoreError::Behind { through } => Refused::Behind(through),
        StoreError::Engine(_) => Refused::Engine,
        other => panic!("{other}"),
    });
    format!("{answer:?}")
}

fn modelled<T: std::fmt::Debug>(answer: Result<T, Refused>) -> String {
    format!("{answer:?}")
}

/// Moves the first day's entries to a file, and tells how many there were.
async fn seal_oldest_day(store: &Store) -> Result<Option<(i32, u64)>, StoreError> {
    // As upkeep does: what came late has to be kept outside of the partitions until then.
    store.tend_partitions(0..0).await?;
    let Some(day) = store.oldest_day().await? else { return Ok(None) };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("day.copy");
    let file = store.dump_day(day, &path).await?;
    assert_eq!(digest(&path).await?, (file.entries, file.sha256.clone()));
    let part = i32::try_from(store.archives().await?.len()).unwrap();
    let archive = ArchiveRow {
        day,
        part,
        entries: file.entries,
        first_hour_us: file.first_hour_us,
        last_hour_us: file.last_hour_us,
        sha256: file.sha256,
        file: "day.copy".into(),
        archived_at_us: 1,
    };
    let too_many = ArchiveRow { entries: archive.entries + 1, ..archive.clone() };
    assert!(!store.seal_day(&too_many).await?, "a day that holds other entries than the file must stay");
    assert!(store.seal_day(&archive).await?);
    Ok(Some((day, archive.entries)))
}

async fn ask_store(store: &Store, ask: &Ask) -> String {
    match ask {
        Ask::InsertCustomer(row) => told(store.insert_customer(row).await),
        Ask::Customer(id) => told(store.customer(*id).await),
        Ask::InsertKey(row) => told(store.insert_key(row).await),
        Ask::Key(id) => told(store.key(*id).await),
        Ask::RevokeKey(id, at_us) => told(store.revoke_key(*id, *at_us).await),
        Ask::SavePrices(versions) => told(store.save_price_versions(versions, 1).await),
        Ask::InsertTraining(run) => told(store.insert_training(run).await),
        Ask::ReplaceTrainings(runs) => told(store.replace_configured_trainings(runs).await),
        Ask::Post(batch) => told(store.post(batch).await),
        Ask::CloseBoot(n, through) => {
            let (replica, boot_id) = boot(*n);
            told(store.close_boot(&replica, boot_id, *through).await)
        }
        Ask::Bury(batch) => told(store.bury(batch, "because", 3).await),
        Ask::Revive(id) => told(store.revive(*id).await),
        Ask::Request(id) => told(store.entries_of_request(*id).await),
        Ask::Page(after, most) => told(store.entries_after(*after, *most).await),
        Ask::Usage(by, span) => told(store.usage_by(by, *span).await),
        Ask::Pin(name, value) => told(store.pin(name, value).await),
        Ask::WorkerHours(hours) => told(store.save_worker_hours(hours).await),
        Ask::SealOldestDay => told(seal_oldest_day(store).await),
        Ask::Object(ask) => ask_store_of_objects(store, ask).await,
        Ask::Everything => {
            let prices: Result<BTreeMap<_, _>, _> = store.price_versions().await.map(|all| all.into_iter().collect());
            for (id, version) in prices.as_ref().into_iter().flatten() {
                assert_eq!(store.price_version(id).await.unwrap().as_ref(), Some(version));
            }
            assert_eq!(store.price_version("none@").await.unwrap(), None);
            assert_pages_are_lists(store).await;
            let mut text = [
                told(store.customers().await),
                told(store.keys().await),
                told(prices),
                told(store.trainings().await),
                told(store.worker_hours().await),
                told(store.rollup_cells().await),
                told(store.entry_count().await),
                told(store.dead_letters().await),
                told(store.boots().await),
                told(store.usage_gap().await),
                told(store.entries_by_boot().await),
            ];
            for (n, text) in (0..4).zip(&mut text) {
                let (replica, boot_id) = boot(n);
                let cursor = told(store.cursor(&replica, boot_id).await);
                assert_eq!(told(store.cursor_on_disk(&replica, boot_id).await), cursor);
                text.push_str(&cursor);
            }
            text.join("\n")
        }
    }
}

fn ask_model(model: &mut Model, ask: &Ask) -> String {
    let fine = |text: String| format!("Ok({text})");
    match ask {
        Ask::InsertCustomer(row) => modelled(model.insert_customer(row)),
        Ask::Customer(id) => modelled(model.customer(*id)),
        Ask::InsertKey(row) => modelled(model.insert_key(row)),
        Ask::Key(id) => modelled(model.key(*id)),
        Ask::RevokeKey(id, at_us) => modelled(model.revoke_key(*id, *at_us)),
        Ask::SavePrices(versions) => {
            model.save_price_versions(versions);
            fine("()".into())
        }
        Ask::InsertTraining(run) => modelled(model.insert_training(run)),
        Ask::ReplaceTrainings(runs) => modelled(model.replace_configured_trainings(runs)),
        Ask::Post(batch) => modelled(model.post(batch)),
        Ask::CloseBoot(n, through) => {
            let (replica, boot_id) = boot(*n);
            let batch = PostBatch::new(replica, boot_id, *through, Vec::new());
            modelled(model.post(&PostBatch { stage: Stage::Closing, ..batch }).map(|_| ()))
        }
        Ask::Bury(batch) => modelled(model.bury(batch, "because", 3)),
        Ask::Revive(id) => modelled(model.revive(*id)),
        Ask::Request(id) => fine(format!("{:?}", model.entries_of_request(*id))),
        Ask::Page(after, most) => fine(format!("{:?}", model.entries_after(*after, *most))),
        Ask::Usage(by, span) => modelled(model.usage_by(by, *span)),
        Ask::Pin(name, value) => fine(format!("{:?}", model.pin(name, value))),
        Ask::WorkerHours(hours) => {
            model.save_worker_hours(hours);
            fine("()".into())
        }
        Ask::Object(ask) => ask_model_of_objects(model, ask),
        Ask::SealOldestDay => {
            let day = model.oldest_day();
            fine(format!("{:?}", day.map(|day| (day, model.seal_day(day)))))
        }
        Ask::Everything => {
            let mut text = [
                fine(format!("{:?}", model.customers())),
                fine(format!("{:?}", model.keys())),
                fine(format!("{:?}", model.price_versions())),
                fine(format!("{:?}", model.trainings())),
                fine(format!("{:?}", model.worker_hours())),
                modelled(model.cells()),
                fine(model.entry_count().to_string()),
                fine(format!("{:?}", model.dead_letters())),
                fine(format!("{:?}", model.boots())),
                fine(model.usage_gap().to_string()),
                fine(format!("{:?}", model.entries_by_boot())),
            ];
            for (n, text) in (0..4).zip(&mut text) {
                let (replica, boot_id) = boot(n);
                text.push_str(&fine(model.cursor(&replica, boot_id).to_string()));
            }
            text.join("\n")
        }
    }
}

/// Reads a list of the store page by page.
async fn pages<R, K>(page: impl AsyncFn(Option<K>) -> Vec<R>, key: impl Fn(&R) -> K) -> Vec<R> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let read = page(after).await;
        assert!(read.len() <= 2);
        let Some(last) = read.last() else { return rows };
        after = Some(key(last));
        rows.extend(read);
    }
}

/// Holds that the pages of a store's lists are its lists.
async fn assert_pages_are_lists(store: &Store) {
    let customers = pages(async |after| store.customers_after(after, 2).await.unwrap(), |row| row.id).await;
    assert_eq!(customers, store.customers().await.unwrap());
    let keys = store.keys().await.unwrap();
    assert_eq!(pages(async |after| store.keys_after(None, after, 2).await.unwrap(), |row| row.id).await, keys);
    for customer in customers {
        let of = Some(customer.id);
        let own = pages(async |after| store.keys_after(of, after, 2).await.unwrap(), |row| row.id).await;
        assert_eq!(own, keys.iter().filter(|key| Some(key.customer_id) == of).cloned().collect::<Vec<_>>());
    }
    let page = async |after: Option<AttemptId>| store.dead_letters_after(after, 2).await.unwrap();
    assert_eq!(pages(page, |letter| letter.entry.admission.id).await, store.dead_letters().await.unwrap());
    let page = async |after: Option<Place>| store.trainings_after(after.as_ref(), 2).await.unwrap();
    assert_eq!(pages(page, TrainingRow::place).await, store.trainings().await.unwrap());
}

/// Empties the tables; partitions stay, as they do in life.
async fn empty(pool: &PgPool) {
    let tables = "truncate customers, keys, price_versions, entries, rollups_hourly, cursors, training_runs, dead_letters, pins, archives, sealed_orphans, worker_hours, objects";
    sqlx::query(tables).execute(pool).await.unwrap();
}

/// The same books give the same bytes, whatever the engine; read back by the other one they give them again.
async fn dump_and_load(sqlite: &Store, postgres: &Store, pool: &PgPool) {
    let dir = tempfile::tempdir().unwrap();
    let folders = ["one", "two", "three"].map(|name| dir.path().join(name));
    for folder in &folders {
        std::fs::create_dir(folder).unwrap();
    }
    let written = sqlite.dump(&folders[0]).await.unwrap();
    assert_eq!(written, postgres.dump(&folders[1]).await.unwrap());
    let copy = Store::open(&dir.path().join("copy.db")).await.unwrap();
    copy.load(&folders[1]).await.unwrap();
    empty(pool).await;
    postgres.load(&folders[0]).await.unwrap();
    assert_eq!(written, copy.dump(&folders[2]).await.unwrap());
    assert_eq!(written, postgres.dump(&folders[2]).await.unwrap());
    if written.iter().any(|table| table.rows > 0) {
        let refused = copy.load(&folders[0]).await.unwrap_err();
        assert!(matches!(refused, StoreError::NotEmpty(_)), "{refused}");
    }
    copy.close().await;
}

/// Of as many rows as a transaction of the poster's has: the engine is given them in statements of every length.
#[tokio::test]
async fn every_row_of_a_large_batch_lands_in_its_columns() {
    const COLUMNS: &str = "select request_id, attempt, replica, boot_id, sequence, customer_id, key_id, model, target, outcome, usage_source, admitted_at_us, cost_nanousd, charge_nanousd, unpriced, body from entries order by sequence";
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let entries: Vec<(u64, Entry)> = (0..512 + 128 + 32 + 8 + 3)
        .map(|n: u64| {
            let mut entry = entries().new_tree(&mut runner).unwrap().current();
            let number = i64::try_from(n).unwrap();
            entry.admission.id = AttemptId { request_id: request_id(n), attempt: u16::try_from(n % 3).unwrap() };
            (entry.admission.customer_id, entry.admission.key_id) = (customer_id(n + 1000), key_id(n + 2000));
            (entry.admission.model, entry.admission.target) = (format!("m{n}"), format!("p/{n}"));
            entry.admission.admitted_at_us = DAY + number;
            for line in &mut entry.lines {
                line.usage.output = n;
                (line.cost, line.charge) = (line.cost.map(|_| NanoUsd::new(number)), Some(NanoUsd::new(number + 1)));
            }
            (n + 1, entry)
        })
        .collect();
    let (replica, boot_id) = boot(3);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let store = Store::open(&path).await.unwrap();
    let posted = store.post(&PostBatch::new(replica.clone(), boot_id, 1000, entries.clone())).await.unwrap();
    assert_eq!(posted.inserted, u64::try_from(entries.len()).unwrap());
    let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    let rows = sqlx::query(COLUMNS).fetch_all(&pool).await.unwrap();
    assert_eq!(rows.len(), entries.len());
    for (row, (sequence, entry)) in rows.iter().zip(&entries) {
        let (admission, expected) = (&entry.admission, EntryRow::of(entry));
        let blob = |column| row.try_get::<Vec<u8>, _>(column).unwrap();
        let text = |column| row.try_get::<String, _>(column).unwrap();
        let number = |column| row.try_get::<i64, _>(column).unwrap();
        let ids =
            [admission.id.request_id.bytes(), boot_id.bytes(), admission.customer_id.bytes(), admission.key_id.bytes()];
        assert_eq!([blob(0), blob(3), blob(5), blob(6)], ids.map(|id| id.to_vec()), "{sequence}");
        assert_eq!(blob(15), expected.body, "{sequence}");
        let names =
            [replica.as_str(), &admission.model, &admission.target, entry.outcome.name(), entry.usage_source.name()];
        assert_eq!([text(2), text(7), text(8), text(9), text(10)], names.map(str::to_owned), "{sequence}");
        let totals = expected.totals.unwrap();
        let numbers = [
            i64::from(admission.id.attempt),
            i64::try_from(*sequence).unwrap(),
            admission.admitted_at_us,
            totals.cost.get(),
            totals.charge.get(),
            i64::from(expected.is_unpriced),
        ];
        assert_eq!([1, 4, 11, 12, 13, 14].map(number), numbers, "{sequence}");
    }
    pool.close().await;
    store.close().await;
}

#[test]
fn both_engines_answer_as_the_model_does() {
    let case = AtomicU32::new(0);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (postgres, url) = runtime.block_on(postgres_store());
    let pool = runtime.block_on(PgPool::connect(&url)).unwrap();
    let mut config = Config::with_cases(32);
    config.failure_persistence = None;
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let sequences = prop::collection::vec(asks(), 1..40);
    let tested = runner.run(&sequences, |asked| {
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let sqlite = Store::open(&dir.path().join("t.db")).await.unwrap();
            empty(&pool).await;
            let mut model = Model::default();
            let is_dumped = case.fetch_add(1, Ordering::Relaxed).is_multiple_of(CASES_PER_DUMP);
            let asks = asked.iter().filter(|ask| !(is_dumped && is_timed(ask)));
            for ask in asks.chain([&Ask::Everything]) {
                let expected = ask_model(&mut model, ask);
                for (engine, store) in [("sqlite", &sqlite), ("postgres", &postgres)] {
                    let found = ask_store(store, ask).await;
                    prop_assert_eq!(&expected, &found, "{} on {:?}", engine, ask);
                }
            }
            if is_dumped {
                dump_and_load(&sqlite, &postgres, &pool).await;
            }
            sqlite.close().await;
            Ok(())
        })
    });
    tested.unwrap_or_else(|error| panic!("{error}"));
}
