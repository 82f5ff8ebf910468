//! How much of a training cost has been earned back, by revenue and by margin, and when the rest will be.

use jiff::{ToSpan, civil::Date};

use crate::money::{MoneyOverflow, NanoUsd};

/// Days whose rate a plain projection uses.
pub const RATE_WINDOW_DAYS: i64 = 28;

/// Revenue and cost of one model on one UTC day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// The day.
    pub day: Date,
    /// Charges of its entries.
    pub revenue: NanoUsd,
    /// Their inference cost.
    pub cost: NanoUsd,
}

/// What is back at the end of a day; clamped to between nothing and the training cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryRow {
    /// The day.
    pub day: Date,
    /// `clamp(cumulative revenue, 0, T)`.
    pub recovered_by_revenue: NanoUsd,
    /// `clamp(cumulative revenue - cost, 0, T)`.
    pub recovered_by_margin: NanoUsd,
}

/// The recovery of a training cost over days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// One row a day that was given, in order.
    pub rows: Vec<RecoveryRow>,
    /// First day on which cumulative revenue reached the cost.
    pub break_even_by_revenue: Option<Date>,
    /// First day on which cumulative margin reached the cost.
    pub break_even_by_margin: Option<Date>,
    /// Cumulative revenue, unclamped.
    pub revenue: NanoUsd,
    /// Cumulative cost, unclamped.
    pub cost: NanoUsd,
}

impl Recovery {
    /// What is left by revenue.
    #[must_use]
    pub fn remaining_by_revenue(&self, training_cost: NanoUsd) -> NanoUsd {
        remaining(training_cost, self.rows.last().map(|row| row.recovered_by_revenue))
    }

    /// What is left by margin.
    #[must_use]
    pub fn remaining_by_margin(&self, training_cost: NanoUsd) -> NanoUsd {
        remaining(training_cost, self.rows.last().map(|row| row.recovered_by_margin))
    }
}

fn remaining(training_cost: NanoUsd, recovered: Option<NanoUsd>) -> NanoUsd {
    training_cost.checked_sub(recovered.unwrap_or(NanoUsd::ZERO)).unwrap_or(training_cost)
}

/// Accumulates `days` (ascending, each at most once) against `training_cost`.
///
/// # Errors
/// [`MoneyOverflow`] when a cumulative amount does not fit.
pub fn recovery(training_cost: NanoUsd, days: &[Day]) -> Result<Recovery, MoneyOverflow> {
    let mut result = Recovery {
        rows: Vec::with_capacity(days.len()),
        break_even_by_revenue: None,
        break_even_by_margin: None,
        revenue: NanoUsd::ZERO,
        cost: NanoUsd::ZERO,
    };
    let clamp = |amount: NanoUsd| amount.max(NanoUsd::ZERO).min(training_cost.max(NanoUsd::ZERO));
    for day in days {
        result.revenue = result.revenue.checked_add(day.revenue)?;
        result.cost = result.cost.checked_add(day.cost)?;
        let margin = result.revenue.checked_sub(result.cost)?;
        if result.break_even_by_revenue.is_none() && result.revenue >= training_cost {
            result.break_even_by_revenue = Some(day.day);
        }
        if result.break_even_by_margin.is_none() && margin >= training_cost {
            result.break_even_by_margin = Some(day.day);
        }
        result.rows.push(RecoveryRow {
            day: day.day,
            recovered_by_revenue: clamp(result.revenue),
            recovered_by_margin: clamp(margin),
        });
    }
    Ok(result)
}

/// When the rest will be back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Projection {
    /// It is back already.
    Done,
    /// On this day, if the rate of the window goes on.
    On(Date),
    /// Nothing comes in, or too little for any calendar.
    NeverAtThisRate,
}

/// Projects the day on which `remaining` is back when `earned` in the last `window_days` goes on at the same rate.
/// The day counts whole days from `today`, rounded up.
#[must_use]
pub fn project(remaining: NanoUsd, earned: NanoUsd, window_days: i64, today: Date) -> Projection {
    if remaining <= NanoUsd::ZERO {
        return Projection::Done;
    }
    if earned <= NanoUsd::ZERO || window_days <= 0 {
        return Projection::NeverAtThisRate;
    }
    let (remaining, earned) = (i128::from(remaining.get()), i128::from(earned.get()));
    let days = remaining
        .checked_mul(i128::from(window_days))
        .and_then(|product| product.checked_add(earned.checked_sub(1)?))
        .and_then(|product| product.checked_div(earned))
        .and_then(|days| i32::try_from(days).ok());
    let span = days.and_then(|days| 0.days().try_days(days).ok());
    match span.and_then(|span| today.checked_add(span).ok()) {
        Some(day) => Projection::On(day),
        None => Projection::NeverAtThisRate,
    }
}
