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

impl RateVersion {
    /// Whether nothing is said of since when it applies. Changed in the configuration it applies from then on: of the past
    /// it says nothing.
    #[must_use]
    pub const fn is_undated(&self) -> bool {
        self.valid_from_us == 0
    }
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

#[cfg(test)]
mod tests {
    use tollgate_core::{decimal::Decimal, price::CostBasis};

    use super::*;
    use crate::catalog::{Versions, load_shipped};

    const MIDNIGHT_US: i64 = 1_798_761_600_000_000;

    fn worker(name: &str, later: &str) -> Worker {
        let rate = |usd: &str| DeviceRate {
            device_usd_per_hour: usd.parse().unwrap(),
            device_watts: Decimal::ZERO,
            device_idle_watts: Decimal::ZERO,
            usd_per_kwh: Decimal::ZERO,
            pue: Decimal::ONE,
        };
        let dated =
            |day: Option<&str>, usd| DatedRate { valid_from: day.map(|day| day.parse().unwrap()), rate: rate(usd) };
        Worker {
            name: name.to_owned(),
            root_url: String::new(),
            base_url: String::new(),
            models: Vec::new(),
            rates: vec![dated(None, "0.05"), dated(Some("2027-01-01"), later)],
            spawn: None,
        }
    }

    #[test]
    fn a_rate_is_in_force_from_midnight_utc_of_its_day() {
        let catalog = Catalog::default().with_workers(&[worker("w", "0.04")]);
        let at = |at_us| catalog.cost("w", "anything", at_us).unwrap().id().to_owned();
        assert!(at(0).starts_with("worker:w@1970-01-01#"));
        assert_eq!(at(MIDNIGHT_US - 1), at(0));
        assert!(at(MIDNIGHT_US).starts_with("worker:w@2027-01-01#"));
        assert_eq!(at(i64::MAX), at(MIDNIGHT_US));
        assert!(catalog.cost("v", "anything", MIDNIGHT_US).is_none());
    }

    #[test]
    fn a_worker_costs_its_device_even_when_a_table_names_it() {
        let catalog = load_shipped().unwrap();
        assert!(matches!(catalog.cost("demo", "demo-model", MIDNIGHT_US), Some(CostVersion::Table(_))));
        let catalog = catalog.with_workers(&[worker("demo", "0.04")]);
        assert!(matches!(catalog.cost("demo", "demo-model", MIDNIGHT_US), Some(CostVersion::Device(_))));
    }

    #[test]
    fn the_same_figures_have_the_same_id_and_a_stored_rate_reads_back() {
        let ids = |later| {
            let catalog = Catalog::default().with_workers(&[worker("w", later)]);
            catalog.rate_versions().iter().map(|version| version.id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(ids("0.04"), ids("0.040"));
        assert_eq!(ids("0.04")[0], ids("0.06")[0]);
        assert_ne!(ids("0.04")[1], ids("0.06")[1]);
        let catalog = Catalog::default().with_workers(&[worker("w", "0.04")]);
        let stored = catalog.stored_versions();
        let rows = stored.iter().map(|version| (version.id.as_str(), version.kind, version.body.as_str()));
        let versions = Versions::from_stored(rows);
        for version in catalog.rate_versions() {
            assert_eq!(versions.cost(Some(&version.id)), Some(CostBasis::Device(&version.rate)));
            assert!(versions.rule(Some(&version.id)).is_none());
        }
    }
}
