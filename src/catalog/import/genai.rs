//! Reads genai-prices' data file (version 2): models by clauses, prices per million tokens as JSON numbers, tiers by the
//! whole prompt, lists of prices by date or time of day of which the last that applies is meant.
//!
//! That library bills a cache that has no price as fresh input; its tables say so here ([`Fallback`]). It prices an hour's
//! cache write that has no price as the shorter one; ours never does, so such writes are unpriced.

use std::collections::{BTreeMap, HashMap};

use jiff::{
    civil::{Date, Time},
    tz::TimeZone,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_core::{
    decimal::Decimal,
    price::{Fallback, Hours, PriceTable, Rate, Rates, Tier, TierApplies, Unit, UnitPrices, Variant, When},
};

use super::{ImportError, Outcome, Read, regex::as_glob};
use crate::catalog::PriceVersion;

const NO_PRICES: &str = "it has no prices, and does not say that it is free";
/// Marks of the name of a fine-tuned model.
const FINE_TUNED: &[&str] = &["ft:", ".ft-"];
/// A model of such a name without prices is free: its name says so.
const FREE_SUFFIX: &str = ":free";

#[derive(Deserialize)]
struct Provider<'a> {
    id: String,
    #[serde(borrow)]
    models: Vec<&'a RawValue>,
    #[serde(default)]
    fallback_model_providers: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Model<'a> {
    id: String,
    #[serde(rename = "match")]
    clause: Clause,
    #[serde(borrow)]
    prices: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Clause {
    Equals(String),
    StartsWith(String),
    EndsWith(String),
    Contains(String),
    Regex(String),
    Or(Vec<Clause>),
    And(serde::de::IgnoredAny),
}

/// Prices by key; each a number, or a base and tiers.
type PriceMap<'a> = BTreeMap<String, &'a RawValue>;

#[derive(Deserialize)]
struct Conditional<'a> {
    #[serde(default)]
    constraint: Option<Constraint>,
    #[serde(borrow)]
    prices: PriceMap<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, untagged)]
enum Constraint {
    From { start_date: Date },
    Between { start_time: String, end_time: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tiered<'a> {
    #[serde(borrow)]
    base: &'a RawValue,
    #[serde(borrow)]
    tiers: Vec<Start<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start<'a> {
    start: u64,
    #[serde(borrow)]
    price: &'a RawValue,
}

/// Reads the file.
pub(super) fn read(text: &str, source: &str, recorded_at_us: i64) -> Result<Read, ImportError> {
    let providers: Vec<Provider<'_>> = serde_json::from_str(text).map_err(|error| ImportError(error.to_string()))?;
    let mut read = Read::default();
    for provider in &providers {
        let mut taken: HashMap<String, String> = HashMap::new();
        for raw in &provider.models {
            model(&mut read, provider, raw, &mut taken, source, recorded_at_us);
        }
        if let Some(others) = &provider.fallback_model_providers {
            let what = format!("other models cost what {} ask for them: write aliases or tables", others.join(" and "));
            read.leave_out(Outcome::Partly, &provider.id, what);
        }
    }
    Ok(read)
}

fn model(
    read: &mut Read,
    provider: &Provider<'_>,
    raw: &RawValue,
    taken: &mut HashMap<String, String>,
    source: &str,
    recorded_at_us: i64,
) {
    let model: Model<'_> = match serde_json::from_str(raw.get()) {
        Ok(model) => model,
        Err(error) => {
            return read.leave_out(Outcome::Skipped, &provider.id, format!("a model of another form: {error}"));
        }
    };
    let place = format!("{}/{}", provider.id, model.id);
    let periods = match periods(model.prices) {
        Ok(periods) => periods,
        Err(why) if why == NO_PRICES && model.id.ends_with(FREE_SUFFIX) => vec![(0, free())],
        Err(why) => return read.leave_out(Outcome::Skipped, &place, why),
    };
    let mut names = vec![model.id.clone()];
    if let Err(why) = names_of(&model.clause, &mut names) {
        read.leave_out(Outcome::Partly, &place, why);
    }
    let mut aliases = Vec::new();
    for name in names {
        let owner = taken.entry(name.to_ascii_lowercase()).or_insert_with(|| model.id.clone());
        if *owner == model.id {
            if name != model.id && !aliases.contains(&name) {
                aliases.push(name);
            }
        } else if name == model.id {
            let what = format!("{owner} has this name already");
            return read.leave_out(Outcome::Skipped, &place, what);
        } else {
            let what = format!("the name {name} is {owner}'s, which stands before it");
            read.leave_out(Outcome::Partly, &place, what);
        }
    }
    for (valid_from_us, table) in periods {
        read.versions.push(PriceVersion {
            id: String::new(),
            provider: provider.id.clone(),
            model: model.id.clone(),
            aliases: aliases.clone(),
            valid_from_us,
            recorded_at_us,
            source: source.to_owned(),
            completed_from: String::new(),
            is_imported: true,
            table,
        });
    }
}

/// The names, with holes where needed, that a clause fits.
fn names_of(clause: &Clause, names: &mut Vec<String>) -> Result<(), String> {
    match clause {
        Clause::Equals(name) => names.push(name.clone()),
        Clause::StartsWith(start) => names.push(open_ended(start)),
        Clause::EndsWith(end) => names.push(format!("*{end}")),
        Clause::Contains(part) => names.push(open_ended(&format!("*{part}"))),
        Clause::Regex(regex) => {
            names.push(as_glob(regex).ok_or_else(|| format!("names cannot say the expression {regex}"))?);
        }
        Clause::Or(clauses) => return clauses.iter().try_for_each(|clause| names_of(clause, names)),
        Clause::And(_) => return Err("names cannot say a clause of several conditions at once".to_owned()),
    }
    Ok(())
}

/// A name that goes on: with a version, as the file means it, and not with the word of a sibling that has a price of its
/// own. The names of fine-tuned models go on with whatever their owners called them.
fn open_ended(start: &str) -> String {
    if FINE_TUNED.iter().any(|mark| start.contains(mark)) {
        return format!("{start}*");
    }
    match start.trim_end_matches(['-', ':', '@', '.']) {
        "" | "*" => format!("{start}*"),
        start => format!("{start}~"),
    }
}

/// Prices and since when they apply.
fn periods(raw: &RawValue) -> Result<Vec<(i64, PriceTable)>, String> {
    if !raw.get().starts_with('[') {
        let prices: PriceMap<'_> = serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
        return Ok(vec![(0, table(&prices)?)]);
    }
    let list: Vec<Conditional<'_>> = serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
    let first = list.first().ok_or(NO_PRICES)?;
    let mut starts: Vec<Option<Date>> = vec![None];
    starts.extend(list.iter().filter_map(|price| match &price.constraint {
        Some(Constraint::From { start_date }) => Some(Some(*start_date)),
        _ => None,
    }));
    starts.sort_unstable();
    starts.dedup();
    let mut periods = Vec::new();
    for start in starts {
        let holds = |price: &Conditional<'_>| match &price.constraint {
            None => true,
            Some(Constraint::From { start_date }) => start.is_some_and(|start| *start_date <= start),
            Some(Constraint::Between { .. }) => false,
        };
        // The last that applies is meant; when none does, the first. Hours before it in the list never get a turn.
        let at = list.iter().rposition(holds);
        let mut whole = table(&at.and_then(|at| list.get(at)).unwrap_or(first).prices)?;
        for price in list.iter().skip(at.map_or(0, |at| at + 1)) {
            if let Some(Constraint::Between { start_time, end_time }) = &price.constraint {
                let variant = table(&price.prices)?;
                whole.variants.push(Variant {
                    when: When { hours: Some(hours(start_time, end_time)?), ..When::default() },
                    usd_per_mtok: variant.usd_per_mtok,
                    tiers: variant.tiers,
                    usd_per_request: variant.usd_per_request,
                    usd_per_unit: variant.usd_per_unit,
                });
            }
        }
        periods.push((start.map_or(Ok(0), midnight)?, whole));
    }
    Ok(periods)
}

fn midnight(day: Date) -> Result<i64, String> {
    let at = TimeZone::UTC.to_timestamp(day.to_datetime(Time::midnight()));
    at.map(|at| at.as_microsecond()).map_err(|error| error.to_string())
}

/// `00:30:00Z` to `16:30:00Z`.
fn hours(from: &str, to: &str) -> Result<Hours, String> {
    let minute = |text: &str| text.strip_suffix(":00Z").map(str::to_owned);
    let window = minute(from).zip(minute(to)).map(|(from, to)| format!("{from}-{to}"));
    window.and_then(|window| window.parse().ok()).ok_or_else(|| format!("hours of another form: {from} to {to}"))
}

fn table(prices: &PriceMap<'_>) -> Result<PriceTable, String> {
    let mut base: Vec<(Rate, Decimal)> = Vec::new();
    let mut tiers: BTreeMap<u64, Vec<(Rate, Decimal)>> = BTreeMap::new();
    let mut units: Vec<(Unit, Decimal)> = Vec::new();
    let mut usd_per_request = None;
    for (key, value) in prices {
        if value.get() == "null" {
            continue;
        }
        if let Some(rate) = rate(key) {
            if !value.get().starts_with('{') {
                base.push((rate, number(value, 0)?));
                continue;
            }
            let tiered: Tiered<'_> = serde_json::from_str(value.get()).map_err(|error| format!("{key}: {error}"))?;
            base.push((rate, number(tiered.base, 0)?));
            for tier in &tiered.tiers {
                tiers.entry(tier.start).or_default().push((rate, number(tier.price, 0)?));
            }
        } else if key == "requests_kcount" {
            usd_per_request = Some(number(value, -3)?);
        } else if let Some((unit, shift)) = unit(key) {
            units.push((unit, number(value, shift)?));
        } else {
            return Err(format!("there is no unit for {key}"));
        }
    }
    if base.is_empty() && units.is_empty() && usd_per_request.is_none() {
        return Err(NO_PRICES.to_owned());
    }
    let usd_per_mtok: Rates = base.into_iter().collect();
    let has = |rate| usd_per_mtok.get(rate).is_some();
    let fallback = Fallback {
        cache_read_as_input: has(Rate::Input) && !has(Rate::CacheRead),
        cache_write_as_input: has(Rate::Input) && !has(Rate::CacheWrite),
        ..Fallback::default()
    };
    let tiers = carry_up(tiers);
    Ok(PriceTable {
        tiers,
        usd_per_request,
        usd_per_unit: units.into_iter().collect::<UnitPrices>(),
        fallback,
        usd_per_mtok,
        ..PriceTable::default()
    })
}

/// Free, said explicitly.
fn free() -> PriceTable {
    PriceTable {
        usd_per_mtok: [(Rate::Input, Decimal::ZERO), (Rate::Output, Decimal::ZERO)].into_iter().collect(),
        fallback: Fallback { cache_read_as_input: true, cache_write_as_input: true, ..Fallback::default() },
        ..PriceTable::default()
    }
}

/// There each price has tiers of its own: one without a tier at a threshold stays in the one below.
fn carry_up(tiers: BTreeMap<u64, Vec<(Rate, Decimal)>>) -> Vec<Tier> {
    let mut prices: BTreeMap<Rate, Decimal> = BTreeMap::new();
    let mut carried = Vec::new();
    for (above_input_tokens, own) in tiers {
        prices.extend(own);
        let usd_per_mtok = prices.iter().map(|(rate, price)| (*rate, *price)).collect();
        carried.push(Tier { above_input_tokens, applies: TierApplies::Whole, usd_per_mtok });
    }
    carried
}

fn number(raw: &RawValue, shift: i32) -> Result<Decimal, String> {
    Decimal::from_number(raw.get().trim_matches('"'), shift).map_err(|error| error.to_string())
}

fn rate(key: &str) -> Option<Rate> {
    Some(match key {
        "input_mtok" => Rate::Input,
        "input_audio_mtok" => Rate::InputAudio,
        "input_image_mtok" => Rate::InputImage,
        "input_video_mtok" => Rate::InputVideo,
        "cache_read_mtok" => Rate::CacheRead,
        "cache_audio_read_mtok" => Rate::CacheReadAudio,
        "cache_image_read_mtok" => Rate::CacheReadImage,
        "cache_write_mtok" => Rate::CacheWrite,
        "cache_write_5m_mtok" => Rate::CacheWrite5m,
        "cache_write_1h_mtok" => Rate::CacheWrite1h,
        "output_mtok" => Rate::Output,
        "output_audio_mtok" => Rate::OutputAudio,
        "output_image_mtok" => Rate::OutputImage,
        "output_video_mtok" => Rate::OutputVideo,
        "output_reasoning_mtok" => Rate::Reasoning,
        "output_citation_mtok" => Rate::Citation,
        _ => return None,
    })
}

/// The unit and the power of ten that its price is for.
fn unit(key: &str) -> Option<(Unit, i32)> {
    Some(match key {
        "web_searches_kcount" => (Unit::WebSearch, -3),
        "rerank_searches_kcount" => (Unit::RerankUnit, -3),
        "code_executions_kcount" => (Unit::ToolCall, -3),
        "input_mchars" => (Unit::Character, -6),
        _ => return None,
    })
}
