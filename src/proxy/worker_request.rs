//! A request at a local worker, seen from beside its answer: ends it early, and asks for what it has used.
//!
//! A worker that is told to stop ends its answer within one step, with exact usage. Where the answer's connection broke,
//! its final record is asked for instead.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{sleep, timeout};
use tollgate_core::id::AttemptId;

use super::Proxy;
use crate::{routing::Provider, upstream::sniff::Sniffed};

/// Longest wait for a worker's word.
const ASK_MAX: Duration = Duration::from_secs(2);
/// A worker ends a request within one step; so long is waited between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Bytes of a record at most.
const RECORD_BYTES_MAX: usize = 64 * 1024;

/// A request at a worker.
#[derive(Clone)]
pub(super) struct WorkerRequest {
    proxy: Arc<Proxy>,
    cancel: Uri,
}

/// What a worker says of a request.
#[derive(Deserialize)]
struct Record<'a> {
    state: &'a str,
    finish_reason: Option<&'a str>,
    #[serde(borrow)]
    usage: &'a RawValue,
}

impl WorkerRequest {
    /// The name that the worker knows an attempt by.
    pub(super) fn name(id: AttemptId) -> String {
        id.to_string()
    }

    /// None for a target that is no worker.
    pub(super) fn new(proxy: &Arc<Proxy>, target: &Provider, id: AttemptId) -> Option<Self> {
        let root = target.worker_root.as_ref()?;
        let cancel = format!("{root}/v1/requests/{}/cancel", Self::name(id)).parse().ok()?;
        Some(Self { proxy: Arc::clone(proxy), cancel })
    }

    /// Tells the worker to end the request. False when it was not told: closing the connection ends it, too.
    pub(super) async fn cancel(&self) -> bool {
        let told = timeout(ASK_MAX, self.ask()).await.is_ok_and(|answer| answer.is_some());
        if !told {
            tracing::warn!("a worker could not be told to end a request; its connection is closed");
        }
        told
    }

    /// Completes what was seen of an answer that broke off by the worker's final record, if the worker still lives.
    pub(super) async fn complete(&self, seen: &mut Sniffed) {
        let asking = async {
            loop {
                let body = self.ask().await?;
                let record: Record<'_> = serde_json::from_slice(&body).ok()?;
                if record.state == "finished" {
                    return Some((record.usage.get().to_owned(), record.finish_reason.map(str::to_owned)));
                }
                sleep(LOOK_EVERY).await;
            }
        };
        if let Ok(Some((usage, finish))) = timeout(ASK_MAX, asking).await {
            seen.usage_raw = Some(usage);
            seen.finish = finish.or(seen.finish.take());
        }
    }

    /// One call, which ends the request if it runs and says what is known of it.
    async fn ask(&self) -> Option<Bytes> {
        let sent = self.proxy.client.send(&self.cancel, None, true, HeaderMap::new(), Bytes::new()).await;
        let answer = sent.ok().filter(|answer| answer.status().is_success())?;
        Limited::new(answer.into_body(), RECORD_BYTES_MAX).collect().await.ok().map(http_body_util::Collected::to_bytes)
    }
}
