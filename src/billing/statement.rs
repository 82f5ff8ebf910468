//! What a customer owes for a month: read from rollups, recomputed from entries by the audit.

use jiff::{ToSpan, civil::Date, tz::TimeZone};
use serde::Serialize;
use tollgate_core::{
    id::CustomerId,
    money::{MoneyOverflow, NanoUsd},
    usage::Usage,
};

use crate::store::{
    Store, StoreError,
    rollups::{By, Span, Sums},
};

/// Why there is no statement.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// The month is not of the form `2026-11`.
    #[error("`{0}` is not a month; write it as 2026-11")]
    BadMonth(String),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A sum does not fit.
    #[error(transparent)]
    Overflow(#[from] MoneyOverflow),
    /// The table cannot be written.
    #[error("the statement cannot be written as CSV: {0}")]
    Csv(String),
}

/// A UTC month, half-open: an entry belongs to the month of its admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    first: Date,
}

impl Month {
    /// From `2026-11`.
    ///
    /// # Errors
    /// [`StatementError::BadMonth`].
    pub fn parse(text: &str) -> Result<Self, StatementError> {
        let first = (text.len() == 7).then(|| format!("{text}-01").parse().ok()).flatten();
        first.map(|first| Self { first }).ok_or_else(|| StatementError::BadMonth(text.to_owned()))
    }

    /// The month of a moment, microseconds since 1970 UTC.
    #[must_use]
    pub fn of(at_us: i64) -> Self {
        let at = jiff::Timestamp::from_microsecond(at_us).unwrap_or_default();
        Self { first: TimeZone::UTC.to_datetime(at).date().first_of_month() }
    }

    /// First moment, and first moment behind it.
    #[must_use]
    pub fn bounds_us(self) -> (i64, i64) {
        let us = |day: Date| {
            let midnight = day.to_datetime(jiff::civil::Time::midnight());
            TimeZone::UTC.to_timestamp(midnight).map_or(0, |at| at.as_microsecond())
        };
        let next = self.first.checked_add(1.month()).unwrap_or(self.first);
        (us(self.first), us(next))
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}", self.first.year(), self.first.month())
    }
}

/// A customer's month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Statement {
    /// Who pays.
    pub customer_id: CustomerId,
    /// Name.
    pub customer: String,
    /// `2026-11`, UTC.
    pub month: String,
    /// One a model.
    pub lines: Vec<StatementLine>,
    /// Sum of the lines.
    pub total_usd: NanoUsd,
    /// Attempts without a price: not in the total; price them before the month is closed.
    pub unpriced: u64,
    /// Attempts whose usage is not the provider's last word.
    pub estimated: u64,
}

/// One model of a month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct StatementLine {
    /// Public model.
    pub model: String,
    /// Requests.
    pub requests: u64,
    /// Tokens.
    pub usage: Usage,
    /// What is owed.
    pub charge_usd: NanoUsd,
}

/// The statement of a customer's month.
///
/// # Errors
/// [`StatementError`].
pub async fn statement(store: &Store, customer_id: CustomerId, month: Month) -> Result<Statement, StatementError> {
    let customer = store.customer(customer_id).await?;
    let (from_us, to_us) = month.bounds_us();
    let span = Span { from_us: Some(from_us), to_us: Some(to_us), customer_id: Some(customer_id) };
    let groups = store.usage_by(&[By::Model], span).await?;
    let by_model: Vec<(String, Sums)> =
        groups.into_iter().map(|group| (group.model.unwrap_or_default(), group.sums)).collect();
    let total_usd = NanoUsd::sum(by_model.iter().map(|(_, sums)| sums.charge))?;
    Ok(Statement {
        customer_id,
        customer: customer.name,
        month: month.to_string(),
        unpriced: by_model.iter().map(|(_, sums)| sums.unpriced).sum(),
        estimated: by_model.iter().map(|(_, sums)| sums.estimated).sum(),
        lines: by_model.into_iter().map(|(model, sums)| line(model, &sums)).collect(),
        total_usd,
    })
}

fn line(model: String, sums: &Sums) -> StatementLine {
    StatementLine { model, requests: sums.requests, usage: sums.usage, charge_usd: sums.charge }
}

impl Statement {
    /// As CSV, one line a model and one for the total.
    ///
    /// # Errors
    /// [`StatementError::Csv`].
    pub fn to_csv(&self) -> Result<String, StatementError> {
        let failed = |error: &dyn std::fmt::Display| StatementError::Csv(error.to_string());
        let mut writer = csv::Writer::from_writer(Vec::new());
        let head = [
            "customer_id",
            "customer",
            "month",
            "model",
            "requests",
            "input_uncached",
            "cache_read",
            "cache_write_5m",
            "cache_write_1h",
            "cache_write_unspecified",
            "output",
            "reasoning",
            "charge_usd",
        ];
        writer.write_record(head).map_err(|error| failed(&error))?;
        for line in &self.lines {
            let usage = &line.usage;
            let counts = [
                line.requests,
                usage.input_uncached,
                usage.cache_read,
                usage.cache_write_5m,
                usage.cache_write_1h,
                usage.cache_write_unspecified,
                usage.output,
                usage.reasoning,
            ];
            let texts =
                [self.customer_id.to_string(), harmless(&self.customer), self.month.clone(), harmless(&line.model)];
            let row =
                texts.into_iter().chain(counts.map(|count| count.to_string())).chain([line.charge_usd.to_string()]);
            writer.write_record(row).map_err(|error| failed(&error))?;
        }
        let texts = [self.customer_id.to_string(), harmless(&self.customer), self.month.clone(), "total".to_owned()];
        let row = texts.into_iter().chain((0..8).map(|_| String::new())).chain([self.total_usd.to_string()]);
        writer.write_record(row).map_err(|error| failed(&error))?;
        let bytes = writer.into_inner().map_err(|error| failed(&error))?;
        String::from_utf8(bytes).map_err(|error| failed(&error))
    }
}

/// A cell that a spreadsheet would run as a formula becomes a text.
fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}
