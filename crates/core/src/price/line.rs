//! The cost and the charge of one line: what we pay, and what the customer owes by its price book.

use serde::{Deserialize, Serialize};

use super::{
    charge::{ChargeLine, PriceError, Query, price, walk},
    entry::PricedLine,
    table::PriceTable,
};
use crate::{
    decimal::Decimal,
    exact::Exact,
    money::{MoneyOverflow, NanoUsd},
    worker_cost::{DeviceRate, WorkerTime},
};

/// What we pay for a line: by its tokens, or by the time of a device of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostBasis<'a> {
    /// A provider's prices.
    Table(&'a PriceTable),
    /// A worker's device.
    Device(&'a DeviceRate),
}

impl CostBasis<'_> {
    /// The unrounded cost of a line and the units that are not in it, by their bits; none when it is unpriced, and for a
    /// device whose time is not told.
    fn exact(
        self,
        query: &Query<'_>,
        worker: Option<&WorkerTime>,
        visit: impl FnMut(ChargeLine),
    ) -> Option<(Exact, u32)> {
        match self {
            Self::Table(table) => walk(query, table, visit).ok()?.known(query),
            Self::Device(rate) => {
                let time = worker?;
                Some((rate.busy_cost(time.busy_us(), time.engine_threads).ok()?, 0))
            }
        }
    }
}

/// How a customer's charge follows from our cost or from a table of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BookRule {
    /// The unrounded cost times one plus this: `"0.25"` adds a quarter.
    MarginOverCost(Decimal),
    /// The unrounded cost times this: `"1.25"` adds a quarter, `"0.9"` takes a tenth off.
    Multiplier(Decimal),
    /// Prices of the book's own.
    Absolute(PriceTable),
    /// As another rule, but a request that used something costs no less than this.
    AtLeast {
        /// The minimum, USD per request.
        usd_per_request: Decimal,
        /// The other rule; not of this kind itself.
        rule: Box<Self>,
    },
}

impl BookRule {
    /// The rule without a minimum.
    #[must_use]
    pub fn base(&self) -> &Self {
        match self {
            Self::AtLeast { rule, .. } => rule,
            other => other,
        }
    }

    /// The least that a request costs, USD.
    #[must_use]
    pub const fn usd_per_request_min(&self) -> Option<Decimal> {
        match self {
            Self::AtLeast { usd_per_request, .. } => Some(*usd_per_request),
            _ => None,
        }
    }
}

/// What the customer owes for a line that costs us `cost`, under a rule of the customer's price book, without its minimum.
///
/// # Errors
/// As [`super::price`].
pub fn charge(query: &Query<'_>, cost: Exact, rule: &BookRule) -> Result<NanoUsd, PriceError> {
    match rule.base() {
        BookRule::Absolute(table) => Ok(price(query, table)?.amount),
        rule => Ok(times(cost, rule)?),
    }
}

/// The charge under a rule without a minimum, and the units that are not in it, by their bits.
fn charge_visited(
    query: &Query<'_>,
    cost: Exact,
    rule: &BookRule,
    visit: impl FnMut(ChargeLine),
) -> Option<(NanoUsd, u32)> {
    match rule {
        BookRule::Absolute(table) => {
            let (exact, unpriced_units) = walk(query, table, visit).ok()?.known(query)?;
            Some((exact.round_half_even().ok()?, unpriced_units))
        }
        rule => Some((times(cost, rule).ok()?, 0)),
    }
}

/// What a rule makes of a cost.
fn times(cost: Exact, rule: &BookRule) -> Result<NanoUsd, MoneyOverflow> {
    let factor = match rule {
        BookRule::MarginOverCost(margin) => margin.plus_one().ok_or(MoneyOverflow)?,
        BookRule::Multiplier(factor) => *factor,
        // The parser makes no minimum of a minimum; a stored one is no rule that this build knows.
        BookRule::Absolute(_) | BookRule::AtLeast { .. } => return Err(MoneyOverflow),
    };
    cost.times(factor)?.round_half_even()
}

/// The cost and the charge of one line, without a minimum: each none when something of it is unpriced (or it does not fit an
/// amount of record).
///
/// A margin over a device's time that is not known is unpriced: the cost is in the device's own counters, but what the
/// customer owes cannot be told, and is never silently nothing.
#[must_use]
pub fn price_line(
    query: &Query<'_>,
    worker: Option<&WorkerTime>,
    cost_basis: Option<CostBasis<'_>>,
    rule: Option<&BookRule>,
) -> (Option<NanoUsd>, Option<NanoUsd>) {
    let priced = price_line_visited(query, worker, cost_basis, rule, |_| {});
    let whole = |amount: Option<NanoUsd>| amount.filter(|_| priced.unpriced_units == 0);
    (whole(priced.cost), whole(priced.charge))
}

/// The same, and every part of both on the way; units without a price are told, and not in the amounts.
pub(super) fn price_line_visited(
    query: &Query<'_>,
    worker: Option<&WorkerTime>,
    cost_basis: Option<CostBasis<'_>>,
    rule: Option<&BookRule>,
    mut visit: impl FnMut(ChargeLine),
) -> PricedLine {
    let exact = cost_basis.and_then(|basis| basis.exact(query, worker, &mut visit));
    let cost = exact.and_then(|(exact, unpriced)| Some((exact, exact.round_half_even().ok()?, unpriced)));
    let unknown = matches!(cost_basis, Some(CostBasis::Device(_))) && !worker.is_some_and(WorkerTime::is_known);
    let charge = match (rule.map(BookRule::base), cost) {
        (Some(rule @ BookRule::Absolute(_)), _) => charge_visited(query, Exact::ZERO, rule, visit),
        (Some(_), _) if unknown => None,
        (Some(rule), Some((exact, ..))) => charge_visited(query, exact, rule, visit),
        _ => None,
    };
    PricedLine {
        cost: cost.map(|(_, amount, _)| amount),
        charge: charge.map(|(amount, _)| amount),
        unpriced_units: cost.map_or(0, |(.., unpriced)| unpriced) | charge.map_or(0, |(_, unpriced)| unpriced),
        fallbacks: 0,
    }
}
