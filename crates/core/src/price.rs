//! The price of usage: exact, rounded once per line, half to even, to a nano-dollar.
//!
//! A bucket with tokens and no price is *unpriced*, a state of its own; it is never zero and never guessed.

use serde::{Deserialize, Serialize};

use crate::{
    decimal::Decimal,
    money::{MoneyOverflow, NanoUsd},
    usage::{Bucket, Usage},
    worker_cost::{DeviceRate, WorkerTime},
};

/// A non-negative rational amount of nano-dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact {
    numerator: u128,
    denominator: u128,
}

impl Exact {
    /// Nothing.
    pub const ZERO: Self = Self { numerator: 0, denominator: 1 };

    /// `numerator / denominator` nano-dollars; the denominator must not be zero (zero counts as one).
    #[must_use]
    pub const fn new(numerator: u128, denominator: u128) -> Self {
        Self { numerator, denominator: if denominator == 0 { 1 } else { denominator } }
    }

    /// The sum, exact. For denominators of which one is a multiple of the other, such as powers of ten.
    ///
    /// # Errors
    /// [`MoneyOverflow`] when it does not fit 128 bits, or the denominators are others.
    pub(crate) fn add(self, other: Self) -> Result<Self, MoneyOverflow> {
        let denominator = self.denominator.max(other.denominator);
        let widen = |amount: Self| {
            let whole = denominator.checked_rem(amount.denominator) == Some(0);
            let factor = denominator.checked_div(amount.denominator).filter(|_| whole)?;
            amount.numerator.checked_mul(factor)
        };
        let (a, b) = widen(self).zip(widen(other)).ok_or(MoneyOverflow)?;
        Ok(Self { numerator: a.checked_add(b).ok_or(MoneyOverflow)?, denominator })
    }

    /// The product with a decimal, exact.
    ///
    /// # Errors
    /// [`MoneyOverflow`] when the intermediate does not fit 128 bits.
    pub fn times(self, factor: Decimal) -> Result<Self, MoneyOverflow> {
        let unit = 10_u128.checked_pow(factor.scale()).ok_or(MoneyOverflow)?;
        Ok(Self {
            numerator: self.numerator.checked_mul(u128::from(factor.digits())).ok_or(MoneyOverflow)?,
            denominator: self.denominator.checked_mul(unit).ok_or(MoneyOverflow)?,
        })
    }

    /// The product with `numerator / denominator`, exact; a denominator of zero counts as one.
    ///
    /// # Errors
    /// As [`Self::times`].
    pub fn times_ratio(self, numerator: u128, denominator: u128) -> Result<Self, MoneyOverflow> {
        Ok(Self {
            numerator: self.numerator.checked_mul(numerator).ok_or(MoneyOverflow)?,
            denominator: self.denominator.checked_mul(denominator.max(1)).ok_or(MoneyOverflow)?,
        })
    }

    /// The nearest nano-dollar, half to even.
    ///
    /// # Errors
    /// [`MoneyOverflow`] when the amount does not fit an `i64`.
    pub fn round_half_even(self) -> Result<NanoUsd, MoneyOverflow> {
        let quotient = self.numerator.checked_div(self.denominator).ok_or(MoneyOverflow)?;
        let remainder = self.numerator.checked_rem(self.denominator).ok_or(MoneyOverflow)?;
        // Compares the remainder with what is missing to the next nano-dollar, so nothing is doubled and nothing overflows.
        let missing = self.denominator.saturating_sub(remainder);
        let up = remainder > missing || (remainder == missing && quotient & 1 == 1);
        let rounded = if up { quotient.checked_add(1).ok_or(MoneyOverflow)? } else { quotient };
        i64::try_from(rounded).map(NanoUsd::new).map_err(|_| MoneyOverflow)
    }
}

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
pub fn charge(usage: &Usage, cost: &Charge, rule: &BookRule) -> Result<NanoUsd, PriceError> {
    match rule {
        BookRule::MarginOverCost(margin) => Ok(with_margin(cost.exact, *margin)?),
        BookRule::Absolute(table) => Ok(price(usage, table)?.amount),
    }
}

/// What a line costs us by: a provider's prices, or a worker's device and the time it took.
#[derive(Clone, Copy, Debug)]
pub enum CostBasis<'a> {
    /// Tokens at a provider's prices.
    Table(&'a PriceTable),
    /// Busy time at a device's price.
    Device(&'a DeviceRate),
}

impl CostBasis<'_> {
    /// The cost of a line, exact; none when it is unpriced or does not fit. A device without a known time costs nothing
    /// here: the device's own counters book that time apart.
    fn exact(self, usage: &Usage, worker: Option<&WorkerTime>) -> Option<Exact> {
        match self {
            Self::Table(table) => price(usage, table).ok().map(|charge| charge.exact),
            Self::Device(rate) => {
                let time = worker.copied().unwrap_or_default();
                rate.busy_cost(time.busy_us(), time.engine_threads).ok()
            }
        }
    }
}

/// The cost and the charge of one line: each none when it is unpriced (or does not fit an amount of record).
#[must_use]
pub fn price_line(
    usage: &Usage,
    worker: Option<&WorkerTime>,
    cost: Option<CostBasis<'_>>,
    rule: Option<&BookRule>,
) -> (Option<NanoUsd>, Option<NanoUsd>) {
    let cost = cost.and_then(|basis| basis.exact(usage, worker));
    let charge = match (rule, cost) {
        (Some(BookRule::Absolute(table)), _) => price(usage, table).ok().map(|charge| charge.amount),
        (Some(BookRule::MarginOverCost(margin)), Some(cost)) => with_margin(cost, *margin).ok(),
        _ => None,
    };
    (cost.and_then(|cost| cost.round_half_even().ok()), charge)
}

fn with_margin(cost: Exact, margin: Decimal) -> Result<NanoUsd, MoneyOverflow> {
    cost.times(margin.plus_one().ok_or(MoneyOverflow)?)?.round_half_even()
}
