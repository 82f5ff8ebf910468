//! Pinned values in SQLite.

use sqlx::Row;

use super::SqliteStore;
use crate::store::StoreError;

const PIN: &str = "
insert into pins (name, value)
values (?, ?)
on conflict (name) do nothing";
const GET: &str = "
select value
from pins
where name = ?";

pub(super) const STATEMENTS: &[&str] = &[PIN, GET];

impl SqliteStore {
    pub(in crate::store) async fn pin(&self, name: &str, value: &str) -> Result<String, StoreError> {
        sqlx::query(PIN).bind(name).bind(value).execute(&self.writer).await?;
        Ok(sqlx::query(GET).bind(name).fetch_one(&self.writer).await?.try_get("value")?)
    }
}
