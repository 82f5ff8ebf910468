//! Recomputes the books from entries alone and names every difference.
//!
//! The second implementation is dumb on purpose: it reads every entry, prices it again from the versions that it names,
//! and adds up in its own maps. It shares the price function with the gateway (that one is held against exact rationals
//! by property tests) and nothing else.

use std::collections::BTreeMap;

use serde::Serialize;
use tollgate_core::{
    entry::Entry,
    id::{AttemptId, CustomerId},
    money::NanoUsd,
    price::price_line,
};

use super::statement::{Month, StatementError, statement};
use crate::{
    catalog::Versions,
    store::{
        Store, StoreError,
        entries::StoredEntry,
        rollups::{HOUR_US, RollupKey, Sums},
    },
};

/// Entries read at once.
const PAGE: u32 = 1000;

/// What the audit came to.
#[derive(Clone, Debug, Serialize)]
pub struct AuditReport {
    /// Entries that were read.
    pub entries: u64,
    /// Cells that were compared.
    pub rollups: u64,
    /// Statements that were compared.
    pub statements: u64,
    /// Empty when the books are right.
    pub differences: Vec<Difference>,
}

/// Something that the books say and that the entries do not bear out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which amount or count.
    pub what: String,
    /// Of which row.
    pub place: String,
    /// By the entries.
    pub expected: String,
    /// In the books.
    pub found: String,
}

#[derive(Default)]
struct Audit {
    entries: u64,
    cells: BTreeMap<RollupKey, Cell>,
    statements: BTreeMap<(CustomerId, Month), i128>,
    differences: Vec<Difference>,
}

/// Sums in wide integers: what overflows shows up as a difference, not as a wrap.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Cell {
    attempts: i128,
    requests: i128,
    tokens: i128,
    cost: i128,
    charge: i128,
    unpriced: i128,
    worker_busy: i128,
}

/// Recomputes everything.
///
/// # Errors
/// [`StatementError`] when the store cannot be read.
pub async fn audit(store: &Store) -> Result<AuditReport, StatementError> {
    let rows = store.price_versions().await?;
    let versions =
        Versions::from_stored(rows.values().map(|row| (row.id.as_str(), row.kind.as_str(), row.body.as_str())));
    let mut audit = Audit::default();
    let mut after: Option<AttemptId> = None;
    loop {
        let page = store.entries_after(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.entry.admission.id);
        for stored in &page {
            audit.entry(stored, &versions);
        }
    }
    let cells = store.rollup_cells().await?;
    audit.rollups(&cells);
    audit.statements(store).await?;
    Ok(AuditReport {
        entries: audit.entries,
        rollups: u64::try_from(cells.len()).unwrap_or(u64::MAX),
        statements: u64::try_from(audit.statements.len()).unwrap_or(u64::MAX),
        differences: audit.differences,
    })
}

impl Audit {
    fn differ(&mut self, what: &str, place: &str, expected: impl ToString, found: impl ToString) {
        let (expected, found) = (expected.to_string(), found.to_string());
        if expected != found {
            self.differences.push(Difference { what: what.to_owned(), place: place.to_owned(), expected, found });
        }
    }

    fn entry(&mut self, stored: &StoredEntry, versions: &Versions) {
        let entry = &stored.entry;
        let admission = &entry.admission;
        let place = admission.id.to_string();
        self.entries += 1;
        let (mut cost, mut charge, mut tokens, mut worker_busy) = (0_i128, 0_i128, 0_i128, 0_i128);
        for line in &entry.lines {
            let basis = versions.cost(admission.cost_price_version.as_deref());
            let rule = versions.rule(admission.charge_price_version.as_deref());
            let (expected_cost, expected_charge) = price_line(&line.usage, line.worker.as_ref(), basis, rule);
            self.differ("cost of a line", &place, shown(expected_cost), shown(line.cost));
            self.differ("charge of a line", &place, shown(expected_charge), shown(line.charge));
            cost += i128::from(line.cost.unwrap_or_default().get());
            charge += i128::from(line.charge.unwrap_or_default().get());
            tokens += i128::from(line.usage.input_total()) + i128::from(line.usage.output);
            let time = line.worker.unwrap_or_default();
            worker_busy += i128::from(time.prefill_busy_us) + i128::from(time.decode_busy_us);
        }
        self.differ("stored cost", &place, cost, stored.cost_nanousd);
        self.differ("stored charge", &place, charge, stored.charge_nanousd);
        self.differ("stored unpriced mark", &place, entry.is_unpriced(), stored.unpriced);
        let cell = self.cells.entry(key_of(entry)).or_default();
        cell.attempts += 1;
        cell.requests += i128::from(admission.id.attempt == 0);
        cell.tokens += tokens;
        cell.cost += cost;
        cell.charge += charge;
        cell.unpriced += i128::from(entry.is_unpriced());
        cell.worker_busy += worker_busy;
        *self.statements.entry((admission.customer_id, Month::of(admission.admitted_at_us))).or_default() += charge;
    }

    fn rollups(&mut self, stored: &BTreeMap<RollupKey, Sums>) {
        let expected = std::mem::take(&mut self.cells);
        for key in stored.keys().filter(|key| !expected.contains_key(*key)) {
            self.differ("rollup", &place_of(key), "none", "a cell without entries");
        }
        for (key, cell) in &expected {
            let place = place_of(key);
            let Some(sums) = stored.get(key) else {
                self.differ("rollup", &place, "a cell", "none");
                continue;
            };
            self.differ("rollup attempts", &place, cell.attempts, sums.attempts);
            self.differ("rollup requests", &place, cell.requests, sums.requests);
            self.differ("rollup tokens", &place, cell.tokens, sums.usage.total());
            self.differ("rollup cost", &place, cell.cost, sums.cost.get());
            self.differ("rollup charge", &place, cell.charge, sums.charge.get());
            self.differ("rollup unpriced", &place, cell.unpriced, sums.unpriced);
            self.differ("rollup worker_busy_us", &place, cell.worker_busy, sums.worker_busy_us);
        }
    }

    async fn statements(&mut self, store: &Store) -> Result<(), StatementError> {
        let expected: Vec<_> = self.statements.iter().map(|(key, charge)| (*key, *charge)).collect();
        for ((customer_id, month), charge) in expected {
            let place = format!("{customer_id} {month}");
            match statement(store, customer_id, month).await {
                Ok(statement) => self.differ("statement total", &place, charge, statement.total_usd.get()),
                Err(StatementError::Store(StoreError::NotFound(_))) => {
                    self.differ("statement", &place, "a customer", "none")
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn key_of(entry: &Entry) -> RollupKey {
    let admission = &entry.admission;
    RollupKey {
        hour_us: admission.admitted_at_us - admission.admitted_at_us.rem_euclid(HOUR_US),
        customer_id: admission.customer_id,
        key_id: admission.key_id,
        model: admission.model.clone(),
        target: admission.target.clone(),
    }
}

fn place_of(key: &RollupKey) -> String {
    format!("hour {} {} {} {} {}", key.hour_us, key.customer_id, key.key_id, key.model, key.target)
}

fn shown(amount: Option<NanoUsd>) -> String {
    amount.map_or_else(|| "unpriced".to_owned(), |amount| amount.to_string())
}
