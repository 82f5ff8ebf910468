//! Hourly sums in Postgres.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, PgConnection, Row, postgres::PgRow};
use tollgate_core::id::{CustomerId, KeyId};

use super::{PostgresStore, REPORT_MAX, row};
use crate::store::{
    StoreError,
    rollups::{By, RollupKey, SUMMED, Span, Sums, UsageDialect, UsageGroup, usage_statement, usage_statements},
};

/// Cells come sorted, and their rows are locked in that order: concurrent posters wait, they do not deadlock.
const UPSERT: &str = "
insert into rollups_hourly as cell (
  hour_us, customer_id, key_id, model, target, requests, attempts, input_uncached, cache_read, cache_write_5m,
  cache_write_1h, cache_write_unspecified, output, reasoning, cost_nanousd, charge_nanousd, unpriced, estimated,
  worker_busy_us
)
select
  hour_us, customer_id, key_id, model, target, requests, attempts, input_uncached, cache_read, cache_write_5m,
  cache_write_1h, cache_write_unspecified, output, reasoning, cost_nanousd, charge_nanousd, unpriced, estimated,
  worker_busy_us
from unnest(
  $1::bigint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
  $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[],
  $17::bigint[], $18::bigint[], $19::bigint[]
) as folded (
  hour_us, customer_id, key_id, model, target, requests, attempts, input_uncached, cache_read, cache_write_5m,
  cache_write_1h, cache_write_unspecified, output, reasoning, cost_nanousd, charge_nanousd, unpriced, estimated,
  worker_busy_us
)
on conflict (hour_us, customer_id, key_id, model, target) do update set
  requests = cell.requests + excluded.requests,
  attempts = cell.attempts + excluded.attempts,
  input_uncached = cell.input_uncached + excluded.input_uncached,
  cache_read = cell.cache_read + excluded.cache_read,
  cache_write_5m = cell.cache_write_5m + excluded.cache_write_5m,
  cache_write_1h = cell.cache_write_1h + excluded.cache_write_1h,
  cache_write_unspecified = cell.cache_write_unspecified + excluded.cache_write_unspecified,
  output = cell.output + excluded.output,
  reasoning = cell.reasoning + excluded.reasoning,
  cost_nanousd = cell.cost_nanousd + excluded.cost_nanousd,
  charge_nanousd = cell.charge_nanousd + excluded.charge_nanousd,
  unpriced = cell.unpriced + excluded.unpriced,
  estimated = cell.estimated + excluded.estimated,
  worker_busy_us = cell.worker_busy_us + excluded.worker_busy_us";
const CELLS: &str = "
select
  hour_us, customer_id, key_id, model, target, requests, attempts, input_uncached, cache_read, cache_write_5m,
  cache_write_1h, cache_write_unspecified, output, reasoning, cost_nanousd, charge_nanousd, unpriced, estimated,
  worker_busy_us
from rollups_hourly
order by hour_us, customer_id, key_id, model, target";
/// A sum that does not fit is an error, as in SQLite.
const USAGE: UsageDialect =
    UsageDialect { sum: ("sum(", ")::bigint"), parameters: ["$1::bigint", "$2::bigint", "$3::uuid"] };

pub(super) const STATEMENTS: &[&str] = &[UPSERT, CELLS];

/// The statements that are made as they are needed.
pub(super) fn made_statements() -> Vec<String> {
    usage_statements(&USAGE)
}

/// Adds folded cells to the stored ones, in one statement.
pub(super) async fn add_cells(
    connection: &mut PgConnection,
    cells: &BTreeMap<RollupKey, Sums>,
) -> Result<(), StoreError> {
    if cells.is_empty() {
        return Ok(());
    }
    let mut sums: [Vec<i64>; SUMMED.len()] = Default::default();
    for cell in cells.values() {
        for (column, value) in sums.iter_mut().zip(cell.columns()?) {
            column.push(value);
        }
    }
    let mut query = sqlx::query(UPSERT)
        .bind(cells.keys().map(|key| key.hour_us).collect::<Vec<_>>())
        .bind(cells.keys().map(|key| row::uuid(key.customer_id.bytes())).collect::<Vec<_>>())
        .bind(cells.keys().map(|key| row::uuid(key.key_id.bytes())).collect::<Vec<_>>())
        .bind(cells.keys().map(|key| key.model.as_ref()).collect::<Vec<_>>())
        .bind(cells.keys().map(|key| key.target.as_ref()).collect::<Vec<_>>());
    for column in sums {
        query = query.bind(column);
    }
    query.execute(connection).await?;
    Ok(())
}

impl PostgresStore {
    pub(in crate::store) async fn rollup_cells(&self) -> Result<BTreeMap<RollupKey, Sums>, StoreError> {
        let rows = self.readers.within(REPORT_MAX).fetch_all(sqlx::query(CELLS)).await?;
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
        let rows = self
            .readers
            .within(REPORT_MAX)
            .fetch_all(
                sqlx::query(AssertSqlSafe(usage_statement(by, &USAGE)))
                    .bind(span.from_us)
                    .bind(span.to_us)
                    .bind(span.customer_id.map(|id| row::uuid(id.bytes()))),
            )
            .await?;
        let group = |from: &PgRow| {
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

fn sums(from: &PgRow) -> Result<Sums, StoreError> {
    Sums::read(|column| Ok(from.try_get(column)?))
}
