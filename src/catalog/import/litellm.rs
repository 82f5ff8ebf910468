//! Reads LiteLLM's model prices: one object a model, prices in USD per token as JSON numbers, read by their digits.
//!
//! A key is a base, a threshold (`_above_200k_tokens`) and a service tier (`_priority`); what a key means beyond that, no
//! bucket or unit of ours has. Such keys are told and left out: what they price is then unpriced, and never guessed.

use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;
use tollgate_core::{
    decimal::Decimal,
    price::{PriceTable, Rate, Tier, TierApplies, Unit, Variant, When},
    pricing_context::ServiceTier,
};

use super::{ImportError, Outcome, Read};
use crate::catalog::PriceVersion;

/// Rows that describe the file, and are no models.
const NO_MODELS: &[&str] = &["sample_spec", "fallback_generalizations"];
/// Names of one provider's parts, and the provider.
const PARTS: &[(&str, &str)] = &[
    ("azure_text", "azure"),
    ("bedrock_converse", "bedrock"),
    ("cohere_chat", "cohere"),
    ("text-completion-codestral", "codestral"),
    ("text-completion-inception", "inception"),
    ("text-completion-openai", "openai"),
];
/// Providers whose parts are told behind a dash.
const DASHED: &[&str] = &["fireworks_ai", "vertex_ai"];

type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Which service tier and threshold a price is for.
type Place = (Option<ServiceTier>, u64);
/// The prices of a place.
type Sheet = Vec<(Rate, Decimal)>;

/// Reads the file.
pub(super) fn read(text: &str, source: &str, recorded_at_us: i64) -> Result<Read, ImportError> {
    let failed = |error: serde_json::Error| ImportError(error.to_string());
    let rows: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(failed)?;
    let mut read = Read::default();
    let mut taken: HashMap<(String, String), usize> = HashMap::new();
    for (name, raw) in rows {
        if NO_MODELS.contains(&name.as_str()) {
            read.leave_out(Outcome::Skipped, &name, "it is no model");
            continue;
        }
        let Ok(fields) = serde_json::from_str::<Fields<'_>>(raw.get()) else {
            read.leave_out(Outcome::Skipped, &name, "it is no object");
            continue;
        };
        let Some(provider) = text_of(&fields, "litellm_provider") else {
            read.leave_out(Outcome::Skipped, &name, "it has no litellm_provider");
            continue;
        };
        let (provider, model) = names(&name, &provider);
        let place = format!("{provider}/{model}");
        let (table, left_out) = table(&fields);
        let table = match table {
            Ok(table) => table,
            Err(why) => {
                read.leave_out(Outcome::Skipped, &place, told(&why, &left_out));
                continue;
            }
        };
        match taken.get(&(provider.clone(), model.to_ascii_lowercase())) {
            Some(at) => {
                let is_same = read.versions.get(*at).is_some_and(|version| version.table == table);
                let what =
                    if is_same { "as another row of this name" } else { "another row has this name, and other prices" };
                read.leave_out(Outcome::Skipped, &name, what);
            }
            None => {
                taken.insert((provider.clone(), model.to_ascii_lowercase()), read.versions.len());
                if !left_out.is_empty() {
                    read.leave_out(Outcome::Partly, &place, told("left out", &left_out));
                }
                read.versions.push(PriceVersion {
                    id: String::new(),
                    provider,
                    model,
                    aliases: Vec::new(),
                    valid_from_us: 0,
                    recorded_at_us,
                    source: source.to_owned(),
                    completed_from: String::new(),
                    is_imported: true,
                    table,
                });
            }
        }
    }
    Ok(read)
}

fn told(what: &str, keys: &[String]) -> String {
    if keys.is_empty() { what.to_owned() } else { format!("{what}: {}", keys.join(", ")) }
}

fn text_of(fields: &Fields<'_>, key: &str) -> Option<String> {
    serde_json::from_str(fields.get(key)?.get()).ok()
}

/// Provider and model of a row.
fn names(name: &str, provider: &str) -> (String, String) {
    let known = PARTS.iter().find(|(part, _)| *part == provider).map(|(_, whole)| *whole);
    let dashed =
        DASHED.iter().copied().find(|whole| provider.strip_prefix(whole).is_some_and(|rest| rest.starts_with('-')));
    let whole = known.or(dashed).unwrap_or(provider);
    let model = [whole, provider].into_iter().find_map(|prefix| name.strip_prefix(prefix)?.strip_prefix('/'));
    (whole.to_owned(), model.unwrap_or(name).to_owned())
}

/// The prices of a row, and the keys that were left out.
fn table(fields: &Fields<'_>) -> (Result<PriceTable, String>, Vec<String>) {
    let mode = text_of(fields, "mode").unwrap_or_default();
    let mut sheets: BTreeMap<Place, Sheet> = BTreeMap::new();
    let mut units: Vec<(Unit, Decimal)> = Vec::new();
    let mut usd_per_request = None;
    let mut left_out = Vec::new();
    for (key, raw) in fields.iter().filter(|(key, raw)| is_price(key) && raw.get() != "null") {
        let (base, place) = split(key);
        let rate = place.and_then(|place| Some((place, rate(base)?)));
        if key == "tiered_pricing" {
            match ranges(raw) {
                Ok(ranges) => {
                    ranges.into_iter().for_each(|(place, prices)| sheets.entry(place).or_default().extend(prices))
                }
                Err(why) => left_out.push(format!("{key} ({why})")),
            }
        } else if let Some((place, rate)) = rate {
            match number(raw, 6) {
                Some(price) => sheets.entry(place).or_default().push((rate, price)),
                None => left_out.push(key.clone()),
            }
        } else if key == "input_cost_per_request" {
            usd_per_request = number(raw, 0);
        } else if key == "search_context_cost_per_query" {
            match same_for_all(raw) {
                Some(price) => units.push((Unit::WebSearch, price)),
                None => left_out.push(format!("{key} (a search costs more or less by its size)")),
            }
        } else if let Some((unit, price)) = unit(key, &mode).and_then(|unit| Some((unit, number(raw, 0)?))) {
            units.push((unit, price));
        } else if number(raw, 0) != Some(Decimal::ZERO) {
            left_out.push(key.clone());
        }
    }
    // Pictures that are billed as tokens are not billed as pictures, too.
    if sheets.values().flatten().any(|(rate, _)| *rate == Rate::OutputImage) {
        units.retain(|(unit, _)| *unit != Unit::Image);
    }
    let base: Sheet = sheets.remove(&(None, 0)).unwrap_or_default();
    if base.is_empty() && units.is_empty() && usd_per_request.is_none() {
        return (Err("it has no price that a bucket or unit could have".to_owned()), left_out);
    }
    let table = PriceTable {
        usd_per_mtok: base.into_iter().collect(),
        tiers: tiers(&sheets, None),
        usd_per_request,
        usd_per_unit: units.into_iter().collect(),
        variants: variants(&sheets),
        ..PriceTable::default()
    };
    (Ok(table), left_out)
}

fn variants(sheets: &BTreeMap<Place, Sheet>) -> Vec<Variant> {
    let mut tiers_told: Vec<ServiceTier> = sheets.keys().filter_map(|(tier, _)| *tier).collect();
    tiers_told.sort_unstable();
    tiers_told.dedup();
    tiers_told
        .into_iter()
        .map(|tier| Variant {
            when: When { service_tier: Some(tier), ..When::default() },
            usd_per_mtok: sheets.get(&(Some(tier), 0)).into_iter().flatten().copied().collect(),
            tiers: tiers(sheets, Some(tier)),
            ..Variant::default()
        })
        .collect()
}

fn tiers(sheets: &BTreeMap<Place, Sheet>, of: Option<ServiceTier>) -> Vec<Tier> {
    let own = sheets.iter().filter(|((tier, above), _)| *tier == of && *above > 0);
    own.map(|((_, above_input_tokens), prices)| Tier {
        above_input_tokens: *above_input_tokens,
        applies: TierApplies::Whole,
        usd_per_mtok: prices.iter().copied().collect(),
    })
    .collect()
}

/// Whether a key says what something costs.
fn is_price(key: &str) -> bool {
    key.contains("cost") || key.contains("_price") || key == "tiered_pricing"
}

/// A key without its service tier and threshold, and these; none when they are none that we know.
fn split(key: &str) -> (&str, Option<Place>) {
    let suffixes =
        [("_priority", ServiceTier::Priority), ("_flex", ServiceTier::Flex), ("_batches", ServiceTier::Batch)];
    let found = suffixes.into_iter().find_map(|(suffix, tier)| Some((key.strip_suffix(suffix)?, tier)));
    let (rest, tier) = found.map_or((key, None), |(rest, tier)| (rest, Some(tier)));
    let threshold = rest.strip_suffix("k_tokens").and_then(|rest| rest.rsplit_once("_above_"));
    match threshold {
        None => (rest, Some((tier, 0))),
        Some((base, thousands)) => {
            let above = thousands.parse::<u64>().ok().and_then(|thousands| thousands.checked_mul(1000));
            (base, above.map(|above| (tier, above)))
        }
    }
}

fn rate(base: &str) -> Option<Rate> {
    Some(match base {
        "input_cost_per_token" => Rate::Input,
        "input_cost_per_audio_token" => Rate::InputAudio,
        "input_cost_per_image_token" => Rate::InputImage,
        "input_cost_per_video_token" => Rate::InputVideo,
        "cache_read_input_token_cost" => Rate::CacheRead,
        "cache_read_input_audio_token_cost" => Rate::CacheReadAudio,
        "cache_read_input_image_token_cost" => Rate::CacheReadImage,
        "cache_creation_input_token_cost" => Rate::CacheWrite,
        "cache_creation_input_token_cost_above_1hr" => Rate::CacheWrite1h,
        "output_cost_per_token" => Rate::Output,
        "output_cost_per_audio_token" => Rate::OutputAudio,
        "output_cost_per_image_token" => Rate::OutputImage,
        "output_cost_per_video_token" => Rate::OutputVideo,
        "output_cost_per_reasoning_token" => Rate::Reasoning,
        "citation_cost_per_token" => Rate::Citation,
        _ => return None,
    })
}

/// What a unit's price means depends on what the model does.
fn unit(key: &str, mode: &str) -> Option<Unit> {
    Some(match (key, mode) {
        ("output_cost_per_image", _) => Unit::Image,
        ("input_cost_per_second", "audio_transcription") => Unit::AudioInputSecond,
        ("output_cost_per_second", "audio_speech") => Unit::AudioOutputSecond,
        ("input_cost_per_character", "audio_speech") => Unit::Character,
        ("input_cost_per_query", "rerank") => Unit::RerankUnit,
        _ => return None,
    })
}

/// A number by its digits, times ten to the power of `shift`.
fn number(raw: &RawValue, shift: i32) -> Option<Decimal> {
    Decimal::from_number(raw.get().trim_matches('"'), shift).ok()
}

/// One price for searches of every size.
fn same_for_all(raw: &RawValue) -> Option<Decimal> {
    let sizes: Fields<'_> = serde_json::from_str(raw.get()).ok()?;
    let mut prices = sizes.values().map(|raw| number(raw, 0));
    let first = prices.next()??;
    prices.all(|price| price == Some(first)).then_some(first)
}

/// Prices by the length of the prompt, as a list of ranges.
fn ranges(raw: &RawValue) -> Result<Vec<(Place, Sheet)>, String> {
    let list: Vec<Fields<'_>> = serde_json::from_str(raw.get()).map_err(|_| "not a list of ranges".to_owned())?;
    let mut ranges = Vec::new();
    for fields in list {
        let bounds = fields.get("range").and_then(|raw| serde_json::from_str::<Vec<&RawValue>>(raw.get()).ok());
        let from = bounds.and_then(|bounds| number(bounds.first()?, 0)).filter(|from| from.scale() == 0);
        let from = from.ok_or_else(|| "a range without a beginning".to_owned())?.digits();
        let mut prices = Vec::new();
        for (key, raw) in fields.iter().filter(|(key, _)| *key != "range") {
            let rate = rate(key).ok_or_else(|| format!("it prices {key}"))?;
            prices.push((rate, number(raw, 6).ok_or_else(|| format!("{key} is no price"))?));
        }
        ranges.push(((None, from), prices));
    }
    Ok(ranges)
}
