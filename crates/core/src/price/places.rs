//! Every place of a table in which a price may stand, and what the table asks for there: for comparing two tables amount
//! by amount.

use super::{
    rate::Rate,
    select::When,
    table::{PriceTable, Tier},
    unit::Unit,
};
use crate::decimal::Decimal;

/// A place of a table: the base or a variant, for prompts of more than a number of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The variant's conditions; none: the base.
    pub when: Option<&'a When>,
    /// Tokens of the context tier; 0: below the first.
    pub above_input_tokens: u64,
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(when) = self.when {
            write!(f, " when {when}")?;
        }
        if self.above_input_tokens > 0 {
            write!(f, " above {} tokens", self.above_input_tokens)?;
        }
        Ok(())
    }
}

/// A price that a table asks for, and whether it says it of exactly this rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The price.
    pub price: Decimal,
    /// False: another rate's price stands for it.
    pub is_own: bool,
}

impl PriceTable {
    /// Every place for which the table says something, the base first.
    #[must_use]
    pub fn places(&self) -> Vec<Place<'_>> {
        let variants = self.variants.iter().map(|variant| (Some(&variant.when), &variant.tiers));
        let mut places = Vec::new();
        for (when, tiers) in std::iter::once((None, &self.tiers)).chain(variants) {
            places.push(Place { when, above_input_tokens: 0 });
            // A variant without tiers of its own is laid over those of the base.
            let thresholds = tiers.iter().chain(when.map(|_| self.tiers.iter()).into_iter().flatten());
            let mut above: Vec<u64> =
                thresholds.map(|tier| tier.above_input_tokens).filter(|above| *above > 0).collect();
            above.sort_unstable();
            above.dedup();
            places.extend(above.into_iter().map(|above_input_tokens| Place { when, above_input_tokens }));
        }
        places
    }

    /// The price per million tokens that holds at a place, by the rate's chain. A table without such a variant asks for
    /// what its base does.
    #[must_use]
    pub fn asks(&self, place: Place<'_>, rate: Rate) -> Option<Asked> {
        let variant = self.variants.iter().find(|variant| Some(&variant.when) == place.when);
        let tiered = |tiers: &[Tier], rate| {
            let tier = tiers.iter().rev().find(|tier| tier.above_input_tokens <= place.above_input_tokens)?;
            tier.usd_per_mtok.get(rate)
        };
        rate.chain().iter().find_map(|link| {
            let own = variant.and_then(|own| tiered(&own.tiers, *link).or_else(|| own.usd_per_mtok.get(*link)));
            let price = own.or_else(|| tiered(&self.tiers, *link)).or_else(|| self.usd_per_mtok.get(*link))?;
            Some(Asked { price, is_own: *link == rate })
        })
    }

    /// The price of a unit that holds at a place.
    #[must_use]
    pub fn asks_per_unit(&self, place: Place<'_>, unit: Unit) -> Option<Decimal> {
        let variant = self.variants.iter().find(|variant| Some(&variant.when) == place.when);
        variant.and_then(|own| own.usd_per_unit.get(unit)).or_else(|| self.usd_per_unit.get(unit))
    }

    /// The price of a request that holds at a place.
    #[must_use]
    pub fn asks_per_request(&self, place: Place<'_>) -> Option<Decimal> {
        let variant = self.variants.iter().find(|variant| Some(&variant.when) == place.when);
        variant.and_then(|own| own.usd_per_request).or(self.usd_per_request)
    }
}
