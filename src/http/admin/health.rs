//! Health and metrics.

use std::{fmt::Write, sync::atomic::Ordering};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde_json::json;

use super::{AdminState, Running};
use crate::workers::board::{State as WorkerState, Status};

/// The process answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The gateway can serve: the store answers, the journal writes, earlier journals were replayed (before listening).
pub(super) async fn readyz(State(state): State<AdminState>) -> impl IntoResponse {
    let store = state.accounts.store.ping().await.is_ok();
    let journal = state.running.as_ref().is_some_and(|running| !running.proxy.journal.is_poisoned());
    let providers = state.running.as_ref().map_or(0, |running| running.proxy.routes.load().iter().count());
    let status = if store && journal { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let board = state.running.as_ref().map(|running| &running.proxy.workers);
    let places = board.into_iter().flat_map(|board| board.iter());
    let workers: serde_json::Map<String, serde_json::Value> =
        places.map(|place| (place.name.clone(), place.status().state.word().into())).collect();
    // A worker that is down is told and passed over; the gateway itself answers.
    let body = json!({
        "ready": store && journal, "store": store, "journal": journal, "models": providers, "workers": workers,
    });
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string())
}

/// Prometheus text.
pub(super) async fn metrics(State(state): State<AdminState>) -> impl IntoResponse {
    let text = state.running.as_ref().map_or_else(String::new, metrics_text);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

fn metrics_text(running: &Running) -> String {
    let proxy = &running.proxy;
    let counters = &proxy.counters;
    let journal = &proxy.journal;
    let as_u64 = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let rows = [
        ("tollgate_requests_in_flight", "gauge", "Attempts that hold room in the journal", as_u64(journal.in_flight())),
        (
            "tollgate_journal_durable_sequence",
            "gauge",
            "Highest durable sequence of this boot",
            *journal.durable().borrow(),
        ),
        ("tollgate_journal_poisoned", "gauge", "1 when the journal cannot write", u64::from(journal.is_poisoned())),
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
    ];
    let mut text = String::new();
    for (name, kind, help, value) in rows {
        // Writing to a string cannot fail.
        let _infallible = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
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
