//! What the lines of an entry must come to where something was corrected, or booked by an older build.

use tollgate_core::{
    entry::{Entry, Line},
    id::AttemptId,
    money::NanoUsd,
    price::PricedLine,
};

use crate::{
    billing::named::{expected_by, loses, units_left},
    catalog::Versions,
};

/// The differences that a correction must hold: what the corrected entry comes to by the versions that the correction names,
/// less what it and earlier corrections came to. None when the corrected entry was not read.
pub(super) fn corrected(
    entry: &Entry,
    of: AttemptId,
    request: &[Entry],
    versions: &Versions,
) -> Option<Vec<PricedLine>> {
    let original = request.iter().find(|other| other.admission.id == of && other.corrects.is_none())?;
    let corrections: Vec<&Entry> =
        request.iter().filter(|other| other.corrects.is_some_and(|correction| correction.of == of)).collect();
    let less = |now: Option<NanoUsd>, index: usize, amount: fn(&Line) -> Option<NanoUsd>| {
        let Some(now) = now else { return Some(NanoUsd::ZERO) };
        let earlier = std::iter::once(original).chain(corrections.iter().copied());
        let before = earlier.filter_map(|entry| entry.lines.get(index)).map(|line| amount(line).unwrap_or_default());
        now.checked_sub(NanoUsd::sum(before).ok()?).ok()
    };
    let left = units_left(original, &corrections, versions);
    let priced = expected_by(original, entry, versions).into_iter().zip(left);
    let priced = priced.map(|(now, left)| if loses(now.unpriced_units, left) { PricedLine::default() } else { now });
    let lines = priced.zip(&original.lines).zip(&entry.lines).enumerate();
    Some(
        lines
            .map(|(index, ((now, line), booked))| {
                // A build that knew no units beside priced tokens corrected nothing of a line that had some.
                let is_old = now.unpriced_units != 0 && is_of_old_build(line);
                let expected = |amount: Option<NanoUsd>, booked: Option<NanoUsd>| {
                    if is_old && booked == Some(NanoUsd::ZERO) { booked } else { amount }
                };
                PricedLine {
                    cost: expected(less(now.cost, index, |line| line.cost), booked.cost),
                    charge: expected(less(now.charge, index, |line| line.charge), booked.charge),
                    fallbacks: 0,
                    unpriced_units: 0,
                }
            })
            .collect(),
    )
}

/// Whether something of a line has no amount, and no unit is named that would explain it.
const fn is_of_old_build(line: &Line) -> bool {
    line.unpriced_units == 0 && (line.cost.is_none() || line.charge.is_none())
}

/// What a line was booked with. A build that knew no units beside priced tokens gave such a line no amount.
pub(super) fn as_booked(line: &Line, expected: PricedLine) -> PricedLine {
    if !is_of_old_build(line) || expected.unpriced_units == 0 {
        return expected;
    }
    PricedLine {
        cost: line.cost.and(expected.cost),
        charge: line.charge.and(expected.charge),
        unpriced_units: 0,
        ..expected
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
