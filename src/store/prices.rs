//! Price versions: immutable, content-addressed, kept for as long as entries name them.

use std::collections::HashMap;

use sqlx::Row;

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

const INSERT: &str = "
insert into price_versions (id, kind, body, recorded_at_us)
values (?, ?, ?, ?)
on conflict (id) do nothing";
const LIST: &str = "
select id, kind, body
from price_versions
order by id";

pub(super) const STATEMENTS: &[&str] = &[INSERT, LIST];

impl Store {
    /// Keeps versions; those that are kept already stay as they are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_price_versions(&self, versions: &[PriceVersionRow], now_us: i64) -> Result<(), StoreError> {
        let mut tx = self.writer.begin().await?;
        for version in versions {
            sqlx::query(INSERT)
                .bind(&version.id)
                .bind(&version.kind)
                .bind(&version.body)
                .bind(now_us)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// All versions ever kept, by id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn price_versions(&self) -> Result<HashMap<String, PriceVersionRow>, StoreError> {
        let mut versions = HashMap::new();
        for row in sqlx::query(LIST).fetch_all(&self.readers).await? {
            let id: String = row.try_get("id")?;
            versions.insert(id.clone(), PriceVersionRow { id, kind: row.try_get("kind")?, body: row.try_get("body")? });
        }
        Ok(versions)
    }
}
