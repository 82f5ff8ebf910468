//! The receipt of a training run: what it took, and what that cost, in exact decimal text.

use serde::{Deserialize, Serialize};

/// What a run took. `tollgate training add --from` reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Public name of the model.
    pub model: String,
    /// Name of the run.
    pub name: String,
    /// Its seed.
    pub seed: u64,
    /// Weights of the model.
    pub parameters: u64,
    /// Tokens learned from, repetitions counted.
    pub tokens: u64,
    /// Updates of the weights.
    pub steps: u64,
    /// Mean cross-entropy a token, over the last steps.
    pub final_loss: f32,
    /// The same over conversations that were never learned from.
    pub validation_loss: f32,
    /// Processor time, seconds.
    pub cpu_seconds: String,
    /// SHA-256 of the text.
    pub corpus_sha256: String,
    /// SHA-256 of `model.safetensors`.
    pub model_sha256: String,
    /// Price of the device.
    pub device_usd_per_hour: String,
    /// Power of the device under load.
    pub watts: String,
    /// Price of energy.
    pub usd_per_kwh: String,
    /// Power usage effectiveness.
    pub pue: String,
    /// watts x `cpu_seconds` x pue / 3600, six decimals.
    pub energy_wh: String,
    /// `cpu_seconds` / 3600 x `device_usd_per_hour` + `energy_wh` / 1000 x `usd_per_kwh`, nine decimals.
    pub cost_usd: String,
    /// When, RFC 3339.
    pub made_at: String,
    /// The processor.
    pub host_cpu: String,
}

/// A decimal: digits and how many of them stand behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decimal {
    digits: i128,
    scale: u32,
}

/// Prices of a device, decimal text.
#[derive(Clone, Debug)]
pub struct DevicePrices {
    /// USD an hour.
    pub device_usd_per_hour: String,
    /// Watts under load.
    pub watts: String,
    /// USD a kilowatt-hour.
    pub usd_per_kwh: String,
    /// Power usage effectiveness.
    pub pue: String,
}

impl DevicePrices {
    /// Energy in watt-hours and cost in USD of so much processor time; none when a text is no decimal or does not fit.
    #[must_use]
    pub fn energy_and_cost(&self, cpu_seconds: &str) -> Option<(String, String)> {
        let seconds = Decimal::parse(cpu_seconds)?;
        let watts = Decimal::parse(&self.watts)?;
        let energy = watts.times(seconds)?.times(Decimal::parse(&self.pue)?)?.divided(3600, 6)?;
        let device = seconds.times(Decimal::parse(&self.device_usd_per_hour)?)?;
        let power = energy.times(Decimal::parse(&self.usd_per_kwh)?)?;
        // Over the common denominator 3600 x 1000, so that only one rounding happens.
        let sum = device.scaled(1000)?.plus(power.scaled(3600)?)?;
        Some((energy.text(), sum.divided(3_600_000, 9)?.text()))
    }
}

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let plain = !whole.is_empty() && whole.len() + fraction.len() <= 18;
        let digits = format!("{whole}{fraction}");
        let digits = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()?;
        plain.then_some(Self { digits, scale: u32::try_from(fraction.len()).ok()? })
    }

    fn times(self, other: Self) -> Option<Self> {
        let digits = self.digits.checked_mul(other.digits)?;
        Some(Self { digits, scale: self.scale + other.scale })
    }

    fn scaled(self, by: i128) -> Option<Self> {
        Some(Self { digits: self.digits.checked_mul(by)?, scale: self.scale })
    }

    fn plus(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let widen = |decimal: Self| decimal.digits.checked_mul(10_i128.checked_pow(scale - decimal.scale)?);
        Some(Self { digits: widen(self)?.checked_add(widen(other)?)?, scale })
    }

    /// Divided and rounded half to even to so many decimals.
    fn divided(self, by: i128, decimals: u32) -> Option<Self> {
        let numerator = self.digits.checked_mul(10_i128.checked_pow(decimals)?)?;
        let denominator = by.checked_mul(10_i128.checked_pow(self.scale)?)?;
        let (quotient, rest) = (numerator.checked_div(denominator)?, numerator.checked_rem(denominator)?);
        let up = match (rest.checked_mul(2)?).cmp(&denominator) {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Equal => quotient % 2 == 1,
            std::cmp::Ordering::Less => false,
        };
        Some(Self { digits: quotient + i128::from(up), scale: decimals })
    }

    fn text(self) -> String {
        let unit = 10_i128.pow(self.scale);
        let width = usize::try_from(self.scale).unwrap_or(0);
        format!("{}.{:0width$}", self.digits / unit, self.digits % unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn energy_and_cost_are_exact_and_rounded_half_to_even() {
        let prices = |device: &str, watts: &str| DevicePrices {
            device_usd_per_hour: device.to_owned(),
            watts: watts.to_owned(),
            usd_per_kwh: "0.20".to_owned(),
            pue: "1.2".to_owned(),
        };
        let both = |energy: &str, cost: &str| Some((energy.to_owned(), cost.to_owned()));
        assert_eq!(prices("0.05", "10").energy_and_cost("36"), both("0.120000", "0.000524000"));
        assert_eq!(prices("3600", "0").energy_and_cost("0.0000000005"), both("0.000000", "0.000000000"));
        assert_eq!(prices("3600", "0").energy_and_cost("0.0000000015"), both("0.000000", "0.000000002"));
        assert_eq!(prices("x", "0").energy_and_cost("1"), None);
        assert_eq!(prices("-1", "0").energy_and_cost("1"), None);
    }
}
