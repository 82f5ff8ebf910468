//! Hourly sums in SQLite.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Row, Sqlite, Transaction, sqlite::SqliteRow};
use tollgate_core::id::{CustomerId, KeyId};

use super::{SqliteStore, row};
use crate::store::{
    StoreError,
    rollups::{By, RollupKey, Span, Sums, UsageDialect, UsageGroup, usage_statement, usage_statements},
};

/// A sum that does not fit becomes a float in SQLite, without a word; so the types are looked at.
const UPSERT: &str = "
insert into rollups_hourly (
  hour_us, customer_id, key_id, model, target, requests, attempts, input_uncached, cache_read, cache_write_5m,
  cache_write_1h, cache_write_unspecified, output, reasoning, cost_nanousd, charge_nanousd, unpriced, estimated,
  worker_busy_us
)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (hour_us, customer_id, key_id, model, target) do update set
  requests = requests + excluded.requests,
  attempts = attempts + excluded.attempts,
  input_uncached = input_uncached + excluded.input_uncached,
  cache_read = cache_read + excluded.cache_read,
  cache_write_5m = cache_write_5m + excluded.cache_write_5m,
  cache_write_1h = cache_write_1h + excluded.cache_write_1h,
  cache_write_unspecified = cache_write_unspecified + excluded.cache_write_unspecified,
  output = output + excluded.output,
  reasoning = reasoning + excluded.reasoning,
  cost_nanousd = cost_nanousd + excluded.cost_nanousd,
  charge_nanousd = charge_nanousd + excluded.charge_nanousd,
  unpriced = unpriced + excluded.unpriced,
  estimated = estimated + excluded.estimated,
  worker_busy_us = worker_busy_us + excluded.worker_busy_us
returning max(
  typeof(requests), typeof(attempts), typeof(input_uncached), typeof(cache_read), typeof(cache_write_5m),
  typeof(cache_write_1h), typeof(cache_write_unspecified), typeof(output), typeof(reasoning), typeof(cost_nanousd),
  typeof(charge_nanousd), typeof(unpriced), typeof(estimated),
  typeof(worker_busy_us)
) as stored_as";
const CELLS: &str = "
select
  hour_us, customer_id, key_id, model, target, requests, attempts, input_uncached, cache_read, cache_write_5m,
  cache_write_1h, cache_write_unspecified, output, reasoning, cost_nanousd, charge_nanousd, unpriced, estimated,
  worker_busy_us
from rollups_hourly
order by hour_us, customer_id, key_id, model, target";
const USAGE: UsageDialect = UsageDialect { sum: ("sum(", ")"), parameters: ["?1", "?2", "?3"] };

pub(super) const STATEMENTS: &[&str] = &[UPSERT, CELLS];

/// The statements that are made as they are needed.
pub(super) fn made_statements() -> Vec<String> {
    usage_statements(&USAGE)
}

/// Adds folded cells to the stored ones.
pub(super) async fn add_cells(
    tx: &mut Transaction<'_, Sqlite>,
    cells: &BTreeMap<RollupKey, Sums>,
) -> Result<(), StoreError> {
    for (key, sums) in cells {
        let mut query = sqlx::query(UPSERT)
            .bind(key.hour_us)
            .bind(key.customer_id.bytes().as_slice())
            .bind(key.key_id.bytes().as_slice())
            .bind(&key.model)
            .bind(&key.target);
        for column in sums.columns()? {
            query = query.bind(column);
        }
        let stored_as: String = query.fetch_one(&mut **tx).await?.try_get("stored_as")?;
        if stored_as != "integer" {
            return Err(StoreError::TooLarge);
        }
    }
    Ok(())
}

impl SqliteStore {
    pub(in crate::store) async fn rollup_cells(&self) -> Result<BTreeMap<RollupKey, Sums>, StoreError> {
        let rows = sqlx::query(CELLS).fetch_all(&self.readers).await?;
        rows.iter()
            .map(|from| {
                let key = RollupKey {
                    hour_us: from.try_get("hour_us")?,
                    customer_id: CustomerId::from_bytes(row::id(from, "customer_id")?),
                    key_id: KeyId::from_bytes(row::id(from, "key_id")?),
                    model: from.try_get::<String, _>("model")?.into(),
                    target: from.try_get::<String, _>("target")?.into(),
                };
                Ok((key, sums(from)?))
            })
            .collect()
    }

    pub(in crate::store) async fn usage_by(&self, by: &[By], span: Span) -> Result<Vec<UsageGroup>, StoreError> {
        let rows = sqlx::query(AssertSqlSafe(usage_statement(by, &USAGE)))
            .bind(span.from_us)
            .bind(span.to_us)
            .bind(span.customer_id.map(|id| id.bytes().to_vec()))
            .fetch_all(&self.readers)
            .await?;
        let group = |from: &SqliteRow| {
            let has = |wanted| by.contains(&wanted);
            let text = |wanted, column: &str| has(wanted).then(|| from.try_get::<String, _>(column)).transpose();
            Ok(UsageGroup {
                key_id: has(By::Key).then(|| row::id(from, "key_id")).transpose()?.map(KeyId::from_bytes),
                customer_id: has(By::Customer)
                    .then(|| row::id(from, "customer_id"))
                    .transpose()?
                    .map(CustomerId::from_bytes),
                model: text(By::Model, "model")?,
                target: text(By::Target, "target")?,
                day_us: has(By::Day).then(|| from.try_get("day_us")).transpose()?,
                sums: sums(from)?,
            })
        };
        rows.iter()
            .filter(|from| from.try_get::<Option<i64>, _>("attempts").is_ok_and(|n| n.is_some()))
            .map(group)
            .collect()
    }
}

fn sums(from: &SqliteRow) -> Result<Sums, StoreError> {
    Sums::read(|column| Ok(from.try_get(column)?))
}
