//! What an import would change: models without a price get theirs since ever, models with another price get the new one
//! from now on, so that what was charged in the past stays as it was.

use std::collections::{BTreeMap, HashMap};

use super::{Outcome, Read, Row};
use crate::catalog::{Catalog, PriceVersion};

/// What an import comes to.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Versions to put into force beside those that are.
    pub versions: Vec<PriceVersion>,
    /// Every row of the file, and what becomes of it.
    pub rows: Vec<Row>,
}

impl Plan {
    /// How many rows have an outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.rows.iter().filter(|row| row.outcome == outcome).count()
    }
}

/// Compares a file with the prices in force. What is another price from now on applies from `from_us` on.
#[must_use]
pub fn plan(catalog: &Catalog, read: Read, from_us: i64) -> Plan {
    let mut models: BTreeMap<(String, String), Vec<PriceVersion>> = BTreeMap::new();
    for version in read.versions {
        models.entry((version.provider.clone(), version.model.clone())).or_default().push(version);
    }
    let known: HashMap<(&str, &str), ()> = catalog
        .costs
        .values()
        .flat_map(|names| names.versions())
        .map(|version| ((version.provider.as_str(), version.model.as_str()), ()))
        .collect();
    let mut plan = Plan { versions: Vec::new(), rows: read.left_out };
    for ((provider, model), mut versions) in models {
        versions.sort_by_key(|version| version.valid_from_us);
        let is_known = known.contains_key(&(provider.as_str(), model.as_str()));
        let new: Vec<PriceVersion> = if is_known { differing(catalog, versions, from_us) } else { versions };
        let outcome = match (is_known, new.is_empty()) {
            (false, _) => Outcome::Added,
            (true, true) => Outcome::Unchanged,
            (true, false) => Outcome::Changed,
        };
        plan.rows.push(Row { place: format!("{provider}/{model}"), outcome, what: String::new() });
        plan.versions.extend(new);
    }
    plan
}

/// Of a model's versions in the file those that change what is in force from `from_us` on.
fn differing(catalog: &Catalog, versions: Vec<PriceVersion>, from_us: i64) -> Vec<PriceVersion> {
    let begun = versions.partition_point(|version| version.valid_from_us <= from_us);
    let mut new = Vec::new();
    for (index, mut version) in versions.into_iter().enumerate().skip(begun.saturating_sub(1)) {
        if index < begun {
            version.valid_from_us = from_us;
        }
        let current = catalog.table(&version.provider, &version.model, version.valid_from_us);
        let is_same =
            current.is_some_and(|current| current.table == version.table && current.aliases == version.aliases);
        if !is_same {
            new.push(version);
        }
    }
    new
}
