//! Maps a usage object of the OpenAI dialect to exclusive buckets.
//!
//! Cached and cache-written tokens are inside `prompt_tokens`; reasoning is inside `completion_tokens`, except where the
//! total says that it stands beside. What cannot be is flagged, never a panic and never silently zero.

use serde_json::{Map, Value};
use tollgate_core::{entry::UsageSource, usage::Usage};

use super::sniff::Sniffed;

/// A larger count is no count of tokens.
const TOKENS_MAX: u64 = 1 << 40;

/// A usage object, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedUsage {
    /// Tokens; none when the object says nothing that can be believed.
    pub usage: Option<Usage>,
    /// Final, or final and suspect.
    pub source: UsageSource,
    /// Why it is suspect.
    pub flags: Vec<String>,
    /// `total_tokens`.
    pub reported_total: Option<u64>,
    /// `cost`, decimal text of USD.
    pub reported_cost_usd: Option<String>,
}

/// Maps the raw object; `seen` adds what stands outside it (llama.cpp's timings).
#[must_use]
pub fn map_usage(raw: &str, seen: &Sniffed) -> MappedUsage {
    let mut reader = Reader { flags: Vec::new() };
    let object = serde_json::from_str::<Map<String, Value>>(raw).unwrap_or_default();
    let usage = reader.usage(&object, seen);
    let reported_total = reader.count(&object, "total_tokens");
    let mut usage = usage;
    if let Some(usage) = &mut usage {
        reader.check_total(usage, &object, reported_total);
        if usage.clamp_parts() {
            reader.flag("parts_clamped");
        }
    } else {
        reader.flag("usage_invalid");
    }
    let source = if reader.flags.is_empty() { UsageSource::ProviderFinal } else { UsageSource::ProviderFinalSuspect };
    let reported_cost_usd = reported_cost(&object);
    MappedUsage { usage, source, flags: reader.flags, reported_total, reported_cost_usd }
}

struct Reader {
    flags: Vec<String>,
}

impl Reader {
    fn flag(&mut self, flag: &str) {
        if !self.flags.iter().any(|known| known == flag) {
            self.flags.push(flag.to_owned());
        }
    }

    /// A count of tokens; absent and null are none, what is no count is none and flagged.
    fn count(&mut self, object: &Map<String, Value>, name: &str) -> Option<u64> {
        let value = object.get(name).filter(|value| !value.is_null())?;
        let count = match value {
            Value::Number(number) => number.as_u64().or_else(|| whole(&number.to_string())),
            Value::String(text) => whole(text),
            _ => None,
        };
        let count = count.filter(|count| *count <= TOKENS_MAX);
        if count.is_none() {
            self.flag("usage_invalid");
        }
        count
    }

    fn usage(&mut self, object: &Map<String, Value>, seen: &Sniffed) -> Option<Usage> {
        let empty = Map::new();
        let details = |name: &str| object.get(name).and_then(Value::as_object).unwrap_or(&empty);
        let prompt = self.count(object, "prompt_tokens")?;
        // Embeddings have no output; elsewhere an object with no completion count is not to be believed.
        let completion = self.count(object, "completion_tokens");
        let output_is_known = completion.is_some() || seen.finish.is_none();
        let prompt_details = details("prompt_tokens_details");
        let completion_details = details("completion_tokens_details");
        let cached =
            self.count(prompt_details, "cached_tokens").or_else(|| self.count(object, "prompt_cache_hit_tokens"));
        let cached = cached.or_else(|| self.timing_cache(seen)).unwrap_or(0);
        let written = self.count(prompt_details, "cache_write_tokens").unwrap_or(0);
        let in_caches = cached.saturating_add(written);
        let input_uncached = match prompt.checked_sub(in_caches) {
            Some(fresh) => fresh,
            None => {
                self.flag("cached_exceeds_prompt");
                0
            }
        };
        if !output_is_known {
            self.flag("output_missing");
        }
        let (cached, written) = if in_caches > prompt {
            (cached.min(prompt), written.min(prompt - cached.min(prompt)))
        } else {
            (cached, written)
        };
        Some(Usage {
            input_uncached,
            cache_read: cached,
            cache_write_unspecified: written,
            output: completion.unwrap_or(0),
            reasoning: self
                .count(completion_details, "reasoning_tokens")
                .or_else(|| self.count(object, "reasoning_tokens"))
                .unwrap_or(0),
            input_audio: self.count(prompt_details, "audio_tokens").unwrap_or(0),
            input_image: self.count(prompt_details, "image_tokens").unwrap_or(0),
            output_audio: self.count(completion_details, "audio_tokens").unwrap_or(0),
            output_image: self.count(completion_details, "image_tokens").unwrap_or(0),
            ..Usage::default()
        })
    }

    fn timing_cache(&mut self, seen: &Sniffed) -> Option<u64> {
        let timings = serde_json::from_str::<Map<String, Value>>(seen.timings_raw.as_deref()?).ok()?;
        self.count(&timings, "cache_n")
    }

    /// The total closes the sum: what it has beyond input and output is reasoning that stands beside the output.
    fn check_total(&mut self, usage: &mut Usage, object: &Map<String, Value>, total: Option<u64>) {
        let Some(total) = total else { return };
        let sum = usage.total();
        if total == sum {
            return;
        }
        let beside = total.checked_sub(sum);
        match beside {
            // Exactly the reasoning is missing (xAI), or nothing else explains hidden thinking (Gemini's endpoint).
            Some(beside)
                if beside == usage.reasoning || usage.reasoning == 0 && object.contains_key("completion_tokens") =>
            {
                usage.output = usage.output.saturating_add(beside);
                usage.reasoning = usage.reasoning.max(beside);
            }
            _ => self.flag("total_mismatch"),
        }
    }
}

/// A whole number, also written as `12.0`.
fn whole(text: &str) -> Option<u64> {
    let (digits, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    if part.bytes().all(|byte| byte == b'0') { digits.parse().ok() } else { None }
}

/// xAI's ticks in one US dollar.
const TICKS_PER_USD: u64 = 10_000_000_000;

/// OpenRouter's `cost` as it was written, or xAI's ticks as dollars.
fn reported_cost(object: &Map<String, Value>) -> Option<String> {
    match (object.get("cost"), object.get("cost_in_usd_ticks").and_then(Value::as_u64)) {
        (Some(Value::Number(number)), _) => Some(number.to_string()),
        (Some(Value::String(text)), _) => Some(text.clone()),
        (_, Some(ticks)) => Some(format!("{}.{:010}", ticks / TICKS_PER_USD, ticks % TICKS_PER_USD)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(raw: &str) -> MappedUsage {
        map_usage(raw, &Sniffed { finish: Some("stop".into()), ..Sniffed::default() })
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
            assert_eq!(mapped.source, UsageSource::ProviderFinalSuspect, "{raw}");
            assert!(!mapped.flags.is_empty(), "{raw}");
        }
    }

    #[test]
    fn numbers_in_other_clothes_are_the_same_numbers() {
        let plain = map(r#"{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}"#);
        assert_eq!(plain.source, UsageSource::ProviderFinal);
        assert_eq!(
            map(r#"{"prompt_tokens":12.0,"completion_tokens":"3","total_tokens":15,"prompt_tokens_details":null}"#),
            plain
        );
    }

    #[test]
    fn reasoning_beside_the_output_is_found_by_the_total() {
        let usage = map(r#"{"prompt_tokens":12,"completion_tokens":1,"total_tokens":303,"completion_tokens_details":{"reasoning_tokens":290}}"#).usage.unwrap();
        assert_eq!((usage.output, usage.reasoning), (291, 290));
        let hidden = map(r#"{"prompt_tokens":7,"completion_tokens":0,"total_tokens":8}"#).usage.unwrap();
        assert_eq!((hidden.input_uncached, hidden.output), (7, 1));
    }
}
