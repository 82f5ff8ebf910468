//! Reads price tables and rules out of TOML, collecting every mistake.

mod table;
mod value;

pub(super) use self::table::at_any_tier;

use std::collections::HashSet;

use tollgate_core::{decimal::Decimal, price::BookRule};
use toml::de::{DeTable, DeValue};

use super::{BOOK_NAME_EXPECTED, BookVersion, Catalog, PriceVersion, glob::Glob, is_book_name, toml_walk::Walk};
use crate::config::Mistake;

const PRICE_KEYS: &[&str] = &["provider", "model", "aliases", "valid_from", "recorded_at", "source", "completed_from"];
const BOOK_KEYS: &[&str] = &["name", "rule"];
const RULE_KEYS: &[&str] =
    &["model", "valid_from", "recorded_at", "margin_over_cost", "multiplier", "usd_per_request_min"];

/// Decimals of a margin or multiplier: its product with every plausible cost must fit 128 bits.
const FACTOR_SCALE_MAX: u32 = 4;

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
                // Names are compared whatever their case.
                let lower = name.to_ascii_lowercase();
                if !Glob::is_well_formed(name) {
                    self.mistake(at, format!("{name}: ~ is a version at the end of a name, behind some text"));
                }
                let key = (version.provider.clone(), lower, version.valid_from_us, version.recorded_at_us);
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
        self.known_keys(table, &[PRICE_KEYS, table::KEYS].concat());
        let provider = self.text(table, "provider", at);
        let model = self.text(table, "model", at);
        let valid_from_us = self.time(table, "valid_from", at);
        let recorded_at_us = self.time(table, "recorded_at", at);
        let source = self.text(table, "source", at);
        let completed_from = match table.get("completed_from") {
            Some(_) => self.text(table, "completed_from", at)?.0.to_owned(),
            None => String::new(),
        };
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
            completed_from,
            is_imported: false,
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
        let name = self.book_name(table, at);
        let rules = self.tables(table, "rule");
        if rules.is_empty() {
            self.mistake(
                at,
                "a book needs at least one [[book.rule]], such as model = \"*\" with margin_over_cost = \"0.25\"",
            );
        }
        for (rule, at) in rules {
            self.known_keys(rule, &[RULE_KEYS, table::KEYS].concat());
            let model = self.text(rule, "model", at).map(|(model, _)| model.to_owned());
            if let Some(model) = model.as_ref().filter(|model| !Glob::is_well_formed(model)) {
                self.mistake(at, format!("{model}: ~ is a version at the end of a name, behind some text"));
            }
            let valid_from_us = self.time(rule, "valid_from", at);
            let recorded_at_us =
                if rule.contains_key("recorded_at") { self.time(rule, "recorded_at", at).unwrap_or(0) } else { 0 };
            let price = self.rule(rule, at);
            let (Some(book), Some(model), Some(valid_from_us), Some(rule)) =
                (name.clone(), model, valid_from_us, price)
            else {
                continue;
            };
            if !seen.insert((format!("book:{book}"), model.clone(), valid_from_us, recorded_at_us)) {
                self.mistake(at, format!("the book {book} has a rule for {model} from the same time on already"));
            }
            catalog.insert_rule(BookVersion {
                id: String::new(),
                book,
                model,
                valid_from_us,
                recorded_at_us,
                is_imported: false,
                rule,
            });
        }
    }

    fn book_name(&mut self, table: &DeTable<'_>, at: usize) -> Option<String> {
        let (name, at) = self.text(table, "name", at)?;
        if is_book_name(name) {
            return Some(name.to_owned());
        }
        self.mistake(at, BOOK_NAME_EXPECTED);
        None
    }

    fn rule(&mut self, rule: &DeTable<'_>, at: usize) -> Option<BookRule> {
        let base = self.rule_without_minimum(rule, at)?;
        let Some(minimum) = rule.get("usd_per_request_min") else { return Some(base) };
        let usd_per_request = self.decimal(minimum.get_ref(), minimum.span().start, "usd_per_request_min")?;
        Some(BookRule::AtLeast { usd_per_request, rule: Box::new(base) })
    }

    fn rule_without_minimum(&mut self, rule: &DeTable<'_>, at: usize) -> Option<BookRule> {
        match (rule.get("margin_over_cost"), rule.get("multiplier")) {
            (Some(margin), None) => self
                .factor(rule, margin.get_ref(), margin.span().start, "margin_over_cost")
                .map(BookRule::MarginOverCost),
            (None, Some(factor)) => {
                self.factor(rule, factor.get_ref(), factor.span().start, "multiplier").map(BookRule::Multiplier)
            }
            (None, None) if table::KEYS.iter().any(|key| rule.contains_key(*key)) => {
                self.price_table(rule, at).map(|table| BookRule::Absolute(table::at_any_tier(table)))
            }
            _ => {
                self.mistake(at, "a rule has either margin_over_cost or multiplier or usd_per_mtok");
                None
            }
        }
    }

    /// A factor of our cost, beside which no prices may stand.
    fn factor(&mut self, rule: &DeTable<'_>, value: &DeValue<'_>, at: usize, key: &str) -> Option<Decimal> {
        for other in table::KEYS {
            if let Some(value) = rule.get(*other) {
                let what = format!("{other} belongs to prices of the book's own, not to a {key}");
                self.mistake(value.span().start, what);
            }
        }
        let factor = self.decimal(value, at, key)?;
        if factor.scale() > FACTOR_SCALE_MAX {
            self.mistake(at, format!("{key}: at most 4 decimals, so that its product with any cost stays exact"));
            return None;
        }
        Some(factor)
    }
}

#[cfg(test)]
mod tests;
