//! The books' word on one request: its attempts, its priced lines, what it cost and what is owed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use tollgate_core::{
    counters::Counters,
    decimal::Decimal,
    entry::{Correction, Entry, Line, Outcome, UsageSource},
    estimate::TextEstimate,
    id::{CustomerId, KeyId, RequestId},
    money::NanoUsd,
    price::{BookRule, CostBasis, Query, Unit, price},
    pricing_context::PricingContext,
    usage::Usage,
    worker_cost::WorkerTime,
};

use crate::{
    catalog::{Versions, quote::QuoteLine},
    store::{Store, StoreError},
};

/// One request.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
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
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// End of the last attempt, RFC 3339 UTC.
    #[schema(value_type = String, format = DateTime)]
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
    /// Later corrections of its prices, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub corrections: Vec<CorrectionView>,
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
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct LineView {
    /// `provider/model`
    pub target: String,
    /// The model that served.
    pub billed_model: String,
    /// Tokens.
    pub usage: Usage,
    /// How its output was estimated; only where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_estimate: Option<TextEstimate>,
    /// None: unpriced.
    pub cost_usd: Option<NanoUsd>,
    /// None: unpriced.
    pub charge_usd: Option<NanoUsd>,
    /// What was counted and has no price, by the counters' names: it is in neither amount.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unpriced_counters: Vec<&'static str>,
    /// Version of the cost table or device rate.
    pub cost_price_version: Option<String>,
    /// Version of the book's rule.
    pub charge_price_version: Option<String>,
    /// What else picked the prices: tier, region, size of pictures; only where something did.
    #[serde(skip_serializing_if = "PricingContext::is_empty")]
    pub context: PricingContext,
    /// How the cost came about, part by part; none for a worker's time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_parts: Option<Vec<QuoteLine>>,
    /// How the charge came about: prices of the book's own, or what it makes of the cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub charge_parts: Option<ChargeParts>,
    /// A worker's time; only where one of ours served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerTime>,
}

/// How a charge came about.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ChargeParts {
    /// `margin_over_cost`, `multiplier` or `prices`.
    pub rule: &'static str,
    /// The factor of a margin or multiplier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<Decimal>,
    /// Parts of a charge by prices of the book's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<Vec<QuoteLine>>,
    /// The least that a request costs; what is missing to it is in the first line's charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd_per_request_min: Option<Decimal>,
}

/// A correction.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct CorrectionView {
    /// Which attempt it corrects.
    pub attempt: u16,
    /// When it was found, RFC 3339 UTC.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What we pay more.
    pub cost_usd: NanoUsd,
    /// What is owed more.
    pub charge_usd: NanoUsd,
    /// Versions of the cost table, a line each.
    pub cost_price_versions: Vec<Option<String>>,
    /// Versions of the book's rule, a line each.
    pub charge_price_versions: Vec<Option<String>>,
}

/// An attempt.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
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
    let (corrections, own): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| entry.corrects.is_some());
    let Some(last) = own.last() else { return Ok(None) };
    let versions = versions(store, &own).await?;
    Ok(Some(view(&own, &corrections, last, &versions)))
}

/// The price versions that entries name.
async fn versions(store: &Store, entries: &[Entry]) -> Result<Versions, StoreError> {
    let named = entries.iter().flat_map(|entry| {
        let admission = [&entry.admission.cost_price_version, &entry.admission.charge_price_version];
        let lines = entry.lines.iter().flat_map(|line| [&line.cost_price_version, &line.charge_price_version]);
        admission.into_iter().chain(lines).flatten()
    });
    let mut rows = Vec::new();
    for id in named.collect::<std::collections::BTreeSet<_>>() {
        rows.extend(store.price_version(id).await?);
    }
    Ok(Versions::from_stored(rows.iter().map(|row| (row.id.as_str(), row.kind.as_str(), row.body.as_str()))))
}

fn view(entries: &[Entry], corrections: &[Entry], last: &Entry, versions: &Versions) -> RequestView {
    let admission = &last.admission;
    let time = |at_us| Timestamp::from_microsecond(at_us).unwrap_or_default();
    let is_settled = |entry: &Entry| {
        let of = |correction: &Correction| correction.of == entry.admission.id && correction.settles;
        corrections.iter().any(|other| other.corrects.as_ref().is_some_and(of))
    };
    // What had no price and has one now adds nothing here, and all of it as a correction.
    let lines_sum = |entry: &Entry, amount: fn(&Line) -> Option<NanoUsd>| {
        let known = is_settled(entry) || entry.lines.iter().all(|line| amount(line).is_some());
        known.then(|| NanoUsd::sum(entry.lines.iter().filter_map(amount)).ok()).flatten()
    };
    let sum = |amount: fn(&Line) -> Option<NanoUsd>| {
        let all = entries.iter().chain(corrections);
        all.into_iter().try_fold(NanoUsd::ZERO, |sum, entry| sum.checked_add(lines_sum(entry, amount)?).ok())
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
        lines: entries.iter().flat_map(|entry| lines(entry, versions)).collect(),
        counters: last.counters,
        attempts: entries
            .iter()
            .map(|entry| AttemptView {
                target: entry.admission.target.clone(),
                status: entry.status,
                outcome: entry.outcome,
            })
            .collect(),
        corrections: corrections.iter().filter_map(correction_view).collect(),
        reported_cost_usd: last.reported_cost_usd.clone(),
        cost_usd: sum(|line| line.cost),
        charge_usd: sum(|line| line.charge),
        tags: admission.tags.iter().flatten().cloned().collect(),
        end_user: admission.end_user.clone(),
    }
}

fn correction_view(entry: &Entry) -> Option<CorrectionView> {
    let correction = entry.corrects?;
    Some(CorrectionView {
        attempt: correction.of.attempt,
        at: Timestamp::from_microsecond(correction.at_us).unwrap_or_default(),
        cost_usd: entry.cost().unwrap_or_default(),
        charge_usd: entry.charge().unwrap_or_default(),
        cost_price_versions: entry.lines.iter().map(|line| line.cost_price_version.clone()).collect(),
        charge_price_versions: entry.lines.iter().map(|line| line.charge_price_version.clone()).collect(),
    })
}

fn lines(entry: &Entry, versions: &Versions) -> Vec<LineView> {
    let admission = &entry.admission;
    let line_view = |(index, line): (usize, &Line)| {
        let cost_version = line.cost_price_version.clone().or_else(|| admission.cost_price_version.clone());
        let charge_version = line.charge_price_version.clone().or_else(|| admission.charge_price_version.clone());
        let query = Query {
            usage: &line.usage,
            counters: (index == 0).then_some(&entry.counters),
            context: &line.context,
            at_us: admission.admitted_at_us,
            is_used_elsewhere: entry
                .lines
                .iter()
                .enumerate()
                .any(|(other, line)| other != index && line.usage.total() > 0),
        };
        let parts = |table| {
            let charge = price(&query, table).ok()?;
            Some(charge.lines.into_iter().map(QuoteLine::from).collect())
        };
        let cost_parts = match versions.cost(cost_version.as_deref()) {
            Some(CostBasis::Table(table)) => parts(table),
            _ => None,
        };
        let charge_parts = versions.rule(charge_version.as_deref()).map(|rule| {
            let (name, factor, parts) = match rule.base() {
                BookRule::MarginOverCost(margin) => ("margin_over_cost", Some(*margin), None),
                BookRule::Multiplier(factor) => ("multiplier", Some(*factor), None),
                BookRule::Absolute(table) => ("prices", None, parts(table)),
                BookRule::AtLeast { .. } => ("at_least", None, None),
            };
            ChargeParts { rule: name, factor, parts, usd_per_request_min: rule.usd_per_request_min() }
        });
        LineView {
            target: admission.target.clone(),
            billed_model: line.billed_model.clone(),
            usage: line.usage,
            output_estimate: entry.output_estimate.filter(|_| index == 0),
            cost_usd: line.cost,
            charge_usd: line.charge,
            unpriced_counters: Unit::names_of(line.unpriced_units),
            cost_price_version: cost_version,
            charge_price_version: charge_version,
            context: line.context.clone(),
            cost_parts,
            charge_parts,
            worker: line.worker,
        }
    };
    entry.lines.iter().enumerate().map(line_view).collect()
}
