//! A non-negative decimal, exact: the price text of a table, as digits and a scale.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most decimals that a price may have.
pub const SCALE_MAX: u32 = 18;

/// `digits / 10^scale`, at least zero, with no trailing zeros in its decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    digits: u64,
    scale: u32,
}

/// Why a text is not a decimal of a price table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a price: write a decimal string of at most 18 decimals, at least 0, such as \"2.50\"")]
pub struct ParseDecimalError(pub String);

impl Decimal {
    /// Zero: free, said explicitly.
    pub const ZERO: Self = Self { digits: 0, scale: 0 };
    /// One.
    pub const ONE: Self = Self { digits: 1, scale: 0 };

    /// The digits without the point.
    #[must_use]
    pub const fn digits(self) -> u64 {
        self.digits
    }

    /// The number of decimals, at most [`SCALE_MAX`].
    #[must_use]
    pub const fn scale(self) -> u32 {
        self.scale
    }

    /// Whether it is one or more.
    #[must_use]
    pub fn is_at_least_one(self) -> bool {
        10_u64.checked_pow(self.scale).is_some_and(|one| self.digits >= one)
    }

    /// Whether it is at least so many times another; true also when the comparison does not fit 128 bits.
    #[must_use]
    pub fn is_at_least(self, times: u64, other: Self) -> bool {
        let widened = |own: Self, scale: u32| u128::from(own.digits).checked_mul(10_u128.checked_pow(scale)?);
        let most = widened(self, other.scale);
        let least = widened(other, self.scale).and_then(|other| other.checked_mul(u128::from(times)));
        most.zip(least).is_none_or(|(most, least)| most >= least)
    }

    /// One plus this: the factor of a margin over cost.
    #[must_use]
    pub fn plus_one(self) -> Option<Self> {
        let one = 10_u64.checked_pow(self.scale)?;
        Some(Self { digits: self.digits.checked_add(one)?, scale: self.scale })
    }
}

impl Decimal {
    /// From a number as other files write it, such as `1.5e-07`, times ten to the power of `shift`: exact, by its digits.
    ///
    /// # Errors
    /// [`ParseDecimalError`] when it is no number, negative, or needs more than 18 decimals.
    pub fn from_number(text: &str, shift: i32) -> Result<Self, ParseDecimalError> {
        Self::shifted(text, shift).ok_or_else(|| ParseDecimalError(text.to_owned()))
    }

    fn shifted(text: &str, shift: i32) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(part) {
            return None;
        }
        let part = part.trim_end_matches('0');
        let digits = format!("{whole}{part}");
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Some(Self::ZERO);
        }
        // The value is `digits x 10^power`.
        let power = exponent.checked_add(shift)?.checked_sub(i32::try_from(part.len()).ok()?)?;
        let significant = digits.trim_end_matches('0');
        let zeros = i32::try_from(digits.len().checked_sub(significant.len())?).ok()?;
        let power = power.checked_add(zeros)?;
        let number: u64 = significant.parse().ok()?;
        if power >= 0 {
            let unit = 10_u64.checked_pow(u32::try_from(power).ok()?)?;
            return Some(Self { digits: number.checked_mul(unit)?, scale: 0 });
        }
        let scale = power.unsigned_abs();
        (scale <= SCALE_MAX).then_some(Self { digits: number, scale })
    }
}

impl FromStr for Decimal {
    type Err = ParseDecimalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseDecimalError(text.to_owned());
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(part) {
            return Err(refuse());
        }
        let part = part.trim_end_matches('0');
        let scale = u32::try_from(part.len()).map_err(|_| refuse())?;
        if scale > SCALE_MAX {
            return Err(refuse());
        }
        let digits = format!("{whole}{part}").parse().map_err(|_| refuse())?;
        Ok(Self { digits, scale })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10_u64.checked_pow(self.scale).unwrap_or(1);
        let whole = self.digits.checked_div(unit).unwrap_or(0);
        let part = self.digits.checked_rem(unit).unwrap_or(0);
        match usize::try_from(self.scale) {
            Ok(0) | Err(_) => write!(f, "{whole}"),
            Ok(width) => write!(f, "{whole}.{part:0width$}"),
        }
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_keeps_its_value_and_loses_trailing_zeros() {
        for (text, shown) in [("2.50", "2.5"), ("0", "0"), ("0.0028", "0.0028"), ("600", "600"), ("1.000", "1")] {
            assert_eq!(text.parse::<Decimal>().map(|d| d.to_string()), Ok(shown.to_owned()));
        }
    }

    #[test]
    fn a_number_of_another_file_is_read_by_its_digits() {
        for (text, shift, shown) in [
            ("1.5e-07", 6, "0.15"),
            ("8.39233e-08", 6, "0.0839233"),
            ("3e-06", 6, "3"),
            ("2.50", 0, "2.5"),
            ("10", -3, "0.01"),
            ("0.0", 6, "0"),
            ("1E+2", 0, "100"),
            ("0.00001", 6, "10"),
        ] {
            assert_eq!(Decimal::from_number(text, shift).map(|d| d.to_string()), Ok(shown.to_owned()), "{text}");
        }
        for text in ["-1e-7", "1e", "e5", "1e-40", "NaN", "", "1.e2", "1e30"] {
            assert!(Decimal::from_number(text, 6).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_price_is_refused() {
        for text in ["", "-1", "1e-3", "NaN", "1.", ".1", "0.1234567890123456789", "99999999999999999999"] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
    }
}
