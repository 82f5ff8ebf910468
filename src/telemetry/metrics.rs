//! What requests and attempts came to, counted where they end and read by Prometheus.
//!
//! Counting takes no lock that requests share: each model's counters are found in an immutable map and are atomics. The map
//! grows, under a lock, when a model is seen for the first time; only public names of the configuration get in, and only so
//! many.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use prometheus::{HistogramVec, IntCounterVec, Registry, proto::MetricFamily};
use tollgate_core::{entry::Entry, usage::Bucket};

use super::{
    exposition::{Usd, counters, histograms},
    names,
    series::{ModelSeries, ProviderSeries, Sources, StatusClass},
};

/// Models with counters of their own at most; what comes after goes under [`OTHER`]. More than any configuration names.
const MODELS_MAX: usize = 4096;
/// The label of models beyond that.
const OTHER: &str = "other";
/// The label of requests for which no public model was found.
const NO_MODEL: &str = "";
/// Bounds of durations, in seconds: from a refusal to a long answer.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0];

type Models = HashMap<String, Arc<ModelSeries>>;

/// All counters that requests touch.
pub struct Metrics {
    registry: Registry,
    vectors: Vectors,
    models: ArcSwap<Models>,
    /// Held while the map grows.
    growing: Mutex<()>,
    nobody: ModelSeries,
    sources: Sources,
}

/// The families that series are made of.
pub(super) struct Vectors {
    pub(super) requests: IntCounterVec,
    pub(super) attempts: IntCounterVec,
    pub(super) tokens: IntCounterVec,
    pub(super) sources: IntCounterVec,
    /// Nano-dollars; shown as dollars.
    pub(super) charge: IntCounterVec,
    /// Nano-dollars; shown as dollars.
    pub(super) cost: IntCounterVec,
    pub(super) upstream: HistogramVec,
    pub(super) first_byte: HistogramVec,
}

impl Vectors {
    fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            requests: counters(&names::REQUESTS)?,
            attempts: counters(&names::ATTEMPTS)?,
            tokens: counters(&names::TOKENS)?,
            sources: counters(&names::USAGE_SOURCE)?,
            charge: counters(&names::CHARGE)?,
            cost: counters(&names::COST)?,
            upstream: histograms(&names::UPSTREAM_SECONDS, SECONDS)?,
            first_byte: histograms(&names::FIRST_BYTE_SECONDS, SECONDS)?,
        })
    }

    fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        for vector in [&self.requests, &self.attempts, &self.tokens, &self.sources] {
            registry.register(Box::new(vector.clone()))?;
        }
        for vector in [&self.upstream, &self.first_byte] {
            registry.register(Box::new(vector.clone()))?;
        }
        registry.register(Box::new(Usd(self.charge.clone())))?;
        registry.register(Box::new(Usd(self.cost.clone())))
    }
}

impl Metrics {
    /// Nothing counted yet.
    ///
    /// # Errors
    /// When two metrics have one name, which a test rules out.
    pub fn new() -> Result<Self, prometheus::Error> {
        let (registry, vectors) = (Registry::new(), Vectors::new()?);
        vectors.register(&registry)?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(Self {
            nobody: ModelSeries::new(NO_MODEL),
            registry,
            vectors,
            models: ArcSwap::default(),
            growing: Mutex::default(),
            sources: Sources::default(),
        })
    }

    /// Counts a request. `model` is a public name of the configuration, or none; `code` is a word of a fixed list.
    pub fn request(&self, model: Option<&str>, status: StatusClass, code: &'static str) {
        match model {
            None => self.nobody.request(&self.vectors, status, code),
            Some(model) => self.with_model(model, |series| series.request(&self.vectors, status, code)),
        }
    }

    /// Counts an attempt that ended. `upstream` is how long it was at its upstream; none: it was never sent.
    pub fn ended(&self, entry: &Entry, upstream: Option<Duration>) {
        let admission = &entry.admission;
        let provider = admission.target.split_once('/').map_or("", |(provider, _)| provider);
        self.sources.count(&self.vectors, entry.usage_source);
        self.with_model(&admission.model, |model| {
            model.with_provider(provider, &self.vectors, |provider| {
                self.count(entry, upstream, model, provider);
            });
        });
    }

    fn count(&self, entry: &Entry, upstream: Option<Duration>, model: &ModelSeries, provider: &ProviderSeries) {
        provider.ended(&self.vectors, entry.outcome);
        if let Some(upstream) = upstream {
            provider.upstream.observe(upstream.as_secs_f64());
        }
        if let Some(first_byte_us) = entry.first_byte_us {
            provider.first_byte.observe(Duration::from_micros(first_byte_us).as_secs_f64());
        }
        for line in &entry.lines {
            for bucket in Bucket::ALL {
                model.tokens(&self.vectors, bucket, line.usage.bucket(bucket));
            }
            if let Some(charge) = line.charge {
                model.charge(&self.vectors, charge);
            }
            if let Some(cost) = line.cost {
                provider.cost(cost);
            }
        }
    }

    /// Everything that is counted here, for a page.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    fn with_model(&self, name: &str, count: impl FnOnce(&ModelSeries)) {
        match self.models.load().get(name) {
            Some(series) => count(series),
            None => count(&self.grown_by(name)),
        }
    }

    fn grown_by(&self, name: &str) -> Arc<ModelSeries> {
        let _one_at_a_time: MutexGuard<'_, ()> = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let models = self.models.load_full();
        let known = |name: &str| models.get(name).map(Arc::clone);
        if let Some(series) = known(name) {
            return series;
        }
        let name = if models.len() < MODELS_MAX { name } else { OTHER };
        if let Some(series) = known(name) {
            return series;
        }
        let series = Arc::new(ModelSeries::new(name));
        let mut grown = Models::clone(&models);
        grown.insert(name.to_owned(), Arc::clone(&series));
        self.models.store(Arc::new(grown));
        series
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_models_than_a_configuration_can_name() {
        let metrics = Metrics::new().unwrap();
        for number in 0..MODELS_MAX + 100 {
            metrics.request(Some(&format!("m{number}")), StatusClass::Success, "ok");
        }
        assert_eq!(metrics.models.load().len(), MODELS_MAX + 1);
        let family = metrics.gather().into_iter().find(|family| family.name() == names::REQUESTS.name).unwrap();
        let other = family.get_metric().iter().find(|metric| metric.get_label().iter().any(|l| l.value() == OTHER));
        assert_eq!((family.get_metric().len(), other.unwrap().get_counter().get_value()), (MODELS_MAX + 1, 100.0));
    }

    #[test]
    fn requests_that_are_counted_at_once_are_all_counted() {
        let metrics = Metrics::new().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in 0..5000 {
                        metrics.request(Some(["a", "b", "c"][number % 3]), StatusClass::Success, "ok");
                        metrics.request(None, StatusClass::ClientError, ["x", "y"][number % 2]);
                    }
                });
            }
        });
        let family = metrics.gather().into_iter().find(|family| family.name() == names::REQUESTS.name).unwrap();
        let sum: f64 = family.get_metric().iter().map(|metric| metric.get_counter().get_value()).sum();
        assert_eq!((family.get_metric().len(), sum), (5, 40_000.0));
    }
}
