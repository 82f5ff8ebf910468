//! What an import would change: models without a price get theirs since ever, models with another price get the new one
//! from now on, so that what was charged in the past stays as it was.

use std::collections::BTreeMap;

use tollgate_core::{
    decimal::Decimal,
    price::{BookRule, PriceKey, PriceTable, Prices, Rate, Tier, Variant},
};

use super::{Outcome, Read, Row};
use crate::catalog::{
    BookVersion, Catalog, PriceVersion,
    jump::{is_free, jump, rule_jump},
    parse::at_any_tier,
};

/// What an import comes to.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Cost tables to put into force beside those that are.
    pub costs: Vec<PriceVersion>,
    /// Rules to put into force beside those that are.
    pub rules: Vec<BookVersion>,
    /// Every row of the file, and what becomes of it.
    pub rows: Vec<Row>,
}

impl Plan {
    /// How many rows have an outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.rows.iter().filter(|row| row.outcome == outcome).count()
    }
}

/// How an import is done.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'a> {
    /// A price book; none: what we pay.
    pub book: Option<&'a str>,
    /// What is another price applies from this time on.
    pub from_us: i64,
    /// Take prices that are a thousand times off the ones before.
    pub is_forced: bool,
}

/// Compares a file with the prices in force.
#[must_use]
pub fn plan(catalog: &Catalog, read: Read, manner: Manner<'_>) -> Plan {
    let mut models: BTreeMap<(String, String), Vec<PriceVersion>> = BTreeMap::new();
    for version in read.versions {
        models.entry((version.provider.clone(), version.model.clone())).or_default().push(version);
    }
    let mut plan = Plan { rows: read.left_out, ..Plan::default() };
    match manner.book {
        None => plan.costs(catalog, models, manner),
        Some(book) => plan.rules(catalog, models, book, manner),
    }
    plan
}

impl Plan {
    fn costs(&mut self, catalog: &Catalog, models: BTreeMap<(String, String), Vec<PriceVersion>>, manner: Manner<'_>) {
        for ((provider, model), mut versions) in models {
            versions.sort_by_key(|version| version.valid_from_us);
            let place = format!("{provider}/{model}");
            // Also by another name of a model or of the provider: it has had that one's price.
            if catalog.table(&provider, &model, i64::MAX).is_none() {
                let is_free = versions.iter().all(|version| is_free(&version.table));
                self.row(&place, Outcome::Added, if is_free { "free, as the file says" } else { "" });
                self.costs.extend(versions);
                continue;
            }
            let new = differing(catalog, versions, manner.from_us);
            let before = |version: &PriceVersion| catalog.table(&provider, &model, version.valid_from_us);
            let jumps = || new.iter().find_map(|version| jump(&before(version)?.table, &version.table));
            match jumps().filter(|_| !manner.is_forced) {
                _ if new.is_empty() => self.row(&place, Outcome::Unchanged, ""),
                Some(what) => self.row(&place, Outcome::Refused, &format!("{what}: say --force if it is meant")),
                None => {
                    let what = new.iter().find_map(|version| Some(changes(&before(version)?.table, &version.table)));
                    self.row(&place, Outcome::Changed, &what.unwrap_or_default());
                    self.costs.extend(new);
                }
            }
        }
    }

    /// What customers pay by a book is what the file says, by the model's name, whoever provides it.
    fn rules(
        &mut self,
        catalog: &Catalog,
        models: BTreeMap<(String, String), Vec<PriceVersion>>,
        book: &str,
        manner: Manner<'_>,
    ) {
        let mut taken: BTreeMap<String, String> = BTreeMap::new();
        for ((provider, model), mut versions) in models {
            let place = format!("{provider}/{model}");
            if let Some(owner) = taken.get(&model) {
                let what = format!("the book takes {model} from {owner}");
                self.row(&place, Outcome::Skipped, &what);
                continue;
            }
            taken.insert(model.clone(), provider);
            versions.sort_by_key(|version| version.valid_from_us);
            // Also by a rule for every model: what was charged by it was no mistake.
            let is_known = catalog.charge_rule(book, &model, i64::MAX).is_some();
            let begun = versions.partition_point(|version| version.valid_from_us <= manner.from_us);
            let skipped = if is_known { begun.saturating_sub(1) } else { 0 };
            let mut outcome = if is_known { Outcome::Unchanged } else { Outcome::Added };
            let mut told = String::new();
            let mut rules = Vec::new();
            for (index, version) in versions.into_iter().enumerate().skip(skipped) {
                let valid_from_us = if is_known && index < begun { manner.from_us } else { version.valid_from_us };
                let table = at_any_tier(version.table);
                let before = catalog.rule_of(book, &model, valid_from_us).map(|version| version.rule.base());
                if let Some(BookRule::Absolute(before)) = before {
                    if *before == table {
                        continue;
                    }
                    told = changes(before, &table);
                }
                let rule = BookRule::Absolute(table);
                let before = catalog.rule_before(book, &model, valid_from_us);
                let what = before.and_then(|before| rule_jump(&before.rule, &rule, before.model == model));
                if let Some(what) = what.filter(|_| !manner.is_forced) {
                    (outcome, told) = (Outcome::Refused, format!("{what}: say --force if it is meant"));
                    break;
                }
                if is_known {
                    outcome = Outcome::Changed;
                }
                rules.push(BookVersion {
                    id: String::new(),
                    book: book.to_owned(),
                    model: model.clone(),
                    valid_from_us,
                    recorded_at_us: version.recorded_at_us,
                    is_imported: true,
                    rule,
                });
            }
            // All of a model or nothing of it.
            if outcome != Outcome::Refused {
                self.rules.extend(rules);
            }
            self.row(&place, outcome, &told);
        }
    }

    fn row(&mut self, place: &str, outcome: Outcome, what: &str) {
        self.rows.push(Row { place: place.to_owned(), outcome, what: what.to_owned() });
    }
}

/// Of a model's versions in the file those that change what is in force from `from_us` on.
fn differing(catalog: &Catalog, versions: Vec<PriceVersion>, from_us: i64) -> Vec<PriceVersion> {
    let begun = versions.partition_point(|version| version.valid_from_us <= from_us);
    let mut new = Vec::new();
    for (index, mut version) in versions.into_iter().enumerate().skip(begun.saturating_sub(1)) {
        if index < begun {
            version.valid_from_us = from_us;
        }
        let current = catalog.table(&version.provider, &version.model, version.valid_from_us);
        let is_same = current.is_some_and(|current| {
            let is_whole = current.table == version.table && current.aliases == version.aliases;
            // Under another name, which the table does not take from the model that it is of.
            let is_other = current.provider != version.provider || current.model != version.model;
            let is_whole = is_whole || is_other && current.table == version.table;
            is_whole || !current.completed_from.is_empty() && says_all_of(current, &version)
        });
        if !is_same {
            new.push(version);
        }
    }
    new
}

/// Whether a version that was completed from another file says everything that a version of its own file does.
fn says_all_of(completed: &PriceVersion, other: &PriceVersion) -> bool {
    fn has<K: PriceKey>(own: &Prices<K>, other: &Prices<K>) -> bool {
        other.iter().all(|(key, price)| own.get(key) == Some(price))
    }
    let has_tiers = |own: &[Tier], other: &[Tier]| {
        let found = |tier: &Tier| own.iter().find(|own| own.above_input_tokens == tier.above_input_tokens);
        other.iter().all(|tier| {
            found(tier).is_some_and(|own| own.applies == tier.applies && has(&own.usd_per_mtok, &tier.usd_per_mtok))
        })
    };
    let (own, table) = (&completed.table, &other.table);
    let has_variant = |variant: &Variant| {
        own.variants.iter().any(|own| {
            own.when == variant.when
                && own.usd_per_request == variant.usd_per_request
                && has(&own.usd_per_mtok, &variant.usd_per_mtok)
                && has(&own.usd_per_unit, &variant.usd_per_unit)
                && has_tiers(&own.tiers, &variant.tiers)
        })
    };
    // What falls back there has a price of its own here.
    let has_fallback = |said: bool, stays: bool, rate: Rate| !said || stays || own.usd_per_mtok.get(rate).is_some();
    own.usd_per_request == table.usd_per_request
        && has(&own.usd_per_mtok, &table.usd_per_mtok)
        && has(&own.usd_per_unit, &table.usd_per_unit)
        && has_tiers(&own.tiers, &table.tiers)
        && table.variants.iter().all(has_variant)
        && has_fallback(table.fallback.cache_read_as_input, own.fallback.cache_read_as_input, Rate::CacheRead)
        && has_fallback(table.fallback.cache_write_as_input, own.fallback.cache_write_as_input, Rate::CacheWrite)
        && table.fallback.standard_for == own.fallback.standard_for
        && other.aliases.iter().all(|name| completed.aliases.contains(name))
}

/// Which base prices change, such as `input 2 -> 3`; else that something else does.
fn changes(old: &PriceTable, new: &PriceTable) -> String {
    let shown = |price: Option<Decimal>| price.map_or_else(|| "none".to_owned(), |price| price.to_string());
    let rates = Rate::ALL.iter().filter_map(|rate| {
        let (before, after) = (old.usd_per_mtok.get(*rate), new.usd_per_mtok.get(*rate));
        (before != after).then(|| format!("{} {} -> {}", rate.name(), shown(before), shown(after)))
    });
    let told: Vec<String> = rates.collect();
    if told.is_empty() { "names, tiers, variants or units".to_owned() } else { told.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::parse;

    const FROM_US: i64 = 1_795_000_000_000_000;

    fn table(provider: &str, model: &str, input: &str, more: &str) -> String {
        format!(
            "[[price]]\nprovider = \"{provider}\"\nmodel = \"{model}\"\nvalid_from = \"1970-01-01\"\n\
             recorded_at = \"2026-08-21\"\nsource = \"s\"\n{more}usd_per_mtok = {{ input = \"{input}\", output = \"9\" }}\n"
        )
    }

    fn catalog(text: &str) -> Catalog {
        parse::catalog([("t.toml".to_owned(), text.to_owned())]).unwrap()
    }

    fn planned(current: &str, file: &str, book: Option<&str>) -> Plan {
        let versions = catalog(file).cost_versions().into_iter().map(|version| version.as_ref().clone()).collect();
        let manner = Manner { book, from_us: FROM_US, is_forced: false };
        plan(&catalog(current), Read { versions, left_out: Vec::new() }, manner)
    }

    #[test]
    fn a_model_that_had_a_price_by_another_name_gets_the_new_one_from_now_on_only() {
        let aliases = "aliases = [\"m-2026\", \"m-x*\"]\n";
        for (provider, model) in
            [("google", "m"), ("google", "m-2026"), ("google", "m-xy"), ("gemini", "m"), ("gemini", "m-xy")]
        {
            let plan = planned(&table("google", "m", "1", aliases), &table(provider, model, "2", ""), None);
            let from: Vec<i64> = plan.costs.iter().map(|version| version.valid_from_us).collect();
            assert_eq!((plan.count(Outcome::Changed), from), (1, vec![FROM_US]), "{provider}/{model}");
            let own = if (provider, model) == ("google", "m") { aliases } else { "" };
            let same = planned(&table("google", "m", "1", aliases), &table(provider, model, "1", own), None);
            assert_eq!(same.count(Outcome::Unchanged), 1, "{provider}/{model}");
        }
        let stranger = planned(&table("google", "m", "1", aliases), &table("gemini", "n", "2", ""), None);
        assert_eq!((stranger.count(Outcome::Added), stranger.costs[0].valid_from_us), (1, 0), "since ever");
    }

    #[test]
    fn a_table_that_was_completed_is_unchanged_by_its_own_file_until_that_says_another_price() {
        let more = "completed_from = \"second\"\n";
        let flex = "[[price.variant]]\nwhen = { service_tier = \"flex\" }\nusd_per_mtok = { input = \"0.5\" }\n";
        let current = format!("{}{flex}", table("p", "m", "1", more));
        assert_eq!(planned(&current, &table("p", "m", "1", ""), None).count(Outcome::Unchanged), 1);
        assert_eq!(planned(&current, &table("p", "m", "2", ""), None).count(Outcome::Changed), 1);
        let alias = table("p", "m", "1", "aliases = [\"n\"]\n");
        assert_eq!(planned(&current, &alias, None).count(Outcome::Changed), 1, "a name that is new");
        // One that was not completed is what its file says, and nothing more.
        let plain = format!("{}{flex}", table("p", "m", "1", ""));
        assert_eq!(planned(&plain, &table("p", "m", "1", ""), None).count(Outcome::Changed), 1);
    }

    #[test]
    fn a_refused_model_leaves_nothing_of_it_in_a_book() {
        let rule = |usd: &str| {
            format!(
                "[[book]]\nname = \"gold\"\n[[book.rule]]\nmodel = \"m\"\nvalid_from = \"1970-01-01\"\n\
                 usd_per_mtok = {{ input = \"{usd}\", output = \"9\" }}\n"
            )
        };
        let later = table("p", "m", "2000", "").replacen("1970-01-01", "2027-06-01", 1);
        let file = format!("{}{later}", table("p", "m", "2", ""));
        let plan = planned(&rule("1"), &file, Some("gold"));
        assert_eq!((plan.count(Outcome::Refused), plan.rules.len()), (1, 0), "{:?}", plan.rows);
    }
}
