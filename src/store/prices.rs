//! Price versions: immutable, content-addressed, kept for as long as entries name them.

use std::collections::HashMap;

use super::{Store, StoreError};

/// A price version as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceVersionRow {
    /// Its id.
    pub id: String,
    /// `cost`, `worker` or `book`.
    pub kind: String,
    /// JSON of the version.
    pub body: String,
}

impl Store {
    /// Keeps versions; those that are kept already stay as they are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_price_versions(&self, versions: &[PriceVersionRow], now_us: i64) -> Result<(), StoreError> {
        on_engine!(self, save_price_versions(versions, now_us))
    }

    /// One version; none when it was never kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn price_version(&self, id: &str) -> Result<Option<PriceVersionRow>, StoreError> {
        on_engine!(self, price_version(id))
    }

    /// The versions of what an id begins with before its day, such as `provider/model`, by id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn price_versions_of(&self, name: &str) -> Result<Vec<PriceVersionRow>, StoreError> {
        // No id has it, and Postgres takes no text that does.
        if name.contains('\0') {
            return Ok(Vec::new());
        }
        // `provider/model@2026-01-01#…`: a model's name may have an @ of its own. What follows @ is A.
        let (first, end) = (format!("{name}@"), format!("{name}A"));
        let mut versions = on_engine!(self, price_versions_between(&first, &end))?;
        let is_day = |rest: &str| rest.find('#') == Some("2026-01-01".len());
        versions.retain(|version| version.id.strip_prefix(&first).is_some_and(is_day));
        Ok(versions)
    }

    /// All versions ever kept, by id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn price_versions(&self) -> Result<HashMap<String, PriceVersionRow>, StoreError> {
        let versions = on_engine!(self, price_versions())?;
        Ok(versions.into_iter().map(|version| (version.id.clone(), version)).collect())
    }
}
