//! What is wrong with prices, counted as attempts end.

use std::sync::atomic::{AtomicU64, Ordering};

use tollgate_core::money::NanoUsd;

/// Decimals of a dollar that count.
const DECIMALS: usize = 9;
/// What a provider says a request cost may be this much beside what its table says: rounding of both.
const ROUNDING: u64 = 1_000;

/// Attempts since the start whose prices somebody should look at.
#[derive(Debug, Default)]
pub struct PricingAlarms {
    /// They ended without a price.
    pub unpriced: AtomicU64,
    /// Another model served for which there is no price: they cost what the target's does.
    pub priced_as_target: AtomicU64,
    /// The provider says that they cost another amount than its price table.
    pub cost_differs: AtomicU64,
}

impl PricingAlarms {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether a provider's own word on a cost, decimal text of US dollars, is more than a hundredth beside ours.
pub(super) fn differs(told: &str, ours: NanoUsd) -> bool {
    let (whole, part) = told.split_once('.').unwrap_or((told, ""));
    let part = part.get(..DECIMALS).unwrap_or(part);
    let Ok(told) = format!("{whole}.{part:0<1}").parse::<NanoUsd>() else { return false };
    let beside = told.get().abs_diff(ours.get());
    let larger = told.get().unsigned_abs().max(ours.get().unsigned_abs());
    beside > ROUNDING && beside > larger / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_differs_by_more_than_a_hundredth_and_more_than_rounding() {
        for (told, ours, is_other) in [
            ("0.00123456789012", 1_234_567, false),
            ("0.001234", 1_240_000, false),
            ("0.001234", 1_300_000, true),
            ("0.0133", 3_300_000, true),
            ("1", 1_000_000_000, false),
            ("0", 900, false),
            ("0", 5_000, true),
            ("nonsense", 5_000, false),
        ] {
            assert_eq!(differs(told, NanoUsd::new(ours)), is_other, "{told} {ours}");
        }
    }
}
