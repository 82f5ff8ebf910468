//! What looks on at requests and attempts: counters, traces, the log. Each request and each attempt is told once, whatever way
//! it ends.

use std::{sync::Arc, time::Duration};

use axum::http::HeaderMap;
use tollgate_core::{entry::Entry, id::RequestId};

use super::{
    error::ProxyError,
    request_log,
    trace::{AttemptTrace, RequestTrace},
};
use crate::{
    admission::keyring::KeyState,
    clock::Clock,
    config::LogRequests,
    routing::Routes,
    telemetry::{genai::GenAi, metrics::Metrics, outlet::Outlets, series::StatusClass, trace::Tracer},
};

/// Everything that looks on.
#[derive(Clone)]
pub struct Observers {
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What leaves the process for others.
    pub outlets: Arc<Outlets>,
    /// What a collector gets; none: nothing.
    pub collected: Option<Collected>,
    /// Which requests are logged.
    pub log: LogRequests,
    /// Time of spans.
    pub clock: Clock,
}

/// What a collector gets.
#[derive(Clone)]
pub struct Collected {
    /// Spans.
    pub tracer: Arc<Tracer>,
    /// GenAI metrics.
    pub genai: Arc<GenAi>,
}

/// Looks on at one request until its answer begins. Dropped before, the client has left.
pub struct RequestObserver {
    observers: Observers,
    request_id: RequestId,
    key: Option<String>,
    model: Option<String>,
    trace: Option<Arc<RequestTrace>>,
    is_told: bool,
}

/// Looks on at one attempt.
pub struct AttemptObserver {
    observers: Observers,
    key: String,
    sent_at: Option<Duration>,
    trace: Option<AttemptTrace>,
}

/// The code of a request that was answered.
const OK: &str = "ok";
/// The code of a request whose client left.
const GONE: &str = "client_gone";

impl Observers {
    /// A request begins on a path of a fixed list.
    #[must_use]
    pub fn request(&self, request_id: RequestId, path: &'static str, headers: &HeaderMap) -> RequestObserver {
        let collected = self.collected.as_ref();
        let trace = collected
            .and_then(|collected| RequestTrace::begin(&collected.tracer, &self.clock, request_id, path, headers));
        RequestObserver { observers: self.clone(), request_id, key: None, model: None, trace, is_told: false }
    }

    /// A request came that no route takes; `code` is of a fixed list.
    pub fn unrouted(&self, status: u16, code: &'static str) {
        self.metrics.request(None, StatusClass::of(status), code);
    }

    /// An attempt begins.
    #[must_use]
    pub fn attempt(&self, key: &KeyState, trace: Option<&Arc<RequestTrace>>) -> AttemptObserver {
        let key = if self.log == LogRequests::Nothing { String::new() } else { key.record.public_id.clone() };
        AttemptObserver { observers: self.clone(), key, sent_at: None, trace: trace.map(AttemptTrace::begin) }
    }
}

impl RequestObserver {
    /// The client's key is good.
    pub fn entered(&mut self, key: &KeyState) {
        if self.observers.log != LogRequests::Nothing {
            self.key = Some(key.record.public_id.clone());
        }
    }

    /// The client named a model. Only public ones are told: what a client invents is nobody's label.
    pub fn names(&mut self, model: &str, routes: &Routes) {
        self.model = routes.get(model).map(|route| route.model.clone());
        if let (Some(trace), Some(model)) = (&self.trace, &self.model) {
            trace.names(model);
        }
    }

    /// The trace that the request's attempts belong to; none: it is not traced.
    #[must_use]
    pub fn trace(&self) -> Option<Arc<RequestTrace>> {
        self.trace.clone()
    }

    /// The answer begins with this status.
    pub fn answered(mut self, status: u16, error: Option<&ProxyError>) {
        let code = error.map_or(OK, ProxyError::class);
        if let Some(trace) = &self.trace {
            trace.told(status, code);
        }
        if error.is_some_and(ProxyError::is_before_any_attempt) {
            let (key, model) = (self.key.as_deref(), self.model.as_deref());
            request_log::refused(self.observers.log, self.request_id, key, model, status, code);
        }
        self.tell(StatusClass::of(status), code);
    }

    fn tell(&mut self, status: StatusClass, code: &'static str) {
        self.is_told = true;
        self.observers.metrics.request(self.model.as_deref(), status, code);
    }
}

impl Drop for RequestObserver {
    fn drop(&mut self) {
        if !self.is_told {
            self.tell(StatusClass::Gone, GONE);
        }
    }
}

impl AttemptObserver {
    /// Bytes go upstream now, by the monotonic clock.
    pub fn sent(&mut self, now: Duration) {
        self.sent_at = Some(now);
    }

    /// The attempt has ended as its entry says.
    pub fn ended(&mut self, entry: &Entry, now: Duration) {
        let upstream = self.sent_at.map(|sent_at| now.saturating_sub(sent_at));
        self.observers.metrics.ended(entry, upstream);
        if let (Some(collected), Some(upstream)) = (&self.observers.collected, upstream) {
            collected.genai.ended(entry, upstream.as_secs_f64());
        }
        request_log::attempt(self.observers.log, &self.key, entry);
        if let Some(trace) = self.trace.take() {
            trace.ended(entry);
        }
    }
}
