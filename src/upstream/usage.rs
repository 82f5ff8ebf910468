//! Maps what an answer reported to exclusive buckets, by dialect.
//!
//! What cannot be is flagged, never a panic and never silently zero.

mod anthropic;
mod bedrock;
mod cost;
mod gemini;
mod invariants;
mod object;
mod openai;
mod plain;
mod reader;
mod responses;

use std::borrow::Cow;

use tollgate_core::{
    counters::Counters,
    pricing_context::{PricingContext, ServiceTier},
    usage::Usage,
};

use self::{
    object::{Object, Value},
    reader::Reader,
};
use super::{dialect::Dialect, sniff::Sniffed};

/// Members of an answer that tell what its pictures are like, or how it was served, and nothing of its usage.
const OTHER_MEMBERS: &[&str] = &["size", "quality", LATENCY];
/// Bedrock's word for what is served faster, at a price of its own.
const LATENCY: &str = "latency";
/// The flag of an entry whose report of usage was too large to be read.
const TOO_LARGE: &str = "usage_too_large";
/// Longest raw usage object that is kept in an entry, in bytes.
const RAW_BYTES_MAX: usize = 16 * 1024;

/// A report of usage, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MappedUsage {
    /// Tokens of the model that answered; none when the report says nothing that can be believed.
    pub usage: Option<Usage>,
    /// The model to bill for them, where the report names another one than the answer.
    pub billed_model: Option<String>,
    /// What other calls within the request used, each with its model where that is another one.
    pub more: Vec<(Option<String>, Usage)>,
    /// Units beside tokens.
    pub counters: Counters,
    /// What else picks the price.
    pub context: PricingContext,
    /// Reasons for suspicion and notes.
    pub flags: Vec<String>,
    /// Whether a flag contradicts the numbers.
    pub is_suspect: bool,
    /// The numbers are those of response headers.
    pub from_headers: bool,
    /// The total as reported.
    pub reported_total: Option<u64>,
    /// The cost as reported, decimal text of USD.
    pub reported_cost_usd: Option<String>,
    /// The report as it came, merged, at most 16 KiB.
    pub raw: Option<String>,
}

/// Maps what was reported; none when nothing was.
#[must_use]
pub fn map_usage(seen: &Sniffed) -> Option<Box<MappedUsage>> {
    let mut reader = Reader::default();
    let (object, raw) = reported(seen, &mut reader)?;
    let usage = match seen.dialect {
        Dialect::OpenAiChat | Dialect::OpenAiCompletions => openai::map(&mut reader, &object, seen),
        Dialect::OpenAiEmbeddings => openai::map_input(&mut reader, &object),
        Dialect::OpenAiModerations => openai::map(&mut reader, &object, seen),
        Dialect::OpenAiResponses | Dialect::OpenAiImages => responses::map(&mut reader, &object),
        Dialect::OpenAiSpeech | Dialect::OpenAiAudio => responses::map_audio(&mut reader, &object, seen),
        Dialect::AnthropicMessages => anthropic::map(&mut reader, &object),
        Dialect::AnthropicCountTokens | Dialect::GeminiCountTokens => plain::counted(&mut reader, &object),
        Dialect::Gemini | Dialect::GeminiEmbed => gemini::map(&mut reader, &object),
        Dialect::GeminiInteractions => gemini::map_interaction(&mut reader, &object),
        Dialect::BedrockConverse => bedrock::map_converse(&mut reader, &object),
        Dialect::BedrockInvoke => bedrock::map_invoke(&mut reader, &object, seen),
        Dialect::Ollama => plain::ollama(&mut reader, &object),
        Dialect::Cohere => plain::cohere(&mut reader, &object),
    };
    reader.mapped.usage = usage;
    invariants::check(&mut reader, seen);
    let mut mapped = reader.mapped;
    count_units(&mut mapped, seen);
    note_served(&mut mapped, seen);
    mapped.reported_cost_usd = cost::reported(&object);
    mapped.raw = Some(raw).filter(|raw| raw.len() <= RAW_BYTES_MAX).map(Cow::into_owned);
    Some(mapped)
}

/// What is known of an answer that reported nothing: its units, and the tier that served.
#[must_use]
pub fn without_report(seen: &Sniffed) -> Box<MappedUsage> {
    let mut mapped = Box::<MappedUsage>::default();
    if seen.usage_overflow {
        mapped.flags.push(TOO_LARGE.to_owned());
    }
    count_units(&mut mapped, seen);
    note_served(&mut mapped, seen);
    mapped
}

/// Units that are told outside the usage.
fn count_units(mapped: &mut MappedUsage, seen: &Sniffed) {
    let items = if seen.items_final.count > 0 { seen.items_final } else { seen.items_told };
    let counters = &mut mapped.counters;
    counters.web_search_requests = counters.web_search_requests.max(items.web_searches).max(seen.searches);
    counters.server_tool_calls = counters.server_tool_calls.max(items.tool_calls);
    counters.image_count = counters.image_count.max(items.images).max(seen.images);
    mapped.context.images_by_tool = items.images > 0;
}

/// The report: a usage object, its loose members, or what stands for it.
fn reported<'a>(seen: &'a Sniffed, reader: &mut Reader) -> Option<(Object<'a>, Cow<'a, str>)> {
    let parsed = |raw: &'a str| Object::parse(raw).map(|object| (object, Cow::Borrowed(raw)));
    if seen.usage_overflow {
        reader.note(TOO_LARGE);
    }
    let mut members = seen.members.iter().filter(|(name, _)| !OTHER_MEMBERS.contains(name)).peekable();
    let has_members = members.peek().is_some();
    let (mut object, mut raw) = match (&seen.usage_raw, &seen.metrics_raw, &seen.headers_raw) {
        (Some(raw), ..) => parsed(raw).unwrap_or_default(),
        (None, Some(raw), _) if !has_members => parsed(raw)?,
        (None, None, Some(raw)) if !has_members && seen.dialect == Dialect::BedrockInvoke => {
            reader.mapped.from_headers = true;
            parsed(raw)?
        }
        // Ollama leaves a count out that is zero.
        _ if has_members || (seen.dialect == Dialect::Ollama && seen.done) => Default::default(),
        _ => return None,
    };
    if raw.is_empty() {
        raw = Cow::Borrowed("{}");
    }
    for (name, text) in members {
        if let Some(value) = Value::parse(text).filter(|_| !object.has(name)) {
            raw = Cow::Owned(with_member(&raw, name, text, object.is_empty()));
            object.put(Cow::Borrowed(name), value);
        }
    }
    Some((object, raw))
}

/// The text of an object and one member more; `is_first` when the object has none.
fn with_member(object: &str, name: &str, value: &str, is_first: bool) -> String {
    let before = object.trim_end().strip_suffix('}').unwrap_or(object).trim_end();
    let comma = if is_first { "" } else { "," };
    format!("{before}{comma}\"{name}\":{value}}}")
}

/// What the answer says of how it was served: its tier, and size and quality of its pictures, as what was made may be another
/// one than what was asked for.
fn note_served(mapped: &mut MappedUsage, seen: &Sniffed) {
    let said = |wanted: &str| {
        let (_, raw) = seen.members.iter().find(|(name, _)| *name == wanted)?;
        serde_json::from_str::<String>(raw).ok()
    };
    if let Some(tier) = &seen.tier {
        note_tier(mapped, tier);
    }
    if said(LATENCY).is_some_and(|latency| latency == "optimized") {
        mapped.context.service_tier = Some(ServiceTier::Fast);
    }
    // Tokens that are told have their price whatever the pictures are like.
    if seen.dialect == Dialect::OpenAiImages && mapped.usage.is_none() {
        mapped.context.image_size = said("size");
        mapped.context.image_quality = said("quality");
    }
}

/// Notes the tier that served, by whatever name.
fn note_tier(mapped: &mut MappedUsage, tier: &str) {
    let known = match tier.to_ascii_lowercase().as_str() {
        "default" | "standard" | "on_demand" | "auto" | "standard_only" | "unspecified" => ServiceTier::Standard,
        "flex" => ServiceTier::Flex,
        "batch" => ServiceTier::Batch,
        "priority" | "performance" => ServiceTier::Priority,
        "fast" => ServiceTier::Fast,
        _ => {
            mapped.flags.push("unknown_service_tier".to_owned());
            ServiceTier::Other
        }
    };
    mapped.context.service_tier = Some(known);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loose_members_stand_behind_those_of_the_object_which_say_more() {
        let members =
            [("prompt_eval_count", "7"), ("a", "2"), ("broken", "x")].map(|(name, text)| (name, text.to_owned()));
        let seen = |usage_raw: Option<&str>| Sniffed {
            dialect: Dialect::Ollama,
            usage_raw: usage_raw.map(str::to_owned),
            members: members.to_vec(),
            ..Sniffed::default()
        };
        for (usage_raw, raw) in [
            (Some(r#"{"a":{"b":{}} } "#), r#"{"a":{"b":{}},"prompt_eval_count":7}"#),
            (Some("{ }"), r#"{"prompt_eval_count":7,"a":2}"#),
            (Some("7"), r#"{"prompt_eval_count":7,"a":2}"#),
            (None, r#"{"prompt_eval_count":7,"a":2}"#),
        ] {
            let mapped = map_usage(&seen(usage_raw)).unwrap();
            assert_eq!(mapped.raw.as_deref(), Some(raw), "{usage_raw:?}");
            assert_eq!(mapped.usage.map(|usage| usage.input_uncached), Some(7), "{usage_raw:?}");
        }
    }
}
