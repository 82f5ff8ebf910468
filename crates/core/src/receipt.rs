//! The receipt of a training run: what it used, at which prices, and what that cost. It is believed only if it adds up.

use serde::Deserialize;

use crate::{
    decimal::Decimal,
    exact::Exact,
    money::{MoneyOverflow, NanoUsd},
};

/// Seconds in an hour.
const HOUR_S: u128 = 3600;
/// Billionths in one: nano-dollars in a dollar, and the unit in which energy is compared.
const BILLION: u128 = 1_000_000_000;
/// Energy is written with six decimals of a watt hour: so far from the exact figure may it be, in billionths.
const ENERGY_TOLERANCE: u64 = 1000;
/// The cost is rounded once.
const COST_TOLERANCE_NANOUSD: u64 = 1;

/// A training run, as its trainer wrote it down. Fields that say nothing about cost are not read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TrainingReceipt {
    /// The model that came of it, by its public name.
    pub model: String,
    /// Name of the run.
    pub name: String,
    /// Hash of the model.
    pub model_sha256: String,
    /// Processor time, seconds.
    pub cpu_seconds: Decimal,
    /// Price of the device, USD an hour of processor time.
    pub device_usd_per_hour: Decimal,
    /// What it drew.
    pub watts: Decimal,
    /// Energy bought for each unit that it drew.
    pub pue: Decimal,
    /// Price of energy.
    pub usd_per_kwh: Decimal,
    /// watts x `cpu_seconds` x pue / 3600, to six decimals.
    pub energy_wh: Decimal,
    /// `cpu_seconds` / 3600 x `device_usd_per_hour` + `energy_wh` / 1000 x `usd_per_kwh`, to a nano-dollar.
    pub cost_usd: NanoUsd,
}

/// Why a receipt is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Its energy is not what its parts come to.
    #[error("the receipt does not add up: {stated} Wh of energy are stated, its parts come to {computed}")]
    Energy {
        /// As written.
        stated: Decimal,
        /// Recomputed, watt hours.
        computed: String,
    },
    /// Its cost is not what its parts come to.
    #[error("the receipt does not add up: a cost of {stated} USD is stated, its parts come to {computed}")]
    Cost {
        /// As written.
        stated: NanoUsd,
        /// Recomputed.
        computed: NanoUsd,
    },
    /// A figure is too large to be counted.
    #[error(transparent)]
    Overflow(#[from] MoneyOverflow),
}

impl TrainingReceipt {
    /// Recomputes energy and cost from their parts.
    ///
    /// # Errors
    /// [`ReceiptError`] when either is not what the receipt states.
    pub fn check(&self) -> Result<(), ReceiptError> {
        let hours = Exact::new(BILLION, HOUR_S).times(self.cpu_seconds)?;
        let energy = hours.times(self.watts)?.times(self.pue)?.round_half_even()?;
        let stated = Exact::new(BILLION, 1).times(self.energy_wh)?.round_half_even()?;
        if energy.get().abs_diff(stated.get()) > ENERGY_TOLERANCE {
            return Err(ReceiptError::Energy { stated: self.energy_wh, computed: energy.to_string() });
        }
        // Over the same divisor as the hours, so that the sum is exact.
        let power = Exact::new(BILLION, HOUR_S).times_ratio(HOUR_S, 1)?;
        let power = power.times(self.energy_wh)?.times(self.usd_per_kwh)?.times_ratio(1, 1000)?;
        let computed = hours.times(self.device_usd_per_hour)?.add(power)?.round_half_even()?;
        if computed.get().abs_diff(self.cost_usd.get()) > COST_TOLERANCE_NANOUSD {
            return Err(ReceiptError::Cost { stated: self.cost_usd, computed });
        }
        Ok(())
    }

    /// The stated cost times `scale`, rounded once, half to even.
    ///
    /// # Errors
    /// [`MoneyOverflow`] when it does not fit, or the cost is below zero.
    pub fn scaled_cost(&self, scale: Decimal) -> Result<NanoUsd, MoneyOverflow> {
        let cost = u128::try_from(self.cost_usd.get()).map_err(|_| MoneyOverflow)?;
        Exact::new(cost, 1).times(scale)?.round_half_even()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(change: (&str, &str)) -> TrainingReceipt {
        let mut value = serde_json::json!({
            "model": "small", "name": "first", "model_sha256": "00", "final_loss": 0.25, "cpu_seconds": "12.345",
            "device_usd_per_hour": "0.05", "watts": "10", "pue": "1.2", "usd_per_kwh": "0.20", "energy_wh": "0.041150",
            "cost_usd": "0.000179688",
        });
        if let Some(field) = value.get_mut(change.0) {
            *field = change.1.into();
        }
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_receipt_that_adds_up_is_believed() {
        // 12.345 s / 3600 x 0.05 = 0.000171458 USD, and 0.04115 Wh / 1000 x 0.20 = 0.00000823 USD.
        assert_eq!(receipt(("", "")).check(), Ok(()));
        assert_eq!(receipt(("cost_usd", "0.000179689")).check(), Ok(()), "trainers may round the other way");
    }

    #[test]
    fn a_receipt_with_any_figure_changed_is_refused() {
        for change in [
            ("cpu_seconds", "12.346"),
            ("device_usd_per_hour", "0.051"),
            ("watts", "11"),
            ("pue", "1.3"),
            ("usd_per_kwh", "0.21"),
            ("energy_wh", "0.041152"),
            ("cost_usd", "0.000179690"),
            ("cost_usd", "-0.000179688"),
            ("cost_usd", "0"),
            ("cpu_seconds", "9999999999"),
        ] {
            assert!(receipt(change).check().is_err(), "{change:?}");
        }
    }

    #[test]
    fn a_scale_multiplies_what_is_stated() {
        let scaled = |text: &str| receipt(("", "")).scaled_cost(text.parse().unwrap()).map(|cost| cost.to_string());
        assert_eq!(scaled("50000").unwrap(), "8.984400000");
        assert_eq!(scaled("0.5").unwrap(), "0.000089844");
        assert!(scaled("9999999999999999").is_err());
    }
}
