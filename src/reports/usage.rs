//! Tokens, cost and charge, grouped.

use jiff::Timestamp;
use serde::Serialize;
use tollgate_core::{
    id::{CustomerId, KeyId},
    money::NanoUsd,
};

use crate::store::{
    Store, StoreError,
    rollups::{By, Span},
};

/// One row of a usage report; what was not grouped by is left out.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct UsageRow {
    /// Key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<KeyId>,
    /// Customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<CustomerId>,
    /// Public model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// `provider/model`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// UTC day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// Requests.
    pub requests: u64,
    /// Attempts, retries included.
    pub attempts: u64,
    /// Fresh input tokens.
    pub input_uncached: u64,
    /// Input tokens read from a cache.
    pub cache_read: u64,
    /// Input tokens written to a five-minute cache.
    pub cache_write_5m: u64,
    /// Input tokens written to a one-hour cache.
    pub cache_write_1h: u64,
    /// Input tokens written to a cache of unstated lifetime.
    pub cache_write_unspecified: u64,
    /// Output tokens.
    pub output: u64,
    /// Part of the output.
    pub reasoning: u64,
    /// What we pay.
    pub cost_usd: NanoUsd,
    /// What is owed.
    pub charge_usd: NanoUsd,
    /// Attempts without a price: not in the sums.
    pub unpriced: u64,
    /// Attempts whose usage is not the provider's last word.
    pub estimated: u64,
}

impl UsageRow {
    /// What tells the group from the others, in the order of `by`. Texts sort as the values do.
    #[must_use]
    pub fn group(&self, by: &[By]) -> Vec<String> {
        let of = |by: &By| match by {
            By::Key => self.key_id.map(|id| id.to_string()),
            By::Customer => self.customer_id.map(|id| id.to_string()),
            By::Model => self.model.clone(),
            By::Target => self.target.clone(),
            By::Day => self.day.clone(),
        };
        by.iter().map(|by| of(by).unwrap_or_default()).collect()
    }
}

/// The report.
///
/// # Errors
/// [`StoreError`].
pub async fn usage(store: &Store, by: &[By], span: Span) -> Result<Vec<UsageRow>, StoreError> {
    let groups = store.usage_by(by, span).await?;
    let rows = groups.into_iter().map(|group| {
        let (sums, usage) = (group.sums, group.sums.usage);
        UsageRow {
            key_id: group.key_id,
            customer_id: group.customer_id,
            model: group.model,
            target: group.target,
            day: group.day_us.map(day_text),
            requests: sums.requests,
            attempts: sums.attempts,
            input_uncached: usage.input_uncached,
            cache_read: usage.cache_read,
            cache_write_5m: usage.cache_write_5m,
            cache_write_1h: usage.cache_write_1h,
            cache_write_unspecified: usage.cache_write_unspecified,
            output: usage.output,
            reasoning: usage.reasoning,
            cost_usd: sums.cost,
            charge_usd: sums.charge,
            unpriced: sums.unpriced,
            estimated: sums.estimated,
        }
    });
    Ok(rows.collect())
}

/// A moment as its UTC day.
pub(super) fn day_of(at_us: i64) -> jiff::civil::Date {
    jiff::tz::TimeZone::UTC.to_datetime(Timestamp::from_microsecond(at_us).unwrap_or_default()).date()
}

fn day_text(at_us: i64) -> String {
    day_of(at_us).to_string()
}
