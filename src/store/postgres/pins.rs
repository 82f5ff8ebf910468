//! Pinned values in Postgres.

use sqlx::Row;

use super::PostgresStore;
use crate::store::StoreError;

const PIN: &str = "
insert into pins (name, value)
values ($1, $2)
on conflict (name) do nothing";
const GET: &str = "
select value
from pins
where name = $1";

pub(super) const STATEMENTS: &[&str] = &[PIN, GET];

impl PostgresStore {
    pub(in crate::store) async fn pin(&self, name: &str, value: &str) -> Result<String, StoreError> {
        self.writer.execute(sqlx::query(PIN).bind(name).bind(value)).await?;
        Ok(self.writer.fetch_one(sqlx::query(GET).bind(name)).await?.try_get("value")?)
    }
}
