//! Hourly sums per customer, key, model and target: what reports read instead of entries.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Row, Sqlite, Transaction, sqlite::SqliteRow};
use tollgate_core::{
    entry::{Entry, UsageSource},
    id::{CustomerId, KeyId},
    money::NanoUsd,
    usage::Usage,
};

use super::{Store, StoreError, row};

/// Microseconds of an hour and of a day.
pub const HOUR_US: i64 = 3_600_000_000;
/// Microseconds of a day.
pub const DAY_US: i64 = 24 * HOUR_US;

/// A cell's coordinates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RollupKey {
    /// The hour of admission, microseconds since 1970 UTC.
    pub hour_us: i64,
    /// Who pays.
    pub customer_id: CustomerId,
    /// The key.
    pub key_id: KeyId,
    /// Public model.
    pub model: String,
    /// `provider/model`
    pub target: String,
}

/// Sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// First attempts: one a request.
    pub requests: u64,
    /// All attempts.
    pub attempts: u64,
    /// Tokens.
    pub usage: Usage,
    /// What we pay; unpriced lines add nothing and are counted.
    pub cost: NanoUsd,
    /// What is owed; unpriced lines add nothing and are counted.
    pub charge: NanoUsd,
    /// Attempts with an unpriced line.
    pub unpriced: u64,
    /// Attempts whose usage is not the provider's last word.
    pub estimated: u64,
    /// Thread time of workers of ours, microseconds.
    pub worker_busy_us: u64,
}

/// What usage is grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// Key.
    Key,
    /// Customer.
    Customer,
    /// Public model.
    Model,
    /// `provider/model`
    Target,
    /// UTC day.
    Day,
}

/// One group of usage; coordinates that were not grouped by are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageGroup {
    /// Key.
    pub key_id: Option<KeyId>,
    /// Customer.
    pub customer_id: Option<CustomerId>,
    /// Public model.
    pub model: Option<String>,
    /// `provider/model`
    pub target: Option<String>,
    /// Beginning of the UTC day, microseconds since 1970.
    pub day_us: Option<i64>,
    /// Sums of the group.
    pub sums: Sums,
}

/// Which hours, and whose.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// From this hour on, microseconds since 1970 UTC.
    pub from_us: Option<i64>,
    /// Before this hour.
    pub to_us: Option<i64>,
    /// Only this customer.
    pub customer_id: Option<CustomerId>,
}

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
  worker_busy_us = worker_busy_us + excluded.worker_busy_us";
const CELLS: &str = "
select
  hour_us, customer_id, key_id, model, target, requests, attempts, input_uncached, cache_read, cache_write_5m,
  cache_write_1h, cache_write_unspecified, output, reasoning, cost_nanousd, charge_nanousd, unpriced, estimated,
  worker_busy_us
from rollups_hourly
order by hour_us, customer_id, key_id, model, target";
const SUMS: &str = "
  sum(requests) as requests,
  sum(attempts) as attempts,
  sum(input_uncached) as input_uncached,
  sum(cache_read) as cache_read,
  sum(cache_write_5m) as cache_write_5m,
  sum(cache_write_1h) as cache_write_1h,
  sum(cache_write_unspecified) as cache_write_unspecified,
  sum(output) as output,
  sum(reasoning) as reasoning,
  sum(cost_nanousd) as cost_nanousd,
  sum(charge_nanousd) as charge_nanousd,
  sum(unpriced) as unpriced,
  sum(estimated) as estimated,
  sum(worker_busy_us) as worker_busy_us
from rollups_hourly
where (?1 is null or hour_us >= ?1)
  and (?2 is null or hour_us < ?2)
  and (?3 is null or customer_id = ?3)";

pub(super) const STATEMENTS: &[&str] = &[UPSERT, CELLS];

/// The cell of an entry.
#[must_use]
pub fn cell_of(entry: &Entry) -> RollupKey {
    let admission = &entry.admission;
    RollupKey {
        hour_us: admission.admitted_at_us.div_euclid(HOUR_US) * HOUR_US,
        customer_id: admission.customer_id,
        key_id: admission.key_id,
        model: admission.model.clone(),
        target: admission.target.clone(),
    }
}

impl Sums {
    /// Adds an entry.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] when a sum does not fit.
    pub fn add(&mut self, entry: &Entry) -> Result<(), StoreError> {
        self.requests += u64::from(entry.admission.id.attempt == 0);
        self.attempts += 1;
        for line in &entry.lines {
            add_usage(&mut self.usage, &line.usage)?;
            self.cost = self.cost.checked_add(line.cost.unwrap_or_default()).map_err(|_| StoreError::TooLarge)?;
            self.charge = self.charge.checked_add(line.charge.unwrap_or_default()).map_err(|_| StoreError::TooLarge)?;
            let busy_us = line.worker.map_or(0, |time| time.busy_us());
            self.worker_busy_us = self.worker_busy_us.checked_add(busy_us).ok_or(StoreError::TooLarge)?;
        }
        self.unpriced += u64::from(entry.is_unpriced());
        let exact = matches!(entry.usage_source, UsageSource::ProviderFinal | UsageSource::NotBilled);
        self.estimated += u64::from(!exact);
        Ok(())
    }
}

fn add_usage(sum: &mut Usage, usage: &Usage) -> Result<(), StoreError> {
    for (total, part) in [
        (&mut sum.input_uncached, usage.input_uncached),
        (&mut sum.cache_read, usage.cache_read),
        (&mut sum.cache_write_5m, usage.cache_write_5m),
        (&mut sum.cache_write_1h, usage.cache_write_1h),
        (&mut sum.cache_write_unspecified, usage.cache_write_unspecified),
        (&mut sum.output, usage.output),
        (&mut sum.reasoning, usage.reasoning),
    ] {
        *total = total.checked_add(part).ok_or(StoreError::TooLarge)?;
    }
    Ok(())
}

/// Adds folded cells to the stored ones. Cells come sorted, so that concurrent writers cannot deadlock.
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
        let usage = &sums.usage;
        for count in [
            sums.requests,
            sums.attempts,
            usage.input_uncached,
            usage.cache_read,
            usage.cache_write_5m,
            usage.cache_write_1h,
            usage.cache_write_unspecified,
            usage.output,
            usage.reasoning,
        ] {
            query = query.bind(row::column(count)?);
        }
        query = query.bind(sums.cost.get()).bind(sums.charge.get());
        for count in [sums.unpriced, sums.estimated, sums.worker_busy_us] {
            query = query.bind(row::column(count)?);
        }
        query.execute(&mut **tx).await?;
    }
    Ok(())
}

impl Store {
    /// Every cell, for the audit.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rollup_cells(&self) -> Result<BTreeMap<RollupKey, Sums>, StoreError> {
        let rows = sqlx::query(CELLS).fetch_all(&self.readers).await?;
        rows.iter()
            .map(|from| {
                let key = RollupKey {
                    hour_us: from.try_get("hour_us")?,
                    customer_id: CustomerId::from_bytes(row::id(from, "customer_id")?),
                    key_id: KeyId::from_bytes(row::id(from, "key_id")?),
                    model: from.try_get("model")?,
                    target: from.try_get("target")?,
                };
                Ok((key, sums(from)?))
            })
            .collect()
    }

    /// Sums by group.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn usage_by(&self, by: &[By], span: Span) -> Result<Vec<UsageGroup>, StoreError> {
        let statement = statement(by);
        let rows = sqlx::query(AssertSqlSafe(statement))
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

/// Made of constants only.
fn statement(by: &[By]) -> String {
    let columns: Vec<&str> = by
        .iter()
        .map(|by| match by {
            By::Key => "key_id",
            By::Customer => "customer_id",
            By::Model => "model",
            By::Target => "target",
            By::Day => "day_us",
        })
        .collect();
    let day = "hour_us / 86400000000 * 86400000000 as day_us,";
    let selected: Vec<&str> = columns.iter().copied().filter(|column| *column != "day_us").collect();
    let selected = selected.iter().map(|column| format!("{column},")).collect::<Vec<_>>().join(" ");
    let groups =
        if columns.is_empty() { String::new() } else { format!("\ngroup by {0}\norder by {0}", columns.join(", ")) };
    format!("select {selected} {day}{SUMS}{groups}")
}

fn sums(from: &SqliteRow) -> Result<Sums, StoreError> {
    Ok(Sums {
        requests: row::count(from, "requests")?,
        attempts: row::count(from, "attempts")?,
        usage: Usage {
            input_uncached: row::count(from, "input_uncached")?,
            cache_read: row::count(from, "cache_read")?,
            cache_write_5m: row::count(from, "cache_write_5m")?,
            cache_write_1h: row::count(from, "cache_write_1h")?,
            cache_write_unspecified: row::count(from, "cache_write_unspecified")?,
            output: row::count(from, "output")?,
            reasoning: row::count(from, "reasoning")?,
            ..Usage::default()
        },
        cost: row::amount(from, "cost_nanousd")?,
        charge: row::amount(from, "charge_nanousd")?,
        unpriced: row::count(from, "unpriced")?,
        estimated: row::count(from, "estimated")?,
        worker_busy_us: row::count(from, "worker_busy_us")?,
    })
}
