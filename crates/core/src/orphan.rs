//! The published rule for an attempt that was opened and never ended: what the books say after a crash.
//!
//! Usage is the provider's last cumulative count if one was seen, else the input estimate plus the estimate of the text
//! delivered so far. The outcome is `interrupted`; the source is `estimated` in every case. A worker's time is its last
//! cumulative count; without one it is zero and flagged: nobody can estimate it.

use crate::{
    counters::Counters,
    entry::{Admission, Entry, Line, Outcome, UsageSource},
    estimate::tokens_from_bytes,
    price::{BookRule, CostBasis, Terms, price_entry},
    pricing_context::PricingContext,
    record::Progress,
    usage::Usage,
    worker_cost::{WORKER_TIME_UNKNOWN, WorkerTime},
};

/// Resolves an orphan. Deterministic: resolving it twice gives the same bytes.
#[must_use]
pub fn resolve_orphan(
    admission: Admission,
    progress: Option<&Progress>,
    cost: Option<CostBasis<'_>>,
    rule: Option<&BookRule>,
) -> Entry {
    let estimate = || Usage {
        input_uncached: admission.input_estimate,
        output: progress.map_or(0, |progress| tokens_from_bytes(progress.delivered_bytes)),
        ..Usage::default()
    };
    let usage = progress.and_then(|progress| progress.reported).unwrap_or_else(estimate);
    let mut flags = vec!["recovered".to_owned()];
    let mut worker = progress.and_then(|progress| progress.worker);
    if worker.is_none() && matches!(cost, Some(CostBasis::Device(_))) {
        flags.push(WORKER_TIME_UNKNOWN.to_owned());
        worker = Some(WorkerTime::default());
    }
    let (context, counters) = (PricingContext::default(), Counters::default());
    let terms = Terms { usage: &usage, context: &context, worker: worker.as_ref(), cost, rule };
    let priced = price_entry(&[terms], &counters, admission.admitted_at_us).first().copied().unwrap_or_default();
    let billed_model = admission.target.split_once('/').map_or(admission.target.as_str(), |(_, model)| model);
    let lines = vec![Line {
        billed_model: billed_model.to_owned(),
        usage,
        cost: priced.cost,
        charge: priced.charge,
        worker,
        price_fallbacks: priced.fallbacks,
        ..Line::default()
    }];
    let ended_at_us = admission.admitted_at_us;
    Entry {
        admission,
        outcome: Outcome::Interrupted,
        usage_source: UsageSource::Estimated,
        flags,
        lines,
        ended_at_us,
        elapsed_us: 0,
        first_byte_us: None,
        status: None,
        raw_usage: None,
        reported_total: None,
        reported_cost_usd: None,
        counters,
        corrects: None,
    }
}
