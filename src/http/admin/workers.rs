//! Local workers: what is seen of them now, and what their time came to.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    AdminState,
    books::time,
    lists::{List, NoFilter, Page, PageParams},
    problem::Problem,
};
use crate::{
    config::Worker,
    reports::workers::{WorkerTimeView, workers},
    workers::board::Place,
};

/// A worker.
#[derive(Serialize, ToSchema)]
#[schema(as = Worker)]
pub(super) struct WorkerView {
    #[serde(flatten)]
    seen: Seen,
    #[serde(flatten)]
    time: WorkerTimeView,
}

/// What a look says.
#[derive(Serialize, ToSchema)]
#[schema(as = WorkerSeen)]
pub(super) struct Seen {
    /// `unknown`: no gateway runs that looks, or the configuration has no such worker any more.
    state: &'static str,
    /// Why it is in that state.
    reason: Option<String>,
    /// Since when, RFC 3339 UTC.
    #[schema(format = DateTime)]
    since: Option<String>,
    /// Starts after the first.
    restarts: Option<u64>,
    /// Its process, when the gateway runs it.
    pid: Option<u32>,
    /// Whether the gateway runs it.
    spawned: bool,
    /// Where it listens.
    url: Option<String>,
    /// Public models that the configuration gives it.
    models: Option<Vec<String>>,
    /// New at each start of the worker.
    worker_id: Option<String>,
    /// Time since it started.
    uptime_us: Option<u64>,
    /// Features of the processor that it uses.
    cpu_features: Option<Vec<String>>,
    /// What it calls its model.
    model: Option<String>,
    /// Hash of the model.
    model_sha256: Option<String>,
    /// Tensors by their quantisation.
    quantization: Option<BTreeMap<String, u64>>,
    /// Threads of its engine.
    engine_threads: Option<u32>,
    /// Requests that wait.
    queued: Option<u64>,
    /// Requests that run.
    running: Option<u64>,
}

/// Every worker by name: its state, and where its time went.
#[utoipa::path(get, path = "/workers", tag = "fleet", params(PageParams), responses((status = OK, body = Page<WorkerView>)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    List(NoFilter {}, asked): List<NoFilter, String>,
) -> Result<Json<Page<WorkerView>>, Problem> {
    let times = workers(&state.accounts.store, &state.workers).await?;
    Ok(asked.page_of_all(times, |time| time.name.clone(), |time| view(&state, time)))
}

fn view(state: &AdminState, time: WorkerTimeView) -> WorkerView {
    let configured = state.workers.iter().find(|worker| worker.name == time.name);
    let place = state.running.as_ref().and_then(|running| running.proxy.workers.place(&time.name));
    WorkerView { seen: seen(configured, place.as_deref()), time }
}

fn seen(configured: Option<&Worker>, place: Option<&Place>) -> Seen {
    let status = place.map(Place::status);
    let state = status.as_ref().map(|status| &status.state);
    let health = status.as_ref().and_then(|status| status.health.as_deref());
    let loaded = health.and_then(|health| health.loaded.as_ref());
    Seen {
        state: state.map_or("unknown", |state| state.word()),
        reason: state.and_then(|state| state.reason()).map(str::to_owned),
        since: status.as_ref().map(|status| time(status.since_us)),
        restarts: status.as_ref().map(|status| status.restarts),
        pid: status.as_ref().and_then(|status| status.pid),
        spawned: configured.is_some_and(|worker| worker.spawn.is_some()),
        url: configured.map(|worker| worker.root_url.clone()),
        models: configured.map(|worker| worker.models.clone()),
        worker_id: health.map(|health| health.worker_id.clone()),
        uptime_us: health.map(|health| health.uptime_us),
        cpu_features: health.map(|health| health.cpu_features.clone()),
        model: loaded.map(|loaded| loaded.model.clone()),
        model_sha256: loaded.map(|loaded| loaded.model_sha256.clone()),
        quantization: loaded.map(|loaded| loaded.quantization.clone()),
        engine_threads: loaded.map(|loaded| loaded.engine_threads),
        queued: loaded.map(|loaded| loaded.queued),
        running: loaded.map(|loaded| loaded.running),
    }
}
