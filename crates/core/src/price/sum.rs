//! Adds up prices exactly, as one integer over a power of ten: no division until the end.

use crate::{decimal::Decimal, exact::Exact, money::MoneyOverflow};

/// A sum of nano-dollars, `numerator / 10^scale`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    numerator: u128,
    scale: u32,
}

impl Sum {
    /// Adds `nanousd x usd`: so many nano-dollars for each dollar of a price.
    pub(super) fn add(&mut self, nanousd: u128, usd: Decimal) -> Result<(), MoneyOverflow> {
        let mut term = nanousd.checked_mul(u128::from(usd.digits())).ok_or(MoneyOverflow)?;
        let scale = usd.scale();
        if scale > self.scale {
            self.numerator = widen(self.numerator, scale.saturating_sub(self.scale)).ok_or(MoneyOverflow)?;
            self.scale = scale;
        } else if scale < self.scale {
            term = widen(term, self.scale.saturating_sub(scale)).ok_or(MoneyOverflow)?;
        }
        self.numerator = self.numerator.checked_add(term).ok_or(MoneyOverflow)?;
        Ok(())
    }

    /// The sum, unrounded.
    pub(super) fn exact(self) -> Exact {
        // Scales are those of decimals, so that the power fits.
        Exact::new(self.numerator, 10_u128.checked_pow(self.scale).unwrap_or(1))
    }
}

fn widen(number: u128, decimals: u32) -> Option<u128> {
    number.checked_mul(10_u128.checked_pow(decimals)?)
}
