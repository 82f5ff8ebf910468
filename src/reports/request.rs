//! The books' word on one request: its attempts, its priced lines, what it cost and what is owed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use tollgate_core::{
    counters::Counters,
    entry::{Entry, Outcome, UsageSource},
    id::{CustomerId, KeyId, RequestId},
    money::NanoUsd,
    pricing_context::PricingContext,
    usage::Usage,
    worker_cost::WorkerTime,
};

use crate::store::{Store, StoreError};

/// One request.
#[derive(Clone, Debug, Serialize)]
pub struct RequestView {
    /// Its id.
    pub request_id: RequestId,
    /// Who pays.
    pub customer_id: CustomerId,
    /// The key.
    pub key_id: KeyId,
    /// The dialect that the client spoke.
    pub dialect: String,
    /// The path that it called.
    pub endpoint: String,
    /// Public model.
    pub model: String,
    /// Whether it asked for a stream.
    pub stream: bool,
    /// How its last attempt ended.
    pub outcome: Outcome,
    /// Admission, RFC 3339 UTC.
    pub started_at: Timestamp,
    /// End of the last attempt, RFC 3339 UTC.
    pub ended_at: Timestamp,
    /// Admission to end.
    pub elapsed_ms: u64,
    /// Admission to first byte for the client.
    pub first_byte_ms: Option<u64>,
    /// Where the numbers of the last attempt come from.
    pub usage_source: UsageSource,
    /// Reasons for suspicion and notes, of all attempts.
    pub flags: Vec<String>,
    /// Priced lines of all attempts.
    pub lines: Vec<LineView>,
    /// Other units.
    pub counters: Counters,
    /// In order.
    pub attempts: Vec<AttemptView>,
    /// As the upstream reported it.
    pub reported_cost_usd: Option<String>,
    /// What we pay; none when a line is unpriced.
    pub cost_usd: Option<NanoUsd>,
    /// What is owed; none when a line is unpriced.
    pub charge_usd: Option<NanoUsd>,
    /// `x-tollgate-tags`
    pub tags: BTreeMap<String, String>,
    /// What the SDK sent as end user.
    pub end_user: Option<String>,
}

/// A priced line.
#[derive(Clone, Debug, Serialize)]
pub struct LineView {
    /// `provider/model`
    pub target: String,
    /// The model that served.
    pub billed_model: String,
    /// Tokens.
    pub usage: Usage,
    /// None: unpriced.
    pub cost_usd: Option<NanoUsd>,
    /// None: unpriced.
    pub charge_usd: Option<NanoUsd>,
    /// Version of the cost table or device rate.
    pub cost_price_version: Option<String>,
    /// Version of the book's rule.
    pub charge_price_version: Option<String>,
    /// What else picked the prices: tier, region, size of pictures; only where something did.
    #[serde(skip_serializing_if = "PricingContext::is_empty")]
    pub context: PricingContext,
    /// A worker's time; only where one of ours served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerTime>,
}

/// An attempt.
#[derive(Clone, Debug, Serialize)]
pub struct AttemptView {
    /// `provider/model`
    pub target: String,
    /// The upstream's status; none when no answer came.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
}

/// One request; none when the books do not know it (yet).
///
/// # Errors
/// [`StoreError`].
pub async fn request_view(store: &Store, request_id: RequestId) -> Result<Option<RequestView>, StoreError> {
    let entries = store.entries_of_request(request_id).await?;
    Ok(entries.last().map(|last| view(&entries, last)))
}

fn view(entries: &[Entry], last: &Entry) -> RequestView {
    let admission = &last.admission;
    let time = |at_us| Timestamp::from_microsecond(at_us).unwrap_or_default();
    let sum = |amount: fn(&Entry) -> Option<NanoUsd>| {
        entries.iter().try_fold(NanoUsd::ZERO, |sum, entry| sum.checked_add(amount(entry)?).ok())
    };
    RequestView {
        request_id: admission.id.request_id,
        customer_id: admission.customer_id,
        key_id: admission.key_id,
        dialect: admission.dialect.clone(),
        endpoint: admission.endpoint.clone(),
        model: admission.model.clone(),
        stream: admission.stream,
        outcome: last.outcome,
        started_at: time(admission.admitted_at_us),
        ended_at: time(last.ended_at_us),
        elapsed_ms: last.elapsed_us / 1000,
        first_byte_ms: last.first_byte_us.map(|us| us / 1000),
        usage_source: last.usage_source,
        flags: entries.iter().flat_map(|entry| entry.flags.iter().cloned()).collect(),
        lines: entries.iter().flat_map(lines).collect(),
        counters: last.counters,
        attempts: entries
            .iter()
            .map(|entry| AttemptView {
                target: entry.admission.target.clone(),
                status: entry.status,
                outcome: entry.outcome,
            })
            .collect(),
        reported_cost_usd: last.reported_cost_usd.clone(),
        cost_usd: sum(Entry::cost),
        charge_usd: sum(Entry::charge),
        tags: admission.tags.iter().flatten().cloned().collect(),
        end_user: admission.end_user.clone(),
    }
}

fn lines(entry: &Entry) -> impl Iterator<Item = LineView> {
    entry.lines.iter().map(|line| LineView {
        target: entry.admission.target.clone(),
        billed_model: line.billed_model.clone(),
        usage: line.usage,
        cost_usd: line.cost,
        charge_usd: line.charge,
        cost_price_version: line.cost_price_version.clone().or_else(|| entry.admission.cost_price_version.clone()),
        charge_price_version: line
            .charge_price_version
            .clone()
            .or_else(|| entry.admission.charge_price_version.clone()),
        context: line.context.clone(),
        worker: line.worker,
    })
}
