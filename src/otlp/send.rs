//! One message to the collector: tried again a few times, then given up.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use axum::http::{HeaderMap, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use opentelemetry_proto::tonic::collector::{
    metrics::v1::ExportMetricsServiceRequest,
    trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
};
use tokio::time::{sleep, timeout};

use super::encode::Encoding;
use crate::upstream::client::UpstreamClient;

/// An answer is waited for so long.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Pauses before a message is sent again.
const RETRY_AFTER: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// Bytes of an answer that are read at most.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Sends to one collector.
pub(super) struct Sender {
    client: UpstreamClient,
    traces: Uri,
    metrics: Uri,
    headers: HeaderMap,
    encoding: Encoding,
    /// The last message was given up, and that was told.
    is_failing: AtomicBool,
}

/// Why a message was not taken.
enum Refused {
    /// It may be taken later.
    ForNow(String),
    ForGood(String),
}

impl Sender {
    pub(super) fn new(traces: Uri, metrics: Uri, headers: HeaderMap, encoding: Encoding) -> Self {
        let client = UpstreamClient::new();
        Self { client, traces, metrics, headers, encoding, is_failing: AtomicBool::new(false) }
    }

    /// How many spans the collector rejected; none when it took none.
    pub(super) async fn traces(&self, message: &ExportTraceServiceRequest) -> Option<u64> {
        let answer = self.send(&self.traces, self.encoding.write(message)?).await?;
        let answer: ExportTraceServiceResponse = self.encoding.read(&answer).unwrap_or_default();
        let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        Some(u64::try_from(rejected).unwrap_or(0))
    }

    /// None when the collector did not take the report.
    pub(super) async fn metrics(&self, message: &ExportMetricsServiceRequest) -> Option<Bytes> {
        self.send(&self.metrics, self.encoding.write(message)?).await
    }

    async fn send(&self, uri: &Uri, body: Bytes) -> Option<Bytes> {
        let mut pauses = RETRY_AFTER.iter();
        loop {
            match self.try_once(uri, body.clone()).await {
                Ok(answer) => {
                    if self.is_failing.swap(false, Ordering::Relaxed) {
                        tracing::info!("the collector takes telemetry again");
                    }
                    return Some(answer);
                }
                Err(Refused::ForNow(reason)) => match pauses.next() {
                    Some(pause) => sleep(*pause).await,
                    None => return self.given_up(&reason),
                },
                Err(Refused::ForGood(reason)) => return self.given_up(&reason),
            }
        }
    }

    fn given_up(&self, reason: &str) -> Option<Bytes> {
        // Once for each outage.
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(reason, "the collector takes no telemetry; it is given up and counted, requests go on");
        }
        None
    }

    async fn try_once(&self, uri: &Uri, body: Bytes) -> Result<Bytes, Refused> {
        let sent = async {
            let response = self.client.report(uri, self.headers.clone(), body).await;
            let response = response.map_err(|error| Refused::ForNow(error.to_string()))?;
            let status = response.status();
            let answer = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let answer = answer.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            match status {
                _ if status.is_success() => Ok(answer),
                StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT => Err(Refused::ForNow(format!("status {status}"))),
                _ => Err(Refused::ForGood(format!("status {status}"))),
            }
        };
        timeout(ANSWER_MAX, sent).await.unwrap_or_else(|_| Err(Refused::ForNow("no answer in time".to_owned())))
    }
}
