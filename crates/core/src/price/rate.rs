//! Prices per million tokens: of each bucket, and of the parts of buckets that may have a price of their own.

use super::{
    prices::{PriceKey, Prices},
    table::Fallback,
};
use crate::usage::Bucket;

/// What a price per million tokens is of. Its name is its key in price files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rate {
    /// `input_uncached`, without the parts below that have a price.
    Input,
    /// Fresh input that is sound.
    InputAudio,
    /// Fresh input that is pictures.
    InputImage,
    /// Fresh input that is moving pictures.
    InputVideo,
    /// Fresh input that is documents.
    InputDocument,
    /// `cache_read`, without the parts below.
    CacheRead,
    /// Sound read from a cache.
    CacheReadAudio,
    /// Pictures read from a cache.
    CacheReadImage,
    /// The model's default price of a cache write: `cache_write_unspecified`.
    CacheWrite,
    /// `cache_write_5m`
    CacheWrite5m,
    /// `cache_write_1h`; never guessed from a shorter cache.
    CacheWrite1h,
    /// `output`, without the parts below that have a price.
    Output,
    /// Output that is sound.
    OutputAudio,
    /// Output that is pictures.
    OutputImage,
    /// Output that is moving pictures.
    OutputVideo,
    /// Output that the model thought.
    Reasoning,
    /// Output that cites.
    Citation,
}

impl Rate {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 17] = [
        Self::Input,
        Self::InputAudio,
        Self::InputImage,
        Self::InputVideo,
        Self::InputDocument,
        Self::CacheRead,
        Self::CacheReadAudio,
        Self::CacheReadImage,
        Self::CacheWrite,
        Self::CacheWrite5m,
        Self::CacheWrite1h,
        Self::Output,
        Self::OutputAudio,
        Self::OutputImage,
        Self::OutputVideo,
        Self::Reasoning,
        Self::Citation,
    ];

    /// Its key in price files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::InputAudio => "input_audio",
            Self::InputImage => "input_image",
            Self::InputVideo => "input_video",
            Self::InputDocument => "input_document",
            Self::CacheRead => "cache_read",
            Self::CacheReadAudio => "cache_read_audio",
            Self::CacheReadImage => "cache_read_image",
            Self::CacheWrite => "cache_write",
            Self::CacheWrite5m => "cache_write_5m",
            Self::CacheWrite1h => "cache_write_1h",
            Self::Output => "output",
            Self::OutputAudio => "output_audio",
            Self::OutputImage => "output_image",
            Self::OutputVideo => "output_video",
            Self::Reasoning => "reasoning",
            Self::Citation => "citation",
        }
    }

    /// The bucket whose tokens it prices.
    #[must_use]
    pub const fn bucket(self) -> Bucket {
        match self {
            Self::Input | Self::InputAudio | Self::InputImage | Self::InputVideo | Self::InputDocument => {
                Bucket::InputUncached
            }
            Self::CacheRead | Self::CacheReadAudio | Self::CacheReadImage => Bucket::CacheRead,
            Self::CacheWrite => Bucket::CacheWriteUnspecified,
            Self::CacheWrite5m => Bucket::CacheWrite5m,
            Self::CacheWrite1h => Bucket::CacheWrite1h,
            Self::Output
            | Self::OutputAudio
            | Self::OutputImage
            | Self::OutputVideo
            | Self::Reasoning
            | Self::Citation => Bucket::Output,
        }
    }

    /// One bit of 32, for sets of rates.
    #[must_use]
    pub const fn bit(self) -> u32 {
        match self {
            Self::Input => 1,
            Self::InputAudio => 1 << 1,
            Self::InputImage => 1 << 2,
            Self::InputVideo => 1 << 3,
            Self::InputDocument => 1 << 4,
            Self::CacheRead => 1 << 5,
            Self::CacheReadAudio => 1 << 6,
            Self::CacheReadImage => 1 << 7,
            Self::CacheWrite => 1 << 8,
            Self::CacheWrite5m => 1 << 9,
            Self::CacheWrite1h => 1 << 10,
            Self::Output => 1 << 11,
            Self::OutputAudio => 1 << 12,
            Self::OutputImage => 1 << 13,
            Self::OutputVideo => 1 << 14,
            Self::Reasoning => 1 << 15,
            Self::Citation => 1 << 16,
        }
    }

    /// The prices that may stand for it, itself first: a part falls back to its bucket, a five-minute write to the default
    /// write price and the other way round, an hour's write to nothing.
    pub(super) const fn chain(self) -> &'static [Self] {
        match self {
            Self::Input => &[Self::Input],
            Self::InputAudio => &[Self::InputAudio, Self::Input],
            Self::InputImage => &[Self::InputImage, Self::Input],
            Self::InputVideo => &[Self::InputVideo, Self::Input],
            Self::InputDocument => &[Self::InputDocument, Self::Input],
            Self::CacheRead => &[Self::CacheRead],
            Self::CacheReadAudio => &[Self::CacheReadAudio, Self::CacheRead],
            Self::CacheReadImage => &[Self::CacheReadImage, Self::CacheRead],
            Self::CacheWrite => &[Self::CacheWrite, Self::CacheWrite5m],
            Self::CacheWrite5m => &[Self::CacheWrite5m, Self::CacheWrite],
            Self::CacheWrite1h => &[Self::CacheWrite1h],
            Self::Output => &[Self::Output],
            Self::OutputAudio => &[Self::OutputAudio, Self::Output],
            Self::OutputImage => &[Self::OutputImage, Self::Output],
            Self::OutputVideo => &[Self::OutputVideo, Self::Output],
            Self::Reasoning => &[Self::Reasoning, Self::Output],
            Self::Citation => &[Self::Citation, Self::Output],
        }
    }

    /// What stands for it behind its chain because the table says so.
    pub(super) const fn declared(self, fallback: &Fallback) -> &'static [Self] {
        match self {
            Self::CacheRead if fallback.cache_read_as_input => &[Self::Input],
            Self::CacheReadAudio if fallback.cache_read_as_input => &[Self::InputAudio, Self::Input],
            Self::CacheReadImage if fallback.cache_read_as_input => &[Self::InputImage, Self::Input],
            Self::CacheWrite | Self::CacheWrite5m if fallback.cache_write_as_input => &[Self::Input],
            _ => &[],
        }
    }
}

/// Prices in USD per million tokens.
pub type Rates = Prices<Rate>;

impl PriceKey for Rate {
    const KEYS: &'static [Self] = &Self::ALL;

    fn key(self) -> &'static str {
        self.name()
    }
}
