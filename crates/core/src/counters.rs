//! What a request used beside tokens: searches, pictures, milliseconds of sound, characters.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Units beside tokens, of one entry. A count that is zero is left out of JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Counters {
    /// Searches of the web that the provider ran.
    #[n(0)]
    #[cbor(with = "crate::nil_default", has_nil)]
    #[serde(skip_serializing_if = "is_zero")]
    pub web_search_requests: u64,
    /// Pages of the web that the provider fetched.
    #[n(1)]
    #[cbor(with = "crate::nil_default", has_nil)]
    #[serde(skip_serializing_if = "is_zero")]
    pub web_fetch_requests: u64,
    /// Calls of other tools that run at the provider.
    #[n(2)]
    #[cbor(with = "crate::nil_default", has_nil)]
    #[serde(skip_serializing_if = "is_zero")]
    pub server_tool_calls: u64,
    /// Pictures made.
    #[n(3)]
    #[cbor(with = "crate::nil_default", has_nil)]
    #[serde(skip_serializing_if = "is_zero")]
    pub image_count: u64,
    /// Milliseconds of sound taken in.
    #[n(4)]
    #[cbor(with = "crate::nil_default", has_nil)]
    #[serde(skip_serializing_if = "is_zero")]
    pub audio_input_millis: u64,
    /// Milliseconds of sound made.
    #[n(5)]
    #[cbor(with = "crate::nil_default", has_nil)]
    #[serde(skip_serializing_if = "is_zero")]
    pub audio_output_millis: u64,
    /// Unicode code points of text to be spoken.
    #[n(6)]
    #[cbor(with = "crate::nil_default", has_nil)]
    #[serde(skip_serializing_if = "is_zero")]
    pub characters: u64,
    /// Search units of a reranking, as the provider counts them.
    #[n(7)]
    #[cbor(with = "crate::nil_default", has_nil)]
    #[serde(skip_serializing_if = "is_zero")]
    pub rerank_units: u64,
    /// Tokens that were only counted, at no price: the answer of a counting endpoint.
    #[n(8)]
    #[cbor(with = "crate::nil_default", has_nil)]
    #[serde(skip_serializing_if = "is_zero")]
    pub counted_input_tokens: u64,
}

/// One of the units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counter {
    /// Searches of the web that the provider ran.
    WebSearchRequests,
    /// Pages of the web that the provider fetched.
    WebFetchRequests,
    /// Calls of other tools that run at the provider.
    ServerToolCalls,
    /// Pictures made.
    ImageCount,
    /// Milliseconds of sound taken in.
    AudioInputMillis,
    /// Milliseconds of sound made.
    AudioOutputMillis,
    /// Unicode code points of text to be spoken.
    Characters,
    /// Search units of a reranking, as the provider counts them.
    RerankUnits,
    /// Tokens that were only counted, at no price: the answer of a counting endpoint.
    CountedInputTokens,
}

impl Counter {
    /// All units, in the order in which they are shown.
    pub const ALL: [Self; 9] = [
        Self::WebSearchRequests,
        Self::WebFetchRequests,
        Self::ServerToolCalls,
        Self::ImageCount,
        Self::AudioInputMillis,
        Self::AudioOutputMillis,
        Self::Characters,
        Self::RerankUnits,
        Self::CountedInputTokens,
    ];

    /// The unit's name in reports and price files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WebSearchRequests => "web_search_requests",
            Self::WebFetchRequests => "web_fetch_requests",
            Self::ServerToolCalls => "server_tool_calls",
            Self::ImageCount => "image_count",
            Self::AudioInputMillis => "audio_input_millis",
            Self::AudioOutputMillis => "audio_output_millis",
            Self::Characters => "characters",
            Self::RerankUnits => "rerank_units",
            Self::CountedInputTokens => "counted_input_tokens",
        }
    }
}

impl Counters {
    /// How many of a unit.
    #[must_use]
    pub const fn count(&self, counter: Counter) -> u64 {
        match counter {
            Counter::WebSearchRequests => self.web_search_requests,
            Counter::WebFetchRequests => self.web_fetch_requests,
            Counter::ServerToolCalls => self.server_tool_calls,
            Counter::ImageCount => self.image_count,
            Counter::AudioInputMillis => self.audio_input_millis,
            Counter::AudioOutputMillis => self.audio_output_millis,
            Counter::Characters => self.characters,
            Counter::RerankUnits => self.rerank_units,
            Counter::CountedInputTokens => self.counted_input_tokens,
        }
    }

    /// True when nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}
