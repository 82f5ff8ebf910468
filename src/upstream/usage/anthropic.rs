//! Anthropic's `usage`: input excludes caches, output is all that is billed; sub-rows for what the top level leaves out.

use tollgate_core::usage::Usage;

use super::{
    object::{Object, Value},
    reader::{Reader, object, objects},
};

/// The usage of a message.
pub(super) fn map(reader: &mut Reader, usage: &Object<'_>) -> Option<Usage> {
    let mapped = row(reader, usage)?;
    if usage.get("output_tokens").is_none_or(Value::is_null) {
        reader.flag("output_missing");
    }
    reader.context(usage, "service_tier", "inference_geo", "");
    if usage.get("speed").and_then(Value::as_str) == Some("fast") {
        super::note_tier(&mut reader.mapped, "fast");
    }
    if usage.get("fallback_credit").is_some_and(|credit| !credit.is_null()) {
        reader.note("fallback_credit");
    }
    count_tools(reader, usage);
    for iteration in objects(usage, "iterations") {
        sub_row(reader, iteration);
    }
    Some(mapped)
}

/// One row of counts: the top level, or an iteration.
fn row(reader: &mut Reader, usage: &Object<'_>) -> Option<Usage> {
    let input_uncached = reader.count(usage, "input_tokens")?;
    let written = cache_written(reader, usage);
    Some(Usage {
        input_uncached,
        cache_read: reader.count_or_zero(usage, "cache_read_input_tokens"),
        cache_write_5m: written.minutes_5,
        cache_write_1h: written.hour_1,
        cache_write_unspecified: written.unspecified,
        output: reader.count_or_zero(usage, "output_tokens"),
        reasoning: reader.count_or_zero(object(usage, "output_tokens_details"), "thinking_tokens"),
        ..Usage::default()
    })
}

/// What each type of iteration means: messages are the top level; a compaction is the same model's work beside it, an
/// advisor's call another model's; and a fallback says which model the top level is.
fn sub_row(reader: &mut Reader, iteration: &Object<'_>) {
    let word = |name: &str| iteration.get(name).and_then(Value::as_str);
    let model = word("model").map(str::to_owned);
    match word("type") {
        Some("compaction" | "advisor_message") => {
            if let Some(usage) = row(reader, iteration) {
                reader.mapped.more.push((model, usage));
            } else {
                reader.flag("usage_invalid");
            }
        }
        Some("fallback_message") => reader.mapped.billed_model = model,
        Some("message") => {}
        _ => reader.note("unknown_iteration"),
    }
}

/// Tokens written to caches, by how long they live.
pub(super) struct Written {
    pub(super) minutes_5: u64,
    pub(super) hour_1: u64,
    pub(super) unspecified: u64,
}

fn cache_written(reader: &mut Reader, usage: &Object<'_>) -> Written {
    let split = object(usage, "cache_creation");
    let minutes_5 = reader.count_or_zero(split, "ephemeral_5m_input_tokens");
    let hour_1 = reader.count_or_zero(split, "ephemeral_1h_input_tokens");
    let total = reader.count(usage, "cache_creation_input_tokens");
    split_written(reader, total, minutes_5, hour_1)
}

/// The total is the sum of its split, never added to it. What a final total has beyond a split that came earlier goes to
/// the only lifetime that was seen.
pub(super) fn split_written(reader: &mut Reader, total: Option<u64>, minutes_5: u64, hour_1: u64) -> Written {
    let known = minutes_5.saturating_add(hour_1);
    let total = total.unwrap_or(known);
    let Some(beyond) = total.checked_sub(known) else {
        if minutes_5 > 0 && hour_1 > 0 {
            reader.flag("cache_split_exceeds_total");
        }
        let hour_1 = hour_1.min(total);
        return Written { minutes_5: minutes_5.min(total - hour_1), hour_1, unspecified: 0 };
    };
    match (minutes_5, hour_1) {
        (1.., 0) => Written { minutes_5: total, hour_1: 0, unspecified: 0 },
        (0, 1..) => Written { minutes_5: 0, hour_1: total, unspecified: 0 },
        _ => Written { minutes_5, hour_1, unspecified: beyond },
    }
}

fn count_tools(reader: &mut Reader, usage: &Object<'_>) {
    let tools = object(usage, "server_tool_use");
    let mut others: u64 = 0;
    for name in tools.names().filter(|name| !matches!(*name, "web_search_requests" | "web_fetch_requests")) {
        others = others.saturating_add(reader.count_or_zero(tools, name));
    }
    reader.mapped.counters.web_search_requests = reader.count_or_zero(tools, "web_search_requests");
    reader.mapped.counters.web_fetch_requests = reader.count_or_zero(tools, "web_fetch_requests");
    reader.mapped.counters.server_tool_calls = others;
}
