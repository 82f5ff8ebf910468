//! Health and metrics.

use std::{fmt::Write, sync::atomic::Ordering, time::Duration};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde_json::json;

use tokio::time::timeout;

use super::{AdminState, Running};
use crate::store::{Store, StoreError};
use crate::workers::board::{State as WorkerState, Status};

/// The store is asked for so long; then it counts as away.
const STORE_ANSWER_MAX: Duration = Duration::from_secs(1);

/// The process answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The gateway can serve: its journal takes new requests, and nobody else has taken its name. Keys and prices are in memory and what
/// is used goes to the journal, so a store that is away is told, and does not stop anybody.
///
/// `store`, `store_failing_s` and `name` come from the last success of those who work with the store: one that answers this
/// question may still hang on to what it was asked before.
pub(super) async fn readyz(State(state): State<AdminState>) -> impl IntoResponse {
    let answers = matches!(timeout(STORE_ANSWER_MAX, state.accounts.store.ping()).await, Ok(Ok(())));
    let now = state.accounts.clock.monotonic();
    let running = state.running.as_ref();
    let journal = running.is_some_and(|running| running.proxy.journal.check().is_ok());
    let name = running.is_some_and(|running| running.lease.is_fresh(now));
    let is_its_own = running.is_some_and(|running| !running.lease.is_lost());
    let models = running.map_or(0, |running| running.proxy.routes.load().iter().count());
    let lag = running.map_or(0, lag_records);
    let failing = running.and_then(|running| running.posting.failing_for(now));
    // At least 1, so that 0 says that all is well.
    let failing_s = failing.map_or(0, |failing| failing.as_secs().max(1));
    let store = answers && failing.is_none();
    let board = running.map(|running| &running.proxy.workers);
    let places = board.into_iter().flat_map(|board| board.iter());
    let workers: serde_json::Map<String, serde_json::Value> =
        places.map(|place| (place.name.clone(), place.status().state.word().into())).collect();
    // A worker that is down is told and passed over; the gateway itself answers.
    let ready = journal && is_its_own;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": ready, "store": store, "store_failing_s": failing_s, "store_lag_records": lag, "journal": journal,
        "name": name, "models": models, "workers": workers,
    });
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string())
}

/// Records that are durable in the journal and not in the books yet.
fn lag_records(running: &Running) -> u64 {
    let durable = *running.proxy.journal.durable().borrow();
    durable.saturating_sub(running.posting.through())
}

/// Prometheus text.
pub(super) async fn metrics(State(state): State<AdminState>) -> impl IntoResponse {
    let mut text = state.running.as_ref().map_or_else(String::new, metrics_text);
    books_text(&state.accounts.store, &mut text).await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

/// What the store says of all gateways together. Left out while it is away: an old number would be believed.
async fn books_text(store: &Store, text: &mut String) {
    let read = async { Ok::<_, StoreError>((store.usage_gap().await?, store.dead_letter_count().await?)) };
    let found = timeout(STORE_ANSWER_MAX, read).await;
    let found = found.ok().and_then(Result::ok);
    row(text, "tollgate_store_up", "gauge", "1 when the store answers", u64::from(found.is_some()));
    if let Some((gap, letters)) = found {
        row(text, "tollgate_usage_gap_total", "gauge", "Events that the books cannot account for; must be 0", gap);
        row(
            text,
            "tollgate_dead_letters",
            "gauge",
            "Entries that the store refused and that wait to be posted",
            letters,
        );
    }
}

/// A metric without labels. Writing to a string cannot fail.
fn row(text: &mut String, name: &str, kind: &str, help: &str, value: u64) {
    let _infallible = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
}

fn metrics_text(running: &Running) -> String {
    let proxy = &running.proxy;
    let counters = &proxy.counters;
    let journal = proxy.journal.status();
    let as_u64 = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let rows = [
        ("tollgate_requests_in_flight", "gauge", "Attempts that hold room in the journal", as_u64(journal.in_flight)),
        (
            "tollgate_journal_durable_sequence",
            "gauge",
            "Highest durable sequence of this boot",
            journal.durable_sequence,
        ),
        ("tollgate_journal_poisoned", "gauge", "1 when the journal cannot write", u64::from(journal.is_poisoned)),
        (
            "tollgate_journal_refusing",
            "gauge",
            "1 when the journal takes no new requests",
            u64::from(!journal.is_accepting),
        ),
        ("tollgate_journal_disk_bytes", "gauge", "Bytes that the journal takes on its disk", journal.disk_bytes),
        ("tollgate_journal_disk_bytes_max", "gauge", "Its quota; 0: none", journal.disk_bytes_max),
        (
            "tollgate_journal_missing_records",
            "gauge",
            "Records that were durable and are missing, as the quarantine says",
            journal.missing_records,
        ),
        (
            "tollgate_journal_damaged_regions",
            "gauge",
            "Damaged regions of journals, as the quarantine says",
            journal.damaged_regions,
        ),
        (
            "tollgate_journal_abandoned_segments_total",
            "counter",
            "Segments given up after a failure to write",
            journal.abandoned_segments,
        ),
        (
            "tollgate_journal_direct_inserts_total",
            "counter",
            "Entries that went straight into the store because the journal was poisoned",
            journal.kept_elsewhere,
        ),
        (
            "tollgate_journal_lag_entries",
            "gauge",
            "Records that are durable in the journal and not in the books yet",
            lag_records(running),
        ),
        (
            "tollgate_posted_total",
            "counter",
            "Entries that this process has put into the books",
            running.posting.entries(),
        ),
        (
            "tollgate_posting_failures_total",
            "counter",
            "Batches that the store did not take at once",
            running.posting.failures(),
        ),
        (
            "tollgate_released_before_durable_total",
            "counter",
            "Answers that ended before their entry was known to be durable",
            counters.released_before_durable.load(Ordering::Relaxed),
        ),
        (
            "tollgate_drained_total",
            "counter",
            "Streams read on after their client left",
            counters.drained.load(Ordering::Relaxed),
        ),
        (
            "tollgate_drain_refused_total",
            "counter",
            "Streams cut because too many were being read on",
            counters.drain_refused.load(Ordering::Relaxed),
        ),
        (
            "tollgate_task_panics_total",
            "counter",
            "Tasks that panicked and were started again; each is a defect",
            running.panics.load(Ordering::Relaxed),
        ),
    ];
    let mut text = String::new();
    let unpriced = counters.unpriced.load(Ordering::Relaxed);
    let help = "Attempts that ended without a price; `tollgate rerate` prices them";
    row(&mut text, "tollgate_unpriced_total", "counter", help, unpriced);
    let as_target = counters.priced_as_target.load(Ordering::Relaxed);
    let help = "Attempts that another model served for which there is no price; they cost what the target's does";
    row(&mut text, "tollgate_priced_as_target_total", "counter", help, as_target);
    for (name, kind, help, value) in rows {
        row(&mut text, name, kind, help, value);
    }
    workers_text(running, &mut text);
    text
}

/// Name, kind, help and value of a worker's metric.
type WorkerMetric = (&'static str, &'static str, &'static str, fn(&Status) -> u64);

/// One row of each kind a worker.
fn workers_text(running: &Running, text: &mut String) {
    let rows: [WorkerMetric; 3] = [
        ("tollgate_worker_ready", "gauge", "1 when the worker takes requests", |status| {
            u64::from(status.state == WorkerState::Ready)
        }),
        ("tollgate_worker_restarts_total", "counter", "Starts of the worker after its first", |status| status.restarts),
        ("tollgate_worker_queued", "gauge", "Requests that wait in the worker", |status| {
            status.health.as_ref().and_then(|health| health.loaded.as_ref()).map_or(0, |loaded| loaded.queued)
        }),
    ];
    for (name, kind, help, value) in rows {
        for (index, place) in running.proxy.workers.iter().enumerate() {
            let head = if index == 0 { format!("# HELP {name} {help}\n# TYPE {name} {kind}\n") } else { String::new() };
            // Quotes and backslashes are escaped as the format asks; writing to a string cannot fail.
            let _infallible = writeln!(text, "{head}{name}{{worker={:?}}} {}", place.name, value(&place.status()));
        }
    }
}
