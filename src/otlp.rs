//! Sends spans and GenAI metrics to an OpenTelemetry collector, over OTLP and HTTP.
//!
//! A collector that is slow or away holds up nobody: what waits is bounded, and what is given up is counted. Knows nothing of
//! requests but their spans.

mod encode;
mod send;

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use self::{
    encode::{Encoding, Resource},
    send::Sender,
};
use crate::{
    clock::Clock,
    config::{self, secret::SecretError},
    telemetry::{
        genai::GenAi,
        outlet::Outlets,
        trace::{Span, Tracer},
    },
};

/// Spans of one message at most.
const BATCH_SPANS_MAX: usize = 512;
/// A span waits for company so long.
const BATCH_EVERY: Duration = Duration::from_secs(1);
/// When the gateway stops, what is left is sent within so long.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The headers cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// They are not of the form `name=value,name=value`.
    #[error("the secret of [telemetry] otlp_headers must be name=value, more of them separated by commas")]
    Headers,
    /// The address is none.
    #[error("[telemetry] otlp_endpoint is not a URL such as http://127.0.0.1:4318")]
    Endpoint,
    /// A metric cannot be kept.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

/// What requests tell, and the task that sends it.
pub struct Otlp {
    /// Decides what is traced, and takes spans.
    pub tracer: Arc<Tracer>,
    /// Counts operations.
    pub genai: Arc<GenAi>,
    spans: mpsc::Receiver<Span>,
    sender: Sender,
    resource: Resource,
    outlets: Arc<Outlets>,
    clock: Clock,
    metrics_every: Duration,
}

impl Otlp {
    /// As configured. `instance` is this gateway among its replicas.
    ///
    /// # Errors
    /// [`OtlpError`].
    pub fn new(config: &config::Otlp, instance: &str, outlets: Arc<Outlets>, clock: Clock) -> Result<Self, OtlpError> {
        let mut headers = headers(config)?;
        let encoding = if config.is_json { Encoding::Json } else { Encoding::Protobuf };
        headers.insert(axum::http::header::CONTENT_TYPE, HeaderValue::from_static(encoding.content_type()));
        let uri = |signal: &str| format!("{}/v1/{signal}", config.endpoint).parse::<Uri>();
        let uris = uri("traces").ok().zip(uri("metrics").ok()).filter(|(uri, _)| uri.host().is_some());
        let (traces, metrics) = uris.ok_or(OtlpError::Endpoint)?;
        let (tracer, spans) = Tracer::new(config.sample_ratio, Arc::clone(&outlets));
        let resource =
            Resource { service: config.service_name.clone(), instance: instance.to_owned(), began_us: clock.unix_us() };
        Ok(Self {
            tracer: Arc::new(tracer),
            genai: Arc::new(GenAi::new()?),
            spans,
            sender: Sender::new(traces, metrics, headers, encoding),
            resource,
            outlets,
            clock,
            metrics_every: Duration::from_millis(config.metrics_interval_ms),
        })
    }

    /// Sends until told to stop, then what is left.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut metrics_at = Instant::now() + self.metrics_every;
        let mut batch = Vec::with_capacity(BATCH_SPANS_MAX);
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep_until(metrics_at) => {
                    self.report().await;
                    metrics_at = Instant::now() + self.metrics_every;
                }
                received = self.spans.recv_many(&mut batch, BATCH_SPANS_MAX) => {
                    if received == 0 {
                        return;
                    }
                    self.gather(&mut batch, &stop).await;
                    // A stop does not wait for the tries that a dead collector gets; what is in hand is tried once more then.
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => break,
                        () = self.send(&batch) => batch.clear(),
                    }
                }
            }
        }
        if timeout(FLUSH_MAX, self.flush(&mut batch)).await.is_err() {
            self.outlets.traces.dropped(count(batch.len() + self.spans.len()));
        }
    }

    /// Sends what is in hand and what waits, and a last report.
    async fn flush(&mut self, batch: &mut Vec<Span>) {
        loop {
            while batch.len() < BATCH_SPANS_MAX
                && let Ok(span) = self.spans.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                break;
            }
            self.send(batch).await;
            batch.clear();
        }
        self.report().await;
    }

    /// Waits a moment for more spans.
    async fn gather(&mut self, batch: &mut Vec<Span>, stop: &CancellationToken) {
        let end = Instant::now() + BATCH_EVERY;
        while batch.len() < BATCH_SPANS_MAX {
            let room = BATCH_SPANS_MAX - batch.len();
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(end) => return,
                received = self.spans.recv_many(batch, room) => if received == 0 { return },
            }
        }
    }

    async fn send(&self, spans: &[Span]) {
        let message = encode::traces(&self.resource, spans);
        let count = count(spans.len());
        match self.sender.traces(&message).await {
            Some(rejected) => {
                self.outlets.traces.sent(count.saturating_sub(rejected));
                self.outlets.traces.dropped(rejected.min(count));
            }
            None => self.outlets.traces.dropped(count),
        }
    }

    async fn report(&self) {
        let message = encode::metrics(&self.resource, &self.genai.gather(), self.clock.unix_us());
        match self.sender.metrics(&message).await {
            Some(_) => self.outlets.metrics.sent(1),
            None => self.outlets.metrics.dropped(1),
        }
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn headers(config: &config::Otlp) -> Result<HeaderMap, OtlpError> {
    let mut headers = HeaderMap::new();
    let Some(secret) = &config.headers else { return Ok(headers) };
    for pair in secret.read()?.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(OtlpError::Headers)?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| OtlpError::Headers)?;
        let mut value = HeaderValue::try_from(value.trim()).map_err(|_| OtlpError::Headers)?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}
