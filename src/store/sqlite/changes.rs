//! Change counters in SQLite.

use sqlx::Row;

use super::SqliteStore;
use crate::store::{StoreError, changes::Changes};

const LIST: &str = "
select topic, version
from changes";

pub(super) const STATEMENTS: &[&str] = &[LIST];

impl SqliteStore {
    pub(in crate::store) async fn changes(&self) -> Result<Changes, StoreError> {
        let rows = sqlx::query(LIST).fetch_all(&self.readers).await?;
        rows.iter().map(|row| Ok((row.try_get("topic")?, row.try_get("version")?))).collect()
    }
}
