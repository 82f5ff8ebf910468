//! Reads price tables and rules out of TOML, collecting every mistake.

use std::collections::HashSet;

use jiff::Timestamp;
use tollgate_core::{
    decimal::Decimal,
    price::{BookRule, PriceTable, Rates, Tier, TierApplies},
};
use toml::de::{DeTable, DeValue};

use super::{BookVersion, Catalog, PriceVersion, toml_walk::Walk};
use crate::config::Mistake;

const PRICE_KEYS: &[&str] =
    &["provider", "model", "aliases", "valid_from", "recorded_at", "source", "usd_per_mtok", "usd_per_request", "tier"];
const TIER_KEYS: &[&str] = &["above_input_tokens", "applies", "usd_per_mtok"];
const RATE_KEYS: &[&str] = &["input", "cache_read", "cache_write_5m", "cache_write_1h", "cache_write", "output"];
const BOOK_KEYS: &[&str] = &["name", "rule"];
const RULE_KEYS: &[&str] = &["model", "valid_from", "margin_over_cost", "usd_per_mtok", "usd_per_request", "tier"];

/// Decimals of a margin: cost x margin must fit 128 bits for every plausible cost.
const MARGIN_SCALE_MAX: u32 = 4;

/// Reads all files into one catalog.
pub(super) fn catalog(files: impl IntoIterator<Item = (String, String)>) -> Result<Catalog, Vec<Mistake>> {
    let mut catalog = Catalog::default();
    let mut seen = HashSet::new();
    let mut mistakes = Vec::new();
    for (file, text) in files {
        let mut walk = Walk { file: &file, text: &text, mistakes: Vec::new() };
        match DeTable::parse(&text) {
            Ok(document) => walk.document(document.get_ref(), &mut catalog, &mut seen),
            Err(error) => walk.mistake(error.span().map_or(0, |span| span.start), error.message().to_owned()),
        }
        mistakes.append(&mut walk.mistakes);
    }
    if mistakes.is_empty() { Ok(catalog) } else { Err(mistakes) }
}

impl Walk<'_> {
    fn document(
        &mut self,
        document: &DeTable<'_>,
        catalog: &mut Catalog,
        seen: &mut HashSet<(String, String, i64, i64)>,
    ) {
        self.known_keys(document, &["price", "book"]);
        for (table, at) in self.tables(document, "price") {
            let Some(version) = self.price(table, at) else { continue };
            for name in std::iter::once(&version.model).chain(&version.aliases) {
                let key = (version.provider.clone(), name.clone(), version.valid_from_us, version.recorded_at_us);
                if !seen.insert(key) {
                    self.mistake(at, format!("{}/{name} has a price from the same time on already", version.provider));
                }
            }
            catalog.insert_cost(version);
        }
        for (table, at) in self.tables(document, "book") {
            self.book(table, at, catalog, seen);
        }
    }

    fn price(&mut self, table: &DeTable<'_>, at: usize) -> Option<PriceVersion> {
        self.known_keys(table, PRICE_KEYS);
        let provider = self.text(table, "provider", at);
        let model = self.text(table, "model", at);
        let valid_from_us = self.time(table, "valid_from", at);
        let recorded_at_us = self.time(table, "recorded_at", at);
        let source = self.text(table, "source", at);
        let aliases = self.aliases(table);
        let prices = self.price_table(table, at);
        Some(PriceVersion {
            id: String::new(),
            provider: provider?.0.to_owned(),
            model: model?.0.to_owned(),
            aliases: aliases?,
            valid_from_us: valid_from_us?,
            recorded_at_us: recorded_at_us?,
            source: source?.0.to_owned(),
            table: prices?,
        })
    }

    fn aliases(&mut self, table: &DeTable<'_>) -> Option<Vec<String>> {
        let Some(value) = table.get("aliases") else { return Some(Vec::new()) };
        let names = match value.get_ref() {
            DeValue::Array(items) => items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::String(name) if !name.is_empty() => Some(name.to_string()),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        if names.is_none() {
            self.mistake(value.span().start, "aliases must be a list of texts");
        }
        names
    }

    fn book(
        &mut self,
        table: &DeTable<'_>,
        at: usize,
        catalog: &mut Catalog,
        seen: &mut HashSet<(String, String, i64, i64)>,
    ) {
        self.known_keys(table, BOOK_KEYS);
        let name = self.text(table, "name", at).map(|(name, _)| name.to_owned());
        let rules = self.tables(table, "rule");
        if rules.is_empty() {
            self.mistake(
                at,
                "a book needs at least one [[book.rule]], such as model = \"*\" with margin_over_cost = \"0.25\"",
            );
        }
        for (rule, at) in rules {
            self.known_keys(rule, RULE_KEYS);
            let model = self.text(rule, "model", at).map(|(model, _)| model.to_owned());
            let valid_from_us = self.time(rule, "valid_from", at);
            let price = self.rule(rule, at);
            let (Some(book), Some(model), Some(valid_from_us), Some(rule)) =
                (name.clone(), model, valid_from_us, price)
            else {
                continue;
            };
            if !seen.insert((format!("book:{book}"), model.clone(), valid_from_us, 0)) {
                self.mistake(at, format!("the book {book} has a rule for {model} from the same time on already"));
            }
            catalog.insert_rule(BookVersion { id: String::new(), book, model, valid_from_us, rule });
        }
    }

    fn rule(&mut self, rule: &DeTable<'_>, at: usize) -> Option<BookRule> {
        match (rule.get("margin_over_cost"), rule.get("usd_per_mtok")) {
            (Some(margin), None) => {
                for key in ["usd_per_request", "tier"] {
                    if let Some(value) = rule.get(key) {
                        self.mistake(
                            value.span().start,
                            format!("{key} belongs to prices of the book's own, not to a margin"),
                        );
                    }
                }
                let at = margin.span().start;
                let margin = self.decimal(margin.get_ref(), at, "margin_over_cost")?;
                if margin.scale() > MARGIN_SCALE_MAX {
                    self.mistake(
                        at,
                        "margin_over_cost: at most 4 decimals, so that its product with any cost stays exact",
                    );
                    return None;
                }
                Some(BookRule::MarginOverCost(margin))
            }
            (None, Some(_)) => self.price_table(rule, at).map(BookRule::Absolute),
            _ => {
                self.mistake(at, "a rule has either margin_over_cost or usd_per_mtok");
                None
            }
        }
    }

    fn price_table(&mut self, table: &DeTable<'_>, at: usize) -> Option<PriceTable> {
        let base = self.rates(table, at);
        let usd_per_request = match table.get("usd_per_request") {
            Some(value) => Some(self.decimal(value.get_ref(), value.span().start, "usd_per_request")?),
            None => None,
        };
        let mut tiers: Vec<Tier> = Vec::new();
        let mut good = true;
        for (tier, at) in self.tables(table, "tier") {
            self.known_keys(tier, TIER_KEYS);
            let Some(tier) = self.tier(tier, at) else {
                good = false;
                continue;
            };
            if tiers.last().is_some_and(|last| last.above_input_tokens >= tier.above_input_tokens) {
                self.mistake(at, "tiers must ascend by above_input_tokens, each once");
                good = false;
            }
            tiers.push(tier);
        }
        Some(PriceTable { usd_per_mtok: base?, tiers, usd_per_request }).filter(|_| good)
    }

    fn tier(&mut self, tier: &DeTable<'_>, at: usize) -> Option<Tier> {
        let above = match tier.get("above_input_tokens").map(|value| value.get_ref()) {
            Some(DeValue::Integer(number)) => {
                u64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
            }
            _ => None,
        };
        if above.is_none() {
            self.mistake(at, "above_input_tokens must be a whole number of tokens");
        }
        let applies = match tier.get("applies").map(|value| (value.get_ref(), value.span().start)) {
            None => Some(TierApplies::Whole),
            Some((DeValue::String(word), _)) if word == "whole" => Some(TierApplies::Whole),
            Some((DeValue::String(word), _)) if word == "excess" => Some(TierApplies::Excess),
            Some((_, at)) => {
                self.mistake(at, "applies must be \"whole\" or \"excess\"");
                None
            }
        };
        let rates = self.rates(tier, at);
        Some(Tier { above_input_tokens: above?, applies: applies?, usd_per_mtok: rates? })
    }

    fn rates(&mut self, table: &DeTable<'_>, at: usize) -> Option<Rates> {
        let Some(value) = table.get("usd_per_mtok") else {
            self.mistake(at, "usd_per_mtok is missing, such as { input = \"0.10\", output = \"0.40\" }");
            return None;
        };
        let DeValue::Table(prices) = value.get_ref() else {
            self.mistake(value.span().start, "usd_per_mtok must be such as { input = \"0.10\", output = \"0.40\" }");
            return None;
        };
        self.known_keys(prices, RATE_KEYS);
        if prices.is_empty() {
            self.mistake(value.span().start, "usd_per_mtok is empty; free is \"0\", said explicitly");
        }
        let mistakes_before = self.mistakes.len();
        let mut rate = |key: &str| {
            let value = prices.get(key)?;
            self.decimal(value.get_ref(), value.span().start, key)
        };
        let rates = Rates {
            input: rate("input"),
            cache_read: rate("cache_read"),
            cache_write_5m: rate("cache_write_5m"),
            cache_write_1h: rate("cache_write_1h"),
            cache_write: rate("cache_write"),
            output: rate("output"),
        };
        (self.mistakes.len() == mistakes_before).then_some(rates)
    }

    fn decimal(&mut self, value: &DeValue<'_>, at: usize, key: &str) -> Option<Decimal> {
        match value {
            DeValue::String(text) => match text.parse() {
                Ok(price) => return Some(price),
                Err(error) => self.mistake(at, format!("{key}: {error}")),
            },
            DeValue::Float(number) => self.mistake(
                at,
                format!("{key}: write the price in quotes, \"{}\": a float is not exact", number.as_str()),
            ),
            DeValue::Integer(number) => {
                self.mistake(at, format!("{key}: write the price in quotes, \"{}\"", number.as_str()))
            }
            _ => self.mistake(at, format!("{key}: must be a price in quotes, such as \"2.50\"")),
        }
        None
    }

    /// A time in quotes (RFC 3339), or a day, which begins at midnight UTC. Microseconds since 1970.
    fn time(&mut self, table: &DeTable<'_>, key: &str, at: usize) -> Option<i64> {
        let (text, at) = match table.get(key).map(|value| (value.get_ref(), value.span().start)) {
            Some((DeValue::String(text), at)) => (text.to_string(), at),
            Some((DeValue::Datetime(time), at)) => (time.to_string(), at),
            Some((_, at)) => (String::new(), at),
            None => {
                self.mistake(at, format!("{key} is missing, such as \"2026-01-31T00:00:00Z\""));
                return None;
            }
        };
        let moment = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text };
        match moment.parse::<Timestamp>() {
            Ok(time) => Some(time.as_microsecond()),
            Err(_) => {
                self.mistake(at, format!("{key} must be a time such as \"2026-01-31T00:00:00Z\", or a day"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[[price]]
provider = "p"
model = "m"
valid_from = "2026-01-01"
recorded_at = 2026-01-02T00:00:00Z
source = "s"
usd_per_mtok = { input = "1", output = "2.50" }
[[price.tier]]
above_input_tokens = 200_000
usd_per_mtok = { input = "2" }

[[book]]
name = "default"
[[book.rule]]
model = "*"
valid_from = "2026-01-01"
margin_over_cost = "0.25"
"#;

    fn mistakes(text: &str) -> Vec<String> {
        let result = catalog([("t.toml".to_owned(), text.to_owned())]);
        result.err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_good_table_loads_and_is_found_by_time() {
        let catalog = catalog([("t.toml".to_owned(), GOOD.to_owned())]).unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_microsecond();
        assert!(catalog.cost("p", "m", at("2025-12-31T23:59:59.999999Z")).is_none());
        let version = catalog.cost("p", "m", at("2026-01-01T00:00:00Z")).unwrap();
        assert!(version.id().starts_with("p/m@2026-01-01#"), "{}", version.id());
        assert!(catalog.charge_rule("default", "anything", at("2026-01-01T00:00:00Z")).is_some());
        assert!(catalog.charge_rule("other", "anything", at("2026-01-01T00:00:00Z")).is_none());
    }

    #[test]
    fn the_same_content_has_the_same_id_and_other_content_another() {
        let id =
            |text: &str| catalog([("t.toml".to_owned(), text.to_owned())]).unwrap().stored_versions()[0].id.clone();
        assert_eq!(id(GOOD), id(GOOD));
        assert_ne!(id(GOOD), id(&GOOD.replace("2.50", "2.51")));
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        for (from, to, expected) in [
            ("provider = \"p\"", "providr = \"p\"", "t.toml:3: there is no providr; did you mean provider?"),
            ("\"2.50\"", "2.50", "t.toml:8: output: write the price in quotes, \"2.50\": a float is not exact"),
            ("\"2.50\"", "\"-1\"", "t.toml:8: output: `-1` is not a price"),
            ("\"2.50\"", "\"0.1234567890123456789\"", "t.toml:8: output: `0.1234567890123456789` is not a price"),
            ("output =", "outptu =", "t.toml:8: there is no outptu; did you mean output?"),
            ("\"2026-01-01\"\nrecorded", "\"soon\"\nrecorded", "t.toml:5: valid_from must be a time"),
            ("source = \"s\"\n", "", "t.toml:3: source is missing"),
            ("margin_over_cost = \"0.25\"", "", "t.toml:16: a rule has either margin_over_cost or usd_per_mtok"),
            ("\"0.25\"", "\"0.1234567\"", "t.toml:18: margin_over_cost: at most 4 decimals"),
            ("200_000", "-5", "t.toml:10: above_input_tokens must be a whole number"),
            ("[[book.rule]]", "[[book.rul]]", "t.toml:15: there is no rul; did you mean rule?"),
            ("[[price]]", "[[price]", "t.toml:2: "),
            (
                "[[book]]",
                "[[price]]\nprovider = \"p\"\nmodel = \"m\"\nvalid_from = \"2026-01-01\"\nrecorded_at = \"2026-01-02\"\nsource = \"s\"\nusd_per_mtok = { input = \"1\" }\n[[book]]",
                "p/m has a price from the same time on already",
            ),
        ] {
            let changed = GOOD.replacen(from, to, 1);
            assert_ne!(changed, GOOD, "{from}");
            let found = mistakes(&changed);
            assert!(found.iter().any(|mistake| mistake.contains(expected)), "expected {expected:?} in {found:#?}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let changed = GOOD.replace("\"2.50\"", "2.50").replace("source = \"s\"\n", "").replace("\"0.25\"", "0.25");
        assert_eq!(mistakes(&changed).len(), 3, "{:#?}", mistakes(&changed));
    }

    #[test]
    fn a_damaged_table_is_a_mistake_with_a_line_or_another_table_and_never_a_panic() {
        let bytes = GOOD.as_bytes();
        for at in 0..bytes.len() {
            for with in [b'"', b'\n', b'-', b'x', b'[', 0xff] {
                let mut changed = bytes.to_vec();
                changed[at] = with;
                for mistake in mistakes(&String::from_utf8_lossy(&changed)) {
                    assert!(mistake.starts_with("t.toml:"), "{mistake}");
                }
            }
        }
    }

    #[test]
    fn what_the_project_ships_loads() {
        let catalog = super::super::load_shipped().unwrap();
        assert!(catalog.models_of("openai").len() >= 8);
        assert_eq!(catalog.books(), ["default"]);
    }
}
