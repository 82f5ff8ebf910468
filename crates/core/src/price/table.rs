//! The prices of one model in one version: a base, context tiers, and variants for other circumstances.

use serde::{Deserialize, Serialize};

use super::{
    rate::{Rate, Rates},
    select::When,
    unit::{Unit, UnitPrices},
};
use crate::{decimal::Decimal, pricing_context::ServiceTier};

/// Which tokens a context tier prices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TierApplies {
    /// All tokens of the line (what providers do).
    #[default]
    Whole,
    /// Only input tokens beyond the threshold, up to the next one; output stays at the base price.
    Excess,
}

/// Prices for prompts of more than a number of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// The tier applies when the whole prompt (all input buckets) has more tokens than this.
    pub above_input_tokens: u64,
    /// Which tokens it prices; the same for all tiers of a base or variant.
    #[serde(default)]
    pub applies: TierApplies,
    /// Its prices; a price missing here is taken from below the tier.
    pub usd_per_mtok: Rates,
}

/// Prices under other circumstances: a service tier, a region, hours of the day. What it leaves out is the base's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// When it applies: all of these.
    pub when: When,
    /// Its prices.
    #[serde(default, skip_serializing_if = "Rates::is_empty")]
    pub usd_per_mtok: Rates,
    /// Its context tiers, ascending by threshold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<Tier>,
    /// Added once per request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd_per_request: Option<Decimal>,
    /// Prices of what is no token.
    #[serde(default, skip_serializing_if = "UnitPrices::is_empty")]
    pub usd_per_unit: UnitPrices,
}

/// What may stand for a missing price because the table says so, beyond what parts fall back to by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fallback {
    /// A cache read without a price costs what fresh input does.
    #[serde(skip_serializing_if = "is_false")]
    pub cache_read_as_input: bool,
    /// A cache write (but not for an hour) without a price costs what fresh input does.
    #[serde(skip_serializing_if = "is_false")]
    pub cache_write_as_input: bool,
    /// Service tiers without a variant that cost what the standard one does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub standard_for: Vec<ServiceTier>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl Fallback {
    /// True when the table says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The prices of one model in one version. Tiers are sorted by threshold, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceTable {
    /// Base prices.
    pub usd_per_mtok: Rates,
    /// Context tiers, ascending by threshold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<Tier>,
    /// Added once per request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd_per_request: Option<Decimal>,
    /// Prices of what is no token.
    #[serde(default, skip_serializing_if = "UnitPrices::is_empty")]
    pub usd_per_unit: UnitPrices,
    /// Prices under other circumstances.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    /// What stands for missing prices.
    #[serde(default, skip_serializing_if = "Fallback::is_empty")]
    pub fallback: Fallback,
}

impl PriceTable {
    /// Whether a unit has a price, under some circumstances at least.
    #[must_use]
    pub fn prices_unit(&self, unit: Unit) -> bool {
        let of_variant = |variant: &Variant| variant.usd_per_unit.get(unit).is_some();
        self.usd_per_unit.get(unit).is_some() || self.variants.iter().any(of_variant)
    }

    /// Whether tokens of input have a price.
    #[must_use]
    pub fn prices_input(&self) -> bool {
        [Rate::Input, Rate::InputAudio].into_iter().any(|rate| self.usd_per_mtok.get(rate).is_some())
    }
}
