//! The tokens that a request used: exclusive buckets, and their "of which" parts.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Tokens of one priced line. The six buckets are mutually exclusive; the parts are subsets, never added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Usage {
    /// Fresh input, media and tool prompts included.
    #[n(0)]
    pub input_uncached: u64,
    /// Input read from a cache.
    #[n(1)]
    pub cache_read: u64,
    /// Input written to a five-minute cache.
    #[n(2)]
    pub cache_write_5m: u64,
    /// Input written to a one-hour cache.
    #[n(3)]
    pub cache_write_1h: u64,
    /// Input written to a cache of unstated lifetime.
    #[n(4)]
    pub cache_write_unspecified: u64,
    /// All billed output, reasoning included.
    #[n(5)]
    pub output: u64,
    /// Part of `output`.
    #[n(6)]
    pub reasoning: u64,
    /// Part of the input.
    #[n(7)]
    pub input_audio: u64,
    /// Part of the input.
    #[n(8)]
    pub input_image: u64,
    /// Part of `output`.
    #[n(9)]
    pub output_audio: u64,
    /// Part of `output`.
    #[n(10)]
    pub output_image: u64,
    /// Part of `input_uncached`.
    #[n(11)]
    pub tool_prompt: u64,
    /// Part of the input.
    #[n(12)]
    #[cbor(with = "crate::nil_default", has_nil)]
    #[serde(skip_serializing_if = "is_zero")]
    pub input_video: u64,
    /// Part of the input.
    #[n(13)]
    #[cbor(with = "crate::nil_default", has_nil)]
    #[serde(skip_serializing_if = "is_zero")]
    pub input_document: u64,
    /// Part of `cache_read` (and of `input_audio`).
    #[n(14)]
    #[cbor(with = "crate::nil_default", has_nil)]
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_read_audio: u64,
    /// Part of `cache_read` (and of `input_image`).
    #[n(15)]
    #[cbor(with = "crate::nil_default", has_nil)]
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_read_image: u64,
    /// Part of `output`.
    #[n(16)]
    #[cbor(with = "crate::nil_default", has_nil)]
    #[serde(skip_serializing_if = "is_zero")]
    pub accepted_prediction: u64,
    /// Part of `output`: billed although it was not used.
    #[n(17)]
    #[cbor(with = "crate::nil_default", has_nil)]
    #[serde(skip_serializing_if = "is_zero")]
    pub rejected_prediction: u64,
    /// Part of `output`.
    #[n(18)]
    #[cbor(with = "crate::nil_default", has_nil)]
    #[serde(skip_serializing_if = "is_zero")]
    pub citation: u64,
    /// Part of `output`.
    #[n(19)]
    #[cbor(with = "crate::nil_default", has_nil)]
    #[serde(skip_serializing_if = "is_zero")]
    pub output_video: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// One of the six exclusive buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    /// Fresh input.
    InputUncached,
    /// Read from a cache.
    CacheRead,
    /// Written to a five-minute cache.
    #[serde(rename = "cache_write_5m")]
    CacheWrite5m,
    /// Written to a one-hour cache.
    #[serde(rename = "cache_write_1h")]
    CacheWrite1h,
    /// Written to a cache of unstated lifetime.
    CacheWriteUnspecified,
    /// Output.
    Output,
}

impl Bucket {
    /// All buckets, in the order in which they are shown.
    pub const ALL: [Self; 6] = [
        Self::InputUncached,
        Self::CacheRead,
        Self::CacheWrite5m,
        Self::CacheWrite1h,
        Self::CacheWriteUnspecified,
        Self::Output,
    ];

    /// The bucket's name in tables, reports and price files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InputUncached => "input_uncached",
            Self::CacheRead => "cache_read",
            Self::CacheWrite5m => "cache_write_5m",
            Self::CacheWrite1h => "cache_write_1h",
            Self::CacheWriteUnspecified => "cache_write_unspecified",
            Self::Output => "output",
        }
    }
}

impl Usage {
    /// Each count put together with the same one of another.
    #[must_use]
    pub fn combined(&self, other: &Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            input_uncached: f(self.input_uncached, other.input_uncached),
            cache_read: f(self.cache_read, other.cache_read),
            cache_write_5m: f(self.cache_write_5m, other.cache_write_5m),
            cache_write_1h: f(self.cache_write_1h, other.cache_write_1h),
            cache_write_unspecified: f(self.cache_write_unspecified, other.cache_write_unspecified),
            output: f(self.output, other.output),
            reasoning: f(self.reasoning, other.reasoning),
            input_audio: f(self.input_audio, other.input_audio),
            input_image: f(self.input_image, other.input_image),
            output_audio: f(self.output_audio, other.output_audio),
            output_image: f(self.output_image, other.output_image),
            tool_prompt: f(self.tool_prompt, other.tool_prompt),
            input_video: f(self.input_video, other.input_video),
            input_document: f(self.input_document, other.input_document),
            cache_read_audio: f(self.cache_read_audio, other.cache_read_audio),
            cache_read_image: f(self.cache_read_image, other.cache_read_image),
            accepted_prediction: f(self.accepted_prediction, other.accepted_prediction),
            rejected_prediction: f(self.rejected_prediction, other.rejected_prediction),
            citation: f(self.citation, other.citation),
            output_video: f(self.output_video, other.output_video),
        }
    }

    /// One of `of` equal shares, `index` counting from 0: all of them together are the whole, and a part stays within its bucket.
    #[must_use]
    pub fn share(&self, index: u64, of: u64) -> Self {
        self.combined(self, |count, _| {
            let rest = count.checked_rem(of).unwrap_or(0);
            count.checked_div(of).unwrap_or(0).saturating_add(u64::from(index < rest))
        })
    }

    /// Tokens in a bucket.
    #[must_use]
    pub const fn bucket(&self, bucket: Bucket) -> u64 {
        match bucket {
            Bucket::InputUncached => self.input_uncached,
            Bucket::CacheRead => self.cache_read,
            Bucket::CacheWrite5m => self.cache_write_5m,
            Bucket::CacheWrite1h => self.cache_write_1h,
            Bucket::CacheWriteUnspecified => self.cache_write_unspecified,
            Bucket::Output => self.output,
        }
    }

    /// All input buckets: the prompt that picks the context tier. Saturates at `u64::MAX`.
    #[must_use]
    pub const fn input_total(&self) -> u64 {
        self.input_uncached
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write_5m)
            .saturating_add(self.cache_write_1h)
            .saturating_add(self.cache_write_unspecified)
    }

    /// Input and output. Saturates at `u64::MAX`.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.input_total().saturating_add(self.output)
    }

    /// Lowers each part to the bucket that holds it; true when one had to be lowered (a reason for suspicion).
    pub fn clamp_parts(&mut self) -> bool {
        let before = *self;
        let input = self.input_uncached.saturating_add(self.cache_read);
        self.reasoning = self.reasoning.min(self.output);
        self.output_audio = self.output_audio.min(self.output);
        self.output_image = self.output_image.min(self.output);
        self.input_audio = self.input_audio.min(input);
        self.input_image = self.input_image.min(input);
        self.input_video = self.input_video.min(input);
        self.input_document = self.input_document.min(input);
        self.cache_read_audio = self.cache_read_audio.min(self.cache_read);
        self.cache_read_image = self.cache_read_image.min(self.cache_read);
        self.accepted_prediction = self.accepted_prediction.min(self.output);
        self.rejected_prediction = self.rejected_prediction.min(self.output);
        self.citation = self.citation.min(self.output);
        self.output_video = self.output_video.min(self.output);
        self.tool_prompt = self.tool_prompt.min(self.input_uncached);
        *self != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_the_whole_together_and_parts_stay_within_their_buckets() {
        let whole = Usage { input_uncached: 1003, cache_read: 7, output: 999, reasoning: 501, ..Usage::default() };
        for of in [1, 2, 7, 1000] {
            let shares: Vec<Usage> = (0..of).map(|index| whole.share(index, of)).collect();
            let sum = shares.iter().fold(Usage::default(), |sum, share| sum.combined(share, u64::saturating_add));
            assert_eq!(sum, whole);
            assert!(shares.iter().all(|share| share.reasoning <= share.output));
        }
        assert_eq!(whole.share(0, 0), Usage::default());
    }
}
