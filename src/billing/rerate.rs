//! Prices past entries again by the prices that are in force now for their time, and books the differences.
//!
//! An entry stays as it is; what it lacks or has too much becomes another entry of the same request, which names it. Asked
//! again, nothing differs any more, so nothing is booked. Entries of days that were moved to files are not reached.

mod pricing;

use std::collections::BTreeMap;

use serde::Serialize;
use tollgate_core::{
    entry::Entry,
    id::{AttemptId, BootId, CustomerId},
    money::{MoneyOverflow, NanoUsd},
};

use self::pricing::Pricing;
use crate::{
    catalog::{Catalog, Versions},
    store::{
        Store, StoreError,
        entries::{PostBatch, Stage, StoredEntry},
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
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
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
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
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
        let next = page.last().map(StoredEntry::key);
        // A key that does not go on is damage, which the audit tells.
        let is_last = next.is_none() || next == after;
        after = next.or(after);
        for stored in page {
            let id = stored.entry.admission.id;
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
        let mut number = request.iter().filter(|entry| entry.corrects.is_some()).count();
        for original in request.iter().filter(|entry| entry.corrects.is_none() && scope.has(entry)) {
            self.rerating.entries += 1;
            let id = original.admission.id;
            let corrections: Vec<&Entry> =
                request.iter().filter(|entry| entry.corrects.is_some_and(|correction| correction.of == id)).collect();
            let Some(correction) = pricing.correction(original, &corrections, number, now_us)? else {
                let is_settled = corrections.iter().any(|entry| entry.corrects.is_some_and(|c| c.settles));
                self.rerating.unpriced += u64::from(original.is_unpriced() && !is_settled);
                continue;
            };
            number += 1;
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
