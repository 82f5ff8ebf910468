//! Hourly sums per customer, key, model and target: what reports read instead of entries.

use std::{collections::BTreeMap, sync::Arc};

use tollgate_core::{
    entry::UsageSource,
    entry_row::{EntryRow, Totals},
    id::{CustomerId, KeyId},
    money::NanoUsd,
    usage::Usage,
};

use super::{Store, StoreError, column};

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
    pub model: Arc<str>,
    /// `provider/model`
    pub target: Arc<str>,
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
    /// Of those of earlier entries, attempts that a correction has priced. None in what is read: it is taken off there.
    pub settled: u64,
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

/// The cell of an entry.
#[must_use]
pub fn cell_of(entry: &EntryRow) -> RollupKey {
    RollupKey {
        hour_us: entry.admitted_at_us.div_euclid(HOUR_US) * HOUR_US,
        customer_id: entry.customer_id,
        key_id: entry.key_id,
        model: Arc::clone(&entry.model),
        target: Arc::clone(&entry.target),
    }
}

impl Sums {
    /// Adds an entry.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] when a sum does not fit.
    pub fn add(&mut self, entry: &EntryRow) -> Result<(), StoreError> {
        // A correction is no attempt, uses nothing and estimates nothing.
        if let Some(correction) = &entry.corrects {
            self.settled += u64::from(correction.settles);
        } else {
            self.requests += u64::from(entry.id.attempt == 0);
            self.attempts += 1;
            self.unpriced += u64::from(entry.is_unpriced);
            let exact = matches!(entry.usage_source, UsageSource::ProviderFinal | UsageSource::NotBilled);
            self.estimated += u64::from(!exact);
        }
        let so_far =
            Totals { usage: self.usage, cost: self.cost, charge: self.charge, worker_busy_us: self.worker_busy_us };
        let sum = entry.totals.and_then(|totals| so_far.checked_add(&totals)).ok_or(StoreError::TooLarge)?;
        (self.usage, self.cost, self.charge) = (sum.usage, sum.cost, sum.charge);
        self.worker_busy_us = sum.worker_busy_us;
        Ok(())
    }
}

/// The columns that are summed, as both engines name them, in the order of [`Sums::columns`].
pub(super) const SUMMED: [&str; 14] = [
    "requests",
    "attempts",
    "input_uncached",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "cache_write_unspecified",
    "output",
    "reasoning",
    "cost_nanousd",
    "charge_nanousd",
    "unpriced",
    "estimated",
    "worker_busy_us",
];

impl Sums {
    /// The values of [`SUMMED`].
    pub(super) fn columns(&self) -> Result<[i64; SUMMED.len()], StoreError> {
        let usage = &self.usage;
        Ok([
            column(self.requests)?,
            column(self.attempts)?,
            column(usage.input_uncached)?,
            column(usage.cache_read)?,
            column(usage.cache_write_5m)?,
            column(usage.cache_write_1h)?,
            column(usage.cache_write_unspecified)?,
            column(usage.output)?,
            column(usage.reasoning)?,
            self.cost.get(),
            self.charge.get(),
            column(self.unpriced)?.checked_sub(column(self.settled)?).ok_or(StoreError::TooLarge)?,
            column(self.estimated)?,
            column(self.worker_busy_us)?,
        ])
    }

    /// Reads the columns of [`SUMMED`].
    pub(super) fn read(mut value: impl FnMut(&str) -> Result<i64, StoreError>) -> Result<Self, StoreError> {
        let mut count = |column| u64::try_from(value(column)?).map_err(|_| StoreError::Damaged("count"));
        let usage = Usage {
            input_uncached: count("input_uncached")?,
            cache_read: count("cache_read")?,
            cache_write_5m: count("cache_write_5m")?,
            cache_write_1h: count("cache_write_1h")?,
            cache_write_unspecified: count("cache_write_unspecified")?,
            output: count("output")?,
            reasoning: count("reasoning")?,
            ..Usage::default()
        };
        Ok(Self {
            requests: count("requests")?,
            attempts: count("attempts")?,
            unpriced: count("unpriced")?,
            settled: 0,
            estimated: count("estimated")?,
            worker_busy_us: count("worker_busy_us")?,
            usage,
            cost: NanoUsd::new(value("cost_nanousd")?),
            charge: NanoUsd::new(value("charge_nanousd")?),
        })
    }
}

/// Where the engines write one and the same report differently.
pub(super) struct UsageDialect {
    /// Around a sum's column.
    pub(super) sum: (&'static str, &'static str),
    /// The first hour, the hour behind the last, and the customer; null: any.
    pub(super) parameters: [&'static str; 3],
}

/// The statement of [`Store::usage_by`]: made of constants only.
pub(super) fn usage_statement(by: &[By], dialect: &UsageDialect) -> String {
    let mut selected: Vec<String> = Vec::new();
    let mut groups: Vec<&str> = Vec::new();
    for by in by {
        let (expression, name) = match by {
            By::Key => ("key_id", "key_id"),
            By::Customer => ("customer_id", "customer_id"),
            By::Model => ("model", "model"),
            By::Target => ("target", "target"),
            By::Day => ("hour_us / 86400000000 * 86400000000 as day_us", "day_us"),
        };
        selected.push(expression.to_owned());
        groups.push(name);
    }
    let (before, after) = dialect.sum;
    selected.extend(SUMMED.map(|column| format!("{before}{column}{after} as {column}")));
    let [from, to, customer] = dialect.parameters;
    let grouping =
        if groups.is_empty() { String::new() } else { format!("\ngroup by {0}\norder by {0}", groups.join(", ")) };
    format!(
        "select {}\nfrom rollups_hourly\nwhere ({from} is null or hour_us >= {from})\n  \
         and ({to} is null or hour_us < {to})\n  and ({customer} is null or customer_id = {customer}){grouping}",
        selected.join(", ")
    )
}

/// Every statement that [`usage_statement`] can make.
pub(super) fn usage_statements(dialect: &UsageDialect) -> Vec<String> {
    let all = [By::Key, By::Customer, By::Model, By::Target, By::Day];
    let chosen = |bits: u32| all.iter().enumerate().filter(move |(index, _)| bits >> index & 1 == 1).map(|(_, by)| *by);
    (0..1 << all.len()).map(|bits| usage_statement(&chosen(bits).collect::<Vec<_>>(), dialect)).collect()
}

impl Store {
    /// Every cell, for the audit.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rollup_cells(&self) -> Result<BTreeMap<RollupKey, Sums>, StoreError> {
        on_engine!(self, rollup_cells())
    }

    /// Sums by group.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn usage_by(&self, by: &[By], span: Span) -> Result<Vec<UsageGroup>, StoreError> {
        on_engine!(self, usage_by(by, span))
    }
}
