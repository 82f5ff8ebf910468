//! Writes cost tables as TOML, as `parse` reads them: how the shipped files are made from those of other projects.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;
use tollgate_core::{
    decimal::Decimal,
    price::{Fallback, PriceKey, PriceTable, Prices, Tier, TierApplies, Variant},
};

use super::PriceVersion;

/// The versions of one provider as a file; `head` is its comment.
#[must_use]
pub fn to_toml(head: &str, versions: &[PriceVersion]) -> String {
    let mut text: String = head.lines().map(|line| format!("# {line}\n")).collect();
    for version in versions {
        text.push_str("\n[[price]]\n");
        for (key, value) in [("provider", &version.provider), ("model", &version.model)] {
            text.push_str(&format!("{key} = {}\n", quoted(value)));
        }
        if !version.aliases.is_empty() {
            text.push_str(&format!("aliases = {}\n", list(version.aliases.iter().map(|alias| quoted(alias)))));
        }
        for (key, at_us) in [("valid_from", version.valid_from_us), ("recorded_at", version.recorded_at_us)] {
            text.push_str(&format!("{key} = \"{}\"\n", time(at_us)));
        }
        text.push_str(&format!("source = {}\n", quoted(&version.source)));
        if !version.completed_from.is_empty() {
            text.push_str(&format!("completed_from = {}\n", quoted(&version.completed_from)));
        }
        table(&mut text, &version.table);
    }
    text
}

fn table(text: &mut String, table: &PriceTable) {
    let PriceTable { usd_per_mtok, tiers, usd_per_request, usd_per_unit, variants, fallback } = table;
    fallbacks(text, fallback);
    prices(text, "usd_per_mtok", usd_per_mtok);
    prices(text, "usd_per_unit", usd_per_unit);
    request(text, *usd_per_request);
    tiers.iter().for_each(|tier| write_tier(text, "price.tier", tier));
    for Variant { when, usd_per_mtok, tiers, usd_per_request, usd_per_unit } in variants {
        text.push_str("[[price.variant]]\n");
        let when = serde_json::to_value(when).unwrap_or(Value::Null);
        let told = when.as_object().into_iter().flatten();
        let told = told.map(|(key, value)| format!("{key} = {}", quoted(value.as_str().unwrap_or_default())));
        text.push_str(&format!("when = {{ {} }}\n", told.collect::<Vec<_>>().join(", ")));
        prices(text, "usd_per_mtok", usd_per_mtok);
        prices(text, "usd_per_unit", usd_per_unit);
        request(text, *usd_per_request);
        tiers.iter().for_each(|tier| write_tier(text, "price.variant.tier", tier));
    }
}

fn fallbacks(text: &mut String, fallback: &Fallback) {
    let told = [("cache_read", fallback.cache_read_as_input), ("cache_write", fallback.cache_write_as_input)];
    let told: Vec<String> =
        told.into_iter().filter(|(_, is_so)| *is_so).map(|(key, _)| format!("{key} = \"input\"")).collect();
    if !told.is_empty() {
        text.push_str(&format!("fallback = {{ {} }}\n", told.join(", ")));
    }
    if !fallback.standard_for.is_empty() {
        let tiers = fallback.standard_for.iter().map(|tier| quoted(tier.name()));
        text.push_str(&format!("standard_for = {}\n", list(tiers)));
    }
}

fn prices<K: PriceKey>(text: &mut String, key: &str, prices: &Prices<K>) {
    if !prices.is_empty() {
        let told: Vec<String> = prices.iter().map(|(own, price)| format!("{} = \"{price}\"", own.key())).collect();
        text.push_str(&format!("{key} = {{ {} }}\n", told.join(", ")));
    }
}

fn request(text: &mut String, usd_per_request: Option<Decimal>) {
    if let Some(price) = usd_per_request {
        text.push_str(&format!("usd_per_request = \"{price}\"\n"));
    }
}

fn write_tier(text: &mut String, name: &str, tier: &Tier) {
    text.push_str(&format!("[[{name}]]\nabove_input_tokens = {}\n", tier.above_input_tokens));
    if tier.applies == TierApplies::Excess {
        text.push_str("applies = \"excess\"\n");
    }
    prices(text, "usd_per_mtok", &tier.usd_per_mtok);
}

/// A JSON string is a basic string of TOML, too.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// A day where it is midnight UTC, else a time.
fn time(at_us: i64) -> String {
    let at = Timestamp::from_microsecond(at_us).unwrap_or_default();
    let civil = TimeZone::UTC.to_datetime(at);
    if civil.time() == jiff::civil::Time::midnight() { civil.date().to_string() } else { at.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::parse;

    const EVERYTHING: &str = r#"
[[price]]
provider = "p"
model = "quo\"ted"
aliases = ["a-*", "b-####"]
valid_from = "1970-01-01"
recorded_at = "2026-08-21T10:11:12.000013Z"
source = "s"
completed_from = "another: tiers"
usd_per_mtok = { input = "1", cache_write_1h = "0.000000000000000001", citation = "2" }
usd_per_request = "0.01"
usd_per_unit = { web_search = "0.01", audio_input_second = "0.0001" }
fallback = { cache_read = "input", cache_write = "input" }
standard_for = ["flex"]
[[price.tier]]
above_input_tokens = 200000
applies = "excess"
usd_per_mtok = { input = "2" }
[[price.variant]]
when = { service_tier = "batch", region = "eu", hours = "16:30-00:30" }
usd_per_mtok = { input = "0.5" }
usd_per_request = "0"
[[price.variant.tier]]
above_input_tokens = 5
usd_per_mtok = { output = "3" }
[[price.variant]]
when = { image_size = "1024x1024", image_quality = "high" }
usd_per_unit = { image = "0.04" }
"#;

    #[test]
    fn what_is_written_reads_back_as_the_same_versions() {
        let read = |text: &str| parse::catalog([("t.toml".to_owned(), text.to_owned())]).unwrap();
        let before = read(EVERYTHING);
        let versions: Vec<PriceVersion> = before.cost_versions().into_iter().map(|v| v.as_ref().clone()).collect();
        let after = read(&to_toml("Made by a test.\nTwo lines.", &versions));
        assert_eq!(after.stored_versions(), before.stored_versions());
    }
}
