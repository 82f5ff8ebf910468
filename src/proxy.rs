//! Conducts one request through its stages; the only module that names them all.
//!
//! Invariant: an attempt that was opened in the journal is ended or voided, whatever happens to its client, its
//! upstream, or this code: see [`attempt::Attempt`].

pub mod alarms;
mod asked;
pub mod attempt;
pub mod detach;
mod drain;
pub mod error;
mod exchange;
pub mod keys;
mod live;
pub mod observer;
mod request_log;
mod stream;
pub mod trace;
pub mod upstream_error;
mod whole;
mod worker;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use axum::{
    body::Body,
    http::{HeaderMap, Response},
};
use tokio::sync::Semaphore;
use tollgate_core::{estimate::tokens_from_bytes, id::RequestId};

pub(crate) use self::exchange::PlannedTarget;
use self::{
    alarms::PricingAlarms, attempt::Prices, detach::DetachOnDrop, error::ProxyError, exchange::Exchange,
    observer::Observers, trace::RequestTrace,
};
use crate::{
    admission::{
        gate::{Entered, LimitsView},
        keyring::{KeyState, Keyring},
    },
    catalog::CatalogHandle,
    clock::Clock,
    config::dialect::ProviderDialect,
    entropy,
    failpoint::{self, Point},
    journal::Journal,
    routing::{Route, Routes, Target},
    upstream::{client::UpstreamClient, request::Request, target::Variant},
    workers::board::Board,
};

/// What the proxy is built from.
pub struct Proxy {
    /// Time.
    pub clock: Clock,
    /// Keys and their limiters.
    pub keyring: Arc<Keyring>,
    /// Prices.
    pub catalog: Arc<CatalogHandle>,
    /// Public models.
    pub routes: ArcSwap<Routes>,
    /// Which workers take requests.
    pub workers: Arc<Board>,
    /// The journal.
    pub journal: Journal,
    /// Connections to upstreams.
    pub client: UpstreamClient,
    /// Bounds.
    pub settings: Settings,
    /// What happened that no entry says.
    pub counters: Counters,
    /// Who looks on.
    pub observers: Arc<Observers>,
    drains: Arc<Semaphore>,
    stopping: AtomicBool,
}

/// Bounds and choices from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Largest request body.
    pub body_bytes_max: usize,
    /// Refuse a model without a price.
    pub refuse_unpriced: bool,
    /// Answers read on at once after their client has left.
    pub drain_streams_max: usize,
    /// Bytes of such a reading at most.
    pub drain_bytes_max: u64,
}

/// What happened that no entry says.
#[derive(Debug, Default)]
pub struct Counters {
    /// Answers whose last bytes were sent before their entry was known to be durable.
    pub released_before_durable: AtomicU64,
    /// Clients that left an answer which then was read on.
    pub drained: AtomicU64,
    /// Clients that left when no more answers could be read on.
    pub drain_refused: AtomicU64,
    /// Attempts whose prices somebody should look at.
    pub pricing: Arc<PricingAlarms>,
}

/// One request, read and understood. It goes from hand to hand in a box.
pub struct Inbound {
    /// Its id.
    pub request_id: RequestId,
    /// As the client sent them.
    pub headers: HeaderMap,
    /// What was called, and its body, understood as far as needed.
    pub request: Request,
    /// How its address was written.
    pub variant: Variant,
    /// `x-tollgate-tags`, sorted.
    pub tags: Vec<(String, String)>,
    /// The only provider that may answer, where what it is to go on with is kept; none: any.
    pub provider: Option<String>,
    /// What its attempts are traced with; none: it is not traced.
    pub trace: Option<Arc<RequestTrace>>,
}

/// The answer, on its way.
pub struct Answer {
    /// For the client.
    pub response: Response<Body>,
    /// What is left of the key's limits.
    pub limits: LimitsView,
    /// Who answered.
    pub served: Served,
}

/// The target that answered.
pub struct Served {
    route: Arc<Route>,
    index: usize,
}

/// What an exchange comes to: the answer and the index of the target that gave it.
type Came = Result<(Response<Body>, usize), ProxyError>;

/// A request that was admitted, and its exchange, not yet begun.
struct Begun<F: Future<Output = Came> + Send + 'static> {
    work: DetachOnDrop<F>,
    route: Arc<Route>,
    limits: LimitsView,
}

impl Served {
    /// The target; none never, as a route does not change.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        self.route.targets.get(self.index)
    }
}

impl Proxy {
    /// Puts the stages together.
    #[expect(clippy::too_many_arguments, reason = "each is a part of its own, and they are put together once")]
    #[must_use]
    pub fn new(
        clock: Clock,
        keyring: Arc<Keyring>,
        catalog: Arc<CatalogHandle>,
        routes: Routes,
        journal: Journal,
        workers: Arc<Board>,
        settings: Settings,
        observers: Observers,
    ) -> Self {
        Self {
            clock,
            keyring,
            catalog,
            routes: ArcSwap::from_pointee(routes),
            workers,
            journal,
            client: UpstreamClient::new(),
            settings,
            counters: Counters::default(),
            observers: Arc::new(observers),
            drains: Arc::new(Semaphore::new(settings.drain_streams_max)),
            stopping: AtomicBool::new(false),
        }
    }

    /// A new request id.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn new_request_id(&self) -> Result<RequestId, ProxyError> {
        let random = entropy::random_for_id().map_err(|_| ProxyError::JournalDown)?;
        Ok(RequestId::new(u64::try_from(self.clock.unix_us() / 1000).unwrap_or(0), &random))
    }

    /// From now on new requests are refused, and a client that leaves is not waited for.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether new requests are taken.
    ///
    /// # Errors
    /// [`ProxyError::ShuttingDown`] when they are not.
    pub fn takes_requests(&self) -> Result<(), ProxyError> {
        if self.is_stopping() { Err(ProxyError::ShuttingDown) } else { Ok(()) }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// The public models that a key may use, by name.
    #[must_use]
    pub fn models(&self, key: &KeyState) -> Vec<String> {
        let allowed = |name: &String| key.record.models.as_ref().is_none_or(|models| models.contains(name));
        self.routes.load().iter().map(|route| route.model.clone()).filter(allowed).collect()
    }

    /// Conducts a request: admission, routing, prices, journal, upstream, metering. `entered` is its place among its key's requests.
    ///
    /// # Errors
    /// Why there is no answer. What had been opened in the journal by then is ended there.
    pub async fn conduct(self: &Arc<Self>, entered: Entered, inbound: Box<Inbound>) -> Result<Answer, ProxyError> {
        let Begun { work, route, limits } = self.begin(entered, inbound)?;
        let (response, index) = work.await?;
        Ok(Answer { response, limits, served: Served { route, index } })
    }

    /// All that waits for nothing. Apart, so that a request that waits does not carry it along.
    fn begin(
        self: &Arc<Self>,
        entered: Entered,
        inbound: Box<Inbound>,
    ) -> Result<Begun<impl Future<Output = Came> + Send + use<>>, ProxyError> {
        self.takes_requests()?;
        let request = &inbound.request;
        let route = self.routes.load().get(&request.model).cloned();
        let route = route.ok_or_else(|| ProxyError::UnknownModel(request.model.clone()))?;
        let admitted_at_us = self.clock.unix_us();
        let called = request.endpoint.dialect();
        let book = &entered.key().record.price_book;
        let answers = |dialect| request.endpoint.is_answered_by(dialect);
        let plan = self.plan(&route, (called, &answers), book, admitted_at_us, inbound.provider.as_deref())?;
        let plan = self.for_hosted(&request.hosted, entered.key(), &route, plan, admitted_at_us)?;
        let input_estimate = tokens_from_bytes(request.prompt_bytes);
        let admitted = entered.admit(&route.model, input_estimate, request.output_tokens_max())?;
        let limits = admitted.limits_view();
        failpoint::pass(Point::Admitted);
        let permit = self.journal.try_permit()?;
        failpoint::pass(Point::PermitTaken);
        let exchange = Exchange {
            proxy: Arc::clone(self),
            route,
            plan,
            inbound,
            admitted_at_us,
            started: self.clock.monotonic(),
            input_estimate,
        };
        let route = Arc::clone(&exchange.route);
        Ok(Begun { work: DetachOnDrop::new(|gone| exchange.run(admitted, permit, gone)), route, limits })
    }

    /// The targets of a route with the prices in force; left out are those that speak another dialect than was called, which
    /// comes with what it takes to answer it, those without a price, unless they may be recorded so, and those whose worker takes no requests; and all but `only`.
    pub(crate) fn plan(
        &self,
        route: &Arc<Route>,
        (called, answers): (ProviderDialect, &dyn Fn(ProviderDialect) -> bool),
        book: &str,
        at_us: i64,
        only: Option<&str>,
    ) -> Result<Vec<PlannedTarget>, ProxyError> {
        let mut spoken = route.targets.iter().map(|target| target.provider.dialect);
        if let Some(other) = spoken.clone().next()
            && !spoken.any(answers)
        {
            return Err(ProxyError::OtherDialect { model: route.model.clone(), spoken: other, called });
        }
        let catalog = self.catalog.load_full();
        let rule = catalog.charge_rule(book, &route.model, at_us).cloned();
        let is_kept_there = |target: &Target| only.is_none_or(|only| target.provider.name == only);
        if !route.targets.iter().any(is_kept_there) {
            return Err(ProxyError::KeptElsewhere(route.model.clone()));
        }
        let same = |target: &Target| answers(target.provider.dialect) && is_kept_there(target);
        let planned =
            route.targets.iter().enumerate().filter(|(_, target)| same(target)).filter_map(|(index, target)| {
                let cost = catalog.cost(&target.provider.name, &target.model, at_us);
                let prices = Prices {
                    cost,
                    rule: rule.clone(),
                    catalog: Arc::clone(&catalog),
                    alarms: Arc::clone(&self.counters.pricing),
                };
                (prices.complete() || !self.settings.refuse_unpriced).then_some(PlannedTarget { index, prices })
            });
        let mut plan: Vec<_> = planned.collect();
        if plan.is_empty() {
            return Err(ProxyError::Unpriced(route.model.clone()));
        }
        plan.retain(|planned| {
            let target = route.targets.get(planned.index);
            target.is_some_and(|target| self.workers.takes_requests(&target.provider.name))
        });
        if plan.is_empty() { Err(ProxyError::WorkerUnavailable(route.model.clone())) } else { Ok(plan) }
    }
}
