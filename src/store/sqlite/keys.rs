//! API keys in SQLite.

use sqlx::{Row, sqlite::SqliteRow};
use tollgate_core::id::{CustomerId, KeyId};

use super::{SqliteStore, row};
use crate::store::{StoreError, column, exists, keys::KeyRow};

const INSERT: &str = "
insert into keys (
  id, customer_id, public_id, name, secret_hash, requests_per_minute, tokens_per_minute, concurrent_requests, models,
  expires_at_us, revoked_at_us, created_at_us, rotated_from
)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const LIST: &str = "
select
  k.id, k.customer_id, c.price_book, k.public_id, k.name, k.secret_hash, k.requests_per_minute, k.tokens_per_minute,
  k.concurrent_requests, k.models, k.expires_at_us, k.revoked_at_us, k.created_at_us, k.rotated_from
from keys k
join customers c on c.id = k.customer_id
order by k.id";
/// Of one customer, or of all.
const PAGE: &str = "
select
  k.id, k.customer_id, c.price_book, k.public_id, k.name, k.secret_hash, k.requests_per_minute, k.tokens_per_minute,
  k.concurrent_requests, k.models, k.expires_at_us, k.revoked_at_us, k.created_at_us, k.rotated_from
from keys k
join customers c on c.id = k.customer_id
where k.id > ?1
  and (?3 is null or k.customer_id = ?3)
order by k.id
limit ?2";
const GET: &str = "
select
  k.id, k.customer_id, c.price_book, k.public_id, k.name, k.secret_hash, k.requests_per_minute, k.tokens_per_minute,
  k.concurrent_requests, k.models, k.expires_at_us, k.revoked_at_us, k.created_at_us, k.rotated_from
from keys k
join customers c on c.id = k.customer_id
where k.id = ?";
/// An earlier revocation stands.
const REVOKE: &str = "
update keys
set revoked_at_us = ?
where id = ?
  and (revoked_at_us is null or revoked_at_us > ?)";

pub(super) const STATEMENTS: &[&str] = &[INSERT, LIST, PAGE, GET, REVOKE];

impl SqliteStore {
    pub(in crate::store) async fn insert_key(&self, key: &KeyRow) -> Result<(), StoreError> {
        insertion(key)?.execute(&self.writer).await.map_err(|error| taken(error, key))?;
        Ok(())
    }

    pub(in crate::store) async fn replace_key(
        &self,
        old: KeyId,
        new: &KeyRow,
        old_until_us: i64,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        insertion(new)?.execute(&mut *tx).await.map_err(|error| taken(error, new))?;
        revocation(old, old_until_us).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(in crate::store) async fn keys(&self) -> Result<Vec<KeyRow>, StoreError> {
        sqlx::query(LIST).fetch_all(&self.readers).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn keys_after(
        &self,
        customer_id: Option<CustomerId>,
        after: Option<KeyId>,
        rows_max: u32,
    ) -> Result<Vec<KeyRow>, StoreError> {
        let after = after.unwrap_or(KeyId::from_bytes([0; 16]));
        let query = sqlx::query(PAGE)
            .bind(after.bytes().as_slice())
            .bind(i64::from(rows_max))
            .bind(customer_id.map(|customer_id| customer_id.bytes().to_vec()));
        query.fetch_all(&self.readers).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn key(&self, id: KeyId) -> Result<Option<KeyRow>, StoreError> {
        let row = sqlx::query(GET).bind(id.bytes().as_slice()).fetch_optional(&self.readers).await?;
        row.as_ref().map(read).transpose()
    }

    pub(in crate::store) async fn revoke_key(&self, id: KeyId, at_us: i64) -> Result<(), StoreError> {
        revocation(id, at_us).execute(&self.writer).await?;
        Ok(())
    }
}

type Ask<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

fn insertion(key: &KeyRow) -> Result<Ask<'_>, StoreError> {
    Ok(sqlx::query(INSERT)
        .bind(key.id.bytes().as_slice())
        .bind(key.customer_id.bytes().as_slice())
        .bind(&key.public_id)
        .bind(&key.name)
        .bind(key.secret_hash.as_slice())
        .bind(key.requests_per_minute.map(i64::from))
        .bind(key.tokens_per_minute.map(column).transpose()?)
        .bind(key.concurrent_requests.map(i64::from))
        .bind(key.models.as_ref().map(|models| models.join(",")))
        .bind(key.expires_at_us)
        .bind(key.revoked_at_us)
        .bind(key.created_at_us)
        .bind(key.rotated_from.map(|id| id.bytes().to_vec())))
}

fn revocation(id: KeyId, at_us: i64) -> Ask<'static> {
    sqlx::query(REVOKE).bind(at_us).bind(id.bytes().to_vec()).bind(at_us)
}

fn taken(error: sqlx::Error, key: &KeyRow) -> StoreError {
    exists(error, || format!("a key with the public id {}", key.public_id))
}

fn read(from: &SqliteRow) -> Result<KeyRow, StoreError> {
    let narrow = |value: Option<i64>| {
        value.map(|value| u32::try_from(value).map_err(|_| StoreError::Damaged("limit"))).transpose()
    };
    let hash: Vec<u8> = from.try_get("secret_hash")?;
    let tokens: Option<i64> = from.try_get("tokens_per_minute")?;
    let models: Option<String> = from.try_get("models")?;
    Ok(KeyRow {
        id: KeyId::from_bytes(row::id(from, "id")?),
        customer_id: CustomerId::from_bytes(row::id(from, "customer_id")?),
        price_book: from.try_get("price_book")?,
        public_id: from.try_get("public_id")?,
        name: from.try_get("name")?,
        secret_hash: hash.try_into().map_err(|_| StoreError::Damaged("key hash"))?,
        requests_per_minute: narrow(from.try_get("requests_per_minute")?)?,
        tokens_per_minute: tokens
            .map(|tokens| u64::try_from(tokens).map_err(|_| StoreError::Damaged("limit")))
            .transpose()?,
        concurrent_requests: narrow(from.try_get("concurrent_requests")?)?,
        models: models.map(|models| models.split(',').map(str::to_owned).collect()),
        expires_at_us: from.try_get("expires_at_us")?,
        revoked_at_us: from.try_get("revoked_at_us")?,
        created_at_us: from.try_get("created_at_us")?,
        rotated_from: row::maybe_id(from, "rotated_from")?.map(KeyId::from_bytes),
    })
}
