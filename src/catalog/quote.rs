//! Quotes: what usage would cost by the prices in force at a time, and how that comes about. One JSON object in, one out.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_core::{
    counters::Counters,
    decimal::Decimal,
    price::{Charge, ChargeLine, Item, PriceError, Query, Unpriced, price},
    pricing_context::PricingContext,
    usage::Usage,
};

use super::Catalog;

const PARTS_TOO_LARGE: &str = "the parts are more than what they are parts of";

/// In whose terms usage is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UsageDialect {
    /// Ours: exclusive buckets and their parts.
    #[default]
    Tollgate,
    /// Those of genai-prices: input with its caches in it.
    GenaiPrices,
}

/// A question.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question<U, C> {
    provider: String,
    model: String,
    at: Timestamp,
    #[serde(default)]
    usage: U,
    #[serde(default)]
    counters: C,
    #[serde(default)]
    context: PricingContext,
}

/// Usage in the terms of genai-prices: `input_tokens` has the caches in it, and both directions have their parts in them.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GenaiUsage {
    input_tokens: u64,
    cache_read_tokens: u64,
    cache_write_tokens: u64,
    cache_write_5m_tokens: u64,
    cache_write_1h_tokens: u64,
    input_audio_tokens: u64,
    input_image_tokens: u64,
    input_video_tokens: u64,
    cache_audio_read_tokens: u64,
    cache_image_read_tokens: u64,
    output_tokens: u64,
    output_audio_tokens: u64,
    output_image_tokens: u64,
    output_video_tokens: u64,
    output_reasoning_tokens: u64,
    output_citation_tokens: u64,
    web_searches: u64,
    code_executions: u64,
    rerank_searches: u64,
    input_characters: u64,
}

/// An answer.
#[derive(Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Quote {
    /// It costs so much.
    Priced {
        /// Nano-dollars, rounded once.
        nanousd: i64,
        /// How it comes about.
        lines: Vec<QuoteLine>,
        /// The price version.
        version: String,
    },
    /// It cannot be told what it costs.
    Unpriced {
        /// Buckets and counters without a price.
        unpriced: Vec<&'static str>,
        /// The price version; none: there is no price for the model at that time.
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<String>,
    },
    /// It is no question.
    Refused {
        /// Why.
        error: String,
    },
}

/// A part of an amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct QuoteLine {
    /// What for: a rate, a unit, or `request`.
    item: &'static str,
    /// Tokens, units (seconds of sound in milliseconds), or 1.
    count: u64,
    /// The price of tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    usd_per_mtok: Option<Decimal>,
    /// The price of anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    usd_per_unit: Option<Decimal>,
    /// Whose price stood for the missing one.
    #[serde(skip_serializing_if = "Option::is_none")]
    fell_back_to: Option<&'static str>,
    /// The variant that applies has no such price; this is the base's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_base: bool,
    /// The context tier that applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    above_input_tokens: Option<u64>,
}

impl From<ChargeLine> for QuoteLine {
    fn from(line: ChargeLine) -> Self {
        let (item, is_tokens) = match line.item {
            Item::Tokens(rate) => (rate.name(), true),
            Item::Units(unit) => (unit.name(), false),
            Item::Request => ("request", false),
        };
        Self {
            item,
            count: line.count,
            usd_per_mtok: is_tokens.then_some(line.price),
            usd_per_unit: (!is_tokens).then_some(line.price),
            fell_back_to: line.fell_back_to.map(tollgate_core::price::Rate::name),
            is_base: line.is_base,
            above_input_tokens: line.above_input_tokens,
        }
    }
}

/// Answers one question, a JSON object of `provider`, `model`, `at`, `usage`, `counters` and `context`.
#[must_use]
pub fn quote(catalog: &Catalog, question: &str, dialect: UsageDialect) -> Quote {
    let refused = |error: serde_json::Error| Quote::Refused { error: error.to_string() };
    match dialect {
        UsageDialect::Tollgate => match serde_json::from_str::<Question<Usage, Counters>>(question) {
            Ok(asked) => {
                let (mut usage, counters) = (asked.usage, asked.counters);
                if usage.clamp_parts() {
                    return Quote::Refused { error: PARTS_TOO_LARGE.to_owned() };
                }
                answer(catalog, &asked, &usage, &counters)
            }
            Err(error) => refused(error),
        },
        UsageDialect::GenaiPrices => match serde_json::from_str::<Question<GenaiUsage, Counters>>(question) {
            Ok(asked) => match asked.usage.ours(asked.counters) {
                Some((usage, counters)) => answer(catalog, &asked, &usage, &counters),
                None => Quote::Refused { error: PARTS_TOO_LARGE.to_owned() },
            },
            Err(error) => refused(error),
        },
    }
}

fn answer<U, C>(catalog: &Catalog, asked: &Question<U, C>, usage: &Usage, counters: &Counters) -> Quote {
    let at_us = asked.at.as_microsecond();
    let query = Query { usage, counters: Some(counters), context: &asked.context, at_us, is_used_elsewhere: false };
    let Some(version) = catalog.table(&asked.provider, &asked.model, at_us) else {
        return Quote::Unpriced { unpriced: Unpriced::all_of(&query).names(), version: None };
    };
    let version_id = version.id.clone();
    match price(&query, &version.table) {
        Ok(Charge { amount, lines, .. }) => Quote::Priced {
            nanousd: amount.get(),
            lines: lines.into_iter().map(QuoteLine::from).collect(),
            version: version_id,
        },
        Err(PriceError::Unpriced(what)) => Quote::Unpriced { unpriced: what.names(), version: Some(version_id) },
        Err(PriceError::Overflow(error)) => Quote::Refused { error: error.to_string() },
    }
}

impl GenaiUsage {
    /// In our terms; none when parts are more than what they are parts of.
    fn ours(&self, counters: Counters) -> Option<(Usage, Counters)> {
        let caches = self.cache_read_tokens.checked_add(self.cache_write_tokens)?;
        let told = self.cache_write_5m_tokens.checked_add(self.cache_write_1h_tokens)?;
        let mut usage = Usage {
            input_uncached: self.input_tokens.checked_sub(caches)?,
            cache_read: self.cache_read_tokens,
            cache_write_5m: self.cache_write_5m_tokens,
            cache_write_1h: self.cache_write_1h_tokens,
            cache_write_unspecified: self.cache_write_tokens.checked_sub(told)?,
            output: self.output_tokens,
            reasoning: self.output_reasoning_tokens,
            input_audio: self.input_audio_tokens,
            input_image: self.input_image_tokens,
            input_video: self.input_video_tokens,
            output_audio: self.output_audio_tokens,
            output_image: self.output_image_tokens,
            output_video: self.output_video_tokens,
            citation: self.output_citation_tokens,
            cache_read_audio: self.cache_audio_read_tokens,
            cache_read_image: self.cache_image_read_tokens,
            ..Usage::default()
        };
        let counters = Counters {
            web_search_requests: self.web_searches,
            server_tool_calls: self.code_executions,
            rerank_units: self.rerank_searches,
            characters: self.input_characters,
            ..counters
        };
        (!usage.clamp_parts()).then_some((usage, counters))
    }
}
