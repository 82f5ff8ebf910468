//! What the worker says of itself: `/health`, `/ready`, `/metrics`, `/v1/models`, and single requests.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Server, error::ApiError};
use crate::{
    clock::micros,
    engine::{Engine, registry::Record},
};

#[derive(Serialize)]
struct Health {
    status: &'static str,
    worker_id: String,
    uptime_us: u64,
    cpu_features: Vec<&'static str>,
    #[serde(flatten)]
    model: Option<Loaded>,
}

#[derive(Serialize)]
struct Loaded {
    model: String,
    model_sha256: String,
    model_bytes: u64,
    architecture: &'static str,
    context_tokens_max: usize,
    quantization: BTreeMap<String, u64>,
    engine_threads: u32,
    queue_us_total: u64,
    prefill_busy_us_total: u64,
    decode_busy_us_total: u64,
    prompt_tokens_total: u64,
    completion_tokens_total: u64,
    requests_total: u64,
    queued: usize,
    running: usize,
}

/// `GET /health`
pub(super) async fn health(State(server): State<Arc<Server>>) -> impl IntoResponse {
    Json(Health {
        status: server.status(),
        worker_id: server.worker_id.clone(),
        uptime_us: micros(crate::clock::now().saturating_duration_since(server.started)),
        cpu_features: cpu_features(),
        model: server.engine().ok().map(loaded),
    })
}

fn loaded(engine: &Engine) -> Loaded {
    let info = &engine.model().info;
    let counts = engine.totals().counts();
    let queued = engine.queued();
    Loaded {
        model: info.id.clone(),
        model_sha256: info.sha256.clone(),
        model_bytes: info.bytes,
        architecture: info.architecture,
        context_tokens_max: info.context_tokens_max,
        quantization: info.quantization.clone(),
        engine_threads: engine.options().threads,
        queue_us_total: counts.queue_us,
        prefill_busy_us_total: counts.prefill_busy_us,
        decode_busy_us_total: counts.decode_busy_us,
        prompt_tokens_total: counts.prompt_tokens,
        completion_tokens_total: counts.completion_tokens,
        requests_total: counts.stopped + counts.length + counts.cancelled + counts.failed,
        queued,
        running: engine.registry().under_way().saturating_sub(queued),
    }
}

/// `GET /ready`
pub(super) async fn ready(State(server): State<Arc<Server>>) -> Result<&'static str, ApiError> {
    server.taking_engine().map(|_| "ready\n")
}

/// `GET /v1/models`
pub(super) async fn models(State(server): State<Arc<Server>>) -> Result<Json<Value>, ApiError> {
    let model = server.engine()?.model();
    let card = json!({ "id": model.info.id, "object": "model", "created": 0, "owned_by": "tollgate-worker" });
    Ok(Json(json!({ "object": "list", "data": [card] })))
}

/// `GET /v1/requests/{id}`
pub(super) async fn request(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
) -> Result<Json<Record>, ApiError> {
    server.engine()?.registry().record(&id).map(Json).ok_or(ApiError::UnknownRequest(id))
}

/// `POST /v1/requests/{id}/cancel`. What has ended is left as it is.
pub(super) async fn cancel(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Record>), ApiError> {
    let registry = server.engine()?.registry();
    registry.cancel(&id);
    registry.record(&id).map(|record| (StatusCode::OK, Json(record))).ok_or(ApiError::UnknownRequest(id))
}

/// `GET /metrics`
pub(super) async fn metrics(State(server): State<Arc<Server>>) -> Response {
    let mut text = String::new();
    let up = u8::from(server.taking_engine().is_ok());
    metric(&mut text, "ready", "gauge", "1 when requests are taken", &[("", up.to_string())]);
    if let Ok(engine) = server.engine() {
        let counts = engine.totals().counts();
        let seconds = |us: u64| format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
        let busy = [
            ("{phase=\"prefill\"}", seconds(counts.prefill_busy_us)),
            ("{phase=\"decode\"}", seconds(counts.decode_busy_us)),
        ];
        metric(&mut text, "busy_seconds_total", "counter", "Processor time of engine threads", &busy);
        metric(&mut text, "queue_seconds_total", "counter", "Time in the queue", &[("", seconds(counts.queue_us))]);
        let tokens = [
            ("{kind=\"prompt\"}", counts.prompt_tokens.to_string()),
            ("{kind=\"completion\"}", counts.completion_tokens.to_string()),
        ];
        metric(&mut text, "tokens_total", "counter", "Tokens of ended requests", &tokens);
        let requests = [
            ("{outcome=\"stop\"}", counts.stopped.to_string()),
            ("{outcome=\"length\"}", counts.length.to_string()),
            ("{outcome=\"cancelled\"}", counts.cancelled.to_string()),
            ("{outcome=\"error\"}", counts.failed.to_string()),
            ("{outcome=\"queue_full\"}", counts.refused.to_string()),
        ];
        metric(&mut text, "requests_total", "counter", "Requests by their end", &requests);
        let queued = engine.queued();
        let running = engine.registry().under_way().saturating_sub(queued);
        metric(&mut text, "queued_requests", "gauge", "Requests in the queue", &[("", queued.to_string())]);
        metric(&mut text, "running_requests", "gauge", "Requests on engine threads", &[("", running.to_string())]);
        let threads = engine.options().threads.to_string();
        metric(&mut text, "engine_threads", "gauge", "Busy seconds a second at most", &[("", threads)]);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// One metric in Prometheus' text form: labels and value each.
fn metric(text: &mut String, name: &str, kind: &str, help: &str, samples: &[(&str, String)]) {
    // Writing to a string does not fail.
    let _infallible = writeln!(text, "# HELP tollgate_worker_{name} {help}\n# TYPE tollgate_worker_{name} {kind}");
    for (labels, value) in samples {
        let _infallible = writeln!(text, "tollgate_worker_{name}{labels} {value}");
    }
}

/// What of this processor decides how fast the model runs.
fn cpu_features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        let known = [
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("f16c", std::arch::is_x86_feature_detected!("f16c")),
            ("avxvnni", std::arch::is_x86_feature_detected!("avxvnni")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
            ("avx512vnni", std::arch::is_x86_feature_detected!("avx512vnni")),
        ];
        known.into_iter().filter_map(|(name, here)| here.then_some(name)).collect()
    }
    #[cfg(not(target_arch = "x86_64"))]
    Vec::new()
}
