//! Health and metrics.

use std::{fmt::Write, sync::atomic::Ordering};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde_json::json;

use super::{AdminState, Running};

/// The process answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The gateway can serve: the store answers, the journal takes new requests, earlier journals were replayed (before listening).
pub(super) async fn readyz(State(state): State<AdminState>) -> impl IntoResponse {
    let store = state.accounts.store.ping().await.is_ok();
    let journal = state.running.as_ref().is_some_and(|running| running.proxy.journal.check().is_ok());
    let providers = state.running.as_ref().map_or(0, |running| running.proxy.routes.load().iter().count());
    let status = if store && journal { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "ready": store && journal, "store": store, "journal": journal, "models": providers });
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
    text
}
