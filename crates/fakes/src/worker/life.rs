//! What a scripted worker says of itself, and how tests change that: loading, draining, hanging.

use std::{
    process,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use serde_json::{Value, json};
use tokio::time::Instant;

/// Tells the workers of one process apart.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// One run of a worker.
#[derive(Debug)]
pub(crate) struct Life {
    worker_id: String,
    started: Instant,
    status: Mutex<String>,
    pub(super) hangs: AtomicBool,
    pub(super) full: AtomicBool,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            worker_id: format!("scripted-{}-{}", process::id(), STARTED.fetch_add(1, Relaxed)),
            started: Instant::now(),
            status: Mutex::new("ok".to_owned()),
            hangs: AtomicBool::new(false),
            full: AtomicBool::new(false),
        }
    }
}

impl Life {
    pub(super) fn set_status(&self, status: &str) {
        status.clone_into(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn status(&self) -> String {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.status() == "ok"
    }

    /// One model, two engine threads, and the time of all its requests; while it loads it knows of none of them.
    pub(super) fn health(&self, prefill_us: u64, decode_us: u64, requests: usize) -> Value {
        let status = self.status();
        let uptime_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut page = json!({
            "status": status, "worker_id": self.worker_id, "uptime_us": uptime_us, "cpu_features": ["avx2", "fma"],
        });
        if status != "loading" {
            page["model"] = json!("small");
            page["model_sha256"] = json!("cafe".repeat(16));
            page["engine_threads"] = json!(2);
            page["quantization"] = json!({ "F32": 22 });
            page["prefill_busy_us_total"] = json!(prefill_us);
            page["decode_busy_us_total"] = json!(decode_us);
            page["requests_total"] = json!(requests);
        }
        page
    }
}
