//! The counters of one model, and of one provider that serves it: found once, then atomics.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use prometheus::{Histogram, IntCounter};
use tollgate_core::{
    entry::{Outcome, UsageSource},
    money::NanoUsd,
    usage::Bucket,
};

use super::metrics::Vectors;

/// What a client's status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusClass {
    /// 2xx.
    Success,
    /// 4xx.
    ClientError,
    /// Any other.
    ServerError,
    /// The client left before there was one.
    Gone,
}

impl StatusClass {
    /// The class of a status.
    #[must_use]
    pub const fn of(status: u16) -> Self {
        match status {
            200..300 => Self::Success,
            400..500 => Self::ClientError,
            _ => Self::ServerError,
        }
    }

    /// The value of the label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "2xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::Gone => "gone",
        }
    }
}

/// Codes seen so far with their counters; a handful.
type Codes = Vec<(StatusClass, &'static str, IntCounter)>;

/// One public model.
pub(super) struct ModelSeries {
    name: String,
    codes: ArcSwap<Codes>,
    tokens: [OnceLock<IntCounter>; Bucket::ALL.len()],
    charge: OnceLock<IntCounter>,
    providers: ArcSwap<Vec<Arc<ProviderSeries>>>,
    /// Held while one of the lists grows.
    growing: Mutex<()>,
}

/// One provider of one model.
pub(super) struct ProviderSeries {
    model: String,
    provider: String,
    outcomes: [OnceLock<IntCounter>; OUTCOMES],
    cost: IntCounter,
    pub(super) upstream: Histogram,
    pub(super) first_byte: Histogram,
}

/// There are so many outcomes.
const OUTCOMES: usize = Outcome::Shutdown as usize + 1;
/// There are so many sources of usage.
const SOURCES: usize = UsageSource::NotBilled as usize + 1;

impl ModelSeries {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            codes: ArcSwap::default(),
            tokens: Default::default(),
            charge: OnceLock::new(),
            providers: ArcSwap::default(),
            growing: Mutex::default(),
        }
    }

    pub(super) fn request(&self, vectors: &Vectors, status: StatusClass, code: &'static str) {
        let count = |codes: &Codes| {
            let known = codes.iter().find(|(known_status, known, _)| *known == code && *known_status == status);
            known.inspect(|(_, _, counter)| counter.inc()).is_some()
        };
        if count(&self.codes.load()) {
            return;
        }
        let _one_at_a_time = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let codes = self.codes.load_full();
        if count(&codes) {
            return;
        }
        let mut grown = Codes::clone(&codes);
        grown.push((status, code, vectors.requests.with_label_values(&[self.name.as_str(), status.name(), code])));
        count(&grown);
        self.codes.store(Arc::new(grown));
    }

    pub(super) fn tokens(&self, vectors: &Vectors, bucket: Bucket, count: u64) {
        let Some(cell) = self.tokens.get(bucket as usize).filter(|_| count > 0) else { return };
        cell.get_or_init(|| vectors.tokens.with_label_values(&[self.name.as_str(), bucket.name()])).inc_by(count);
    }

    pub(super) fn charge(&self, vectors: &Vectors, charge: NanoUsd) {
        let cell = self.charge.get_or_init(|| vectors.charge.with_label_values(&[self.name.as_str()]));
        cell.inc_by(u64::try_from(charge.get()).unwrap_or(0));
    }

    pub(super) fn with_provider(&self, provider: &str, vectors: &Vectors, count: impl FnOnce(&ProviderSeries)) {
        let providers = self.providers.load();
        match providers.iter().find(|known| known.provider == provider) {
            Some(series) => count(series),
            None => count(&self.grown_by(provider, vectors)),
        }
    }

    fn grown_by(&self, provider: &str, vectors: &Vectors) -> Arc<ProviderSeries> {
        let _one_at_a_time = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let providers = self.providers.load_full();
        if let Some(series) = providers.iter().find(|known| known.provider == provider) {
            return Arc::clone(series);
        }
        let series = Arc::new(ProviderSeries::new(&self.name, provider, vectors));
        let grown = providers.iter().cloned().chain([Arc::clone(&series)]).collect();
        self.providers.store(Arc::new(grown));
        series
    }
}

impl ProviderSeries {
    fn new(model: &str, provider: &str, vectors: &Vectors) -> Self {
        let labels = [model, provider];
        Self {
            model: model.to_owned(),
            provider: provider.to_owned(),
            outcomes: Default::default(),
            cost: vectors.cost.with_label_values(&labels),
            upstream: vectors.upstream.with_label_values(&labels),
            first_byte: vectors.first_byte.with_label_values(&labels),
        }
    }

    pub(super) fn ended(&self, vectors: &Vectors, outcome: Outcome) {
        let Some(cell) = self.outcomes.get(outcome as usize) else { return };
        let labels = [self.model.as_str(), self.provider.as_str(), outcome.name()];
        cell.get_or_init(|| vectors.attempts.with_label_values(&labels)).inc();
    }

    pub(super) fn cost(&self, cost: NanoUsd) {
        self.cost.inc_by(u64::try_from(cost.get()).unwrap_or(0));
    }
}

/// Attempts by where their usage comes from.
#[derive(Default)]
pub(super) struct Sources([OnceLock<IntCounter>; SOURCES]);

impl Sources {
    pub(super) fn count(&self, vectors: &Vectors, source: UsageSource) {
        if let Some(cell) = self.0.get(source as usize) {
            cell.get_or_init(|| vectors.sources.with_label_values(&[source.name()])).inc();
        }
    }
}
