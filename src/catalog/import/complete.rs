//! Completes the tables that one file makes with what a second one knows of the same models: service tiers, long prompts,
//! caches. Where the two disagree, nothing is mixed, and it is told.
//!
//! A model's prices are completed only when every price that both say is the same: a tier belongs to the base that it was
//! told with. What the second file says of exactly one name beats what the first says of many: such a name gets a table of
//! its own. Nothing is made up, and nothing becomes free.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tollgate_core::{
    decimal::Decimal,
    price::{Place, PriceTable, Rate, Rates, Tier, Variant},
};

use crate::catalog::{PriceVersion, glob::Glob, jump::is_free, names::Names};

/// What completing came to.
#[derive(Clone, Debug, Default)]
pub struct Completion {
    /// The versions, completed, and those of siblings.
    pub versions: Vec<PriceVersion>,
    /// Where the files disagree, a line each.
    pub told: Vec<String>,
}

/// Which row of the second file is of a name, and how the first file has that name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Written so.
    Exact,
    /// By a hole.
    Hole,
    /// Only by a hole for any text, which the tables do not have.
    Beyond,
}

/// Completes the versions of one provider by the rows that a second file has of it. `source` names that file and its day,
/// `at_us` is that day: what is completed is what was in force then.
#[must_use]
pub fn complete(versions: Vec<PriceVersion>, rows: &[PriceVersion], source: &str, at_us: i64) -> Completion {
    let mut names = Names::default();
    versions.iter().for_each(|version| names.insert(&Arc::new(version.clone())));
    let mut work = Work::default();
    for row in rows {
        let Some((model, reach)) = reach(&names, &versions, row, at_us) else { continue };
        let Some(version) = in_force(&versions, &model, at_us) else { continue };
        match (difference(&version.table, &row.table), reach) {
            (None, Reach::Beyond) => {
                work.aliases.entry(model.clone()).or_default().insert(row.model.clone());
                work.rows.entry(model).or_default().push(row);
            }
            (None, _) => work.rows.entry(model).or_default().push(row),
            (Some(what), Reach::Exact) => {
                work.told.insert(format!(
                    "{model}: {what} by the second file's {}/{}; the first stands",
                    row.provider, row.model
                ));
            }
            (Some(what), _) if is_free(&row.table) => {
                work.told.insert(format!("{}: {what} as a {model}; nothing is no price, left out", row.model));
            }
            (Some(_), _) => work.siblings.entry(row.model.clone()).or_default().push(row),
        }
    }
    work.finish(versions, source, at_us)
}

/// The model under whose name a row's name is found.
fn reach(names: &Names, versions: &[PriceVersion], row: &PriceVersion, at_us: i64) -> Option<(String, Reach)> {
    if let Some(version) = names.find_exact(&row.model, at_us) {
        return Some((version.model.clone(), Reach::Exact));
    }
    if let Some(version) = names.find(&row.model, at_us) {
        return Some((version.model.clone(), Reach::Hole));
    }
    let name = row.model.to_ascii_lowercase();
    let wide = versions.iter().flat_map(|version| {
        let open = version.names().filter_map(|name| name.strip_suffix('~'));
        open.map(move |start| (Glob::new(&format!("{start}*")), &version.model))
    });
    let found = wide.filter(|(glob, _)| glob.fits(&name)).max_by_key(|(glob, _)| (glob.literals(), glob.clone()));
    found.map(|(_, model)| (model.clone(), Reach::Beyond))
}

fn in_force<'v>(versions: &'v [PriceVersion], model: &str, at_us: i64) -> Option<&'v PriceVersion> {
    let own = versions.iter().filter(|version| version.model == model && version.valid_from_us <= at_us);
    own.max_by_key(|version| (version.valid_from_us, version.recorded_at_us))
}

/// The first price that both say, and not the same; also when there is none that both say.
fn difference(first: &PriceTable, second: &PriceTable) -> Option<String> {
    let differ = |own: Option<Decimal>, other: Option<Decimal>, name: &str, place: &str| {
        let (own, other) = own.zip(other)?;
        (own != other).then(|| format!("{name}{place} {own}, but {other}"))
    };
    let base = Rate::ALL
        .into_iter()
        .find_map(|rate| differ(first.usd_per_mtok.get(rate), second.usd_per_mtok.get(rate), rate.name(), ""));
    let tiers = || {
        first.tiers.iter().find_map(|own| {
            let other = second.tiers.iter().find(|other| other.above_input_tokens == own.above_input_tokens)?;
            let place = Place { when: None, above_input_tokens: own.above_input_tokens }.to_string();
            Rate::ALL
                .into_iter()
                .find_map(|rate| differ(own.usd_per_mtok.get(rate), other.usd_per_mtok.get(rate), rate.name(), &place))
        })
    };
    let thresholds = |table: &PriceTable| table.tiers.iter().map(|tier| tier.above_input_tokens).collect::<Vec<_>>();
    let other_thresholds = || {
        let (own, other) = (thresholds(first), thresholds(second));
        (!own.is_empty() && !other.is_empty() && own != other)
            .then(|| format!("context tiers at {own:?}, but at {other:?}"))
    };
    let is_shared = |rate: &Rate| first.usd_per_mtok.get(*rate).is_some() && second.usd_per_mtok.get(*rate).is_some();
    let nothing = || (!Rate::ALL.iter().any(is_shared)).then(|| "no price of tokens in common".to_owned());
    base.or_else(tiers).or_else(other_thresholds).or_else(nothing)
}

#[derive(Default)]
struct Work<'r> {
    /// By model of the first file.
    rows: BTreeMap<String, Vec<&'r PriceVersion>>,
    aliases: BTreeMap<String, BTreeSet<String>>,
    /// By their own name.
    siblings: BTreeMap<String, Vec<&'r PriceVersion>>,
    told: BTreeSet<String>,
}

impl Work<'_> {
    fn finish(mut self, versions: Vec<PriceVersion>, source: &str, at_us: i64) -> Completion {
        let mut completed = Vec::new();
        for version in &versions {
            let mut version = version.clone();
            let is_in_force = in_force(&versions, &version.model, at_us)
                .is_some_and(|current| current.valid_from_us == version.valid_from_us);
            let more = self.aliases.get(&version.model).into_iter().flatten();
            let more: Vec<String> = more.filter(|name| !version.aliases.contains(name)).cloned().collect();
            version.aliases.extend(more);
            let rows = self.rows.get(&version.model).filter(|_| is_in_force);
            if let Some(rows) = rows {
                let what = add(&mut version, rows, &mut self.told);
                if !what.is_empty() {
                    version.completed_from = format!("{source}: {}", what.join(", "));
                }
            }
            completed.push(version);
        }
        let provider = versions.first().map(|version| version.provider.clone()).unwrap_or_default();
        for (name, rows) in &self.siblings {
            let Some(first) = rows.first() else { continue };
            if rows.iter().any(|row| row.table != first.table) {
                self.told.insert(format!("{name}: the second file has two prices of it, left out"));
                continue;
            }
            completed.push(PriceVersion {
                provider: provider.clone(),
                source: source.to_owned(),
                is_imported: false,
                ..(*first).clone()
            });
        }
        Completion { versions: completed, told: self.told.into_iter().collect() }
    }
}

/// Adds what the rows say, as far as they agree, and says what.
fn add(version: &mut PriceVersion, rows: &[&PriceVersion], told: &mut BTreeSet<String>) -> Vec<String> {
    let mut what = Vec::new();
    let model = version.model.clone();
    let mut disagree_about = |what: &str| {
        told.insert(format!("{model}: the second file has {what}, left out"));
    };
    let table = &mut version.table;
    for rate in Rate::ALL {
        match one(rows.iter().filter_map(|row| row.table.usd_per_mtok.get(rate))) {
            One::Is(price) if is_news(table, rows, rate, price) => {
                add_rate(table, rows, rate, price);
                what.push(rate.name().to_owned());
            }
            One::Several if table.usd_per_mtok.get(rate).is_none() => {
                disagree_about(&format!("two prices of it ({})", rate.name()))
            }
            _ => {}
        }
    }
    // Without tiers the first file says one price for prompts of any length: the second's are another opinion.
    if table.tiers.is_empty() && rows.iter().any(|row| !row.table.tiers.is_empty()) {
        disagree_about("context tiers, and the first one has none");
    }
    let all = rows.iter().flat_map(|row| &row.table.variants);
    let mut tiers: Vec<_> = all.filter_map(|variant| variant.when.service_tier).collect();
    tiers.sort_unstable();
    tiers.dedup();
    for tier in tiers {
        let mut of_rows = rows.iter().filter_map(|row| {
            row.table.variants.iter().find(|variant| variant.when.service_tier == Some(tier)).cloned()
        });
        let first = of_rows.next();
        match first.and_then(|first| of_rows.try_fold(first, |all, other| joined(&all, &other))) {
            Some(variant) => {
                what.push(format!("service tier {}", tier.name()));
                table.variants.push(variant);
            }
            None => disagree_about(&format!("two prices of it (service tier {})", tier.name())),
        }
    }
    what
}

/// What two variants say together; none when they contradict each other.
fn joined(first: &Variant, second: &Variant) -> Option<Variant> {
    let mut all = first.clone();
    all.usd_per_mtok = joined_rates(&first.usd_per_mtok, &second.usd_per_mtok)?;
    for tier in &second.tiers {
        match all.tiers.iter_mut().find(|own| own.above_input_tokens == tier.above_input_tokens) {
            Some(own) => own.usd_per_mtok = joined_rates(&own.usd_per_mtok, &tier.usd_per_mtok)?,
            None => all.tiers.push(tier.clone()),
        }
    }
    all.tiers.sort_by_key(|tier| tier.above_input_tokens);
    let is_same = first.usd_per_request == second.usd_per_request && first.usd_per_unit == second.usd_per_unit;
    is_same.then_some(all)
}

fn joined_rates(first: &Rates, second: &Rates) -> Option<Rates> {
    let agrees = |(rate, price): (Rate, Decimal)| first.get(rate).is_none_or(|own| own == price);
    second.iter().all(agrees).then(|| first.iter().chain(second.iter()).collect())
}

/// Whether a price says what the table does not: not nothing, not what its bucket costs anyway, and said for every context
/// tier, too.
fn is_news(table: &PriceTable, rows: &[&PriceVersion], rate: Rate, price: Decimal) -> bool {
    let base = Place { when: None, above_input_tokens: 0 };
    let is_said = table.usd_per_mtok.get(rate).is_some();
    let is_as_bucket = table.asks(base, rate).is_some_and(|asked| asked.price == price);
    let in_tiers = table.tiers.iter().all(|tier| tier_price(rows, tier, rate).is_some());
    !is_said && !is_as_bucket && price != Decimal::ZERO && in_tiers
}

fn tier_price(rows: &[&PriceVersion], tier: &Tier, rate: Rate) -> Option<Decimal> {
    let of_row = |row: &&PriceVersion| {
        let own = row.table.tiers.iter().find(|own| own.above_input_tokens == tier.above_input_tokens)?;
        own.usd_per_mtok.get(rate)
    };
    match one(rows.iter().filter_map(of_row)) {
        One::Is(price) => Some(price),
        _ => None,
    }
}

fn add_rate(table: &mut PriceTable, rows: &[&PriceVersion], rate: Rate, price: Decimal) {
    table.usd_per_mtok = table.usd_per_mtok.iter().chain([(rate, price)]).collect();
    for tier in &mut table.tiers {
        let price = tier_price(rows, tier, rate);
        tier.usd_per_mtok = tier.usd_per_mtok.iter().chain(price.map(|price| (rate, price))).collect();
    }
    match rate {
        Rate::CacheRead => table.fallback.cache_read_as_input = false,
        Rate::CacheWrite => table.fallback.cache_write_as_input = false,
        _ => {}
    }
}

enum One<T> {
    None,
    Is(T),
    Several,
}

/// What all say that say something.
fn one<T: PartialEq>(mut said: impl Iterator<Item = T>) -> One<T> {
    let Some(first) = said.next() else { return One::None };
    if said.all(|other| other == first) { One::Is(first) } else { One::Several }
}

#[cfg(test)]
mod tests {
    use tollgate_core::pricing_context::ServiceTier;

    use super::*;
    use crate::catalog::parse;

    const FIRST: &str = r#"
[[price]]
provider = "p"
model = "chat"
aliases = ["chat-1~", "chat~"]
valid_from = "1970-01-01"
recorded_at = "2026-08-21"
source = "first"
fallback = { cache_read = "input", cache_write = "input" }
usd_per_mtok = { input = "1", output = "10" }
[[price]]
provider = "p"
model = "dear"
valid_from = "1970-01-01"
recorded_at = "2026-08-21"
source = "first"
usd_per_mtok = { input = "2", output = "20" }
"#;
    const SECOND: &str = r#"
[[price]]
provider = "q"
model = "chat"
valid_from = "1970-01-01"
recorded_at = "2026-11-12"
source = "second"
usd_per_mtok = { input = "1", cache_read = "0.1", output = "10", reasoning = "10" }
[[price.tier]]
above_input_tokens = 1000
usd_per_mtok = { input = "2" }
[[price.variant]]
when = { service_tier = "flex" }
usd_per_mtok = { input = "0.5" }
[[price]]
provider = "q"
model = "chat-2026-01-01"
valid_from = "1970-01-01"
recorded_at = "2026-11-12"
source = "second"
usd_per_mtok = { input = "1", output = "10" }
[[price.variant]]
when = { service_tier = "priority" }
usd_per_mtok = { input = "2" }
[[price]]
provider = "q"
model = "chat-tools"
valid_from = "1970-01-01"
recorded_at = "2026-11-12"
source = "second"
usd_per_mtok = { input = "1", output = "10" }
[[price]]
provider = "q"
model = "chat-tts"
valid_from = "1970-01-01"
recorded_at = "2026-11-12"
source = "second"
usd_per_mtok = { input = "1", output = "33" }
[[price]]
provider = "q"
model = "chat-gift"
valid_from = "1970-01-01"
recorded_at = "2026-11-12"
source = "second"
usd_per_mtok = { input = "0", output = "0" }
[[price]]
provider = "q"
model = "dear"
valid_from = "1970-01-01"
recorded_at = "2026-11-12"
source = "second"
usd_per_mtok = { input = "3", output = "20" }
[[price.variant]]
when = { service_tier = "flex" }
usd_per_mtok = { input = "1.5" }
"#;

    #[test]
    fn what_agrees_is_completed_what_differs_is_told_and_a_sibling_has_its_own_price() {
        let read = |text: &str| -> Vec<PriceVersion> {
            let catalog = parse::catalog([("t.toml".to_owned(), text.to_owned())]).unwrap();
            catalog.cost_versions().into_iter().map(|version| version.as_ref().clone()).collect()
        };
        let at_us = 1_795_000_000_000_000;
        let Completion { versions, told } = complete(read(FIRST), &read(SECOND), "second, 2026-11-12", at_us);
        let of = |model: &str| versions.iter().find(|version| version.model == model).unwrap();
        let chat = of("chat");
        assert_eq!(chat.aliases, ["chat-1~", "chat~", "chat-tools"]);
        assert_eq!(chat.completed_from, "second, 2026-11-12: cache_read, service tier flex, service tier priority");
        assert_eq!(chat.table.usd_per_mtok.get(Rate::CacheRead), "0.1".parse().ok());
        assert!(!chat.table.fallback.cache_read_as_input && chat.table.fallback.cache_write_as_input);
        assert!(chat.table.usd_per_mtok.get(Rate::Reasoning).is_none(), "it costs what the output does anyway");
        let tiers: Vec<_> = chat.table.variants.iter().filter_map(|variant| variant.when.service_tier).collect();
        assert_eq!(tiers, [ServiceTier::Flex, ServiceTier::Priority]);
        // The two say different prices of it: no tier of the second's belongs to the first's.
        assert!(of("dear").table.variants.is_empty() && of("dear").completed_from.is_empty());
        let tts = of("chat-tts");
        assert_eq!((tts.provider.as_str(), tts.source.as_str()), ("p", "second, 2026-11-12"));
        assert_eq!(tts.table.usd_per_mtok.get(Rate::Output), "33".parse().ok());
        assert!(versions.iter().all(|version| version.model != "chat-gift"));
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].starts_with("chat-gift: input 1, but 0"), "{told:?}");
        assert!(told[1].starts_with("chat: the second file has context tiers"), "{told:?}");
        assert!(told[2].starts_with("dear: input 2, but 3"), "{told:?}");
    }
}
