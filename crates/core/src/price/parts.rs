//! Splits usage into what is priced each by itself: buckets without their parts, and the parts.

use super::rate::Rate;
use crate::usage::Usage;

/// Tokens of a rate.
pub(super) type Part = (Rate, u64);

/// Parts of the prompt, those first that stand last in it: what is beyond a threshold is fresh input first, then what is
/// written to caches, then what is read from them.
///
/// A part is never larger than its bucket: where an answer does not say how much of its sound is cached, the rest of the
/// bucket counts as what the bucket is.
pub(super) fn input(usage: &Usage) -> [Part; 11] {
    let mut cached = usage.cache_read;
    let cached_audio = take(&mut cached, usage.cache_read_audio);
    let cached_image = take(&mut cached, usage.cache_read_image);
    let mut fresh = usage.input_uncached;
    let audio = take(&mut fresh, usage.input_audio.saturating_sub(cached_audio));
    let image = take(&mut fresh, usage.input_image.saturating_sub(cached_image));
    let video = take(&mut fresh, usage.input_video);
    let document = take(&mut fresh, usage.input_document);
    [
        (Rate::Input, fresh),
        (Rate::InputAudio, audio),
        (Rate::InputImage, image),
        (Rate::InputVideo, video),
        (Rate::InputDocument, document),
        (Rate::CacheWrite, usage.cache_write_unspecified),
        (Rate::CacheWrite5m, usage.cache_write_5m),
        (Rate::CacheWrite1h, usage.cache_write_1h),
        (Rate::CacheRead, cached),
        (Rate::CacheReadAudio, cached_audio),
        (Rate::CacheReadImage, cached_image),
    ]
}

/// Parts of the output.
pub(super) fn output(usage: &Usage) -> [Part; 6] {
    let mut rest = usage.output;
    let audio = take(&mut rest, usage.output_audio);
    let image = take(&mut rest, usage.output_image);
    let video = take(&mut rest, usage.output_video);
    let citation = take(&mut rest, usage.citation);
    let reasoning = take(&mut rest, usage.reasoning);
    [
        (Rate::Output, rest),
        (Rate::OutputAudio, audio),
        (Rate::OutputImage, image),
        (Rate::OutputVideo, video),
        (Rate::Reasoning, reasoning),
        (Rate::Citation, citation),
    ]
}

/// Takes a part out of what is left of its bucket.
const fn take(left: &mut u64, part: u64) -> u64 {
    let taken = if part < *left { part } else { *left };
    *left = left.saturating_sub(taken);
    taken
}
