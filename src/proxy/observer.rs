//! What looks on at requests and attempts: counters. Each request and each attempt is told once, whatever way it ends.

use std::{sync::Arc, time::Duration};

use tollgate_core::entry::Entry;

use super::error::ProxyError;
use crate::{
    routing::Routes,
    telemetry::{metrics::Metrics, outlet::Outlets, series::StatusClass},
};

/// Everything that looks on.
#[derive(Clone)]
pub struct Observers {
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What leaves the process for others.
    pub outlets: Arc<Outlets>,
}

/// Looks on at one request until its answer begins. Dropped before, the client has left.
pub struct RequestObserver {
    observers: Observers,
    model: Option<String>,
    is_told: bool,
}

/// Looks on at one attempt.
pub struct AttemptObserver {
    observers: Observers,
    sent_at: Option<Duration>,
}

/// The code of a request that was answered.
const OK: &str = "ok";
/// The code of a request whose client left.
const GONE: &str = "client_gone";

impl Observers {
    /// A request begins.
    #[must_use]
    pub fn request(&self) -> RequestObserver {
        RequestObserver { observers: self.clone(), model: None, is_told: false }
    }

    /// An attempt begins.
    #[must_use]
    pub fn attempt(&self) -> AttemptObserver {
        AttemptObserver { observers: self.clone(), sent_at: None }
    }
}

impl RequestObserver {
    /// The client named a model. Only public ones are told: what a client invents is nobody's label.
    pub fn names(&mut self, model: &str, routes: &Routes) {
        self.model = routes.get(model).map(|route| route.model.clone());
    }

    /// The answer begins with this status.
    pub fn answered(mut self, status: u16, error: Option<&ProxyError>) {
        self.tell(StatusClass::of(status), error.map_or(OK, ProxyError::class));
    }

    /// No route takes the request; `code` is of a fixed list.
    pub fn refused(mut self, status: u16, code: &'static str) {
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
    pub fn ended(&self, entry: &Entry, now: Duration) {
        self.observers.metrics.ended(entry, self.sent_at.map(|sent_at| now.saturating_sub(sent_at)));
    }
}
