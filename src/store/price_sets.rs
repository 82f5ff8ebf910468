//! Price sets: which price versions a fleet charges by. The last one is in force; none is ever changed.

use super::{Store, StoreError};

/// A set of price versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceSet {
    /// 1 for the first.
    pub number: i64,
    /// The same versions have the same digest.
    pub digest: String,
    /// Ids of its versions.
    pub versions: Vec<String>,
    /// Which replica published it.
    pub published_by: String,
    /// Microseconds since 1970 UTC.
    pub published_at_us: i64,
}

impl Store {
    /// The set in force; none when none was ever published.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn price_set(&self) -> Result<Option<PriceSet>, StoreError> {
        let found = on_engine!(self, price_set())?;
        found.map(|stored| stored.parse()).transpose()
    }

    /// Whether a set of this digest was ever published.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn was_published(&self, digest: &str) -> Result<bool, StoreError> {
        on_engine!(self, was_published(digest))
    }

    /// Puts a set into force, unless it is. `number` is not read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn publish_prices(&self, set: &PriceSet) -> Result<(), StoreError> {
        on_engine!(self, publish_prices(set, &set.versions.join("\n")))
    }
}

/// A set as it is kept: its versions a line each.
pub(super) struct StoredSet {
    pub(super) number: i64,
    pub(super) digest: String,
    pub(super) versions: String,
    pub(super) published_by: String,
    pub(super) published_at_us: i64,
}

impl StoredSet {
    fn parse(self) -> Result<PriceSet, StoreError> {
        let versions: Vec<String> = self.versions.lines().map(str::to_owned).collect();
        if self.number < 1 {
            return Err(StoreError::Damaged("price set"));
        }
        Ok(PriceSet {
            number: self.number,
            digest: self.digest,
            versions,
            published_by: self.published_by,
            published_at_us: self.published_at_us,
        })
    }
}
