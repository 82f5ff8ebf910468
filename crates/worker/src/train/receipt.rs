//! What a training run used and cost, by exact decimal arithmetic: no float touches an amount.

use serde::{Deserialize, Serialize};

/// Digits before the point that are taken.
const WHOLE_DIGITS_MAX: usize = 9;
/// Digits behind the point that are taken.
const FRACTION_DIGITS_MAX: usize = 9;
/// Digits behind the point of `energy_wh`.
const ENERGY_DIGITS: u32 = 6;
/// Digits behind the point of `cost_usd`.
const COST_DIGITS: u32 = 9;

/// A decimal number of at least 0, as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Decimal {
    text: String,
    digits: i128,
    /// The value is `digits` over ten to this power.
    scale: u32,
}

impl TryFrom<String> for Decimal {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Decimal> for String {
    fn from(decimal: Decimal) -> Self {
        decimal.text
    }
}

impl std::str::FromStr for Decimal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let all_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
        let fits = (1..=WHOLE_DIGITS_MAX).contains(&whole.len()) && fraction.len() <= FRACTION_DIGITS_MAX;
        let wrong = || {
            format!(
                "`{text}` is not a decimal of at most {WHOLE_DIGITS_MAX} digits before and {FRACTION_DIGITS_MAX} behind the point"
            )
        };
        if !all_digits || !fits || text.ends_with('.') {
            return Err(wrong());
        }
        let digits = format!("{whole}{fraction}").parse().map_err(|_| wrong())?;
        Ok(Self { text: text.to_owned(), digits, scale: u32::try_from(fraction.len()).map_err(|_| wrong())? })
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// What the device and its power cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rates {
    /// Dollars an hour of one processor.
    pub(super) device_usd_per_hour: Decimal,
    /// Watts of one busy processor.
    pub(super) watts: Decimal,
    /// Dollars a kilowatt hour.
    pub(super) usd_per_kwh: Decimal,
    /// Power of the house over power of its machines.
    pub(super) pue: Decimal,
}

/// The receipt of a training run: `receipt.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Receipt {
    /// How the model is called in requests.
    pub(super) model: String,
    /// For people.
    pub(super) name: String,
    /// All chance follows from it.
    pub(super) seed: u64,
    /// Numbers that were trained.
    pub(super) parameters: u64,
    /// Tokens that were trained on, repeats included.
    pub(super) tokens: u64,
    /// Steps of the optimiser.
    pub(super) steps: u64,
    /// Nats a token, mean of the last steps.
    pub(super) final_loss: f64,
    /// Nats a token, on text that was held back.
    pub(super) validation_loss: f64,
    /// Processor seconds of the whole process.
    pub(super) cpu_seconds: Decimal,
    /// Hash of the corpus.
    pub(super) corpus_sha256: String,
    /// Hash of `model.safetensors`.
    pub(super) model_sha256: String,
    /// See [`Rates`].
    pub(super) device_usd_per_hour: Decimal,
    /// See [`Rates`].
    pub(super) watts: Decimal,
    /// See [`Rates`].
    pub(super) usd_per_kwh: Decimal,
    /// See [`Rates`].
    pub(super) pue: Decimal,
    /// watts x `cpu_seconds` x pue / 3600, rounded half to even.
    pub(super) energy_wh: Decimal,
    /// `cpu_seconds` / 3600 x `device_usd_per_hour` + `energy_wh` / 1000 x `usd_per_kwh`, rounded half to even.
    pub(super) cost_usd: Decimal,
    /// When, RFC 3339.
    pub(super) made_at: String,
    /// The processor's name.
    pub(super) host_cpu: String,
}

/// Energy in watt hours and cost in dollars; none when a figure is too large to be counted.
#[must_use]
pub(super) fn cost(cpu_seconds: &Decimal, rates: &Rates) -> Option<(Decimal, Decimal)> {
    let product = rates.watts.digits.checked_mul(cpu_seconds.digits)?.checked_mul(rates.pue.digits)?;
    let parts = ten_to(rates.watts.scale + cpu_seconds.scale + rates.pue.scale)?.checked_mul(3600)?;
    let energy = rounded(product, parts, ENERGY_DIGITS)?;
    // Both summands over the same divisor: 3600 x 10^scale.
    let device_scale = cpu_seconds.scale + rates.device_usd_per_hour.scale;
    let energy_scale = energy.scale + rates.usd_per_kwh.scale + 3;
    let scale = device_scale.max(energy_scale);
    let device = cpu_seconds.digits.checked_mul(rates.device_usd_per_hour.digits)?;
    let device = device.checked_mul(ten_to(scale - device_scale)?)?;
    let power = energy.digits.checked_mul(rates.usd_per_kwh.digits)?.checked_mul(3600)?;
    let power = power.checked_mul(ten_to(scale - energy_scale)?)?;
    let cost = rounded(device.checked_add(power)?, ten_to(scale)?.checked_mul(3600)?, COST_DIGITS)?;
    Some((energy, cost))
}

/// Processor seconds to the millisecond, rounded down.
#[must_use]
pub(super) fn seconds(time: std::time::Duration) -> Option<Decimal> {
    written(i128::try_from(time.as_millis()).ok()?, 3)
}

/// `number` / `divisor` to `digits` digits behind the point, half to even. Neither is negative.
fn rounded(number: i128, divisor: i128, digits: u32) -> Option<Decimal> {
    let number = number.checked_mul(ten_to(digits)?)?;
    let (whole, rest) = (number.checked_div(divisor)?, number.checked_rem(divisor)?);
    let up = match rest.checked_mul(2)?.cmp(&divisor) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => whole % 2,
        std::cmp::Ordering::Greater => 1,
    };
    written(whole.checked_add(up)?, digits)
}

fn written(digits: i128, scale: u32) -> Option<Decimal> {
    let one = ten_to(scale)?;
    let width = usize::try_from(scale).ok()?;
    let text = format!("{}.{:0width$}", digits.checked_div(one)?, digits.checked_rem(one)?);
    Some(Decimal { text, digits, scale })
}

fn ten_to(power: u32) -> Option<i128> {
    10_i128.checked_pow(power)
}
