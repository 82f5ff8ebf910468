//! What usage comes to under a table, and how it comes about.

use super::{
    parts::{self, Part},
    rate::Rate,
    sum::Sum,
    table::{PriceTable, Tier, TierApplies, Variant},
    unit::Unit,
};
use crate::{
    counters::Counters,
    decimal::Decimal,
    exact::Exact,
    money::{MoneyOverflow, NanoUsd},
    pricing_context::PricingContext,
    usage::{Bucket, Usage},
};

/// What is asked of a table: one line's usage and everything else that picks its prices.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Tokens.
    pub usage: &'a Usage,
    /// What was counted beside tokens. None for the further lines of an entry: counters and the price of a request belong to
    /// its first line.
    pub counters: Option<&'a Counters>,
    /// Service tier, region, size of pictures.
    pub context: &'a PricingContext,
    /// Time of admission, microseconds since 1970 UTC: picks windows of the day.
    pub at_us: i64,
    /// Another line of the entry used something: then the entry's first line costs what a request does, even if it used
    /// nothing itself.
    pub is_used_elsewhere: bool,
}

/// What a part of a charge is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// Tokens; the price is USD per million.
    Tokens(Rate),
    /// Other units; the price is USD per unit, the count of seconds in milliseconds.
    Units(Unit),
    /// The request itself; the price is USD.
    Request,
}

/// A part of a charge: `count` at `price`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChargeLine {
    /// What for.
    pub item: Item,
    /// How many.
    pub count: u64,
    /// The price applied, in the item's terms.
    pub price: Decimal,
    /// Another rate whose price stood for the missing one.
    pub fell_back_to: Option<Rate>,
    /// The variant in force has no such price, so the base's was taken.
    pub is_base: bool,
    /// Tokens of the context tier that priced it; none: no tier.
    pub above_input_tokens: Option<u64>,
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

/// What has no price: sets of rates and units, by their bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unpriced {
    rates: u32,
    units: u32,
}

impl Unpriced {
    /// Names of the buckets and counters, each once.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        let has = |bucket: &Bucket| Rate::ALL.iter().any(|rate| rate.bucket() == *bucket && self.has(*rate));
        let buckets = Bucket::ALL.into_iter().filter(has).map(Bucket::name);
        buckets.chain(Unit::names_of(self.units)).collect()
    }

    const fn has(self, rate: Rate) -> bool {
        self.rates & rate.bit() != 0
    }

    const fn is_empty(self) -> bool {
        self.rates == 0 && self.units == 0
    }

    /// Everything that a query would need a price for.
    #[must_use]
    pub fn all_of(query: &Query<'_>) -> Self {
        let mut all = Self::default();
        let parts = parts::input(query.usage).into_iter().chain(parts::output(query.usage));
        for (rate, _) in parts.filter(|(_, tokens)| *tokens > 0) {
            all.rates |= rate.bit();
        }
        let has_tokens = query.usage.total() > 0;
        for unit in Unit::ALL {
            let count = query.counters.map_or(0, |counters| unit.count(counters));
            if count > 0 && unit.needs_price(has_tokens, query.context) {
                all.units |= unit.bit();
            }
        }
        all
    }
}

impl std::fmt::Display for Unpriced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.names().join(", "))
    }
}

/// Why usage has no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// What was used and has no price.
    #[error("no price for {0}")]
    Unpriced(Unpriced),
    /// The amount does not fit.
    #[error(transparent)]
    Overflow(#[from] MoneyOverflow),
}

/// Prices a query under `table`: exact, rounded once.
///
/// # Errors
/// [`PriceError::Unpriced`] names everything that was used and has no price.
pub fn price(query: &Query<'_>, table: &PriceTable) -> Result<Charge, PriceError> {
    let mut lines = Vec::new();
    let Walked { exact, unpriced } = walk(query, table, |line| lines.push(line))?;
    if !unpriced.is_empty() {
        return Err(PriceError::Unpriced(unpriced));
    }
    Ok(Charge { exact, amount: exact.round_half_even()?, lines })
}

/// The sum of what has a price, and what has none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walked {
    exact: Exact,
    unpriced: Unpriced,
}

impl Walked {
    /// The sum and the units that are not in it, by their bits. None where tokens have no price, or where nothing but units
    /// without a price was used: what is known there is no amount.
    pub(super) fn known(self, query: &Query<'_>) -> Option<(Exact, u32)> {
        let is_known = self.unpriced.rates == 0 && (self.unpriced.units == 0 || query.usage.total() > 0);
        is_known.then_some((self.exact, self.unpriced.units))
    }
}

/// Visits every part of a charge and adds up those that have a price.
pub(super) fn walk(
    query: &Query<'_>,
    table: &PriceTable,
    mut visit: impl FnMut(ChargeLine),
) -> Result<Walked, MoneyOverflow> {
    let variant = table.variant(query.context, query.at_us);
    if !table.knows_tier(query.context, variant) {
        return Ok(Walked { exact: Exact::ZERO, unpriced: Unpriced::all_of(query) });
    }
    let mut walk = Walk { table, variant, sum: Sum::default(), unpriced: Unpriced::default() };
    walk.prompt(query.usage, &mut visit)?;
    let whole = |tiers| tier_of(tiers, query.usage.input_total()).filter(|tier| tier.applies == TierApplies::Whole);
    let tiers = (variant.and_then(|variant| whole(&variant.tiers)), whole(&table.tiers));
    for part in parts::output(query.usage) {
        walk.tokens(part, tiers, &mut visit)?;
    }
    if let Some(counters) = query.counters {
        walk.once_per_request(query, counters, &mut visit)?;
    }
    Ok(Walked { exact: walk.sum.exact(), unpriced: walk.unpriced })
}

/// The tier of a prompt: the highest that it is beyond.
fn tier_of(tiers: &[Tier], prompt: u64) -> Option<&Tier> {
    tiers.iter().rev().find(|tier| prompt > tier.above_input_tokens)
}

/// The tiers in force, of the variant and of the base.
type Tiers<'a> = (Option<&'a Tier>, Option<&'a Tier>);

struct Walk<'a> {
    table: &'a PriceTable,
    variant: Option<&'a Variant>,
    sum: Sum,
    unpriced: Unpriced,
}

/// A price that was found for a rate.
struct Found {
    price: Decimal,
    rate: Rate,
    is_base: bool,
    above_input_tokens: Option<u64>,
}

impl Walk<'_> {
    /// Prices the parts of the prompt. With tiers that price the excess only, the prompt is cut at their thresholds.
    fn prompt(&mut self, usage: &Usage, visit: &mut impl FnMut(ChargeLine)) -> Result<(), MoneyOverflow> {
        let (table, variant) = (self.table, self.variant);
        let prompt = usage.input_total();
        // A variant's own tiers stand for the base's.
        let tiers = variant.map(|variant| &variant.tiers).filter(|tiers| !tiers.is_empty()).unwrap_or(&table.tiers);
        let is_excess = tiers.iter().any(|tier| tier.applies == TierApplies::Excess);
        let mut end = prompt;
        for part in parts::input(usage) {
            let (rate, mut left) = part;
            if left == 0 {
                continue;
            }
            if !is_excess {
                let of_variant = variant.and_then(|variant| tier_of(&variant.tiers, prompt));
                self.tokens(part, (of_variant, tier_of(&table.tiers, prompt)), visit)?;
                continue;
            }
            while left > 0 {
                let tier = tier_of(tiers, end);
                let from = tier.map_or(0, |tier| tier.above_input_tokens);
                let tokens = left.min(end.saturating_sub(from));
                if tokens == 0 {
                    // Counts beyond what a prompt can be; the sum has saturated.
                    return Err(MoneyOverflow);
                }
                let is_own = variant.is_some_and(|variant| !variant.tiers.is_empty());
                self.tokens((rate, tokens), if is_own { (tier, None) } else { (None, tier) }, visit)?;
                left = left.saturating_sub(tokens);
                end = end.saturating_sub(tokens);
            }
        }
        Ok(())
    }

    fn tokens(
        &mut self,
        (rate, tokens): Part,
        tiers: Tiers<'_>,
        visit: &mut impl FnMut(ChargeLine),
    ) -> Result<(), MoneyOverflow> {
        if tokens == 0 {
            return Ok(());
        }
        let Some(found) = self.find(rate, tiers) else {
            self.unpriced.rates |= rate.bit();
            return Ok(());
        };
        // Tokens x USD / 1e6 tokens x 1e9 nano-dollars = tokens x price x 1000.
        self.sum.add(u128::from(tokens).checked_mul(1000).ok_or(MoneyOverflow)?, found.price)?;
        visit(ChargeLine {
            item: Item::Tokens(rate),
            count: tokens,
            price: found.price,
            fell_back_to: (found.rate != rate).then_some(found.rate),
            is_base: found.is_base,
            above_input_tokens: found.above_input_tokens,
        });
        Ok(())
    }

    /// The price of a rate, by its chain: of each link first what the variant says, then what the base says; of each first
    /// what its tier says. None also where the base has another price for so long a prompt and the variant only one for any:
    /// what the variant would ask for then is not known.
    fn find(&self, rate: Rate, (of_variant, of_base): Tiers<'_>) -> Option<Found> {
        let declared = rate.declared(&self.table.fallback);
        for link in rate.chain().iter().chain(declared) {
            let found = |price, tier: Option<&Tier>, is_base| {
                let above_input_tokens = tier.map(|tier| tier.above_input_tokens);
                Some(Found { price, rate: *link, is_base, above_input_tokens })
            };
            let of_base_tier = tiered(of_base, *link);
            if let Some(price) = tiered(of_variant, *link) {
                return found(price, of_variant, false);
            }
            if let Some(price) = self.variant.and_then(|variant| variant.usd_per_mtok.get(*link)) {
                return if of_base_tier.is_some() { None } else { found(price, None, false) };
            }
            let is_base = self.variant.is_some();
            if let Some(price) = of_base_tier {
                return found(price, of_base, is_base);
            }
            if let Some(price) = self.table.usd_per_mtok.get(*link) {
                return found(price, None, is_base);
            }
        }
        None
    }

    fn once_per_request(
        &mut self,
        query: &Query<'_>,
        counters: &Counters,
        visit: &mut impl FnMut(ChargeLine),
    ) -> Result<(), MoneyOverflow> {
        let has_tokens = query.usage.total() > 0;
        let is_used = has_tokens || !counters.is_empty() || query.is_used_elsewhere;
        let own = self.variant.and_then(|variant| variant.usd_per_request);
        // A request that used nothing costs nothing.
        if let Some(price) = own.or(self.table.usd_per_request).filter(|_| is_used) {
            self.sum.add(Unit::Image.nanousd_per_usd(), price)?;
            visit(self.plain(Item::Request, 1, price, own.is_none()));
        }
        if counters.is_empty() {
            return Ok(());
        }
        for unit in Unit::ALL {
            let count = unit.count(counters);
            if count == 0 {
                continue;
            }
            let own = self.variant.and_then(|variant| variant.usd_per_unit.get(unit));
            match own.or_else(|| self.table.usd_per_unit.get(unit)) {
                Some(price) => {
                    let nanousd = u128::from(count).checked_mul(unit.nanousd_per_usd()).ok_or(MoneyOverflow)?;
                    self.sum.add(nanousd, price)?;
                    visit(self.plain(Item::Units(unit), count, price, own.is_none()));
                }
                None if unit.needs_price(has_tokens, query.context) => self.unpriced.units |= unit.bit(),
                None => {}
            }
        }
        Ok(())
    }

    const fn plain(&self, item: Item, count: u64, price: Decimal, is_base: bool) -> ChargeLine {
        let is_base = is_base && self.variant.is_some();
        ChargeLine { item, count, price, fell_back_to: None, is_base, above_input_tokens: None }
    }
}

fn tiered(tier: Option<&Tier>, rate: Rate) -> Option<Decimal> {
    tier?.usd_per_mtok.get(rate)
}
