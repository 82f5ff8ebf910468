//! Price versions by their ids, as entries name them: what a bill is recomputed from.

use std::collections::HashMap;

use tollgate_core::{
    price::{BookRule, CostBasis, PriceTable},
    worker_cost::DeviceRate,
};

use super::{BookVersion, PriceVersion, device::RateVersion};

/// Price tables, device rates and rules by version id, as entries name them.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    costs: HashMap<String, PriceTable>,
    rates: HashMap<String, DeviceRate>,
    rules: HashMap<String, BookRule>,
}

impl Versions {
    /// Reads stored versions back: id, kind and body each. A body that cannot be read is left out, so that what names it
    /// shows up as unpriced rather than wrongly priced.
    pub fn from_stored<'a>(stored: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) -> Self {
        let mut versions = Self::default();
        for (id, kind, body) in stored {
            match kind {
                "cost" => {
                    let read = serde_json::from_str::<PriceVersion>(body);
                    versions.costs.extend(read.ok().map(|version| (id.to_owned(), version.table)));
                }
                "worker" => {
                    let read = serde_json::from_str::<RateVersion>(body);
                    versions.rates.extend(read.ok().map(|version| (id.to_owned(), version.rate)));
                }
                "book" => {
                    let read = serde_json::from_str::<BookVersion>(body);
                    versions.rules.extend(read.ok().map(|version| (id.to_owned(), version.rule)));
                }
                // Of a newer build: what names it shows up as unpriced, as above.
                _ => {}
            }
        }
        versions
    }

    /// The cost table or device rate that an entry names.
    #[must_use]
    pub fn cost(&self, id: Option<&str>) -> Option<CostBasis<'_>> {
        let id = id?;
        self.costs.get(id).map(CostBasis::Table).or_else(|| self.rates.get(id).map(CostBasis::Device))
    }

    /// The rule that an entry names.
    #[must_use]
    pub fn rule(&self, id: Option<&str>) -> Option<&BookRule> {
        self.rules.get(id?)
    }
}
