//! Reads the prices of one model out of TOML: base, context tiers, variants, what stands for missing prices.

use std::str::FromStr;

use tollgate_core::{
    decimal::Decimal,
    price::{Fallback, Hours, PriceKey, PriceTable, Prices, Rates, Tier, TierApplies, UnitPrices, Variant, When},
    pricing_context::ServiceTier,
};
use toml::de::{DeTable, DeValue};

use crate::catalog::toml_walk::Walk;

/// Keys of a table's prices, wherever they stand.
pub(super) const KEYS: &[&str] =
    &["usd_per_mtok", "usd_per_request", "usd_per_unit", "tier", "variant", "fallback", "standard_for"];
const VARIANT_KEYS: &[&str] = &["when", "usd_per_mtok", "usd_per_request", "usd_per_unit", "tier"];
const TIER_KEYS: &[&str] = &["above_input_tokens", "applies", "usd_per_mtok"];
const WHEN_KEYS: &[&str] = &["service_tier", "region", "traffic_type", "image_size", "image_quality", "hours"];
const FALLBACK_KEYS: &[&str] = &["cache_read", "cache_write"];
const SERVICE_TIERS: [ServiceTier; 4] =
    [ServiceTier::Flex, ServiceTier::Batch, ServiceTier::Priority, ServiceTier::Fast];

/// Where the schema has the keys of lists within a table.
#[cfg(test)]
pub(super) const LISTS: &[(&str, &[&str])] = &[
    ("/tier/items/properties", TIER_KEYS),
    ("/variant/items/properties", VARIANT_KEYS),
    ("/variant/items/properties/when/properties", WHEN_KEYS),
    ("/fallback/properties", FALLBACK_KEYS),
];

/// The prices of a base or a variant.
struct Sheet {
    usd_per_mtok: Rates,
    tiers: Vec<Tier>,
    usd_per_request: Option<Decimal>,
    usd_per_unit: UnitPrices,
}

/// A book's own prices hold whatever tier served, unless they say something of tiers.
pub(in crate::catalog) fn at_any_tier(mut table: PriceTable) -> PriceTable {
    let says = |tier: &ServiceTier| table.variants.iter().any(|variant| variant.when.service_tier == Some(*tier));
    if table.fallback.standard_for.is_empty() {
        table.fallback.standard_for = SERVICE_TIERS.into_iter().filter(|tier| !says(tier)).collect();
    }
    table
}

impl Walk<'_> {
    pub(super) fn price_table(&mut self, table: &DeTable<'_>, at: usize) -> Option<PriceTable> {
        let before = self.mistakes.len();
        let sheet = self.sheet(table, at);
        if sheet.as_ref().is_some_and(|sheet| {
            sheet.usd_per_mtok.is_empty() && sheet.usd_per_unit.is_empty() && sheet.usd_per_request.is_none()
        }) {
            self.mistake(
                at,
                "usd_per_mtok is missing, such as { input = \"0.10\", output = \"0.40\" }; free is \"0\", said explicitly",
            );
        }
        let mut variants: Vec<(Variant, usize)> = Vec::new();
        for (variant, at) in self.tables(table, "variant") {
            self.known_keys(variant, VARIANT_KEYS);
            variants.extend(self.variant(variant, at).map(|variant| (variant, at)));
        }
        self.refuse_ambiguous(&variants);
        let fallback = self.fallback(table);
        let sheet = sheet.filter(|_| self.mistakes.len() == before)?;
        Some(PriceTable {
            usd_per_mtok: sheet.usd_per_mtok,
            tiers: sheet.tiers,
            usd_per_request: sheet.usd_per_request,
            usd_per_unit: sheet.usd_per_unit,
            variants: variants.into_iter().map(|(variant, _)| variant).collect(),
            fallback,
        })
    }

    fn sheet(&mut self, table: &DeTable<'_>, at: usize) -> Option<Sheet> {
        let usd_per_mtok = self.prices(table, "usd_per_mtok", "{ input = \"0.10\", output = \"0.40\" }");
        let usd_per_unit = self.prices(table, "usd_per_unit", "{ web_search = \"0.01\" }");
        let usd_per_request = match table.get("usd_per_request") {
            Some(value) => Some(self.decimal(value.get_ref(), value.span().start, "usd_per_request")?),
            None => None,
        };
        let tiers = self.tiers(table, at);
        Some(Sheet { usd_per_mtok: usd_per_mtok?, tiers, usd_per_request, usd_per_unit: usd_per_unit? })
    }

    fn tiers(&mut self, table: &DeTable<'_>, _at: usize) -> Vec<Tier> {
        let mut tiers: Vec<Tier> = Vec::new();
        for (tier, at) in self.tables(table, "tier") {
            self.known_keys(tier, TIER_KEYS);
            let Some(tier) = self.tier(tier, at) else { continue };
            if let Some(last) = tiers.last() {
                if last.above_input_tokens >= tier.above_input_tokens {
                    self.mistake(at, "tiers must ascend by above_input_tokens, each once");
                }
                if last.applies != tier.applies {
                    self.mistake(at, "tiers of one table all apply to the whole prompt, or all to the excess");
                }
            }
            tiers.push(tier);
        }
        tiers
    }

    fn tier(&mut self, tier: &DeTable<'_>, at: usize) -> Option<Tier> {
        let above = self.whole_number(tier, "above_input_tokens", at);
        let applies = match tier.get("applies").map(|value| (value.get_ref(), value.span().start)) {
            None => Some(TierApplies::Whole),
            Some((DeValue::String(word), _)) if word == "whole" => Some(TierApplies::Whole),
            Some((DeValue::String(word), _)) if word == "excess" => Some(TierApplies::Excess),
            Some((_, at)) => {
                self.mistake(at, "applies must be \"whole\" or \"excess\"");
                None
            }
        };
        let rates: Option<Rates> = self.prices(tier, "usd_per_mtok", "{ input = \"0.20\", output = \"0.60\" }");
        if rates.as_ref().is_some_and(Prices::is_empty) {
            self.mistake(at, "usd_per_mtok is missing: a tier has prices of its own");
        }
        Some(Tier { above_input_tokens: above?, applies: applies?, usd_per_mtok: rates? })
    }

    /// A map of prices; empty when it is not there.
    fn prices<K: PriceKey>(&mut self, table: &DeTable<'_>, key: &str, such_as: &str) -> Option<Prices<K>> {
        let Some(value) = table.get(key) else { return Some(Prices::default()) };
        let DeValue::Table(prices) = value.get_ref() else {
            self.mistake(value.span().start, format!("{key} must be such as {such_as}"));
            return None;
        };
        let known: Vec<&str> = K::KEYS.iter().map(|key| key.key()).collect();
        self.known_keys(prices, &known);
        if prices.is_empty() {
            self.mistake(value.span().start, format!("{key} is empty; free is \"0\", said explicitly"));
        }
        let before = self.mistakes.len();
        let read: Vec<(K, Decimal)> = K::KEYS
            .iter()
            .filter_map(|key| {
                let value = prices.get(key.key())?;
                Some((*key, self.decimal(value.get_ref(), value.span().start, key.key())?))
            })
            .collect();
        (self.mistakes.len() == before).then(|| read.into_iter().collect())
    }

    fn variant(&mut self, variant: &DeTable<'_>, at: usize) -> Option<Variant> {
        let before = self.mistakes.len();
        let when = match variant.get("when").map(|value| (value.get_ref(), value.span().start)) {
            Some((DeValue::Table(when), at)) if !when.is_empty() => self.when(when, at),
            _ => {
                self.mistake(at, "a variant says when it applies, such as when = { service_tier = \"batch\" }");
                None
            }
        };
        let sheet = self.sheet(variant, at)?;
        let (Some(when), true) = (when, self.mistakes.len() == before) else { return None };
        Some(Variant {
            when,
            usd_per_mtok: sheet.usd_per_mtok,
            tiers: sheet.tiers,
            usd_per_request: sheet.usd_per_request,
            usd_per_unit: sheet.usd_per_unit,
        })
    }

    fn when(&mut self, when: &DeTable<'_>, at: usize) -> Option<When> {
        self.known_keys(when, WHEN_KEYS);
        let before = self.mistakes.len();
        let mut text = |key: &str| {
            when.contains_key(key).then(|| self.text(when, key, at).map(|(text, at)| (text.to_owned(), at))).flatten()
        };
        let tier = text("service_tier");
        let hours = text("hours");
        let mut plain = |key: &str| text(key).map(|(text, _)| text);
        let (region, traffic_type) = (plain("region"), plain("traffic_type"));
        let (image_size, image_quality) = (plain("image_size"), plain("image_quality"));
        let service_tier = tier.and_then(|(word, at)| self.service_tier(&word, at));
        let hours = hours.and_then(|(text, at)| match Hours::from_str(&text) {
            Ok(hours) => Some(hours),
            Err(error) => {
                self.mistake(at, error.to_string());
                None
            }
        });
        (self.mistakes.len() == before).then_some(When {
            service_tier,
            region,
            traffic_type,
            image_size,
            image_quality,
            hours,
        })
    }

    fn service_tier(&mut self, word: &str, at: usize) -> Option<ServiceTier> {
        let found = SERVICE_TIERS.into_iter().find(|tier| tier.name() == word);
        if found.is_none() {
            let known: Vec<&str> = SERVICE_TIERS.into_iter().map(ServiceTier::name).collect();
            self.mistake(at, format!("there is no service tier {word}; known are {}", known.join(", ")));
        }
        found
    }

    /// Two variants that one line could be meant by must not ask for equally much: nobody could say which applies.
    fn refuse_ambiguous(&mut self, variants: &[(Variant, usize)]) {
        for (index, (variant, at)) in variants.iter().enumerate() {
            let when = &variant.when;
            let earlier = variants.iter().take(index).map(|(variant, _)| &variant.when);
            let clash = earlier.filter(|other| other.conditions() == when.conditions() && other.may_meet(when)).count();
            if clash > 0 {
                self.mistake(
                    *at,
                    "another variant asks for as much and may apply to the same line; join their conditions in a third, or tell them apart",
                );
            }
        }
    }

    fn fallback(&mut self, table: &DeTable<'_>) -> Fallback {
        let mut fallback = Fallback::default();
        match table.get("fallback").map(|value| (value.get_ref(), value.span().start)) {
            None => {}
            Some((DeValue::Table(entries), at)) => {
                self.known_keys(entries, FALLBACK_KEYS);
                let mut as_input = |key: &str| match entries.get(key).map(|value| value.get_ref()) {
                    None => false,
                    Some(DeValue::String(word)) if word == "input" => true,
                    Some(_) => {
                        self.mistake(at, format!("{key} may fall back to \"input\" only"));
                        false
                    }
                };
                fallback.cache_read_as_input = as_input("cache_read");
                fallback.cache_write_as_input = as_input("cache_write");
            }
            Some((_, at)) => self.mistake(at, "fallback must be such as { cache_read = \"input\" }"),
        }
        match table.get("standard_for").map(|value| (value.get_ref(), value.span().start)) {
            None => {}
            Some((DeValue::Array(items), _)) => {
                for item in items.iter() {
                    match item.get_ref() {
                        DeValue::String(word) => {
                            let tier = self.service_tier(word, item.span().start);
                            fallback.standard_for.extend(tier);
                        }
                        _ => self.mistake(item.span().start, "standard_for is a list of service tiers"),
                    }
                }
            }
            Some((_, at)) => self.mistake(at, "standard_for is a list of service tiers, such as [\"flex\"]"),
        }
        fallback
    }
}
