//! Prices that are so far off the ones before them that they are taken for mistakes: a slipped point, a price per token
//! where one per million belongs, nothing instead of something.

use std::collections::HashSet;

use tollgate_core::{
    decimal::Decimal,
    price::{BookRule, Place, PriceTable, Rate, Unit},
};

use super::Catalog;

/// A price so many times another is taken for a mistake.
const TIMES: u64 = 1000;

/// The first amount of a table that is a thousand times off what was asked for there before, or nothing where something
/// was: base prices, context tiers, variants and theirs, units, requests.
#[must_use]
pub fn jump(old: &PriceTable, new: &PriceTable) -> Option<String> {
    let mut places = old.places();
    let more: Vec<Place<'_>> = new.places().into_iter().filter(|place| !places.contains(place)).collect();
    places.extend(more);
    places.into_iter().find_map(|place| jump_at(old, new, place))
}

fn jump_at(old: &PriceTable, new: &PriceTable, place: Place<'_>) -> Option<String> {
    let told = |name: &str, old: Decimal, new: Decimal| format!("{name}{place} {old} -> {new}");
    let rates = Rate::ALL.into_iter().find_map(|rate| {
        let (old, new) = old.asks(place, rate).zip(new.asks(place, rate))?;
        // Nothing for a part that was priced as its bucket is a price of its own, and said explicitly.
        let is_off = if old.is_own && new.is_own {
            is_off(old.price, new.price)
        } else {
            is_far(old.price, new.price) && new.price != Decimal::ZERO
        };
        is_off.then(|| told(rate.name(), old.price, new.price))
    });
    let units = || {
        Unit::ALL.into_iter().find_map(|unit| {
            let (old, new) = old.asks_per_unit(place, unit).zip(new.asks_per_unit(place, unit))?;
            is_off(old, new).then(|| told(unit.name(), old, new))
        })
    };
    let request = || {
        let (old, new) = old.asks_per_request(place).zip(new.asks_per_request(place))?;
        is_off(old, new).then(|| told("request", old, new))
    };
    rates.or_else(units).or_else(request)
}

/// The first amount of a book's rule that is a thousand times off the rule before it, or nothing where something was. A
/// factor of our cost and prices of the book's own cannot be compared, but for prices that are all nothing under the same name.
#[must_use]
pub fn rule_jump(old: &BookRule, new: &BookRule, has_same_name: bool) -> Option<String> {
    if let Some((old, new)) = old.usd_per_request_min().zip(new.usd_per_request_min()).filter(|(o, n)| is_off(*o, *n)) {
        return Some(format!("usd_per_request_min {old} -> {new}"));
    }
    match (old.base(), new.base()) {
        (BookRule::Absolute(old), BookRule::Absolute(new)) => jump(old, new),
        (BookRule::Absolute(_), _) | (_, BookRule::Absolute(_)) if !has_same_name => None,
        (old, BookRule::Absolute(new)) if factor(old).is_some_and(|factor| factor != Decimal::ZERO) && is_free(new) => {
            Some("all prices are 0, where something was charged".to_owned())
        }
        (BookRule::Absolute(old), new) if factor(new) == Some(Decimal::ZERO) && !is_free(old) => {
            Some("the factor of our cost is 0, where something was charged".to_owned())
        }
        (old, new) => {
            let (old, new) = factor(old).zip(factor(new))?;
            is_off(old, new).then(|| format!("{old} x cost -> {new} x cost"))
        }
    }
}

/// By what a rule multiplies our cost.
fn factor(rule: &BookRule) -> Option<Decimal> {
    match rule {
        BookRule::MarginOverCost(margin) => margin.plus_one(),
        BookRule::Multiplier(factor) => Some(*factor),
        BookRule::Absolute(_) | BookRule::AtLeast { .. } => None,
    }
}

/// Whether a table asks for nothing at all.
#[must_use]
pub fn is_free(table: &PriceTable) -> bool {
    let zero = |price: Decimal| price == Decimal::ZERO;
    table.places().into_iter().all(|place| {
        Rate::ALL.into_iter().all(|rate| table.asks(place, rate).is_none_or(|asked| zero(asked.price)))
            && Unit::ALL.into_iter().all(|unit| table.asks_per_unit(place, unit).is_none_or(zero))
            && table.asks_per_request(place).is_none_or(zero)
    })
}

fn is_off(old: Decimal, new: Decimal) -> bool {
    old != Decimal::ZERO && (new == Decimal::ZERO || is_far(old, new))
}

/// A thousand times more or less; from nothing to something is no distance.
fn is_far(old: Decimal, new: Decimal) -> bool {
    old != Decimal::ZERO && (new.is_at_least(TIMES, old) || old.is_at_least(TIMES, new))
}

impl Catalog {
    /// Versions of another catalog, not in this one, with amounts that are a thousand times off what is in force here: by
    /// each of a table's names, because another table may have had that name.
    #[must_use]
    pub fn jumps_to(&self, other: &Self) -> Vec<String> {
        let known: HashSet<&str> = self.cost_versions().iter().map(|version| version.id.as_str()).collect();
        let new = other.cost_versions().into_iter().filter(|version| !known.contains(version.id.as_str()));
        let costs = new.filter_map(|version| {
            version.names().find_map(|name| {
                let before = self.table(&version.provider, name, version.valid_from_us)?;
                let what = jump(&before.table, &version.table)?;
                Some(format!("{}/{name}: {what}", version.provider))
            })
        });
        let known: HashSet<&str> = self.book_versions().iter().map(|version| version.id.as_str()).collect();
        let new = other.book_versions().into_iter().filter(|version| !known.contains(version.id.as_str()));
        let rules = new.filter_map(|version| {
            let before = self.rule_before(&version.book, &version.model, version.valid_from_us)?;
            let what = rule_jump(&before.rule, &version.rule, before.model == version.model)?;
            Some(format!("book {}, {}: {what}", version.book, version.model))
        });
        costs.chain(rules).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::parse;

    #[test]
    fn a_thousandfold_price_and_nothing_for_something_are_jumps() {
        let table = |price: &str| PriceTable {
            usd_per_mtok: [(Rate::Input, price.parse().unwrap())].into_iter().collect(),
            ..PriceTable::default()
        };
        for (old, new, is_jump) in [
            ("2", "2000", true),
            ("2", "1999.99", false),
            ("2000", "2", true),
            ("2", "0", true),
            ("0", "2", false),
            ("2", "2", false),
            ("0.000000000000000001", "18446744073709551615", true),
        ] {
            assert_eq!(jump(&table(old), &table(new)).is_some(), is_jump, "{old} {new}");
        }
    }

    /// Every amount that a file can say, each with another number.
    const EVERY_AMOUNT: &str = r#"
[[price]]
provider = "p"
model = "m"
aliases = ["n"]
valid_from = "2026-01-01"
recorded_at = "2026-01-01"
source = "s"
usd_per_mtok = { input = "1", cache_read = "0.11", output = "2.2", reasoning = "3.3" }
usd_per_request = "0.04"
usd_per_unit = { web_search = "0.05" }
[[price.tier]]
above_input_tokens = 1000
usd_per_mtok = { input = "6.6" }
[[price.variant]]
when = { service_tier = "batch" }
usd_per_mtok = { input = "0.77" }
usd_per_request = "0.08"
usd_per_unit = { web_search = "0.09" }
[[price.variant.tier]]
above_input_tokens = 1000
usd_per_mtok = { input = "1.01" }
[[book]]
name = "default"
[[book.rule]]
model = "*"
valid_from = "2026-01-01"
margin_over_cost = "0.12"
usd_per_request_min = "0.0013"
[[book.rule]]
model = "n-*"
valid_from = "2026-01-01"
multiplier = "1.4"
[[book.rule]]
model = "own"
valid_from = "2026-01-01"
usd_per_mtok = { input = "1.5" }
[[book.rule.tier]]
above_input_tokens = 1000
usd_per_mtok = { input = "1.6" }
[[book.rule.variant]]
when = { hours = "00:00-12:00" }
usd_per_mtok = { input = "1.7" }
"#;

    #[test]
    fn every_amount_of_every_table_and_rule_is_held_against_the_one_before_it() {
        let read = |text: &str| parse::catalog([("t.toml".to_owned(), text.to_owned())]).unwrap();
        let before = read(EVERY_AMOUNT);
        assert_eq!(before.jumps_to(&before), Vec::<String>::new());
        let amounts = [
            "1", "0.11", "2.2", "3.3", "0.04", "0.05", "6.6", "0.77", "0.08", "0.09", "1.01", "0.0013", "1.4", "1.5",
            "1.6", "1.7",
        ];
        for amount in amounts {
            let old: Decimal = amount.parse().unwrap();
            let dear = format!("{}", Decimal::from_number(&old.to_string(), 3).unwrap());
            for new in [dear.as_str(), "0"] {
                let quoted = format!("\"{amount}\"");
                assert_eq!(EVERY_AMOUNT.matches(&quoted).count(), 1, "{amount}");
                let jumps = before.jumps_to(&read(&EVERY_AMOUNT.replacen(&quoted, &format!("\"{new}\""), 1)));
                assert_eq!(jumps.len(), 1, "{amount} -> {new}: {jumps:?}");
                assert!(jumps[0].contains(new), "{jumps:?}");
            }
            // Nine times as much is no mistake.
            let near = format!("\"9{}\"", amount.get(1..).unwrap());
            let jumps = before.jumps_to(&read(&EVERY_AMOUNT.replacen(&format!("\"{amount}\""), &near, 1)));
            let is_tiny = amount.starts_with("0.0");
            assert!(jumps.is_empty() || is_tiny, "{amount} -> {near}: {jumps:?}");
        }
        // One plus a margin.
        let margin = |margin: &str| before.jumps_to(&read(&EVERY_AMOUNT.replacen("\"0.12\"", margin, 1)));
        assert_eq!((margin("\"1200\"").len(), margin("\"12\"").len(), margin("\"0\"").len()), (1, 0, 0));
        // A tier or variant that is new or gone is held against what held without it.
        let tier = "[[price.tier]]\nabove_input_tokens = 1000\nusd_per_mtok = { input = \"6.6\" }\n";
        let gone = read(&EVERY_AMOUNT.replacen(tier, "", 1));
        assert!(before.jumps_to(&gone).is_empty());
        let slipped = read(&EVERY_AMOUNT.replacen("input = \"6.6\"", "input = \"9999\"", 1));
        assert_eq!(gone.jumps_to(&slipped), ["p/m: input above 1000 tokens 1 -> 9999"]);
        // A name that goes over to another table.
        let other = EVERY_AMOUNT.replacen("model = \"m\"\naliases = [\"n\"]", "model = \"n\"", 1);
        let other = read(&other.replacen("input = \"1\"", "input = \"5000\"", 1));
        assert_eq!(before.jumps_to(&other)[0].split(':').next(), Some("p/n"));
        // A book that was a factor and is free.
        let free = EVERY_AMOUNT.replacen("multiplier = \"1.4\"", "usd_per_mtok = { input = \"0\", output = \"0\" }", 1);
        assert_eq!(before.jumps_to(&read(&free)).len(), 1);
    }
}
