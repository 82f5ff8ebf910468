//! Health: whether the process answers, and whether the gateway can serve.

use std::time::Duration;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde_json::json;

use tokio::time::timeout;

use super::{AdminState, Running};

/// The store is asked for so long; then it counts as away.
pub(super) const STORE_ANSWER_MAX: Duration = Duration::from_secs(1);

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
pub(super) fn lag_records(running: &Running) -> u64 {
    let durable = *running.proxy.journal.durable().borrow();
    durable.saturating_sub(running.posting.through())
}
