//! Prices past entries again by the prices that are in force now for their time, and books the differences.
//!
//! An entry stays as it is; what it lacks or has too much becomes another entry of the same request, which names it. Asked
//! again, nothing differs any more, so nothing is booked. Entries of days that were moved to files are not reached.

use std::collections::BTreeMap;

use serde::Serialize;
use tollgate_core::{
    entry::{CORRECTIONS_FROM, Correction, Entry, Line},
    id::{AttemptId, BootId, CustomerId},
    money::{MoneyOverflow, NanoUsd},
    price::{BookRule, CostBasis, PricedLine, Terms, price_entry},
    usage::Usage,
};

use crate::{
    catalog::{BookVersion, Catalog, Versions, device::CostVersion},
    store::{
        Store, StoreError,
        entries::{PostBatch, Stage},
    },
};

/// Entries read at once.
const PAGE: u32 = 1000;
/// Who posts corrections: no replica's journal has them.
const REPLICA: &str = "rerate";
/// Corrections of one transaction at most.
const BATCH_MAX: usize = 500;

/// Which entries are priced again.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Admitted from this time on, microseconds since 1970 UTC.
    pub from_us: Option<i64>,
    /// Admitted before this time.
    pub to_us: Option<i64>,
    /// Only of this customer.
    pub customer_id: Option<CustomerId>,
    /// Only of this public model.
    pub model: Option<String>,
}

/// What a new pricing comes to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Rerating {
    /// Entries that were priced again.
    pub entries: u64,
    /// Entries whose price is another one.
    pub corrected: u64,
    /// Entries that stay without a price.
    pub unpriced: u64,
    /// By customer.
    pub customers: Vec<CustomerRerating>,
}

/// What a new pricing comes to for a customer.
#[derive(Clone, Debug, Serialize)]
pub struct CustomerRerating {
    /// Who.
    pub customer_id: CustomerId,
    /// Entries whose price is another one.
    pub corrected: u64,
    /// Of those, entries that had no price.
    pub settled: u64,
    /// What we pay more; negative: less.
    pub cost_difference_usd: NanoUsd,
    /// What the customer owes more; negative: less.
    pub charge_difference_usd: NanoUsd,
}

/// Why entries cannot be priced again.
#[derive(Debug, thiserror::Error)]
pub enum RerateError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A sum does not fit.
    #[error(transparent)]
    Overflow(#[from] MoneyOverflow),
}

/// Prices entries again. Books the differences only if told to.
///
/// # Errors
/// [`RerateError`]; what was booked by then stays, and asking again goes on with the rest.
pub async fn rerate(
    store: &Store,
    catalog: &Catalog,
    scope: &Scope,
    now_us: i64,
    is_applied: bool,
) -> Result<Rerating, RerateError> {
    let rows = store.price_versions().await?;
    let versions =
        Versions::from_stored(rows.values().map(|row| (row.id.as_str(), row.kind.as_str(), row.body.as_str())));
    let books: BTreeMap<CustomerId, String> =
        store.customers().await?.into_iter().map(|customer| (customer.id, customer.price_book)).collect();
    let pricing = Pricing { catalog, versions: &versions, books: &books };
    let mut run = Run { rerating: Rerating::default(), by_customer: BTreeMap::new(), corrections: Vec::new() };
    let mut after: Option<AttemptId> = None;
    let mut request: Vec<Entry> = Vec::new();
    loop {
        let page = store.entries_after(after, PAGE).await?;
        let is_last = page.is_empty();
        for stored in page {
            let id = stored.entry.admission.id;
            after = Some(id);
            if request.first().is_some_and(|first| first.admission.id.request_id != id.request_id) {
                run.request(&pricing, scope, &request, now_us)?;
                request.clear();
            }
            request.push(stored.entry);
        }
        if is_last {
            run.request(&pricing, scope, &request, now_us)?;
        }
        while is_applied && (run.corrections.len() >= BATCH_MAX || (is_last && !run.corrections.is_empty())) {
            let rest = run.corrections.split_off(run.corrections.len().min(BATCH_MAX));
            book(store, std::mem::replace(&mut run.corrections, rest)).await?;
        }
        if !is_applied {
            run.corrections.clear();
        }
        if is_last {
            break;
        }
    }
    run.rerating.customers = run.by_customer.into_values().collect();
    Ok(run.rerating)
}

/// Two who book the same at once make the same entries, of which one is taken.
async fn book(store: &Store, corrections: Vec<Entry>) -> Result<(), StoreError> {
    let entries = corrections.into_iter().map(|entry| (0, entry)).collect();
    let batch = PostBatch::new(REPLICA.to_owned(), BootId::new(0, &[0; 10]), 0, entries);
    // In no journal, as ends that a journal could not keep.
    store.post(&PostBatch { records: Vec::new(), stage: Stage::Resolving, ..batch }).await?;
    Ok(())
}

struct Run {
    rerating: Rerating,
    by_customer: BTreeMap<CustomerId, CustomerRerating>,
    corrections: Vec<Entry>,
}

impl Run {
    fn request(
        &mut self,
        pricing: &Pricing<'_>,
        scope: &Scope,
        request: &[Entry],
        now_us: i64,
    ) -> Result<(), MoneyOverflow> {
        for original in request.iter().filter(|entry| entry.corrects.is_none() && scope.has(entry)) {
            self.rerating.entries += 1;
            let id = original.admission.id;
            let corrections: Vec<&Entry> =
                request.iter().filter(|entry| entry.corrects.is_some_and(|correction| correction.of == id)).collect();
            let number = request.iter().filter(|entry| entry.corrects.is_some()).count();
            let Some(correction) = pricing.correction(original, &corrections, number, now_us)? else {
                let is_settled = corrections.iter().any(|entry| entry.corrects.is_some_and(|c| c.settles));
                self.rerating.unpriced += u64::from(original.is_unpriced() && !is_settled);
                continue;
            };
            self.add(&correction)?;
            self.corrections.push(correction);
        }
        Ok(())
    }

    fn add(&mut self, correction: &Entry) -> Result<(), MoneyOverflow> {
        self.rerating.corrected += 1;
        let customer_id = correction.admission.customer_id;
        let customer = self.by_customer.entry(customer_id).or_insert_with(|| CustomerRerating {
            customer_id,
            corrected: 0,
            settled: 0,
            cost_difference_usd: NanoUsd::ZERO,
            charge_difference_usd: NanoUsd::ZERO,
        });
        customer.corrected += 1;
        customer.settled += u64::from(correction.corrects.is_some_and(|correction| correction.settles));
        let (cost, charge) = (correction.cost().unwrap_or_default(), correction.charge().unwrap_or_default());
        customer.cost_difference_usd = customer.cost_difference_usd.checked_add(cost)?;
        customer.charge_difference_usd = customer.charge_difference_usd.checked_add(charge)?;
        Ok(())
    }
}

impl Scope {
    fn has(&self, entry: &Entry) -> bool {
        let admission = &entry.admission;
        self.from_us.is_none_or(|from| admission.admitted_at_us >= from)
            && self.to_us.is_none_or(|to| admission.admitted_at_us < to)
            && self.customer_id.is_none_or(|customer_id| admission.customer_id == customer_id)
            && self.model.as_ref().is_none_or(|model| admission.model == *model)
    }
}

/// By what entries are priced again.
struct Pricing<'a> {
    catalog: &'a Catalog,
    versions: &'a Versions,
    books: &'a BTreeMap<CustomerId, String>,
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
    fn correction(
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
        let is_priced = priced.iter().all(|line| line.cost.is_some() && line.charge.is_some());
        let is_settled = corrections.iter().any(|entry| entry.corrects.is_some_and(|correction| correction.settles));
        let settles = original.is_unpriced() && is_priced && !is_settled;
        let mut lines = Vec::new();
        for (index, ((line, new), now)) in original.lines.iter().zip(&new).zip(priced).enumerate() {
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
            counters: tollgate_core::counters::Counters::default(),
            corrects: Some(Correction { of: original.admission.id, at_us: now_us, settles }),
            ..original.clone()
        }))
    }

    fn terms<'s>(&'s self, entry: &'s Entry, line: &'s Line) -> NewTerms<'s> {
        let admission = &entry.admission;
        let at_us = admission.admitted_at_us;
        let (provider, model) = admission.target.split_once('/').unwrap_or((&admission.target, ""));
        let of_target = self.catalog.cost(provider, model, at_us);
        let served = match &of_target {
            Some(CostVersion::Table(_)) => self.catalog.table(provider, &line.billed_model, at_us),
            _ => None,
        };
        let cost_id = line.cost_price_version.as_deref().or(admission.cost_price_version.as_deref());
        let charge_id = line.charge_price_version.as_deref().or(admission.charge_price_version.as_deref());
        let book = charge_id.and_then(book_of).or_else(|| self.books.get(&admission.customer_id).map(String::as_str));
        NewTerms {
            cost: served.cloned().map(CostVersion::Table).or(of_target),
            old_cost: cost_id.and_then(|id| Some((id, self.versions.cost(Some(id))?))),
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
