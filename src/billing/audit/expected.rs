//! What the lines of an entry must come to, by the price versions that it names.

use tollgate_core::{
    entry::{Entry, Line},
    id::AttemptId,
    money::NanoUsd,
    price::{PricedLine, Terms, price_entry},
};

use crate::catalog::Versions;

/// The differences that a correction must hold: what the corrected entry comes to by the versions that the correction names,
/// less what it and earlier corrections came to. None when the corrected entry was not read.
pub(super) fn corrected(
    entry: &Entry,
    of: AttemptId,
    request: &[Entry],
    versions: &Versions,
) -> Option<Vec<PricedLine>> {
    let original = request.iter().find(|other| other.admission.id == of && other.corrects.is_none())?;
    let earlier: Vec<&Entry> = std::iter::once(original)
        .chain(request.iter().filter(|other| other.corrects.is_some_and(|correction| correction.of == of)))
        .collect();
    let renamed = renamed(original, entry);
    let less = |now: Option<NanoUsd>, index: usize, amount: fn(&Line) -> Option<NanoUsd>| {
        let Some(now) = now else { return Some(NanoUsd::ZERO) };
        let before =
            earlier.iter().filter_map(|entry| entry.lines.get(index)).map(|line| amount(line).unwrap_or_default());
        now.checked_sub(NanoUsd::sum(before).ok()?).ok()
    };
    let is_settled = earlier.iter().any(|entry| entry.corrects.is_some_and(|correction| correction.settles));
    let is_left = |line: &Line, now: &PricedLine| line.holds_any_of(now.unpriced_units, is_settled);
    let priced = original.lines.iter().zip(expected(&renamed, versions));
    let priced = priced.map(|(line, now)| if is_left(line, &now) { PricedLine::default() } else { now });
    Some(
        priced
            .enumerate()
            .map(|(index, now)| PricedLine {
                cost: less(now.cost, index, |line| line.cost),
                charge: less(now.charge, index, |line| line.charge),
                fallbacks: 0,
                unpriced_units: 0,
            })
            .collect(),
    )
}

/// An entry under the versions that a correction names.
fn renamed(original: &Entry, correction: &Entry) -> Entry {
    let mut renamed = original.clone();
    for (line, corrected) in renamed.lines.iter_mut().zip(&correction.lines) {
        line.cost_price_version.clone_from(&corrected.cost_price_version);
        line.charge_price_version.clone_from(&corrected.charge_price_version);
    }
    renamed
}

/// What a line was booked with. A build that knew no units beside priced tokens gave such a line no amount.
pub(super) fn as_booked(line: &Line, expected: PricedLine) -> PricedLine {
    let is_old = line.unpriced_units == 0 && (line.cost.is_none() || line.charge.is_none());
    if !is_old || expected.unpriced_units == 0 {
        return expected;
    }
    PricedLine {
        cost: line.cost.and(expected.cost),
        charge: line.charge.and(expected.charge),
        unpriced_units: 0,
        ..expected
    }
}

/// The prices of an entry's lines, from the versions that it names.
pub(super) fn expected(entry: &Entry, versions: &Versions) -> Vec<PricedLine> {
    let terms: Vec<Terms<'_>> = entry.lines.iter().map(|line| terms(line, entry, versions)).collect();
    price_entry(&terms, &entry.counters, entry.admission.admitted_at_us)
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
    use super::*;

    #[test]
    fn a_line_of_an_older_build_may_have_no_amount_and_no_other_line_may() {
        let expected = PricedLine {
            cost: Some(NanoUsd::new(5)),
            charge: Some(NanoUsd::new(6)),
            unpriced_units: 1,
            ..PricedLine::default()
        };
        let old = Line::default();
        assert_eq!(as_booked(&old, expected), PricedLine::default());
        // One that names its units was booked by this build, and one with both amounts holds all units.
        let named = Line { unpriced_units: 1, ..Line::default() };
        let whole = Line { cost: Some(NanoUsd::new(5)), charge: Some(NanoUsd::new(6)), ..Line::default() };
        for line in [named, whole] {
            assert_eq!(as_booked(&line, expected), expected);
        }
        let all_priced = PricedLine { unpriced_units: 0, ..expected };
        assert_eq!(as_booked(&old, all_priced), all_priced);
    }
}
