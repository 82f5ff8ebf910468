//! Gemini's `usageMetadata`: the prompt holds its cached part, tool prompts stand beside it, and thoughts beside the answer.

use tollgate_core::usage::Usage;

use super::{
    object::{Object, Value},
    reader::{Reader, objects},
};

/// The usage of generated content or of an embedding.
pub(super) fn map(reader: &mut Reader, usage: &Object<'_>) -> Option<Usage> {
    let traffic_only = !usage.names().any(|name| name.ends_with("TokenCount"));
    context(reader, usage);
    if traffic_only {
        reader.says_no_counts = true;
        return None;
    }
    let prompt = reader.count_or_zero(usage, "promptTokenCount");
    let cached = reader.count_or_zero(usage, "cachedContentTokenCount");
    let tools = reader.count_or_zero(usage, "toolUsePromptTokenCount");
    let candidates = reader.first_count(usage, &["candidatesTokenCount", "responseTokenCount"]).unwrap_or(0);
    let thoughts = reader.count_or_zero(usage, "thoughtsTokenCount");
    let (fresh, cache_read, _) = reader.take_from(prompt, cached, 0);
    let mut mapped = Usage {
        input_uncached: fresh.saturating_add(tools),
        cache_read,
        output: candidates.saturating_add(thoughts),
        reasoning: thoughts,
        tool_prompt: tools,
        ..Usage::default()
    };
    for list in ["promptTokensDetails", "toolUsePromptTokensDetails"] {
        each_modality(reader, usage, list, "tokenCount", |modality, tokens| add_input(&mut mapped, modality, tokens));
    }
    each_modality(reader, usage, "cacheTokensDetails", "tokenCount", |modality, tokens| {
        add_cached(&mut mapped, modality, tokens);
    });
    for list in ["candidatesTokensDetails", "responseTokensDetails"] {
        each_modality(reader, usage, list, "tokenCount", |modality, tokens| add_output(&mut mapped, modality, tokens));
    }
    check_total(reader, &mapped, usage, "totalTokenCount");
    Some(mapped)
}

/// The usage of an interaction.
pub(super) fn map_interaction(reader: &mut Reader, usage: &Object<'_>) -> Option<Usage> {
    let input = reader.count(usage, "total_input_tokens")?;
    let cached = reader.count_or_zero(usage, "total_cached_tokens");
    let tools = reader.count_or_zero(usage, "total_tool_use_tokens");
    let thoughts = reader.count_or_zero(usage, "total_thought_tokens");
    let output = reader.count(usage, "total_output_tokens");
    if output.is_none() {
        reader.flag("output_missing");
    }
    let (fresh, cache_read, _) = reader.take_from(input, cached, 0);
    let mut mapped = Usage {
        input_uncached: fresh.saturating_add(tools),
        cache_read,
        output: output.unwrap_or(0).saturating_add(thoughts),
        reasoning: thoughts,
        tool_prompt: tools,
        ..Usage::default()
    };
    each_modality(reader, usage, "input_tokens_by_modality", "tokens", |modality, tokens| {
        add_input(&mut mapped, modality, tokens);
    });
    each_modality(reader, usage, "cached_tokens_by_modality", "tokens", |modality, tokens| {
        add_cached(&mut mapped, modality, tokens);
    });
    each_modality(reader, usage, "output_tokens_by_modality", "tokens", |modality, tokens| {
        add_output(&mut mapped, modality, tokens);
    });
    check_total(reader, &mapped, usage, "total_tokens");
    count_grounding(reader, usage);
    Some(mapped)
}

/// Searches that grounded an interaction; what else is called, such as a retrieval, is a tool at the provider.
fn count_grounding(reader: &mut Reader, usage: &Object<'_>) {
    let (mut searches, mut others): (u64, u64) = (0, 0);
    for tool in objects(usage, "grounding_tool_count") {
        let count = reader.count_or_zero(tool, "count");
        let sum = match tool.get("type").and_then(Value::as_str) {
            Some("google_search" | "google_maps") => &mut searches,
            _ => &mut others,
        };
        *sum = sum.saturating_add(count);
    }
    reader.mapped.counters.web_search_requests = searches;
    reader.mapped.counters.server_tool_calls = others;
}

fn each_modality(reader: &mut Reader, usage: &Object<'_>, list: &str, count: &str, mut add: impl FnMut(&str, u64)) {
    for part in objects(usage, list) {
        let modality = part.get("modality").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
        add(&modality, reader.count_or_zero(part, count));
    }
}

fn add_input(usage: &mut Usage, modality: &str, tokens: u64) {
    let part = match modality {
        "audio" => &mut usage.input_audio,
        "image" => &mut usage.input_image,
        "video" => &mut usage.input_video,
        "document" => &mut usage.input_document,
        _ => return,
    };
    *part = part.saturating_add(tokens);
}

fn add_cached(usage: &mut Usage, modality: &str, tokens: u64) {
    let part = match modality {
        "audio" => &mut usage.cache_read_audio,
        "image" => &mut usage.cache_read_image,
        _ => return,
    };
    *part = part.saturating_add(tokens);
}

fn add_output(usage: &mut Usage, modality: &str, tokens: u64) {
    let part = match modality {
        "audio" => &mut usage.output_audio,
        "image" => &mut usage.output_image,
        _ => return,
    };
    *part = part.saturating_add(tokens);
}

fn check_total(reader: &mut Reader, mapped: &Usage, usage: &Object<'_>, name: &str) {
    let total = reader.count(usage, name);
    reader.mapped.reported_total = total;
    if total.is_some_and(|total| total != mapped.total()) {
        reader.flag("total_mismatch");
    }
}

/// The tier that served; on Vertex AI it is part of the traffic's type.
fn context(reader: &mut Reader, usage: &Object<'_>) {
    reader.context(usage, "serviceTier", "", "trafficType");
    let tier = match reader.mapped.context.traffic_type.as_deref() {
        Some("ON_DEMAND_FLEX") => "flex",
        Some("ON_DEMAND_PRIORITY") => "priority",
        _ => return,
    };
    super::note_tier(&mut reader.mapped, tier);
}

#[cfg(test)]
mod tests {
    use super::super::map_usage;
    use crate::upstream::{dialect::Dialect, sniff::Sniffed};

    #[test]
    fn what_grounded_an_interaction_is_counted_by_its_type() {
        let usage = r#"{"total_input_tokens":5,"total_output_tokens":2,"total_tokens":7,"grounding_tool_count":[{"type":"google_search","count":2},{"type":"google_maps","count":1},{"type":"retrieval","count":4}]}"#;
        let seen = Sniffed {
            dialect: Dialect::GeminiInteractions,
            usage_raw: Some(usage.to_owned()),
            finish: Some("completed".to_owned()),
            ..Sniffed::default()
        };
        let mapped = map_usage(&seen).unwrap();
        assert_eq!((mapped.counters.web_search_requests, mapped.counters.server_tool_calls), (3, 4));
        assert!(!mapped.is_suspect, "{mapped:?}");
    }
}
