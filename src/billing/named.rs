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
