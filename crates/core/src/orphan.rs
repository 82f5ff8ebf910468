//! The published rule for an attempt that was opened and never ended: what the books say after a crash.
//!
//! Usage is the provider's last cumulative count if one was seen, else the input estimate plus the estimate of the text
//! delivered so far. The outcome is `interrupted`; the source is `estimated` in every case. A worker's time is its last
//! cumulative count; without one it is zero and flagged: nobody can estimate it. Tier, region and units are what the answer
//! had said by then. An answer of another model is priced as the target's, and flagged: what had no price is, too.

use crate::{
    entry::{Admission, Entry, Line, Outcome, PRICED_AS_TARGET, UNPRICED, UsageSource},
    estimate::tokens_from_bytes,
    price::{BookRule, CostBasis, Terms, price_entry},
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
    let context = progress.map(|progress| progress.context.clone()).unwrap_or_default();
    let counters = progress.map(|progress| progress.counters).unwrap_or_default();
    let terms = Terms { usage: &usage, context: &context, worker: worker.as_ref(), cost, rule };
    let priced = price_entry(&[terms], &counters, admission.admitted_at_us).first().copied().unwrap_or_default();
    let target = admission.target.split_once('/').map_or(admission.target.as_str(), |(_, model)| model);
    let served = progress.and_then(|progress| progress.billed_model.as_deref());
    if served.is_some_and(|served| !served.eq_ignore_ascii_case(target)) && !matches!(cost, Some(CostBasis::Device(_)))
    {
        flags.push(PRICED_AS_TARGET.to_owned());
    }
    if !priced.is_priced() {
        flags.push(UNPRICED.to_owned());
    }
    let lines = vec![Line {
        billed_model: served.unwrap_or(target).to_owned(),
        usage,
        cost: priced.cost,
        charge: priced.charge,
        worker,
        context,
        price_fallbacks: priced.fallbacks,
        unpriced_units: priced.unpriced_units,
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
        output_estimate: None,
    }
}
