//! Prices of what is counted beside tokens: searches, pictures, seconds of sound, characters.

use super::prices::{PriceKey, Prices};
use crate::{
    counters::{Counter, Counters},
    pricing_context::PricingContext,
};

/// What a price per unit is of. Its name is its key in price files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// A search of the web that the provider ran.
    WebSearch,
    /// A page of the web that the provider fetched.
    WebFetch,
    /// A call of another tool that runs at the provider.
    ToolCall,
    /// A picture made.
    Image,
    /// A second of sound taken in.
    AudioInputSecond,
    /// A second of sound made.
    AudioOutputSecond,
    /// A character (Unicode code point) of text to be spoken.
    Character,
    /// A search unit of a reranking.
    RerankUnit,
}

/// Prices in USD per unit.
pub type UnitPrices = Prices<Unit>;

impl Unit {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::WebSearch,
        Self::WebFetch,
        Self::ToolCall,
        Self::Image,
        Self::AudioInputSecond,
        Self::AudioOutputSecond,
        Self::Character,
        Self::RerankUnit,
    ];

    /// Its key in price files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WebSearch => "web_search",
            Self::WebFetch => "web_fetch",
            Self::ToolCall => "tool_call",
            Self::Image => "image",
            Self::AudioInputSecond => "audio_input_second",
            Self::AudioOutputSecond => "audio_output_second",
            Self::Character => "character",
            Self::RerankUnit => "rerank_unit",
        }
    }

    /// What counts it.
    #[must_use]
    pub const fn counter(self) -> Counter {
        match self {
            Self::WebSearch => Counter::WebSearchRequests,
            Self::WebFetch => Counter::WebFetchRequests,
            Self::ToolCall => Counter::ServerToolCalls,
            Self::Image => Counter::ImageCount,
            Self::AudioInputSecond => Counter::AudioInputMillis,
            Self::AudioOutputSecond => Counter::AudioOutputMillis,
            Self::Character => Counter::Characters,
            Self::RerankUnit => Counter::RerankUnits,
        }
    }

    /// One bit of 32, for sets of units.
    #[must_use]
    pub const fn bit(self) -> u32 {
        match self {
            Self::WebSearch => 1,
            Self::WebFetch => 1 << 1,
            Self::ToolCall => 1 << 2,
            Self::Image => 1 << 3,
            Self::AudioInputSecond => 1 << 4,
            Self::AudioOutputSecond => 1 << 5,
            Self::Character => 1 << 6,
            Self::RerankUnit => 1 << 7,
        }
    }

    /// How many were counted; milliseconds of seconds.
    pub(super) const fn count(self, counters: &Counters) -> u64 {
        counters.count(self.counter())
    }

    /// Nano-dollars of one count at a price of one dollar.
    pub(super) const fn nanousd_per_usd(self) -> u128 {
        match self {
            // Counted in milliseconds.
            Self::AudioInputSecond | Self::AudioOutputSecond => 1_000_000,
            _ => 1_000_000_000,
        }
    }

    /// Names of what is counted, of the units in a set of bits.
    #[must_use]
    pub fn names_of(bits: u32) -> Vec<&'static str> {
        Self::ALL.into_iter().filter(|unit| bits & unit.bit() != 0).map(|unit| unit.counter().name()).collect()
    }

    /// Whether a count without a price means that something has no price. A fetched page is billed as the tokens that it
    /// becomes; sound, pictures, characters and reranked texts are billed as tokens where tokens were counted, but for
    /// pictures of a tool: the tokens are those of the text around them.
    pub(super) const fn needs_price(self, has_tokens: bool, context: &PricingContext) -> bool {
        match self {
            Self::WebSearch | Self::ToolCall => true,
            Self::WebFetch => false,
            Self::Image if context.images_by_tool => true,
            Self::Image | Self::AudioInputSecond | Self::AudioOutputSecond | Self::Character | Self::RerankUnit => {
                !has_tokens
            }
        }
    }
}

impl PriceKey for Unit {
    const KEYS: &'static [Self] = &Self::ALL;

    fn key(self) -> &'static str {
        self.name()
    }
}
