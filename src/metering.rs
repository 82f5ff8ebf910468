//! Watches a response to its end and yields what it used, whatever way it ends.
//!
//! Takes what the dialect's sniffer saw; knows no prices, keys or journal. Every ending yields exactly one [`Metered`].

mod conclude;

use tollgate_core::{
    counters::Counters,
    entry::{Outcome, UsageSource},
    estimate::TextEstimate,
    pricing_context::PricingContext,
    usage::Usage,
    worker_cost::{WORKER_TIME_UNKNOWN, WorkerTime},
};

pub use self::conclude::{SoFar, conclude, conclude_left, used_so_far};
use crate::upstream::{sniff::Sniffed, usage::map_usage, worker::worker_time};

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

/// Who served: whose words are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reporter {
    /// A provider: its tokens.
    Provider,
    /// A worker of ours: its tokens and its time.
    Worker,
}

/// What of a request matters to its metering.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Tokens of the input by the published rule, used where nothing better becomes known.
    pub input_estimate: u64,
    /// Answers at once; zero or one: one.
    pub choices: u64,
    /// Tokens of output that all of them may have together; zero: not said.
    pub output_max: u64,
    /// The endpoint is metered by a unit that the answer tells, so that an estimate of tokens says nothing.
    pub by_unit: bool,
    /// Unicode code points of text to be spoken; zero when nothing is.
    pub characters: u64,
    /// Width and height of the pictures asked for.
    pub image_size: Option<String>,
    /// Quality of the pictures asked for.
    pub image_quality: Option<String>,
}

/// What one model used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeteredLine {
    /// The model that served, as the upstream said; none when it did not: the one that was asked for.
    pub billed_model: Option<String>,
    /// Tokens.
    pub usage: Usage,
    /// What else picks the price.
    pub context: PricingContext,
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
    /// What each model used, the one that answered first; empty when nothing was used.
    pub lines: Vec<MeteredLine>,
    /// How the output of the first line was estimated; none where it was not.
    pub output_estimate: Option<TextEstimate>,
    /// Units beside tokens.
    pub counters: Counters,
    /// The upstream's usage object as it came.
    pub raw_usage: Option<String>,
    /// The total as reported.
    pub reported_total: Option<u64>,
    /// The cost as reported, decimal text of USD.
    pub reported_cost_usd: Option<String>,
    /// The worker's time; none when a provider served, or nothing was used.
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
            lines: Vec::new(),
            output_estimate: None,
            counters: Counters::default(),
            raw_usage: None,
            reported_total: None,
            reported_cost_usd: None,
            worker: None,
        }
    }

    /// The same ending with the usage of a worker's final record, which is exact however much of the answer arrived.
    #[must_use]
    pub fn told_by_record(mut self, usage_raw: String) -> Self {
        let told = Sniffed { usage_raw: Some(usage_raw.clone()), ..Sniffed::default() };
        let Some(mapped) = map_usage(&told) else { return self };
        let Some(usage) = mapped.usage else { return self };
        self.source = if mapped.is_suspect { UsageSource::ProviderFinalSuspect } else { UsageSource::ProviderFinal };
        match self.lines.first_mut() {
            Some(line) => line.usage = usage,
            None => self.lines.push(MeteredLine { usage, ..MeteredLine::default() }),
        }
        self.output_estimate = None;
        self.flags = mapped.flags;
        self.reported_total = mapped.reported_total;
        self.raw_usage = Some(usage_raw);
        self.take_worker_time();
        self
    }

    /// A line of a worker says its time, and says so when it is not known.
    fn take_worker_time(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        self.worker = self.raw_usage.as_deref().and_then(worker_time);
        if self.worker.is_none() {
            self.flags.push(WORKER_TIME_UNKNOWN.to_owned());
            self.worker = Some(WorkerTime::default());
        }
    }
}
