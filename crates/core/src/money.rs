//! Money of record: an `i64` count of nano-dollars with checked arithmetic.

use std::{fmt, str::FromStr};

use minicbor::{Decode, Encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Nano-dollars in one US dollar.
pub const NANOUSD_PER_USD: i64 = 1_000_000_000;

/// An amount in nano-dollars (1e-9 USD). Shown and parsed as a decimal string of dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct NanoUsd(#[n(0)] i64);

/// The result does not fit an `i64` of nano-dollars (about 9.2 billion USD).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the amount is larger than 9.2 billion USD, the most that an amount of record can hold")]
pub struct MoneyOverflow;

/// Why a text is not an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseMoneyError {
    /// Not of the form `-12.345`.
    #[error("`{0}` is not an amount: write digits with at most one point, such as \"12.50\"")]
    NotANumber(String),
    /// More than nine decimals.
    #[error("`{0}` has more than nine decimals; an amount of record is a whole number of nano-dollars")]
    TooPrecise(String),
    /// Beyond the range of an `i64` of nano-dollars.
    #[error("`{0}` is larger than 9.2 billion USD")]
    TooLarge(String),
}

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From a count of nano-dollars.
    #[must_use]
    pub const fn new(nanousd: i64) -> Self {
        Self(nanousd)
    }

    /// The count of nano-dollars.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Sum, or the error when it does not fit.
    ///
    /// # Errors
    /// [`MoneyOverflow`] when the sum does not fit.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyOverflow> {
        self.0.checked_add(other.0).map(Self).ok_or(MoneyOverflow)
    }

    /// Difference, or the error when it does not fit.
    ///
    /// # Errors
    /// [`MoneyOverflow`] when the difference does not fit.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyOverflow> {
        self.0.checked_sub(other.0).map(Self).ok_or(MoneyOverflow)
    }

    /// Sum of many amounts.
    ///
    /// # Errors
    /// [`MoneyOverflow`] when a partial sum does not fit.
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Result<Self, MoneyOverflow> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }
}

/// Dollars with nine decimals: `0.000012300`.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        let unit = NANOUSD_PER_USD.unsigned_abs();
        let (whole, part) = (magnitude.checked_div(unit), magnitude.checked_rem(unit));
        write!(f, "{sign}{}.{:09}", whole.unwrap_or(0), part.unwrap_or(0))
    }
}

impl FromStr for NanoUsd {
    type Err = ParseMoneyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let not_a_number = || ParseMoneyError::NotANumber(text.to_owned());
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", text),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(part) {
            return Err(not_a_number());
        }
        let significant = part.trim_end_matches('0');
        if significant.len() > 9 {
            return Err(ParseMoneyError::TooPrecise(text.to_owned()));
        }
        format!("{sign}{whole}{significant:0<9}")
            .parse()
            .map(Self)
            .map_err(|_| ParseMoneyError::TooLarge(text.to_owned()))
    }
}

impl Serialize for NanoUsd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NanoUsd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_amount_reads_back_as_it_was_written() {
        for (text, nanousd) in [("0.000012300", 12_300), ("-1.5", -1_500_000_000), ("7", 7_000_000_000)] {
            assert_eq!(text.parse(), Ok(NanoUsd::new(nanousd)));
        }
        assert_eq!(NanoUsd::new(i64::MIN).to_string().parse(), Ok(NanoUsd::new(i64::MIN)));
    }

    proptest! {
        #[test]
        fn an_amount_is_shown_with_nine_decimals(nanousd: i64, shorter_by in 0..64_u32) {
            for nanousd in [nanousd, nanousd.wrapping_shr(shorter_by)] {
                let (sign, magnitude) = (if nanousd < 0 { "-" } else { "" }, nanousd.unsigned_abs());
                let expected = format!("{sign}{}.{:09}", magnitude / 1_000_000_000, magnitude % 1_000_000_000);
                prop_assert_eq!(NanoUsd::new(nanousd).to_string(), expected);
            }
        }
    }

    #[test]
    fn the_least_and_the_most_are_shown_whole() {
        let shown = [0, 1, -1, 999_999_999, 1_000_000_000, 10_000_000_000, i64::MAX, i64::MIN]
            .map(|nanousd| NanoUsd::new(nanousd).to_string());
        let expected = [
            "0.000000000",
            "0.000000001",
            "-0.000000001",
            "0.999999999",
            "1.000000000",
            "10.000000000",
            "9223372036.854775807",
            "-9223372036.854775808",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for text in ["", "-", ".", "1.", ".5", "1e3", "+1", "1,5", "--1", "0.1234567891", "99999999999999"] {
            assert!(text.parse::<NanoUsd>().is_err(), "{text}");
        }
    }
}
