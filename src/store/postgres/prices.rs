//! Price versions in Postgres.

use sqlx::{Row, postgres::PgRow};

use super::PostgresStore;
use crate::store::{StoreError, prices::PriceVersionRow};

/// Sorted, so that replicas that start together do not wait for each other in a circle.
const INSERT: &str = "
insert into price_versions (id, kind, body, recorded_at_us)
select id, kind, body, $4
from unnest($1::text[], $2::text[], $3::text[]) as version (id, kind, body)
order by id
on conflict (id) do nothing";
const ONE: &str = "
select id, kind, body
from price_versions
where id = $1";
const LIST: &str = "
select id, kind, body
from price_versions
order by id";
const BETWEEN: &str = "
select id, kind, body
from price_versions
where id >= $1
  and id < $2
order by id";

pub(super) const STATEMENTS: &[&str] = &[INSERT, ONE, LIST, BETWEEN];

impl PostgresStore {
    pub(in crate::store) async fn save_price_versions(
        &self,
        versions: &[PriceVersionRow],
        now_us: i64,
    ) -> Result<(), StoreError> {
        let ids: Vec<&str> = versions.iter().map(|version| version.id.as_str()).collect();
        let kinds: Vec<&str> = versions.iter().map(|version| version.kind.as_str()).collect();
        let bodies: Vec<&str> = versions.iter().map(|version| version.body.as_str()).collect();
        self.writer.execute(sqlx::query(INSERT).bind(ids).bind(kinds).bind(bodies).bind(now_us)).await?;
        Ok(())
    }

    pub(in crate::store) async fn price_versions(&self) -> Result<Vec<PriceVersionRow>, StoreError> {
        self.readers.fetch_all(sqlx::query(LIST)).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn price_versions_between(
        &self,
        first: &str,
        end: &str,
    ) -> Result<Vec<PriceVersionRow>, StoreError> {
        let query = sqlx::query(BETWEEN).bind(first).bind(end);
        self.readers.fetch_all(query).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn price_version(&self, id: &str) -> Result<Option<PriceVersionRow>, StoreError> {
        let rows = self.readers.fetch_all(sqlx::query(ONE).bind(id)).await?;
        rows.first().map(read).transpose()
    }
}

fn read(row: &PgRow) -> Result<PriceVersionRow, StoreError> {
    Ok(PriceVersionRow { id: row.try_get("id")?, kind: row.try_get("kind")?, body: row.try_get("body")? })
}
