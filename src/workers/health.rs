//! What a worker says of itself: `GET /health` and `GET /ready`, each within bounds of time and size.

use std::{collections::BTreeMap, time::Duration};

use axum::http::Uri;
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use tokio::time::timeout;

use crate::upstream::client::{SendError, UpstreamClient};

/// Most bytes of a health page.
const HEALTH_BYTES_MAX: usize = 64 * 1024;
/// Longest worker id that is kept.
const WORKER_ID_BYTES_MAX: usize = 128;

/// A worker's health page, as docs/worker.md has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Health {
    /// `loading`, `ok` or `draining`.
    pub status: String,
    /// New at each start of the worker.
    pub worker_id: String,
    /// Time since it started, microseconds.
    pub uptime_us: u64,
    /// Features of the processor that it uses.
    #[serde(default)]
    pub cpu_features: Vec<String>,
    /// None while it loads its model.
    #[serde(flatten)]
    pub loaded: Option<Loaded>,
}

/// The part of a health page that a worker has once its model is loaded.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Loaded {
    /// What it calls its model.
    pub model: String,
    /// Hash of the model.
    pub model_sha256: String,
    /// Threads of its engine.
    pub engine_threads: u32,
    /// Tensors by their quantisation.
    #[serde(default)]
    pub quantization: BTreeMap<String, u64>,
    /// Thread time of prefill since the start, microseconds.
    pub prefill_busy_us_total: u64,
    /// Thread time of decode since the start, microseconds.
    pub decode_busy_us_total: u64,
    /// Requests since the start.
    #[serde(default)]
    pub requests_total: u64,
    /// Requests that wait.
    #[serde(default)]
    pub queued: u64,
    /// Requests that run.
    #[serde(default)]
    pub running: u64,
}

impl Loaded {
    /// Thread time of prefill and decode since the start, microseconds.
    #[must_use]
    pub const fn busy_us(&self) -> u64 {
        self.prefill_busy_us_total.saturating_add(self.decode_busy_us_total)
    }
}

/// What came of a look at a worker.
#[derive(Debug)]
pub(super) enum Look {
    /// It answered; `ready` is what `/ready` says.
    Answered { health: Box<Health>, ready: bool },
    /// Nobody listens at its address.
    NobodyThere(String),
    /// No answer in time, or none that can be understood.
    Unclear(String),
}

/// Looks at the worker of `root_url`, within `answer_max`. `/ready` is asked when `/health` says `ok`.
pub(super) async fn look(client: &UpstreamClient, root_url: &str, answer_max: Duration) -> Look {
    let asked = async {
        let (status, body) = get(client, root_url, "/health").await?;
        if status != 200 {
            return Ok(Look::Unclear(format!("GET /health answers with status {status}")));
        }
        let health = match serde_json::from_slice::<Health>(&body) {
            Ok(health) if !(1..=WORKER_ID_BYTES_MAX).contains(&health.worker_id.len()) => {
                return Ok(Look::Unclear("GET /health gives no usable worker_id".to_owned()));
            }
            Ok(health) if health.status == "ok" && health.loaded.is_none() => {
                return Ok(Look::Unclear("GET /health says ok and not what is loaded".to_owned()));
            }
            Ok(health) => health,
            Err(error) => return Ok(Look::Unclear(format!("GET /health gives no health page: {error}"))),
        };
        let ready = health.status == "ok" && get(client, root_url, "/ready").await?.0 == 200;
        Ok(Look::Answered { health: Box::new(health), ready })
    };
    match timeout(answer_max, asked).await {
        Ok(Ok(look)) => look,
        Ok(Err(SendError::Connect(why))) => Look::NobodyThere(why),
        Ok(Err(error)) => Look::Unclear(error.to_string()),
        Err(_elapsed) => Look::Unclear(format!("no answer within {} ms", answer_max.as_millis())),
    }
}

async fn get(client: &UpstreamClient, root_url: &str, path: &str) -> Result<(u16, bytes::Bytes), SendError> {
    let uri: Uri = format!("{root_url}{path}").parse().map_err(|_| SendError::Unbuildable)?;
    // A worker is hardware of ours: its address may be private.
    let response = client.get(&uri, true).await?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), HEALTH_BYTES_MAX).collect().await;
    Ok((status, body.map_err(|error| SendError::Broken(error.to_string()))?.to_bytes()))
}
