//! Local workers: what is seen of them now, and what their time came to.

use axum::{Json, extract::State};
use serde_json::{Map, Value, json};

use super::{AdminState, books::time, problem::Problem};
use crate::{
    config::Worker,
    reports::workers::{WorkerTimeView, workers},
    workers::board::Place,
};

pub(super) async fn list(State(state): State<AdminState>) -> Result<Json<Value>, Problem> {
    let times = workers(&state.accounts.store, &state.workers).await?;
    let data: Vec<Value> = times.into_iter().map(|time| view(&state, time)).collect();
    Ok(Json(json!({ "data": data, "next": null })))
}

fn view(state: &AdminState, time: WorkerTimeView) -> Value {
    let configured = state.workers.iter().find(|worker| worker.name == time.name);
    let place = state.running.as_ref().and_then(|running| running.proxy.workers.place(&time.name));
    let mut fields = json!({ "name": time.name });
    for part in [seen(configured, place.as_deref()), json!(time)] {
        if let (Some(fields), Value::Object(part)) = (fields.as_object_mut(), part) {
            fields.extend(part);
        }
    }
    fields
}

/// What a look says. `unknown`: no gateway runs that looks, or the configuration has no such worker any more.
fn seen(configured: Option<&Worker>, place: Option<&Place>) -> Value {
    let status = place.map(Place::status);
    let state = status.as_ref().map(|status| &status.state);
    let mut fields = Map::from_iter([
        ("state".to_owned(), json!(state.map_or("unknown", |state| state.word()))),
        ("reason".to_owned(), json!(state.and_then(|state| state.reason()))),
        ("since".to_owned(), json!(status.as_ref().map(|status| time(status.since_us)))),
        ("restarts".to_owned(), json!(status.as_ref().map(|status| status.restarts))),
        ("pid".to_owned(), json!(status.as_ref().and_then(|status| status.pid))),
        ("spawned".to_owned(), json!(configured.is_some_and(|worker| worker.spawn.is_some()))),
        ("url".to_owned(), json!(configured.map(|worker| &worker.root_url))),
        ("models".to_owned(), json!(configured.map(|worker| &worker.models))),
    ]);
    let health = status.as_ref().and_then(|status| status.health.as_deref());
    let loaded = health.and_then(|health| health.loaded.as_ref());
    let said = json!({
        "worker_id": health.map(|health| &health.worker_id),
        "uptime_us": health.map(|health| health.uptime_us),
        "cpu_features": health.map(|health| &health.cpu_features),
        "model": loaded.map(|loaded| &loaded.model),
        "model_sha256": loaded.map(|loaded| &loaded.model_sha256),
        "quantization": loaded.map(|loaded| &loaded.quantization),
        "engine_threads": loaded.map(|loaded| loaded.engine_threads),
        "queued": loaded.map(|loaded| loaded.queued),
        "running": loaded.map(|loaded| loaded.running),
    });
    if let Value::Object(said) = said {
        fields.extend(said);
    }
    Value::Object(fields)
}
