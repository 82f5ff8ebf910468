//! OpenAI's `usage` of chats, completions and embeddings, as all that are compatible with it send it.
//!
//! Cached and cache-written tokens are inside `prompt_tokens`; reasoning is inside `completion_tokens`. Where the total says that
//! the cache or the reasoning stands beside, it does.

use tollgate_core::usage::Usage;

use super::{
    object::Object,
    reader::{Reader, object},
};
use crate::upstream::sniff::Sniffed;

/// A chat's or completion's usage.
pub(super) fn map(reader: &mut Reader, usage: &Object<'_>, seen: &Sniffed) -> Option<Usage> {
    let prompt = reader.count(usage, "prompt_tokens")?;
    let completion = reader.count(usage, "completion_tokens");
    if completion.is_none() && seen.finish.is_some() {
        reader.flag("output_missing");
    }
    let prompt_details = object(usage, "prompt_tokens_details");
    let completion_details = object(usage, "completion_tokens_details");
    let cached = reader.count(prompt_details, "cached_tokens");
    let cached = cached.or_else(|| reader.count(usage, "prompt_cache_hit_tokens"));
    let cached = cached.or_else(|| timing_cache(reader, seen)).unwrap_or(0);
    let written = reader.count_or_zero(prompt_details, "cache_write_tokens");
    let reasoning = reader.count(completion_details, "reasoning_tokens");
    let reasoning = reasoning.or_else(|| reader.count(usage, "reasoning_tokens")).unwrap_or(0);
    let total = reader.count(usage, "total_tokens");
    reader.mapped.reported_total = total;
    let prompt = whole_prompt(prompt, cached, completion.unwrap_or(0), reasoning, total);
    let (input_uncached, cache_read, cache_write_unspecified) = reader.take_from(prompt, cached, written);
    let mut mapped = Usage {
        input_uncached,
        cache_read,
        cache_write_unspecified,
        output: completion.unwrap_or(0),
        reasoning,
        input_audio: reader.count_or_zero(prompt_details, "audio_tokens"),
        input_image: reader.count_or_zero(prompt_details, "image_tokens"),
        input_video: reader.count_or_zero(prompt_details, "video_tokens"),
        output_audio: reader.count_or_zero(completion_details, "audio_tokens"),
        output_image: reader.count_or_zero(completion_details, "image_tokens"),
        accepted_prediction: reader.count_or_zero(completion_details, "accepted_prediction_tokens"),
        rejected_prediction: reader.count_or_zero(completion_details, "rejected_prediction_tokens"),
        ..Usage::default()
    };
    let heard = reader.millis(usage, "prompt_audio_seconds").unwrap_or(0);
    count_sound(reader, &mut mapped, heard, total);
    check_total(reader, &mut mapped, completion.is_some(), total);
    count_tools(reader, usage);
    Some(mapped)
}

/// An embedding's usage, which has no output.
pub(super) fn map_input(reader: &mut Reader, usage: &Object<'_>) -> Option<Usage> {
    let input_uncached = reader.first_count(usage, &["prompt_tokens", "input_tokens"])?;
    let details = object(usage, "prompt_tokens_details");
    let mapped = Usage {
        input_uncached,
        output: reader.count_or_zero(usage, "completion_tokens"),
        input_image: reader.count_or_zero(details, "image_tokens"),
        ..Usage::default()
    };
    reader.mapped.reported_total = reader.count(usage, "total_tokens");
    if reader.mapped.reported_total.is_some_and(|total| total != mapped.total()) {
        reader.flag("total_mismatch");
    }
    Some(mapped)
}

fn timing_cache(reader: &mut Reader, seen: &Sniffed) -> Option<u64> {
    let timings = Object::parse(seen.timings_raw.as_deref()?)?;
    reader.count(&timings, "cache_n")
}

/// xAI may count the cache beside the prompt: only with it the sum is the total then.
fn whole_prompt(prompt: u64, cached: u64, completion: u64, reasoning: u64, total: Option<u64>) -> u64 {
    let closes = |prompt: u64| {
        let sum = prompt.saturating_add(completion);
        total.is_some_and(|total| total == sum || total == sum.saturating_add(reasoning))
    };
    let beside = prompt.saturating_add(cached);
    if !closes(prompt) && closes(beside) { beside } else { prompt }
}

/// The total closes the sum: what it has beyond input and output is reasoning that stands beside the output.
fn check_total(reader: &mut Reader, usage: &mut Usage, has_completion: bool, total: Option<u64>) {
    let sum = usage.total();
    let Some(total) = total.filter(|total| *total != sum) else { return };
    match total.checked_sub(sum) {
        // Exactly the reasoning is missing (xAI), or nothing else explains hidden thinking (Gemini's endpoint).
        Some(beside) if beside == usage.reasoning || usage.reasoning == 0 && has_completion => {
            usage.output = usage.output.saturating_add(beside);
            usage.reasoning = usage.reasoning.max(beside);
        }
        _ => reader.flag("total_mismatch"),
    }
}

/// Mistral counts sound in seconds and as tokens of the prompt, which only the total has. What neither explains is told.
fn count_sound(reader: &mut Reader, usage: &mut Usage, millis: u64, total: Option<u64>) {
    reader.mapped.counters.audio_input_millis = millis;
    let beside = total.and_then(|total| total.checked_sub(usage.total())).unwrap_or(0);
    if millis > 0 && beside > 0 {
        usage.input_uncached = usage.input_uncached.saturating_add(beside);
        usage.input_audio = beside;
    }
}

/// Searches and tools at the provider: OpenRouter, Perplexity, xAI.
fn count_tools(reader: &mut Reader, usage: &Object<'_>) {
    let searches = reader.count_or_zero(usage, "num_search_queries");
    let sources = reader.count_or_zero(usage, "num_sources_used");
    let server = object(usage, "server_tool_use");
    let details = object(usage, "server_tool_use_details");
    let told = reader.first_count(server, &["web_search_requests"]);
    let told = told.or_else(|| reader.first_count(details, &["web_search_requests"])).unwrap_or(0);
    reader.mapped.counters.web_search_requests = searches.max(sources).max(told);
}

#[cfg(test)]
mod tests {
    use super::super::{MappedUsage, map_usage};
    use super::*;

    fn map(raw: &str) -> Box<MappedUsage> {
        let seen = Sniffed { usage_raw: Some(raw.into()), finish: Some("stop".into()), ..Sniffed::default() };
        map_usage(&seen).unwrap()
    }

    #[test]
    fn lies_are_flagged_and_never_a_silent_zero() {
        for raw in [
            r#"{"prompt_tokens":-5,"completion_tokens":3,"total_tokens":-2}"#,
            r#"{"prompt_tokens":5.5,"completion_tokens":3}"#,
            r#"{"prompt_tokens":99999999999999999999,"completion_tokens":3}"#,
            r#"{"prompt_tokens":"many","completion_tokens":3}"#,
            r#"{"completion_tokens":3}"#,
            r#"{"prompt_tokens":5}"#,
            r#"{"prompt_tokens":5,"completion_tokens":-1}"#,
            r#"{"prompt_tokens":5,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":9}}"#,
            r#"{"prompt_tokens":5,"completion_tokens":3,"total_tokens":4}"#,
            "7",
        ] {
            let mapped = map(raw);
            assert!(mapped.is_suspect, "{raw}");
            assert!(!mapped.flags.is_empty(), "{raw}");
        }
    }

    #[test]
    fn numbers_in_other_clothes_are_the_same_numbers() {
        let plain = map(r#"{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}"#);
        assert!(!plain.is_suspect);
        let dressed =
            map(r#"{"prompt_tokens":12.0,"completion_tokens":"3","total_tokens":15,"prompt_tokens_details":null}"#);
        assert_eq!((dressed.usage, dressed.flags), (plain.usage, plain.flags));
    }

    #[test]
    fn reasoning_beside_the_output_is_found_by_the_total() {
        let usage = map(r#"{"prompt_tokens":12,"completion_tokens":1,"total_tokens":303,"completion_tokens_details":{"reasoning_tokens":290}}"#).usage.unwrap();
        assert_eq!((usage.output, usage.reasoning), (291, 290));
        let hidden = map(r#"{"prompt_tokens":7,"completion_tokens":0,"total_tokens":8}"#).usage.unwrap();
        assert_eq!((hidden.input_uncached, hidden.output), (7, 1));
    }

    #[test]
    fn a_cache_beside_the_prompt_is_found_by_the_total() {
        let usage = map(
            r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":65,"prompt_tokens_details":{"cached_tokens":50}}"#,
        );
        assert!(!usage.is_suspect, "{usage:?}");
        assert_eq!(usage.usage.map(|usage| (usage.input_uncached, usage.cache_read, usage.output)), Some((10, 50, 5)));
        // Also one that is smaller than the prompt, with reasoning beside the output.
        for (total, reasoning, output) in [(115, 0, 5), (135, 20, 25)] {
            let usage = map(&format!(
                r#"{{"prompt_tokens":60,"completion_tokens":5,"total_tokens":{total},"prompt_tokens_details":{{"cached_tokens":50}},"completion_tokens_details":{{"reasoning_tokens":{reasoning}}}}}"#
            ));
            assert!(!usage.is_suspect, "{usage:?}");
            let usage = usage.usage.unwrap();
            assert_eq!((usage.input_uncached, usage.cache_read, usage.output), (60, 50, output));
        }
        // The usual: it is inside.
        let inside = map(
            r#"{"prompt_tokens":60,"completion_tokens":5,"total_tokens":65,"prompt_tokens_details":{"cached_tokens":50}}"#,
        );
        assert_eq!(inside.usage.map(|usage| (usage.input_uncached, usage.cache_read)), Some((10, 50)));
    }

    #[test]
    fn sound_that_only_the_total_has_is_input_and_not_thinking() {
        let mapped = map(
            r#"{"prompt_audio_seconds":12,"prompt_tokens":3,"completion_tokens":41,"total_tokens":419,"prompt_tokens_details":{"audio_tokens":375}}"#,
        );
        assert!(!mapped.is_suspect, "{mapped:?}");
        let usage = mapped.usage.unwrap();
        assert_eq!((usage.input_uncached, usage.input_audio, usage.output, usage.reasoning), (378, 375, 41, 0));
        assert_eq!(mapped.counters.audio_input_millis, 12_000);
    }
}
