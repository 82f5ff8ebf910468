//! Good tables, mistaken ones and damaged ones.

use jiff::Timestamp;

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
    let id = |text: &str| catalog([("t.toml".to_owned(), text.to_owned())]).unwrap().stored_versions()[0].id.clone();
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
        (
            "margin_over_cost = \"0.25\"",
            "",
            "t.toml:16: a rule has either margin_over_cost or multiplier or usd_per_mtok",
        ),
        ("\"0.25\"", "\"0.1234567\"", "t.toml:18: margin_over_cost: at most 4 decimals"),
        ("200_000", "-5", "t.toml:10: above_input_tokens must be a whole number"),
        ("[[book.rule]]", "[[book.rul]]", "t.toml:15: there is no rul; did you mean rule?"),
        ("name = \"default\"", "name = \"a/b\"", "t.toml:14: the name of a book has 1 to 64 of a-z"),
        ("name = \"default\"", "name = \"Gold\"", "t.toml:14: the name of a book has 1 to 64 of a-z"),
        ("name = \"default\"", "name = \"gold@2026\"", "t.toml:14: the name of a book has 1 to 64 of a-z"),
        (
            "name = \"default\"",
            "name = \"a23456789b123456789c123456789d123456789e123456789f123456789g12345\"",
            "t.toml:14: the name of a book has 1 to 64 of a-z",
        ),
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

/// A table with everything that a table may have.
const EVERYTHING: &str = r#"
[[price]]
provider = "p"
model = "m"
aliases = ["m-*", "m-####"]
valid_from = "2026-01-01"
recorded_at = 2026-01-02T00:00:00Z
source = "s"
usd_per_mtok = { input = "1", input_audio = "2", cache_write_1h = "0.5", output = "2.50", reasoning = "3" }
usd_per_request = "0.01"
usd_per_unit = { web_search = "0.01", image = "0.04", audio_input_second = "0.0001" }
fallback = { cache_read = "input" }
standard_for = ["flex"]
[[price.tier]]
above_input_tokens = 200_000
applies = "excess"
usd_per_mtok = { input = "2" }
[[price.variant]]
when = { service_tier = "batch", hours = "16:30-00:30" }
usd_per_mtok = { input = "0.5" }
[[price.variant.tier]]
above_input_tokens = 200_000
usd_per_mtok = { input = "1" }
[[book]]
name = "default"
[[book.rule]]
model = "*"
valid_from = "2026-01-01"
multiplier = "1.25"
usd_per_request_min = "0.001"
"#;

#[test]
fn ten_thousand_damaged_tables_are_mistakes_with_a_line_or_other_tables_and_never_a_panic() {
    assert_eq!(mistakes(EVERYTHING), Vec::<String>::new());
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    let mut refused = 0;
    for _ in 0..10_000 {
        let mut bytes = EVERYTHING.as_bytes().to_vec();
        for _ in 0..=next(3) {
            let at = next(bytes.len());
            match next(4) {
                0 => drop(bytes.splice(at..(at + 1 + next(20)).min(bytes.len()), [])),
                1 => bytes.insert(at, u8::try_from(next(256)).unwrap()),
                2 => bytes[at] = b"\"\n-.0[]{}=,#*"[next(13)],
                _ => bytes[at] ^= 1 << next(8),
            }
        }
        let found = mistakes(&String::from_utf8_lossy(&bytes));
        refused += usize::from(!found.is_empty());
        for mistake in found {
            let line = mistake.strip_prefix("t.toml:").and_then(|rest| rest.split(':').next());
            assert!(line.is_some_and(|line| line.parse::<usize>().is_ok()), "{mistake}");
        }
    }
    assert!(refused > 5_000, "{refused} of them were refused");
}

#[test]
fn what_contradicts_itself_is_told() {
    for (from, to, expected) in [
        (
            "when = { service_tier = \"batch\"",
            "when = { service_tier = \"bach\"",
            "t.toml:19: there is no service tier bach",
        ),
        ("16:30-00:30", "16:30", "t.toml:19: `16:30` is not a window of the day"),
        ("cache_read = \"input\"", "cache_read = \"output\"", "cache_read may fall back to \"input\" only"),
        ("reasoning = ", "thinking = ", "t.toml:9: there is no thinking"),
        ("web_search = \"0.01\"", "web_search = 0.01", "web_search: write the price in quotes"),
        (
            "[[book]]",
            "[[price.variant]]\nwhen = { region = \"eu\", hours = \"20:00-21:00\" }\nusd_per_mtok = { input = \"1\" }\n[[book]]",
            "another variant asks for as much",
        ),
        (
            "multiplier = \"1.25\"",
            "multiplier = \"1.25\"\nusd_per_request = \"1\"",
            "usd_per_request belongs to prices",
        ),
    ] {
        let changed = EVERYTHING.replacen(from, to, 1);
        assert_ne!(changed, EVERYTHING, "{from}");
        let found = mistakes(&changed);
        assert!(found.iter().any(|mistake| mistake.contains(expected)), "expected {expected:?} in {found:#?}");
    }
}

#[test]
fn the_schema_for_editors_has_the_keys_that_the_parser_knows_and_no_others() {
    let schema = super::super::schema::json_schema();
    let keys = |pointer: &str| -> std::collections::BTreeSet<String> {
        schema.pointer(pointer).unwrap().as_object().unwrap().keys().cloned().collect()
    };
    let known = |lists: &[&[&str]]| lists.concat().into_iter().map(str::to_owned).collect();
    let price = "/properties/price/items/properties";
    let rule = "/properties/book/items/properties/rule/items/properties";
    assert_eq!(keys(price), known(&[PRICE_KEYS, table::KEYS]));
    assert_eq!(keys(rule), known(&[RULE_KEYS, table::KEYS]));
    assert_eq!(keys("/properties/book/items/properties"), known(&[BOOK_KEYS]));
    for (list, keys_of) in table::LISTS {
        assert_eq!(keys(&format!("{price}{list}")), known(&[keys_of]), "{list}");
    }
}

#[test]
fn what_the_project_ships_loads() {
    let catalog = super::super::load_shipped().unwrap();
    assert!(catalog.models_of("openai").len() >= 8);
    assert_eq!(catalog.books(), ["default"]);
}
