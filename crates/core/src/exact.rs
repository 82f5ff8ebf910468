//! An exact amount before it is rounded: a non-negative rational of checked 128-bit integers.

use crate::{
    decimal::Decimal,
    money::{MoneyOverflow, NanoUsd},
};

/// A non-negative rational amount of nano-dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact {
    numerator: u128,
    denominator: u128,
}

impl Exact {
    /// Nothing.
    pub const ZERO: Self = Self { numerator: 0, denominator: 1 };

    /// `numerator / denominator` nano-dollars; the denominator must not be zero (zero counts as one).
    #[must_use]
    pub const fn new(numerator: u128, denominator: u128) -> Self {
        Self { numerator, denominator: if denominator == 0 { 1 } else { denominator } }
    }

    /// Numerator and denominator, as they are: not in lowest terms.
    #[must_use]
    pub const fn ratio(self) -> (u128, u128) {
        (self.numerator, self.denominator)
    }

    /// The sum, exact. For denominators of which one is a multiple of the other, such as powers of ten.
    ///
    /// # Errors
    /// [`MoneyOverflow`] when it does not fit 128 bits, or the denominators are others.
    pub(crate) fn add(self, other: Self) -> Result<Self, MoneyOverflow> {
        let denominator = self.denominator.max(other.denominator);
        let widen = |amount: Self| {
            let whole = denominator.checked_rem(amount.denominator) == Some(0);
            let factor = denominator.checked_div(amount.denominator).filter(|_| whole)?;
            amount.numerator.checked_mul(factor)
        };
        let (a, b) = widen(self).zip(widen(other)).ok_or(MoneyOverflow)?;
        Ok(Self { numerator: a.checked_add(b).ok_or(MoneyOverflow)?, denominator })
    }

    /// The product with a decimal, exact.
    ///
    /// # Errors
    /// [`MoneyOverflow`] when the intermediate does not fit 128 bits.
    pub fn times(self, factor: Decimal) -> Result<Self, MoneyOverflow> {
        let unit = 10_u128.checked_pow(factor.scale()).ok_or(MoneyOverflow)?;
        Ok(Self {
            numerator: self.numerator.checked_mul(u128::from(factor.digits())).ok_or(MoneyOverflow)?,
            denominator: self.denominator.checked_mul(unit).ok_or(MoneyOverflow)?,
        })
    }

    /// The product with `numerator / denominator`, exact; a denominator of zero counts as one.
    ///
    /// # Errors
    /// As [`Self::times`].
    pub fn times_ratio(self, numerator: u128, denominator: u128) -> Result<Self, MoneyOverflow> {
        Ok(Self {
            numerator: self.numerator.checked_mul(numerator).ok_or(MoneyOverflow)?,
            denominator: self.denominator.checked_mul(denominator.max(1)).ok_or(MoneyOverflow)?,
        })
    }

    /// The nearest nano-dollar, half to even.
    ///
    /// # Errors
    /// [`MoneyOverflow`] when the amount does not fit an `i64`.
    pub fn round_half_even(self) -> Result<NanoUsd, MoneyOverflow> {
        let quotient = self.numerator.checked_div(self.denominator).ok_or(MoneyOverflow)?;
        let remainder = self.numerator.checked_rem(self.denominator).ok_or(MoneyOverflow)?;
        // Compares the remainder with what is missing to the next nano-dollar, so nothing is doubled and nothing overflows.
        let missing = self.denominator.saturating_sub(remainder);
        let up = remainder > missing || (remainder == missing && quotient & 1 == 1);
        let rounded = if up { quotient.checked_add(1).ok_or(MoneyOverflow)? } else { quotient };
        i64::try_from(rounded).map(NanoUsd::new).map_err(|_| MoneyOverflow)
    }
}
