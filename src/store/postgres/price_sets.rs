//! Price sets in Postgres.

use sqlx::{Connection, PgConnection, Row};
use tokio::time::timeout;

use super::{PostgresStore, WRITE_MAX};
use crate::store::{
    StoreError,
    price_sets::{PriceSet, StoredSet},
};

const LAST: &str = "
select number, digest, versions, published_by, published_at_us
from price_sets
order by number desc
limit 1";
const WAS_PUBLISHED: &str = "
select number
from price_sets
where digest = $1
limit 1";
/// Sets are numbered without a gap, and one after another.
const LOCK: &str = "
lock table price_sets in share row exclusive mode";
const PUBLISH: &str = "
insert into price_sets (number, digest, versions, published_by, published_at_us)
select coalesce(max(number), 0) + 1, $1, $2, $3, $4
from price_sets
having coalesce((select digest from price_sets order by number desc limit 1), '') <> $1::text";

pub(super) const STATEMENTS: &[&str] = &[LAST, WAS_PUBLISHED, LOCK, PUBLISH];

impl PostgresStore {
    pub(in crate::store) async fn price_set(&self) -> Result<Option<StoredSet>, StoreError> {
        let found = self.writer.fetch_optional(sqlx::query(LAST)).await?;
        let Some(from) = found else { return Ok(None) };
        Ok(Some(StoredSet {
            number: from.try_get("number")?,
            digest: from.try_get("digest")?,
            versions: from.try_get("versions")?,
            published_by: from.try_get("published_by")?,
            published_at_us: from.try_get("published_at_us")?,
        }))
    }

    pub(in crate::store) async fn was_published(&self, digest: &str) -> Result<bool, StoreError> {
        Ok(self.writer.fetch_optional(sqlx::query(WAS_PUBLISHED).bind(digest)).await?.is_some())
    }

    pub(in crate::store) async fn publish_prices(&self, set: &PriceSet, versions: &str) -> Result<(), StoreError> {
        let mut session = self.writer.session().await?;
        let done = timeout(WRITE_MAX, publish_on(&mut session, set, versions)).await;
        session.settle(WRITE_MAX, done)
    }
}

async fn publish_on(connection: &mut PgConnection, set: &PriceSet, versions: &str) -> Result<(), StoreError> {
    let mut tx = connection.begin().await?;
    sqlx::query(LOCK).execute(&mut *tx).await?;
    sqlx::query(PUBLISH)
        .bind(&set.digest)
        .bind(versions)
        .bind(&set.published_by)
        .bind(set.published_at_us)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}
