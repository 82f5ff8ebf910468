//! What an entry comes to by the prices in force now for its time, and the entry that makes up the difference.

use std::collections::BTreeMap;

use tollgate_core::{
    counters::Counters,
    entry::{CORRECTIONS_FROM, Correction, Entry, Line},
    id::CustomerId,
    money::{MoneyOverflow, NanoUsd},
    price::{BookRule, CostBasis, PricedLine, Terms, price_entry},
    usage::Usage,
};

use crate::{
    billing::named::{loses, units_left},
    catalog::{BookVersion, Catalog, Versions, device::CostVersion, is_short_name},
};

/// By what entries are priced again.
pub(super) struct Pricing<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) versions: &'a Versions,
    pub(super) books: &'a BTreeMap<CustomerId, String>,
}

/// What a line is priced by now.
struct NewTerms<'a> {
    cost: Option<CostVersion>,
    /// The version that the entry names, where the catalog has none any more.
    old_cost: Option<(&'a str, CostBasis<'a>)>,
    rule: Option<&'a BookVersion>,
    old_rule: Option<(&'a str, &'a BookRule)>,
}

impl NewTerms<'_> {
    fn cost_version(&self) -> Option<&str> {
        self.cost.as_ref().map(CostVersion::id).or(self.old_cost.map(|(id, _)| id))
    }

    fn charge_version(&self) -> Option<&str> {
        self.rule.map(|version| version.id.as_str()).or(self.old_rule.map(|(id, _)| id))
    }

    fn basis(&self) -> Option<CostBasis<'_>> {
        self.cost.as_ref().map(CostVersion::basis).or(self.old_cost.map(|(_, basis)| basis))
    }

    fn rule(&self) -> Option<&BookRule> {
        self.rule.map(|version| &version.rule).or(self.old_rule.map(|(_, rule)| rule))
    }
}

impl<'a> Pricing<'a> {
    /// The entry that makes up the difference; none when there is none.
    pub(super) fn correction(
        &self,
        original: &Entry,
        corrections: &[&Entry],
        number: usize,
        now_us: i64,
    ) -> Result<Option<Entry>, MoneyOverflow> {
        let new: Vec<NewTerms<'_>> = original.lines.iter().map(|line| self.terms(original, line)).collect();
        let terms = original.lines.iter().zip(&new).map(|(line, new)| Terms {
            usage: &line.usage,
            context: &line.context,
            worker: line.worker.as_ref(),
            cost: new.basis(),
            rule: new.rule(),
        });
        let priced = price_entry(&terms.collect::<Vec<_>>(), &original.counters, original.admission.admitted_at_us);
        let is_priced = priced.iter().all(PricedLine::is_priced);
        let is_settled = corrections.iter().any(|entry| entry.corrects.is_some_and(|correction| correction.settles));
        let settles = original.is_unpriced() && is_priced && !is_settled;
        let left = units_left(original, corrections, self.versions);
        let mut lines = Vec::new();
        for (index, ((line, new), now)) in original.lines.iter().zip(&new).zip(priced).enumerate() {
            // A unit that had a price and has none now is left as it is, and the line with it.
            let left = left.get(index).copied().unwrap_or(u32::MAX);
            let now = if loses(now.unpriced_units, left) { PricedLine::default() } else { now };
            let earlier = std::iter::once(line).chain(corrections.iter().filter_map(|entry| entry.lines.get(index)));
            let (cost, charge) = differences(now, earlier)?;
            lines.push(Line {
                billed_model: line.billed_model.clone(),
                usage: Usage::default(),
                cost: Some(cost),
                charge: Some(charge),
                cost_price_version: new.cost_version().map(str::to_owned),
                charge_price_version: new.charge_version().map(str::to_owned),
                ..Line::default()
            });
        }
        let differs = lines.iter().any(|line| line.cost != Some(NanoUsd::ZERO) || line.charge != Some(NanoUsd::ZERO));
        let attempt = u16::try_from(number).ok().and_then(|number| CORRECTIONS_FROM.checked_add(number));
        let (true, Some(attempt)) = (differs || settles, attempt) else { return Ok(None) };
        let mut admission = original.admission.clone();
        admission.id.attempt = attempt;
        Ok(Some(Entry {
            admission,
            flags: vec!["correction".to_owned()],
            lines,
            ended_at_us: now_us,
            elapsed_us: 0,
            first_byte_us: None,
            raw_usage: None,
            reported_total: None,
            reported_cost_usd: None,
            counters: Counters::default(),
            output_estimate: None,
            corrects: Some(Correction { of: original.admission.id, at_us: now_us, settles }),
            ..original.clone()
        }))
    }

    fn terms<'s>(&'s self, entry: &'s Entry, line: &'s Line) -> NewTerms<'s> {
        let admission = &entry.admission;
        let at_us = admission.admitted_at_us;
        let (provider, model) = admission.target.split_once('/').unwrap_or((&admission.target, ""));
        let cost_id = line.cost_price_version.as_deref().or(admission.cost_price_version.as_deref());
        let named = self.versions.cost(cost_id);
        // What a device costs without a day corrects nothing that was booked by another rate: it was in force then.
        let is_kept = |version: &CostVersion| {
            let is_undated = matches!(version, CostVersion::Device(rate) if rate.is_undated());
            is_undated && matches!(named, Some(CostBasis::Device(_)))
        };
        let of_target = self.catalog.cost(provider, model, at_us).filter(|version| !is_kept(version));
        let served = match &of_target {
            Some(CostVersion::Table(_)) if !is_short_name(model, &line.billed_model) => {
                self.catalog.table(provider, &line.billed_model, at_us)
            }
            _ => None,
        };
        let charge_id = line.charge_price_version.as_deref().or(admission.charge_price_version.as_deref());
        let book = charge_id.and_then(book_of).or_else(|| self.books.get(&admission.customer_id).map(String::as_str));
        NewTerms {
            cost: served.cloned().map(CostVersion::Table).or(of_target),
            old_cost: cost_id.zip(named),
            rule: book.and_then(|book| self.catalog.charge_rule(book, &admission.model, at_us)).map(AsRef::as_ref),
            old_rule: charge_id.and_then(|id| Some((id, self.versions.rule(Some(id))?))),
        }
    }
}

/// The book of a rule's version id, such as `book:default/*@2026-01-01#…`.
fn book_of(version: &str) -> Option<&str> {
    version.strip_prefix("book:")?.split_once('/').map(|(book, _)| book)
}

/// What a line comes to more than it and earlier corrections say. What has no price now is left as it is.
fn differences<'l>(
    now: PricedLine,
    earlier: impl Iterator<Item = &'l Line> + Clone,
) -> Result<(NanoUsd, NanoUsd), MoneyOverflow> {
    let less = |now: Option<NanoUsd>, amount: fn(&Line) -> Option<NanoUsd>| match now {
        None => Ok(NanoUsd::ZERO),
        Some(now) => now.checked_sub(NanoUsd::sum(earlier.clone().map(|line| amount(line).unwrap_or_default()))?),
    };
    Ok((less(now.cost, |line| line.cost)?, less(now.charge, |line| line.charge)?))
}
