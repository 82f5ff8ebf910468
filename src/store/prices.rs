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

    /// All versions ever kept, by id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn price_versions(&self) -> Result<HashMap<String, PriceVersionRow>, StoreError> {
        let versions = on_engine!(self, price_versions())?;
        Ok(versions.into_iter().map(|version| (version.id.clone(), version)).collect())
    }
}
