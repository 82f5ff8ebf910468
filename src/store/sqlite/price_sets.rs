//! Price sets in SQLite.

use sqlx::Row;

use super::SqliteStore;
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
where digest = ?1
limit 1";
const PUBLISH: &str = "
insert into price_sets (number, digest, versions, published_by, published_at_us)
select coalesce(max(number), 0) + 1, ?1, ?2, ?3, ?4
from price_sets
having coalesce((select digest from price_sets order by number desc limit 1), '') <> ?1";

pub(super) const STATEMENTS: &[&str] = &[LAST, WAS_PUBLISHED, PUBLISH];

impl SqliteStore {
    pub(in crate::store) async fn price_set(&self) -> Result<Option<StoredSet>, StoreError> {
        let found = sqlx::query(LAST).fetch_optional(&self.writer).await?;
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
        Ok(sqlx::query(WAS_PUBLISHED).bind(digest).fetch_optional(&self.writer).await?.is_some())
    }

    pub(in crate::store) async fn publish_prices(&self, set: &PriceSet, versions: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
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
}
