//! API keys in Postgres.

use sqlx::{
    Connection, PgConnection, Postgres, Row,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use tokio::time::timeout;
use tollgate_core::id::{CustomerId, KeyId};

use super::{PostgresStore, WRITE_MAX, row};
use crate::store::{StoreError, column, exists, keys::KeyRow};

const INSERT: &str = "
insert into keys (
  id, customer_id, public_id, name, secret_hash, requests_per_minute, tokens_per_minute, concurrent_requests, models,
  expires_at_us, revoked_at_us, created_at_us, rotated_from
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
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
where k.id > $1
  and ($3::uuid is null or k.customer_id = $3)
order by k.id
limit $2";
const GET: &str = "
select
  k.id, k.customer_id, c.price_book, k.public_id, k.name, k.secret_hash, k.requests_per_minute, k.tokens_per_minute,
  k.concurrent_requests, k.models, k.expires_at_us, k.revoked_at_us, k.created_at_us, k.rotated_from
from keys k
join customers c on c.id = k.customer_id
where k.id = $1";
/// An earlier revocation stands.
const REVOKE: &str = "
update keys
set revoked_at_us = $1
where id = $2
  and (revoked_at_us is null or revoked_at_us > $3)";

pub(super) const STATEMENTS: &[&str] = &[INSERT, LIST, PAGE, GET, REVOKE];

impl PostgresStore {
    pub(in crate::store) async fn insert_key(&self, key: &KeyRow) -> Result<(), StoreError> {
        self.writer.execute(insertion(key)?).await.map_err(|error| taken(error, key))?;
        Ok(())
    }

    pub(in crate::store) async fn replace_key(
        &self,
        old: KeyId,
        new: &KeyRow,
        old_until_us: i64,
    ) -> Result<(), StoreError> {
        let mut session = self.writer.session().await?;
        let done = timeout(WRITE_MAX, replace_on(&mut session, old, new, old_until_us)).await;
        session.settle(WRITE_MAX, done)
    }

    pub(in crate::store) async fn keys(&self) -> Result<Vec<KeyRow>, StoreError> {
        self.readers.fetch_all(sqlx::query(LIST)).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn keys_after(
        &self,
        customer_id: Option<CustomerId>,
        after: Option<KeyId>,
        rows_max: u32,
    ) -> Result<Vec<KeyRow>, StoreError> {
        let after = after.unwrap_or(KeyId::from_bytes([0; 16]));
        let query = sqlx::query(PAGE)
            .bind(row::uuid(after.bytes()))
            .bind(i64::from(rows_max))
            .bind(customer_id.map(|customer_id| row::uuid(customer_id.bytes())));
        self.readers.fetch_all(query).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn key(&self, id: KeyId) -> Result<Option<KeyRow>, StoreError> {
        let row = self.readers.fetch_optional(sqlx::query(GET).bind(row::uuid(id.bytes()))).await?;
        row.as_ref().map(read).transpose()
    }

    pub(in crate::store) async fn revoke_key(&self, id: KeyId, at_us: i64) -> Result<(), StoreError> {
        self.writer.execute(revocation(id, at_us)).await?;
        Ok(())
    }
}

async fn replace_on(
    connection: &mut PgConnection,
    old: KeyId,
    new: &KeyRow,
    old_until_us: i64,
) -> Result<(), StoreError> {
    let mut tx = connection.begin().await?;
    insertion(new)?.execute(&mut *tx).await.map_err(|error| taken(error, new))?;
    revocation(old, old_until_us).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}

type Ask<'q> = Query<'q, Postgres, PgArguments>;

fn insertion(key: &KeyRow) -> Result<Ask<'_>, StoreError> {
    Ok(sqlx::query(INSERT)
        .bind(row::uuid(key.id.bytes()))
        .bind(row::uuid(key.customer_id.bytes()))
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
        .bind(key.rotated_from.map(|id| row::uuid(id.bytes()))))
}

fn revocation(id: KeyId, at_us: i64) -> Ask<'static> {
    sqlx::query(REVOKE).bind(at_us).bind(row::uuid(id.bytes())).bind(at_us)
}

fn taken(error: sqlx::Error, key: &KeyRow) -> StoreError {
    exists(error, || format!("a key with the public id {}", key.public_id))
}

fn read(from: &PgRow) -> Result<KeyRow, StoreError> {
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
