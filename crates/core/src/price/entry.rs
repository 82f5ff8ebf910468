//! The prices of a whole entry: each line by itself, counters and the price of a request with the first, and the least that
//! a request costs.

use super::{
    charge::{Item, Query},
    line::{BookRule, CostBasis, price_line_visited},
};
use crate::{
    counters::Counters, exact::Exact, money::NanoUsd, pricing_context::PricingContext, usage::Usage,
    worker_cost::WorkerTime,
};

/// A line and what it is priced by.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Tokens.
    pub usage: &'a Usage,
    /// What else picks its prices.
    pub context: &'a PricingContext,
    /// A worker's time.
    pub worker: Option<&'a WorkerTime>,
    /// What we pay by; none: unpriced.
    pub cost: Option<CostBasis<'a>>,
    /// What the customer is charged by; none: unpriced.
    pub rule: Option<&'a BookRule>,
}

/// What a line came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PricedLine {
    /// What we pay; none: unpriced.
    pub cost: Option<NanoUsd>,
    /// What the customer owes; none: unpriced.
    pub charge: Option<NanoUsd>,
    /// Rates for which another price stood, by their bits: see [`super::Rate::bit`].
    pub fallbacks: u32,
    /// Units that were counted and have no price, by their bits ([`super::Unit::bit`]): the amounts are those of all else.
    pub unpriced_units: u32,
}

impl PricedLine {
    /// Whether all that was used has a cost and a charge.
    #[must_use]
    pub const fn is_priced(&self) -> bool {
        self.cost.is_some() && self.charge.is_some() && self.unpriced_units == 0
    }
}

/// Prices the lines of an entry, in their order.
#[must_use]
pub fn price_entry(lines: &[Terms<'_>], counters: &Counters, at_us: i64) -> Vec<PricedLine> {
    let mut priced: Vec<PricedLine> = lines
        .iter()
        .enumerate()
        .map(|(index, terms)| {
            let counters = (index == 0).then_some(counters);
            let is_used_elsewhere =
                lines.iter().enumerate().any(|(other, terms)| other != index && terms.usage.total() > 0);
            price_terms(
                terms,
                &Query { usage: terms.usage, counters, context: terms.context, at_us, is_used_elsewhere },
            )
        })
        .collect();
    if let Some(missing) = missing_to_minimum(lines, counters, &priced)
        && let Some(first) = priced.first_mut()
    {
        first.charge = first.charge.and_then(|charge| charge.checked_add(missing).ok());
    }
    priced
}

fn price_terms(terms: &Terms<'_>, query: &Query<'_>) -> PricedLine {
    let mut fallbacks = 0;
    let priced = price_line_visited(query, terms.worker, terms.cost, terms.rule, |line| {
        if let Item::Tokens(rate) = line.item
            && (line.fell_back_to.is_some() || line.is_base)
        {
            fallbacks |= rate.bit();
        }
    });
    PricedLine { fallbacks, ..priced }
}

/// What is missing to the least that a request costs, if it used something and its charge is known.
fn missing_to_minimum(lines: &[Terms<'_>], counters: &Counters, priced: &[PricedLine]) -> Option<NanoUsd> {
    let minimum = lines.first()?.rule?.usd_per_request_min()?;
    let is_used = !counters.is_empty() || lines.iter().any(|terms| terms.usage.total() > 0);
    let minimum = Exact::new(1_000_000_000, 1).times(minimum).ok()?.round_half_even().ok()?;
    let charged = priced.iter().try_fold(NanoUsd::ZERO, |sum, line| sum.checked_add(line.charge?).ok())?;
    let missing = minimum.checked_sub(charged).ok()?;
    (is_used && missing > NanoUsd::ZERO).then_some(missing)
}
