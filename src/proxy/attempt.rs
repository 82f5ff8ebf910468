//! One attempt of a request at one target, from OPENED to ENDED.
//!
//! Dropped without an end (a panic, a stopped runtime) it ends itself by the published rule for orphans.

use std::{sync::Arc, time::Duration};

use tollgate_core::{
    counters::Counters,
    entry::{Admission, COST_DIFFERS, Entry, Line, PRICED_AS_TARGET, UNPRICED},
    money::NanoUsd,
    orphan::resolve_orphan,
    price::{BookRule, CostBasis, PriceTable, PricedLine, Terms, price_entry},
    pricing_context::{PricingContext, ServiceTier},
    record::Progress,
    usage::Usage,
    worker_cost::WorkerTime,
};

use super::{
    alarms::{PricingAlarms, differs},
    observer::AttemptObserver,
};
use crate::{
    catalog::{BookVersion, Catalog, PriceVersion, device::CostVersion, is_short_name},
    clock::Clock,
    failpoint::{self, Point},
    journal::attempt::{EndReceipt, OpenAttempt},
    metering::{Metered, MeteredLine},
    upstream::request::hosted::Need,
};

/// Least time between two PROGRESS records.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// The price versions in force for an attempt; none: unpriced.
#[derive(Clone, Debug)]
pub struct Prices {
    /// What we pay the target.
    pub cost: Option<CostVersion>,
    /// What the customer owes.
    pub rule: Option<Arc<BookVersion>>,
    /// The prices of then: for an answer that another model gave.
    pub catalog: Arc<Catalog>,
    /// Counts attempts whose prices somebody should look at.
    pub alarms: Arc<PricingAlarms>,
}

impl Prices {
    /// Whether both are known.
    #[must_use]
    pub const fn complete(&self) -> bool {
        self.cost.is_some() && self.rule.is_some()
    }

    /// Whether input and output of a batch have a cost and a charge, up to a prompt of so many tokens: a longer one may be in a
    /// context tier that has no price for batches.
    #[must_use]
    pub fn prices_batches(&self, input_tokens_max: u64) -> bool {
        self.price_a_batch_of(1) && self.price_a_batch_of(input_tokens_max.max(1))
    }

    /// Whether what is asked for has a cost and a charge, at some tier or size.
    #[must_use]
    pub fn prices(&self, need: &Need) -> bool {
        let has = |table: &PriceTable| table.prices_unit(need.unit) || need.or_tokens && table.prices_input();
        let costs = match self.basis() {
            Some(CostBasis::Table(table)) => has(table),
            Some(CostBasis::Device(_)) => true,
            None => false,
        };
        let is_charged = match self.rule().map(BookRule::base) {
            Some(BookRule::Absolute(table)) => has(table),
            Some(_) => true,
            None => false,
        };
        costs && is_charged
    }

    fn price_a_batch_of(&self, input_tokens: u64) -> bool {
        let usage = Usage { input_uncached: input_tokens, output: 1, ..Usage::default() };
        let context = PricingContext { service_tier: Some(ServiceTier::Batch), ..PricingContext::default() };
        let terms = Terms { usage: &usage, context: &context, worker: None, cost: self.basis(), rule: self.rule() };
        let priced = price_entry(&[terms], &Counters::default(), 0);
        priced.iter().all(PricedLine::is_priced)
    }

    fn basis(&self) -> Option<CostBasis<'_>> {
        self.cost.as_ref().map(CostVersion::basis)
    }

    fn rule(&self) -> Option<&BookRule> {
        self.rule.as_ref().map(|version| &version.rule)
    }

    /// Writes cost and charge into the lines of an entry. A line that another model served costs what that one does; where it
    /// has no price table the target's stands for it, and then this is true.
    fn price(&self, lines: &mut [Line], counters: &Counters, admission: &Admission) -> bool {
        let served: Vec<_> = lines.iter().map(|line| self.served_by(line, admission)).collect();
        let (cost, rule) = (self.basis(), self.rule());
        let terms = lines.iter().zip(&served).map(|(line, served)| Terms {
            usage: &line.usage,
            context: &line.context,
            worker: line.worker.as_ref(),
            cost: if let ServedBy::Another(version) = served { Some(CostBasis::Table(&version.table)) } else { cost },
            rule,
        });
        let priced = price_entry(&terms.collect::<Vec<_>>(), counters, admission.admitted_at_us);
        let mut is_stood_for = false;
        for ((line, priced), served) in lines.iter_mut().zip(priced).zip(served) {
            (line.cost, line.charge, line.price_fallbacks) = (priced.cost, priced.charge, priced.fallbacks);
            line.unpriced_units = priced.unpriced_units;
            is_stood_for |= matches!(served, ServedBy::Unpriced);
            line.cost_price_version =
                if let ServedBy::Another(version) = served { Some(version.id.clone()) } else { None };
        }
        is_stood_for
    }

    fn served_by(&self, line: &Line, admission: &Admission) -> ServedBy<'_> {
        let Some(CostVersion::Table(target)) = &self.cost else { return ServedBy::Target };
        // By the name under which the provider is configured, as every other look-up.
        let (provider, model) = admission.target.split_once('/').unwrap_or_default();
        if is_short_name(model, &line.billed_model) {
            return ServedBy::Target;
        }
        match self.catalog.table(provider, &line.billed_model, admission.admitted_at_us) {
            None => ServedBy::Unpriced,
            Some(served) if served.id == target.id => ServedBy::Target,
            Some(served) => ServedBy::Another(served),
        }
    }
}

/// Which model served a line, as far as its cost goes.
enum ServedBy<'a> {
    /// The target's, or one with the same price table; or the cost is that of a worker's device.
    Target,
    /// One with a price table of its own.
    Another(&'a PriceVersion),
    /// One without a price table.
    Unpriced,
}

/// An attempt under way.
pub struct Attempt {
    open: Option<OpenAttempt>,
    prices: Prices,
    clock: Clock,
    started: Duration,
    first_byte: Option<Duration>,
    progress_at: Duration,
    observer: AttemptObserver,
}

/// What was counted of an attempt so far.
pub struct Counted {
    /// The upstream's last cumulative usage.
    pub reported: Option<Usage>,
    /// A worker's last cumulative time.
    pub worker: Option<WorkerTime>,
    /// UTF-8 bytes of delivered text.
    pub delivered_bytes: u64,
    /// What else picks the price, as the answer said so far.
    pub context: PricingContext,
    /// Units beside tokens so far.
    pub counters: Counters,
    /// The model that serves, as the upstream said.
    pub billed_model: Option<String>,
}

/// What an ended attempt came to.
pub struct Ended {
    /// What the customer owes; none when unpriced.
    pub charge: Option<NanoUsd>,
    /// Input and output tokens.
    pub tokens: u64,
    /// Resolves when the entry is durable.
    pub receipt: EndReceipt,
}

impl Attempt {
    /// Takes over an attempt whose OPENED is durable. `started` is the monotonic time of its admission.
    #[must_use]
    pub fn new(open: OpenAttempt, prices: Prices, clock: Clock, started: Duration, observer: AttemptObserver) -> Self {
        Self { open: Some(open), prices, clock, started, first_byte: None, progress_at: started, observer }
    }

    /// `provider/model`, where it goes; empty when it has ended.
    #[must_use]
    pub fn target(&self) -> &str {
        self.open.as_ref().map_or("", |open| &open.admission().target)
    }

    /// Marks that bytes go upstream now.
    pub fn sent(&mut self) {
        self.observer.sent(self.clock.monotonic());
        if let Some(open) = &self.open {
            open.sent();
        }
    }

    /// Marks the first byte for the client.
    pub fn first_byte(&mut self) {
        if self.first_byte.is_none() {
            self.first_byte = Some(self.clock.monotonic());
            failpoint::pass(Point::FirstChunk);
        }
    }

    /// Writes what was counted so far, at most once a second.
    pub fn progress(&mut self, now: Duration, counted: impl FnOnce() -> Counted) {
        if now.saturating_sub(self.progress_at) < PROGRESS_EVERY {
            return;
        }
        self.progress_at = now;
        if let Some(open) = &self.open {
            let Counted { reported, worker, delivered_bytes, context, counters, billed_model } = counted();
            let id = open.admission().id;
            let target = model_of(open.admission());
            let billed_model = billed_model.filter(|served| !is_short_name(target, served));
            open.progress(Progress { id, reported, delivered_bytes, worker, context, counters, billed_model });
            failpoint::pass(Point::Progress);
        }
    }

    /// No byte went upstream: nothing happened that the books must know.
    pub fn void(mut self) {
        if let Some(open) = self.open.take() {
            open.void();
        }
    }

    /// Ends the attempt: prices what it used and submits its entry. None if it was ended before.
    pub fn end(mut self, metered: Metered, status: Option<u16>) -> Option<Ended> {
        failpoint::pass(Point::BeforeEnded);
        let open = self.open.take()?;
        let (admission, end) = open.into_parts();
        let now = self.clock.monotonic();
        let entry = self.entry(admission, metered, status, now);
        self.observer.ended(&entry, now);
        let tokens = entry.lines.iter().map(|line| line.usage.total()).fold(0, u64::saturating_add);
        let charge = entry.charge();
        Some(Ended { charge, tokens, receipt: end.write(&entry) })
    }

    fn entry(&self, admission: Admission, metered: Metered, status: Option<u16>, now: Duration) -> Entry {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let times = Times {
            ended_at_us: self.clock.unix_us(),
            elapsed_us: micros(now.saturating_sub(self.started)),
            first_byte_us: self.first_byte.map(|at| micros(at.saturating_sub(self.started))),
        };
        self.prices.entry(admission, metered, status, times)
    }
}

/// When an attempt came to its end.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Wall clock, microseconds since 1970 UTC.
    pub ended_at_us: i64,
    /// From admission to the end, microseconds.
    pub elapsed_us: u64,
    /// From admission to the first byte for the client, microseconds.
    pub first_byte_us: Option<u64>,
}

impl Prices {
    /// The entry of an attempt that used so much: its lines priced, and counted where they have no price.
    #[must_use]
    pub fn entry(&self, admission: Admission, metered: Metered, status: Option<u16>, times: Times) -> Entry {
        let mut flags = metered.flags;
        let target_model = model_of(&admission).to_owned();
        let line_of = |MeteredLine { billed_model, usage, context }| Line {
            billed_model: billed_model.unwrap_or_else(|| target_model.clone()),
            usage,
            worker: metered.worker,
            context,
            ..Line::default()
        };
        let mut lines: Vec<Line> = metered.lines.into_iter().map(line_of).collect();
        if self.price(&mut lines, &metered.counters, &admission) {
            flags.push(PRICED_AS_TARGET.to_owned());
            PricingAlarms::count(&self.alarms.priced_as_target);
        }
        if lines.iter().any(Line::is_unpriced) {
            flags.push(UNPRICED.to_owned());
            PricingAlarms::count(&self.alarms.unpriced);
            tracing::error!(attempt = %admission.id, target = admission.target, "something of an attempt has no price; `tollgate rerate` prices it later");
        }
        let mut entry = Entry {
            admission,
            outcome: metered.outcome,
            usage_source: metered.source,
            flags,
            lines,
            ended_at_us: times.ended_at_us,
            elapsed_us: times.elapsed_us,
            first_byte_us: times.first_byte_us,
            status,
            raw_usage: metered.raw_usage,
            reported_total: metered.reported_total,
            reported_cost_usd: metered.reported_cost_usd,
            counters: metered.counters,
            corrects: None,
            output_estimate: metered.output_estimate,
        };
        if let (Some(told), Some(ours)) = (&entry.reported_cost_usd, entry.cost())
            && differs(told, ours)
        {
            entry.flags.push(COST_DIFFERS.to_owned());
            PricingAlarms::count(&self.alarms.cost_differs);
        }
        entry
    }
}

/// The target's name for the model.
fn model_of(admission: &Admission) -> &str {
    admission.target.split_once('/').map_or("", |(_, model)| model)
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        tracing::error!(attempt = %open.admission().id, "an attempt was abandoned; it is recorded as interrupted");
        let (admission, end) = open.into_parts();
        let entry = resolve_orphan(admission, None, self.prices.basis(), self.prices.rule());
        self.observer.ended(&entry, self.clock.monotonic());
        drop(end.write(&entry));
    }
}
