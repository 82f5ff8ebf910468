//! What a worker's device costs, as a version beside the price tables: content-addressed, in force from a day on.

use std::sync::Arc;

use jiff::{civil::Time, tz::TimeZone};
use serde::{Deserialize, Serialize};
use tollgate_core::{price::CostBasis, worker_cost::DeviceRate};

use super::{Catalog, PriceVersion, day, digest};
use crate::config::{DatedRate, Worker};

/// What a worker's device costs, in one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateVersion {
    /// `worker:local@2026-01-01#3f2a9c0d11aa`: the same content has the same id for ever.
    #[serde(default)]
    pub id: String,
    /// The worker.
    pub worker: String,
    /// When it applies, microseconds since 1970 UTC; 0: since ever.
    pub valid_from_us: i64,
    /// The figures.
    pub rate: DeviceRate,
}

/// What we pay a target, in one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CostVersion {
    /// By a provider's prices.
    Table(Arc<PriceVersion>),
    /// By a worker's device time.
    Device(Arc<RateVersion>),
}

impl CostVersion {
    /// The version's id, as entries name it.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Table(version) => &version.id,
            Self::Device(version) => &version.id,
        }
    }

    /// What a line is priced by.
    #[must_use]
    pub fn basis(&self) -> CostBasis<'_> {
        match self {
            Self::Table(version) => CostBasis::Table(&version.table),
            Self::Device(version) => CostBasis::Device(&version.rate),
        }
    }
}

impl Catalog {
    /// Takes the rates of the configured workers in. From then on a worker costs its device's time, whatever tables say.
    #[must_use]
    pub fn with_workers(mut self, workers: &[Worker]) -> Self {
        for worker in workers {
            let versions = worker.rates.iter().map(|dated| Arc::new(version(&worker.name, dated))).collect();
            self.rates.insert(worker.name.clone(), versions);
        }
        self
    }

    /// Every worker's rates, by id.
    #[must_use]
    pub fn rate_versions(&self) -> Vec<&Arc<RateVersion>> {
        let mut versions: Vec<&Arc<RateVersion>> = self.rates.values().flatten().collect();
        versions.sort_by(|a, b| a.id.cmp(&b.id));
        versions
    }

    /// The rate of a worker at a time.
    #[must_use]
    pub fn rate(&self, worker: &str, at_us: i64) -> Option<&Arc<RateVersion>> {
        self.rates.get(worker)?.iter().rev().find(|version| version.valid_from_us <= at_us)
    }
}

fn version(worker: &str, dated: &DatedRate) -> RateVersion {
    let midnight = |day: jiff::civil::Date| TimeZone::UTC.to_timestamp(day.to_datetime(Time::midnight())).ok();
    let valid_from_us = dated.valid_from.and_then(midnight).map_or(0, |from| from.as_microsecond());
    let mut version = RateVersion { id: String::new(), worker: worker.to_owned(), valid_from_us, rate: dated.rate };
    version.id = format!("worker:{worker}@{}#{}", day(valid_from_us), digest(&version));
    version
}
