//! The part of a catalog that gateways on one store share: prices and books, not what their own devices cost.

use std::{collections::HashSet, sync::Arc};

use sha2::{Digest, Sha256};

use super::{BookVersion, Catalog, PriceVersion};

impl Catalog {
    /// The same prices have the same digest, in whatever files they stand. Versions are named by their content.
    #[must_use]
    pub fn digest_of_prices(&self) -> String {
        let mut hasher = Sha256::new();
        for version in self.stored_versions().into_iter().filter(|version| version.kind != "worker") {
            hasher.update(version.id.as_bytes());
            hasher.update(b"\n");
        }
        hex::encode(hasher.finalize())
    }

    /// The rates of this catalog with other prices: kind and body of each version, as stored. None when one of them cannot
    /// be read: prices are followed whole or not at all.
    #[must_use]
    pub fn with_prices<'a>(&self, versions: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let mut catalog = Self { rates: self.rates.clone(), ..Self::default() };
        for (kind, body) in versions {
            match kind {
                "cost" => catalog.insert_cost(serde_json::from_str::<PriceVersion>(body).ok()?),
                "book" => catalog.insert_rule(serde_json::from_str::<BookVersion>(body).ok()?),
                _ => return None,
            }
        }
        Some(catalog)
    }

    /// Only what files say: not what came through the admin API.
    #[must_use]
    pub fn of_files(&self) -> Self {
        self.where_imported(false)
    }

    /// This, and what of another catalog came through the admin API.
    #[must_use]
    pub fn with_imported_of(&self, other: &Self) -> Self {
        self.with_all_of(&other.where_imported(true))
    }

    /// This and all prices of another.
    #[must_use]
    pub fn with_all_of(&self, other: &Self) -> Self {
        let mut together = self.clone();
        let costs: HashSet<&str> = self.cost_versions().iter().map(|version| version.id.as_str()).collect();
        let more = other.cost_versions().into_iter().filter(|version| !costs.contains(version.id.as_str()));
        more.for_each(|version| together.keep_cost(Arc::clone(version)));
        let rules: HashSet<&str> = self.book_versions().iter().map(|version| version.id.as_str()).collect();
        let more = other.book_versions().into_iter().filter(|version| !rules.contains(version.id.as_str()));
        more.for_each(|version| together.keep_rule(Arc::clone(version)));
        together
    }

    /// This and more versions.
    #[must_use]
    pub fn with_more(&self, (costs, rules): (Vec<PriceVersion>, Vec<BookVersion>)) -> Self {
        let mut more = Self::default();
        costs.into_iter().for_each(|version| more.insert_cost(version));
        rules.into_iter().for_each(|version| more.insert_rule(version));
        self.with_all_of(&more)
    }

    /// These prices, and what another catalog says of workers.
    #[must_use]
    pub fn with_rates_of(mut self, other: &Self) -> Self {
        self.rates.clone_from(&other.rates);
        self
    }

    fn where_imported(&self, is_imported: bool) -> Self {
        let mut part = Self { rates: self.rates.clone(), ..Self::default() };
        let costs = self.cost_versions().into_iter().filter(|version| version.is_imported == is_imported);
        costs.for_each(|version| part.keep_cost(Arc::clone(version)));
        let rules = self.book_versions().into_iter().filter(|version| version.is_imported == is_imported);
        rules.for_each(|version| part.keep_rule(Arc::clone(version)));
        part
    }
}

#[cfg(test)]
mod tests {
    use super::super::load_shipped;

    #[test]
    fn prices_read_back_from_what_is_stored_are_the_same_prices() {
        let shipped = load_shipped().unwrap();
        let stored = shipped.stored_versions();
        let versions = stored.iter().map(|version| (version.kind, version.body.as_str()));
        let copy = shipped.with_prices(versions.clone()).unwrap();
        assert_eq!(copy.digest_of_prices(), shipped.digest_of_prices());
        assert_eq!(copy.stored_versions(), stored);
        let fewer = shipped.with_prices(versions.skip(1)).unwrap();
        assert_ne!(fewer.digest_of_prices(), shipped.digest_of_prices());
        assert!(shipped.with_prices([("cost", "{}")]).is_none());
    }
}
