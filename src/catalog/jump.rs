//! Prices that are so far off the ones before them that they are taken for mistakes: a slipped point, a price per token
//! where one per million belongs, nothing instead of something.

use tollgate_core::{
    decimal::Decimal,
    price::{PriceTable, Rate, Unit},
};

use super::Catalog;

/// A price so many times another is taken for a mistake.
const TIMES: u64 = 1000;

/// The first price of a table that is a thousand times off the one before it, or nothing where something was.
#[must_use]
pub fn jump(old: &PriceTable, new: &PriceTable) -> Option<String> {
    let rates = Rate::ALL.iter().map(|rate| (rate.name(), old.usd_per_mtok.get(*rate), new.usd_per_mtok.get(*rate)));
    let units = Unit::ALL.iter().map(|unit| (unit.name(), old.usd_per_unit.get(*unit), new.usd_per_unit.get(*unit)));
    let request = [("request", old.usd_per_request, new.usd_per_request)];
    rates.chain(units).chain(request).find_map(|(name, old, new)| {
        let (old, new) = old.zip(new)?;
        is_off(old, new).then(|| format!("{name} {old} -> {new}"))
    })
}

fn is_off(old: Decimal, new: Decimal) -> bool {
    if old == Decimal::ZERO {
        return false;
    }
    new == Decimal::ZERO || new.is_at_least(TIMES, old) || old.is_at_least(TIMES, new)
}

impl Catalog {
    /// Versions of another catalog, not in this one, whose prices are a thousand times off what is in force here.
    #[must_use]
    pub fn jumps_to(&self, other: &Self) -> Vec<String> {
        let known: std::collections::HashSet<&str> =
            self.cost_versions().iter().map(|version| version.id.as_str()).collect();
        let new = other.cost_versions().into_iter().filter(|version| !known.contains(version.id.as_str()));
        new.filter_map(|version| {
            let before = self.table(&version.provider, &version.model, version.valid_from_us)?;
            let what = jump(&before.table, &version.table)?;
            Some(format!("{}/{}: {what}", version.provider, version.model))
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousandfold_price_and_nothing_for_something_are_jumps() {
        let table = |price: &str| PriceTable {
            usd_per_mtok: [(Rate::Input, price.parse().unwrap())].into_iter().collect(),
            ..PriceTable::default()
        };
        for (old, new, is_jump) in [
            ("2", "2000", true),
            ("2", "1999.99", false),
            ("2000", "2", true),
            ("2", "0", true),
            ("0", "2", false),
            ("2", "2", false),
            ("0.000000000000000001", "18446744073709551615", true),
        ] {
            assert_eq!(jump(&table(old), &table(new)).is_some(), is_jump, "{old} {new}");
        }
    }
}
