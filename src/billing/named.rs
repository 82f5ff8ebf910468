//! What the lines of an entry come to by the price versions that it names.

use tollgate_core::{
    entry::{Entry, Line},
    price::{PricedLine, Terms, price_entry},
};

use crate::catalog::Versions;

/// The prices of an entry's lines, from the versions that it names.
pub(super) fn expected(entry: &Entry, versions: &Versions) -> Vec<PricedLine> {
    let terms: Vec<Terms<'_>> = entry.lines.iter().map(|line| terms(line, entry, versions)).collect();
    price_entry(&terms, &entry.counters, entry.admission.admitted_at_us)
}

/// The same under the versions that a correction of it names.
pub(super) fn expected_by(original: &Entry, correction: &Entry, versions: &Versions) -> Vec<PricedLine> {
    let mut renamed = original.clone();
    for (line, corrected) in renamed.lines.iter_mut().zip(&correction.lines) {
        line.cost_price_version.clone_from(&corrected.cost_price_version);
        line.charge_price_version.clone_from(&corrected.charge_price_version);
    }
    expected(&renamed, versions)
}

/// The units that are in no amount of each line, by their bits, after its corrections, in their order. All of them where a line
/// has no amount yet.
pub(super) fn units_left(original: &Entry, corrections: &[&Entry], versions: &Versions) -> Vec<u32> {
    let has_amounts = |cost: bool, charge: bool, units| if cost && charge { units } else { u32::MAX };
    let booked = original.lines.iter();
    let mut left: Vec<u32> =
        booked.map(|line| has_amounts(line.cost.is_some(), line.charge.is_some(), line.unpriced_units)).collect();
    for correction in corrections {
        for (left, now) in left.iter_mut().zip(expected_by(original, correction, versions)) {
            let units = has_amounts(now.cost.is_some(), now.charge.is_some(), now.unpriced_units);
            // Else the line was left as it was.
            if !loses(units, *left) {
                *left = units;
            }
        }
    }
    left
}

/// Whether a line would lose a unit that its amounts hold: units that have no price now, against those that had none before. It is
/// left as it is then.
pub(super) const fn loses(unpriced_now: u32, unpriced_before: u32) -> bool {
    unpriced_now & !unpriced_before != 0
}

fn terms<'a>(line: &'a Line, entry: &'a Entry, versions: &'a Versions) -> Terms<'a> {
    let admission = &entry.admission;
    let cost = line.cost_price_version.as_ref().or(admission.cost_price_version.as_ref());
    let rule = line.charge_price_version.as_ref().or(admission.charge_price_version.as_ref());
    Terms {
        usage: &line.usage,
        context: &line.context,
        worker: line.worker.as_ref(),
        cost: versions.cost(cost.map(String::as_str)),
        rule: versions.rule(rule.map(String::as_str)),
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::{
        counters::Counters,
        entry::{Admission, Correction, Outcome, UsageSource},
        id::{AttemptId, CustomerId, KeyId, RequestId},
        money::NanoUsd,
        price::Unit,
        usage::Usage,
    };

    use super::*;

    const SEARCH: u32 = Unit::WebSearch.bit();
    const CALL: u32 = Unit::ToolCall.bit();

    /// An entry of a search and a call that names the version in which neither has a price.
    fn entry(unpriced_units: u32) -> Entry {
        let admission = Admission {
            id: AttemptId { request_id: RequestId::new(1, &[1; 10]), attempt: 0 },
            customer_id: CustomerId::new(1, &[1; 10]),
            key_id: KeyId::new(1, &[2; 10]),
            dialect: "openai".to_owned(),
            endpoint: "/v1/responses".to_owned(),
            model: "m".to_owned(),
            target: "p/m".to_owned(),
            stream: false,
            admitted_at_us: 1,
            cost_price_version: Some("none".to_owned()),
            charge_price_version: Some("rule".to_owned()),
            input_estimate: 1,
            end_user: None,
            tags: None,
        };
        let usage = Usage { input_uncached: 1000, ..Usage::default() };
        let amount = Some(NanoUsd::new(1_000_000));
        Entry {
            admission,
            outcome: Outcome::Complete,
            usage_source: UsageSource::ProviderFinal,
            flags: Vec::new(),
            lines: vec![Line { usage, cost: amount, charge: amount, unpriced_units, ..Line::default() }],
            ended_at_us: 2,
            elapsed_us: 1,
            first_byte_us: None,
            status: Some(200),
            raw_usage: None,
            reported_total: None,
            reported_cost_usd: None,
            counters: Counters { web_search_requests: 1, server_tool_calls: 1, ..Counters::default() },
            corrects: None,
            output_estimate: None,
        }
    }

    fn correction(original: &Entry, version: &str) -> Entry {
        let zero = Some(NanoUsd::ZERO);
        let named = Some(version.to_owned());
        let line = Line { cost: zero, charge: zero, cost_price_version: named, ..Line::default() };
        let corrects = Some(Correction { of: original.admission.id, at_us: 3, settles: false });
        Entry { lines: vec![line], corrects, ..original.clone() }
    }

    fn versions() -> Versions {
        let table = |units: &str| {
            format!(
                r#"{{"provider":"p","model":"m","valid_from_us":0,"recorded_at_us":0,"source":"x","table":{{"usd_per_mtok":{{"input":"1"}},"usd_per_unit":{{{units}}}}}}}"#
            )
        };
        let (none, search) = (table(""), table(r#""web_search":"0.01""#));
        let both = table(r#""web_search":"0.01","tool_call":"0.02""#);
        let rule = r#"{"book":"b","model":"*","valid_from_us":0,"rule":{"multiplier":"1"}}"#;
        Versions::from_stored([
            ("none", "cost", none.as_str()),
            ("search", "cost", search.as_str()),
            ("both", "cost", both.as_str()),
            ("rule", "book", rule),
        ])
    }

    #[test]
    fn a_unit_that_a_correction_has_priced_is_held_though_another_is_not_and_its_price_goes() {
        let (original, versions) = (entry(SEARCH | CALL), versions());
        assert_eq!(expected(&original, &versions)[0].unpriced_units, SEARCH | CALL);
        let [none, search, both] = ["none", "search", "both"].map(|version| correction(&original, version));
        for (corrections, left) in [
            (vec![], SEARCH | CALL),
            (vec![&none], SEARCH | CALL),
            (vec![&search], CALL),
            // What has no price in the second one is left as the first one has it.
            (vec![&search, &none], CALL),
            (vec![&search, &none, &both], 0),
            (vec![&both, &none, &search], 0),
        ] {
            assert_eq!(units_left(&original, &corrections, &versions), [left]);
        }
        assert!(loses(SEARCH | CALL, CALL) && !loses(CALL, SEARCH | CALL) && !loses(CALL, CALL));
        // A line without an amount has nothing to lose.
        let old = Entry { lines: vec![Line { cost: None, ..original.lines[0].clone() }], ..entry(0) };
        assert_eq!(units_left(&old, &[], &versions), [u32::MAX]);
    }
}
