//! The worker's HTTP: one router, one state. Handlers read, call one thing, convert.

mod answer;
mod error;
mod generate;
mod params;
mod status;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};

use self::error::ApiError;
use crate::{clock, engine::Engine, entropy};

/// What handlers work on. Listens before the model is loaded, so that `/health` always answers.
#[derive(Debug)]
pub struct Server {
    worker_id: String,
    started: Instant,
    body_bytes_max: usize,
    engine: OnceLock<Engine>,
    draining: AtomicBool,
}

impl Server {
    /// A server whose model is not loaded yet.
    #[must_use]
    pub fn new(body_bytes_max: usize) -> Self {
        let worker_id = entropy::request_id();
        let engine = OnceLock::new();
        Self { worker_id, started: clock::now(), body_bytes_max, engine, draining: AtomicBool::new(false) }
    }

    /// The model is loaded. A second engine is not taken.
    pub fn loaded(&self, engine: Engine) {
        if self.engine.set(engine).is_err() {
            tracing::error!("a model was loaded twice; the first one goes on");
        }
    }

    /// From now on requests are refused.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Ends every request within one step.
    pub fn cancel_all(&self) {
        if let Some(engine) = self.engine.get() {
            engine.registry().cancel_all();
        }
    }

    /// Requests under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.engine.get().map_or(0, |engine| engine.registry().under_way())
    }

    fn status(&self) -> &'static str {
        match self.engine.get() {
            _ if self.draining.load(Ordering::Acquire) => "draining",
            None => "loading",
            Some(_) => "ok",
        }
    }

    fn engine(&self) -> Result<&Engine, ApiError> {
        self.engine.get().ok_or(ApiError::NotReady("loading its model"))
    }

    /// The engine, if new requests are taken.
    fn taking_engine(&self) -> Result<&Engine, ApiError> {
        if self.draining.load(Ordering::Acquire) { Err(ApiError::NotReady("stopping")) } else { self.engine() }
    }
}

/// All routes.
pub fn router(server: Arc<Server>) -> Router {
    let body_bytes_max = server.body_bytes_max;
    Router::new()
        .route("/v1/chat/completions", post(generate::chat))
        .route("/v1/completions", post(generate::completions))
        .route("/tokenize", post(generate::tokenize))
        .route("/v1/models", get(status::models))
        .route("/v1/requests/{id}", get(status::request))
        .route("/v1/requests/{id}/cancel", post(status::cancel))
        .route("/health", get(status::health))
        .route("/ready", get(status::ready))
        .route("/metrics", get(status::metrics))
        .fallback(async || ApiError::NoSuchPath)
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .with_state(server)
}
