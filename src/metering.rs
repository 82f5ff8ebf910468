//! Watches a response to its end and yields what it used, whatever way it ends.
//!
//! Takes what the dialect's sniffer saw; knows no prices, keys or journal. Every ending yields exactly one [`Metered`].

use tollgate_core::{
    entry::{Outcome, UsageSource},
    estimate::tokens_from_bytes,
    usage::Usage,
    worker_cost::WorkerTime,
};

use crate::upstream::{
    outcome,
    sniff::Sniffed,
    usage::{map_usage, worker_time},
};

/// Why reading an upstream's answer stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The dialect's terminal event came, or a whole body was read.
    Terminal,
    /// The body ended properly without a terminal event.
    Eof,
    /// The connection broke, or fell silent for too long.
    Cut,
    /// The client left, and reading stopped.
    ClientLeft,
    /// The gateway was stopped.
    Shutdown,
}

/// What an attempt used and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metered {
    /// How it ended.
    pub outcome: Outcome,
    /// Where the numbers come from.
    pub source: UsageSource,
    /// Reasons for suspicion and notes.
    pub flags: Vec<String>,
    /// Tokens; none when nothing was used.
    pub usage: Option<Usage>,
    /// The model that served, as the upstream said.
    pub billed_model: Option<String>,
    /// The upstream's usage object as it came.
    pub raw_usage: Option<String>,
    /// The total as reported.
    pub reported_total: Option<u64>,
    /// The cost as reported, decimal text of USD.
    pub reported_cost_usd: Option<String>,
    /// Time of the worker as reported; whoever is no worker is not believed.
    pub worker: Option<WorkerTime>,
}

impl Metered {
    /// An attempt that used nothing.
    #[must_use]
    pub fn nothing(outcome: Outcome, flag: Option<&str>) -> Self {
        Self {
            outcome,
            source: UsageSource::NotBilled,
            flags: flag.map(str::to_owned).into_iter().collect(),
            usage: None,
            billed_model: None,
            raw_usage: None,
            reported_total: None,
            reported_cost_usd: None,
            worker: None,
        }
    }
}

/// Concludes an answer of status 2xx from what its sniffer saw.
///
/// Reported usage wins, even when the answer was cut after it. Without a report, delivered text is estimated by the
/// published rule and marked; an answer of which nothing came is not billed.
#[must_use]
pub fn conclude(seen: &Sniffed, end: End, input_estimate: u64) -> Metered {
    let outcome = match end {
        End::ClientLeft => Outcome::ClientDisconnect,
        End::Shutdown => Outcome::Shutdown,
        End::Terminal | End::Eof => outcome::of_answer(seen, true),
        End::Cut => outcome::of_answer(seen, false),
    };
    let mut metered = Metered::nothing(outcome, None);
    metered.billed_model.clone_from(&seen.model);
    if let Some(raw) = &seen.usage_raw {
        let mapped = map_usage(raw, seen);
        let finished = seen.done || seen.finish.is_some() || matches!(end, End::Terminal);
        metered.source = if finished { mapped.source } else { UsageSource::ProviderPartial };
        metered.usage = mapped.usage;
        metered.flags = mapped.flags;
        // A cumulative count may lag behind what was delivered; then it is a placeholder.
        if let Some(usage) =
            metered.usage.as_mut().filter(|usage| !finished && usage.output == 0 && seen.output_bytes() > 0)
        {
            usage.output = tokens_from_bytes(seen.output_bytes());
            metered.flags.push("output_estimated".to_owned());
        }
        metered.reported_total = mapped.reported_total;
        metered.reported_cost_usd = mapped.reported_cost_usd;
        metered.worker = worker_time(raw);
        metered.raw_usage = Some(raw.clone());
    }
    let something_came = seen.output_bytes() > 0 || seen.choices_seen || seen.finish.is_some();
    if metered.usage.is_none() && something_came {
        metered.source = UsageSource::Estimated;
        metered.usage = Some(Usage {
            input_uncached: input_estimate,
            output: tokens_from_bytes(seen.output_bytes()),
            ..Usage::default()
        });
    }
    metered
}
