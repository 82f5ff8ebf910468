//! The price of usage: exact, rounded once per line, half to even, to a nano-dollar.
//!
//! A bucket with tokens and no price is *unpriced*, a state of its own; it is never zero and never guessed.

use serde::{Deserialize, Serialize};

use crate::{
    decimal::Decimal,
    exact::Exact,
    money::{MoneyOverflow, NanoUsd},
    usage::{Bucket, Usage},
    worker_cost::{DeviceRate, WorkerTime},
};

/// Prices in USD per million tokens. A missing price is not zero; free is `"0"`, said explicitly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Of `input_uncached`.
    pub input: Option<Decimal>,
    /// Of `cache_read`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<Decimal>,
    /// Of `cache_write_5m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<Decimal>,
    /// Of `cache_write_1h`; never guessed from the five-minute price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Decimal>,
    /// The model's default price of a cache write: of `cache_write_unspecified`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Decimal>,
    /// Of `output`.
    pub output: Option<Decimal>,
}

impl Rates {
    /// The price of a bucket. `cache_write_unspecified` takes the default write price, else the five-minute one
    /// (every provider that leaves the lifetime unsaid writes the shorter cache); nothing else falls back.
    #[must_use]
    pub const fn of(&self, bucket: Bucket) -> Option<Decimal> {
        match bucket {
            Bucket::InputUncached => self.input,
            Bucket::CacheRead => self.cache_read,
            Bucket::CacheWrite5m => self.cache_write_5m,
            Bucket::CacheWrite1h => self.cache_write_1h,
            Bucket::CacheWriteUnspecified => match self.cache_write {
                Some(price) => Some(price),
                None => self.cache_write_5m,
            },
            Bucket::Output => self.output,
        }
    }
}

/// Which tokens a context tier prices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TierApplies {
    /// All tokens of the line (what providers do).
    #[default]
    Whole,
    /// Only input tokens beyond the threshold; output stays at the base price.
    Excess,
}

/// Prices for prompts of more than a number of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// The tier applies when the whole prompt (all input buckets) has more tokens than this.
    pub above_input_tokens: u64,
    /// Which tokens it prices.
    #[serde(default)]
    pub applies: TierApplies,
    /// Its prices; a price missing here is taken from the base.
    pub usd_per_mtok: Rates,
}

/// The prices of one model in one version. Tiers are sorted by threshold, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceTable {
    /// Base prices.
    pub usd_per_mtok: Rates,
    /// Context tiers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<Tier>,
    /// Added once per request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd_per_request: Option<Decimal>,
}

/// The priced part of a bucket: `tokens` at `usd_per_mtok`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ChargeLine {
    /// The bucket.
    pub bucket: Bucket,
    /// Tokens priced by this line.
    pub tokens: u64,
    /// The price applied.
    pub usd_per_mtok: Decimal,
}

/// What usage comes to under a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Before rounding; the base of a margin.
    pub exact: Exact,
    /// Rounded once, half to even.
    pub amount: NanoUsd,
    /// How it came about.
    pub lines: Vec<ChargeLine>,
}

/// Why usage has no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// Buckets that have tokens but no price.
    #[error("no price for {}", names(.0))]
    Unpriced(Vec<Bucket>),
    /// The amount does not fit.
    #[error(transparent)]
    Overflow(#[from] MoneyOverflow),
}

fn names(buckets: &[Bucket]) -> String {
    buckets.iter().map(|bucket| bucket.name()).collect::<Vec<_>>().join(", ")
}

/// What we pay for a line: by its tokens, or by the time of a device of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostBasis<'a> {
    /// A provider's prices.
    Table(&'a PriceTable),
    /// A worker's device.
    Device(&'a DeviceRate),
}

impl CostBasis<'_> {
    /// The unrounded cost of a line; none when it is unpriced, and for a device whose time is not told.
    fn exact(self, usage: &Usage, worker: Option<&WorkerTime>) -> Option<Exact> {
        match self {
            Self::Table(table) => price(usage, table).ok().map(|charge| charge.exact),
            Self::Device(rate) => worker.and_then(|time| rate.busy_cost(time.busy_us(), time.engine_threads).ok()),
        }
    }
}

/// How a customer's charge follows from our cost or from a table of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BookRule {
    /// The unrounded cost times one plus this: `"0.25"` adds a quarter.
    MarginOverCost(Decimal),
    /// Prices of the book's own.
    Absolute(PriceTable),
}

/// Prices `usage` under `table`: exact, rounded once.
///
/// # Errors
/// [`PriceError::Unpriced`] names every bucket with tokens and no price.
pub fn price(usage: &Usage, table: &PriceTable) -> Result<Charge, PriceError> {
    let tier = table.tiers.iter().rev().find(|tier| usage.input_total() > tier.above_input_tokens);
    let mut lines = Vec::new();
    let mut unpriced = Vec::new();
    let mut excess_left = match tier {
        Some(Tier { applies: TierApplies::Excess, above_input_tokens, .. }) => {
            usage.input_total().saturating_sub(*above_input_tokens)
        }
        _ => 0,
    };
    for bucket in Bucket::ALL {
        let tokens = usage.bucket(bucket);
        if tokens == 0 {
            continue;
        }
        let base = table.usd_per_mtok.of(bucket);
        let tiered = tier.and_then(|tier| tier.usd_per_mtok.of(bucket)).or(base);
        // With `excess`, tokens beyond the threshold are taken from the buckets in their order, fresh input first.
        let at_tier = match tier.map(|tier| tier.applies) {
            None => 0,
            Some(TierApplies::Whole) => tokens,
            Some(TierApplies::Excess) if bucket == Bucket::Output => 0,
            Some(TierApplies::Excess) => excess_left.min(tokens),
        };
        excess_left = excess_left.saturating_sub(at_tier);
        for (tokens, rate) in [(tokens.saturating_sub(at_tier), base), (at_tier, tiered)] {
            match rate {
                _ if tokens == 0 => {}
                Some(usd_per_mtok) => lines.push(ChargeLine { bucket, tokens, usd_per_mtok }),
                None if unpriced.contains(&bucket) => {}
                None => unpriced.push(bucket),
            }
        }
    }
    if !unpriced.is_empty() {
        return Err(PriceError::Unpriced(unpriced));
    }
    let mut exact = match table.usd_per_request {
        Some(usd) => Exact::new(1_000_000_000, 1).times(usd)?,
        None => Exact::ZERO,
    };
    for line in &lines {
        // Tokens x USD / 1e6 tokens x 1e9 nano-dollars = tokens x price x 1000.
        let nanousd = u128::from(line.tokens).checked_mul(1000).ok_or(MoneyOverflow)?;
        exact = exact.add(Exact::new(nanousd, 1).times(line.usd_per_mtok)?)?;
    }
    Ok(Charge { exact, amount: exact.round_half_even()?, lines })
}

/// What the customer owes for `usage` that costs us `cost`, under a rule of the customer's price book.
///
/// # Errors
/// As [`price`].
pub fn charge(usage: &Usage, cost: Exact, rule: &BookRule) -> Result<NanoUsd, PriceError> {
    match rule {
        BookRule::MarginOverCost(margin) => {
            let factor = margin.plus_one().ok_or(MoneyOverflow)?;
            Ok(cost.times(factor)?.round_half_even()?)
        }
        BookRule::Absolute(table) => Ok(price(usage, table)?.amount),
    }
}

/// The cost and the charge of one line: each none when it is unpriced (or does not fit an amount of record).
///
/// A margin over a device's time that is not known is unpriced: the cost is in the device's own counters, but what the
/// customer owes cannot be told, and is never silently nothing.
#[must_use]
pub fn price_line(
    usage: &Usage,
    worker: Option<&WorkerTime>,
    cost_basis: Option<CostBasis<'_>>,
    rule: Option<&BookRule>,
) -> (Option<NanoUsd>, Option<NanoUsd>) {
    let exact = cost_basis.and_then(|basis| basis.exact(usage, worker));
    let cost = exact.and_then(|exact| Some((exact, exact.round_half_even().ok()?)));
    let unknown = matches!(cost_basis, Some(CostBasis::Device(_))) && !worker.is_some_and(WorkerTime::is_known);
    let charge = match (rule, cost) {
        (Some(BookRule::Absolute(table)), _) => price(usage, table).ok().map(|charge| charge.amount),
        (Some(BookRule::MarginOverCost(_)), _) if unknown => None,
        (Some(rule @ BookRule::MarginOverCost(_)), Some((exact, _))) => charge(usage, exact, rule).ok(),
        _ => None,
    };
    (cost.map(|(_, amount)| amount), charge)
}
