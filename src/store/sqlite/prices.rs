//! Price versions in SQLite.

use sqlx::Row;

use super::SqliteStore;
use crate::store::{StoreError, prices::PriceVersionRow};

const INSERT: &str = "
insert into price_versions (id, kind, body, recorded_at_us)
values (?, ?, ?, ?)
on conflict (id) do nothing";
const ONE: &str = "
select id, kind, body
from price_versions
where id = ?";
const LIST: &str = "
select id, kind, body
from price_versions
order by id";
const BETWEEN: &str = "
select id, kind, body
from price_versions
where id >= ?
  and id < ?
order by id";

pub(super) const STATEMENTS: &[&str] = &[INSERT, ONE, LIST, BETWEEN];

impl SqliteStore {
    pub(in crate::store) async fn save_price_versions(
        &self,
        versions: &[PriceVersionRow],
        now_us: i64,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
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

    pub(in crate::store) async fn price_versions(&self) -> Result<Vec<PriceVersionRow>, StoreError> {
        sqlx::query(LIST).fetch_all(&self.readers).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn price_versions_between(
        &self,
        first: &str,
        end: &str,
    ) -> Result<Vec<PriceVersionRow>, StoreError> {
        let query = sqlx::query(BETWEEN).bind(first).bind(end);
        query.fetch_all(&self.readers).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn price_version(&self, id: &str) -> Result<Option<PriceVersionRow>, StoreError> {
        sqlx::query(ONE).bind(id).fetch_optional(&self.readers).await?.as_ref().map(read).transpose()
    }
}

fn read(row: &sqlx::sqlite::SqliteRow) -> Result<PriceVersionRow, StoreError> {
    Ok(PriceVersionRow { id: row.try_get("id")?, kind: row.try_get("kind")?, body: row.try_get("body")? })
}
