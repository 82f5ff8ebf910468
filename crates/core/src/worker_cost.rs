//! The cost of a local worker: busy device time at the device's hourly price.

use crate::{
    decimal::Decimal,
    money::{MoneyOverflow, NanoUsd},
    price::Exact,
};

/// Busy microseconds in one hour.
const MICROS_PER_HOUR: u128 = 3_600_000_000;

/// `busy_micros` at `device_usd_per_hour`, exact and rounded once, half to even.
///
/// # Errors
/// [`MoneyOverflow`] when the amount does not fit.
pub fn worker_cost(device_usd_per_hour: Decimal, busy_micros: u64) -> Result<NanoUsd, MoneyOverflow> {
    let nanousd = u128::from(device_usd_per_hour.digits())
        .checked_mul(u128::from(busy_micros))
        .and_then(|product| product.checked_mul(1_000_000_000))
        .ok_or(MoneyOverflow)?;
    let denominator = 10_u128
        .checked_pow(device_usd_per_hour.scale())
        .and_then(|unit| unit.checked_mul(MICROS_PER_HOUR))
        .ok_or(MoneyOverflow)?;
    Exact::new(nanousd, denominator).round_half_even()
}
