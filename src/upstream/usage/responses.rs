//! OpenAI's `usage` with `input_tokens` and `output_tokens`: responses, pictures, sound.

use tollgate_core::usage::Usage;

use super::{
    object::Object,
    openai,
    reader::{Reader, object},
};
use crate::upstream::sniff::Sniffed;

/// A response's or a picture's usage: caches are inside the input, reasoning is inside the output.
pub(super) fn map(reader: &mut Reader, usage: &Object<'_>) -> Option<Usage> {
    let input = reader.count(usage, "input_tokens")?;
    let output = reader.count(usage, "output_tokens");
    if output.is_none() {
        reader.flag("output_missing");
    }
    // The word is in the plural for responses and pictures, in the singular for sound.
    let plural = object(usage, "input_tokens_details");
    let input_details = if plural.is_empty() { object(usage, "input_token_details") } else { plural };
    let plural = object(usage, "output_tokens_details");
    let output_details = if plural.is_empty() { object(usage, "output_token_details") } else { plural };
    let cached = reader.count_or_zero(input_details, "cached_tokens");
    let written = reader.count_or_zero(input_details, "cache_write_tokens");
    let total = reader.count(usage, "total_tokens");
    reader.mapped.reported_total = total;
    let beside = input.saturating_add(cached);
    let closes = total.is_some_and(|total| total == beside.saturating_add(output.unwrap_or(0)));
    let input = if cached > input && closes { beside } else { input };
    let (input_uncached, cache_read, cache_write_unspecified) = reader.take_from(input, cached, written);
    let mapped = Usage {
        input_uncached,
        cache_read,
        cache_write_unspecified,
        output: output.unwrap_or(0),
        reasoning: reader.count_or_zero(output_details, "reasoning_tokens"),
        input_audio: reader.count_or_zero(input_details, "audio_tokens"),
        input_image: reader.count_or_zero(input_details, "image_tokens"),
        output_audio: reader.count_or_zero(output_details, "audio_tokens"),
        output_image: reader.count_or_zero(output_details, "image_tokens"),
        ..Usage::default()
    };
    if total.is_some_and(|total| total != mapped.total()) {
        reader.flag("total_mismatch");
    }
    count_tools(reader, usage);
    Some(mapped)
}

/// xAI's tools that ran at the provider. A call of an MCP server costs its tokens only.
fn count_tools(reader: &mut Reader, usage: &Object<'_>) {
    let tools = object(usage, "server_side_tool_usage_details");
    let mut calls: u64 = 0;
    for name in tools.names().filter(|name| !matches!(*name, "web_search_calls" | "mcp_calls")) {
        calls = calls.saturating_add(reader.count_or_zero(tools, name));
    }
    reader.mapped.counters.web_search_requests = reader.count_or_zero(tools, "web_search_calls");
    reader.mapped.counters.server_tool_calls = calls;
}

/// A transcription's usage: tokens, or seconds of sound.
pub(super) fn map_audio(reader: &mut Reader, usage: &Object<'_>, seen: &Sniffed) -> Option<Usage> {
    let seconds = ["seconds", "prompt_audio_seconds", "duration"];
    let millis = seconds.iter().find_map(|name| reader.millis(usage, name));
    reader.mapped.counters.audio_input_millis = millis.unwrap_or(0);
    if usage.has("input_tokens") {
        return map(reader, usage);
    }
    if usage.has("prompt_tokens") {
        let mapped = openai::map(reader, usage, seen);
        reader.mapped.counters.audio_input_millis = millis.unwrap_or(0);
        return mapped;
    }
    millis.map(|_millis| Usage::default())
}
