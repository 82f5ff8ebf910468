//! Amazon Bedrock: Converse's usage, and the many of InvokeModel.

use tollgate_core::usage::Usage;

use super::{
    anthropic,
    object::{Object, Value},
    openai,
    reader::{Reader, object, objects},
};
use crate::upstream::sniff::Sniffed;

/// Converse: input excludes caches, but for models that count them in; then the total says so.
pub(super) fn map_converse(reader: &mut Reader, usage: &Object<'_>) -> Option<Usage> {
    let input = reader.count(usage, "inputTokens")?;
    let output = reader.count(usage, "outputTokens");
    if output.is_none() {
        reader.flag("output_missing");
    }
    let output = output.unwrap_or(0);
    // Each number comes under two names.
    let read = reader.first_count(usage, &["cacheReadInputTokens", "cacheReadInputTokenCount"]).unwrap_or(0);
    let written = reader.first_count(usage, &["cacheWriteInputTokens", "cacheWriteInputTokenCount"]);
    let (mut minutes_5, mut hour_1) = (0_u64, 0_u64);
    for detail in objects(usage, "cacheDetails") {
        let tokens = reader.count_or_zero(detail, "inputTokens");
        match detail.get("ttl").and_then(Value::as_str) {
            Some("5m") => minutes_5 = minutes_5.saturating_add(tokens),
            Some("1h") => hour_1 = hour_1.saturating_add(tokens),
            _ => {}
        }
    }
    let written = anthropic::split_written(reader, written, minutes_5, hour_1);
    let all_written = written.minutes_5.saturating_add(written.hour_1).saturating_add(written.unspecified);
    let caches = read.saturating_add(all_written);
    let total = reader.count(usage, "totalTokens");
    reader.mapped.reported_total = total;
    let sum = input.saturating_add(output);
    let holds_caches = caches > 0 && caches <= input && total == Some(sum);
    let mapped = Usage {
        input_uncached: if holds_caches { input - caches } else { input },
        cache_read: read,
        cache_write_5m: written.minutes_5,
        cache_write_1h: written.hour_1,
        cache_write_unspecified: written.unspecified,
        output,
        ..Usage::default()
    };
    if total.is_some_and(|total| total != mapped.total()) {
        reader.flag("total_mismatch");
    }
    count_tools(reader, usage);
    Some(mapped)
}

fn count_tools(reader: &mut Reader, usage: &Object<'_>) {
    let tools = object(usage, "serverToolUsage");
    for name in tools.names() {
        let calls = reader.count_or_zero(tools, name);
        let counters = &mut reader.mapped.counters;
        let counter = if name.to_ascii_lowercase().contains("search") {
            &mut counters.web_search_requests
        } else {
            &mut counters.server_tool_calls
        };
        *counter = counter.saturating_add(calls);
    }
}

/// InvokeModel: the vendor's own usage object, or counts by the names that stand for it.
pub(super) fn map_invoke(reader: &mut Reader, usage: &Object<'_>, seen: &Sniffed) -> Option<Usage> {
    if usage.has("inputTokens") {
        return map_converse(reader, usage);
    }
    if usage.has("prompt_tokens") {
        return openai::map(reader, usage, seen);
    }
    if usage.has("inputTokenCount") {
        return map_metrics(reader, usage);
    }
    if seen.usage_raw.is_some() {
        return anthropic::map(reader, usage);
    }
    // Loose counts.
    let input_uncached = reader.count(usage, "input_tokens")?;
    Some(Usage { input_uncached, output: reader.count_or_zero(usage, "output_tokens"), ..Usage::default() })
}

/// `amazon-bedrock-invocationMetrics`, and the headers by the same names.
fn map_metrics(reader: &mut Reader, usage: &Object<'_>) -> Option<Usage> {
    Some(Usage {
        input_uncached: reader.count(usage, "inputTokenCount")?,
        cache_read: reader.count_or_zero(usage, "cacheReadInputTokenCount"),
        cache_write_unspecified: reader.count_or_zero(usage, "cacheWriteInputTokenCount"),
        output: reader.count_or_zero(usage, "outputTokenCount"),
        ..Usage::default()
    })
}
