//! What looks on at requests and attempts: counters, traces, the log. Each request and each attempt is told once, whatever way
//! it ends.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, Method};
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
    routing::{Route, Routes},
    telemetry::{genai::GenAi, metrics::Metrics, outlet::Outlets, series::StatusClass, trace::Tracer},
};

/// Everything that looks on.
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
    observers: Arc<Observers>,
    request_id: RequestId,
    key: Option<Arc<KeyState>>,
    route: Option<Arc<Route>>,
    trace: Option<Arc<RequestTrace>>,
    is_told: bool,
}

/// Looks on at one attempt.
pub struct AttemptObserver {
    observers: Arc<Observers>,
    key: Arc<KeyState>,
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
    pub fn request(
        self: &Arc<Self>,
        request_id: RequestId,
        called: (&Method, &'static str),
        headers: &HeaderMap,
    ) -> RequestObserver {
        let collected = self.collected.as_ref();
        let trace = collected
            .and_then(|collected| RequestTrace::begin(&collected.tracer, &self.clock, request_id, called, headers));
        RequestObserver { observers: Arc::clone(self), request_id, key: None, route: None, trace, is_told: false }
    }

    /// A request came that no route takes; `code` is of a fixed list.
    pub fn unrouted(&self, status: u16, code: &'static str) {
        self.metrics.request(None, StatusClass::of(status), code);
    }

    /// An attempt begins.
    #[must_use]
    pub fn attempt(self: &Arc<Self>, key: Arc<KeyState>, trace: Option<&Arc<RequestTrace>>) -> AttemptObserver {
        AttemptObserver { observers: Arc::clone(self), key, sent_at: None, trace: trace.map(AttemptTrace::begin) }
    }
}

impl RequestObserver {
    /// The client's key is good.
    pub fn entered(&mut self, key: Arc<KeyState>) {
        if let Some(trace) = &self.trace {
            trace.entered();
        }
        self.key = Some(key);
    }

    /// The client named a model. Only public ones are told: what a client invents is nobody's label.
    pub fn names(&mut self, model: &str, routes: &Routes) {
        self.route = routes.get(model).cloned();
        if let (Some(trace), Some(route)) = (&self.trace, &self.route) {
            trace.names(&route.model);
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
            let key = self.key.as_ref().map(|key| key.record.public_id.as_str());
            let model = self.route.as_ref().map(|route| route.model.as_str());
            request_log::refused(self.observers.log, self.request_id, key, model, status, code);
        }
        self.tell(StatusClass::of(status), code);
    }

    fn tell(&mut self, status: StatusClass, code: &'static str) {
        self.is_told = true;
        let model = self.route.as_ref().map(|route| route.model.as_str());
        self.observers.metrics.request(model, status, code);
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
        request_log::attempt(self.observers.log, &self.key.record.public_id, entry);
        if let Some(trace) = self.trace.take() {
            trace.ended(entry);
        }
    }
}
