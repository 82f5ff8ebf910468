//! Recomputes the books from entries alone and names every difference.
//!
//! The second implementation is dumb on purpose: it reads every entry, prices it again from the versions that it names,
//! and adds up in its own maps. It shares the price function with the gateway (that one is held against exact rationals
//! by property tests) and nothing else. Entries that were moved to files are read from those that are given; what only the
//! others could bear out is counted as unchecked, not passed over.

mod expected;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use serde::Serialize;
use tollgate_core::{
    entry::{Entry, UsageSource},
    id::{AttemptId, BootId, CustomerId, RequestId},
    money::NanoUsd,
    usage::Bucket,
};

use self::expected::{as_booked, corrected};
use super::{
    named::expected,
    statement::{Month, StatementError, statement},
};
use crate::{
    catalog::Versions,
    store::{
        Store, StoreError,
        archives::ArchiveRow,
        dump::{EntryFile, digest},
        entries::{EntryColumns, StoredEntry},
        rollups::{HOUR_US, RollupKey, Sums},
    },
};

/// Entries read at once, from the store and from a file.
const PAGE: u32 = 1000;
const FILE_PAGE: usize = 1000;

/// What the audit came to.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct AuditReport {
    /// Entries that were read.
    pub entries: u64,
    /// Cells that were compared.
    pub rollups: u64,
    /// Statements that were compared.
    pub statements: u64,
    /// Boots whose records were accounted for.
    pub boots: u64,
    /// Events that the books cannot account for.
    pub lost: u64,
    /// Records that were durable and are missing from journals; what they were may be known all the same.
    pub missing_records: u64,
    /// Requests that were charged more than once.
    pub doubled: u64,
    /// Entries that the store refused and that wait as dead letters.
    pub dead_letters: u64,
    /// Archive files that were read.
    pub archives: u64,
    /// Cells and statements that only archive files that were not given could bear out.
    pub unchecked: u64,
    /// Empty when the books are right.
    pub differences: Vec<Difference>,
}

/// Something that the books say and that the entries do not bear out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
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
    doubled: u64,
    unchecked: u64,
    charged: Option<RequestId>,
    /// Entries of the request that is being read: what corrections of it correct.
    request: Vec<Entry>,
    cells: BTreeMap<RollupKey, Cell>,
    statements: BTreeMap<(CustomerId, Month), i128>,
    /// Hours of which entries are in files that were not given.
    unread_hours: Vec<(i64, i64)>,
    differences: Vec<Difference>,
}

/// What the boots' journals came to.
struct Accounts {
    boots: u64,
    lost: u64,
    missing_records: u64,
}

/// Sums in wide integers: what overflows shows up as a difference, not as a wrap.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Cell {
    attempts: i128,
    requests: i128,
    buckets: [i128; Bucket::ALL.len()],
    reasoning: i128,
    cost: i128,
    charge: i128,
    unpriced: i128,
    estimated: i128,
    worker_busy: i128,
}

/// Recomputes everything that the store holds.
///
/// # Errors
/// [`StatementError`] when the store cannot be read.
pub async fn audit(store: &Store) -> Result<AuditReport, StatementError> {
    audit_with(store, &[]).await
}

/// Recomputes everything, with the entries of these archive files.
///
/// # Errors
/// [`StatementError`] when the store or a file cannot be read.
pub async fn audit_with(store: &Store, archives: &[PathBuf]) -> Result<AuditReport, StatementError> {
    // Of one moment: what is posted meanwhile would be a difference.
    let snapshot = store.snapshot().await?;
    let report = audit_snapshot(&snapshot, archives).await;
    snapshot.close().await;
    report
}

async fn audit_snapshot(store: &Store, archives: &[PathBuf]) -> Result<AuditReport, StatementError> {
    let rows = store.price_versions().await?;
    let versions =
        Versions::from_stored(rows.values().map(|row| (row.id.as_str(), row.kind.as_str(), row.body.as_str())));
    let mut audit = Audit::default();
    let mut unread = store.archives().await?;
    for path in archives {
        audit.archive(path, &mut unread, &versions).await?;
    }
    audit.unread_hours = unread.iter().map(|archive| (archive.first_hour_us, archive.last_hour_us)).collect();
    audit.charged = None;
    let mut after: Option<AttemptId> = None;
    loop {
        let page = store.entries_after(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        if after == Some(last.key()) {
            audit.differ("stored attempt", &last.key().to_string(), "a number of sixteen bits", last.columns.attempt);
            break;
        }
        after = Some(last.key());
        for stored in &page {
            audit.entry(stored, &versions);
        }
    }
    let cells = store.rollup_cells().await?;
    audit.rollups(&cells);
    audit.statements(store).await?;
    let accounts = audit.boots(store).await?;
    let dead_letters = audit.dead_letters(store).await?;
    Ok(AuditReport {
        entries: audit.entries,
        rollups: count(cells.len()),
        statements: count(audit.statements.len()),
        boots: accounts.boots,
        lost: accounts.lost,
        missing_records: accounts.missing_records,
        doubled: audit.doubled,
        dead_letters,
        archives: count(archives.len()),
        unchecked: audit.unchecked,
        differences: audit.differences,
    })
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
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
        self.columns(stored, &place);
        if self.request.first().is_some_and(|first| first.admission.id.request_id != admission.id.request_id) {
            self.request.clear();
        }
        let priced = match &entry.corrects {
            None => Some(expected(entry, versions)),
            Some(correction) => corrected(entry, correction.of, &self.request, versions),
        };
        let Some(priced) = priced else {
            // What it corrects is in a file that was not given, or nowhere.
            if self.unread_hours.is_empty() {
                self.differ("corrected entry", &place, "in the books", "none");
            }
            self.unchecked += 1;
            return;
        };
        if let (Some(estimate), Some(line)) = (entry.output_estimate, entry.lines.first()) {
            self.differ("estimated output", &place, estimate.tokens(), line.usage.output);
        }
        let (mut cost, mut charge, mut worker_busy) = (0_i128, 0_i128, 0_i128);
        for (line, expected) in entry.lines.iter().zip(priced) {
            let expected = as_booked(line, expected);
            self.differ("cost of a line", &place, shown(expected.cost), shown(line.cost));
            self.differ("charge of a line", &place, shown(expected.charge), shown(line.charge));
            self.differ("units without a price", &place, expected.unpriced_units, line.unpriced_units);
            cost += i128::from(line.cost.unwrap_or_default().get());
            charge += i128::from(line.charge.unwrap_or_default().get());
            let time = line.worker.unwrap_or_default();
            worker_busy += i128::from(time.prefill_busy_us) + i128::from(time.decode_busy_us);
        }
        self.differ("stored cost", &place, cost, stored.cost_nanousd);
        self.differ("stored charge", &place, charge, stored.charge_nanousd);
        self.differ("stored unpriced mark", &place, entry.is_unpriced(), stored.unpriced);
        let cell = self.cells.entry(key_of(entry)).or_default();
        let settles = entry.corrects.map(|correction| i128::from(correction.settles));
        if settles.is_none() {
            cell.attempts += 1;
            cell.requests += i128::from(admission.id.attempt == 0);
        }
        for line in &entry.lines {
            for (sum, bucket) in cell.buckets.iter_mut().zip(Bucket::ALL) {
                *sum += i128::from(line.usage.bucket(bucket));
            }
            cell.reasoning += i128::from(line.usage.reasoning);
        }
        cell.cost += cost;
        cell.charge += charge;
        cell.unpriced += settles.map_or(i128::from(entry.is_unpriced()), |settles| -settles);
        let is_exact = matches!(entry.usage_source, UsageSource::ProviderFinal | UsageSource::NotBilled);
        cell.estimated += i128::from(settles.is_none() && !is_exact);
        cell.worker_busy += worker_busy;
        *self.statements.entry((admission.customer_id, Month::of(admission.admitted_at_us))).or_default() += charge;
        if entry.corrects.is_none() {
            self.charged_once(admission.id, charge);
        }
        self.request.push(entry.clone());
    }

    /// What queries read beside the entry is what the entry says.
    fn columns(&mut self, stored: &StoredEntry, place: &str) {
        let expected = EntryColumns::of(&stored.entry);
        let found = &stored.columns;
        self.differ("stored request_id", place, expected.request_id, found.request_id);
        self.differ("stored attempt", place, expected.attempt, found.attempt);
        self.differ("stored customer_id", place, expected.customer_id, found.customer_id);
        self.differ("stored key_id", place, expected.key_id, found.key_id);
        self.differ("stored model", place, &expected.model, &found.model);
        self.differ("stored target", place, &expected.target, &found.target);
        self.differ("stored outcome", place, &expected.outcome, &found.outcome);
        self.differ("stored usage_source", place, &expected.usage_source, &found.usage_source);
        self.differ("stored admitted_at_us", place, expected.admitted_at_us, found.admitted_at_us);
    }

    /// Entries come sorted, so that a request's attempts follow each other. Each attempt is there once, by its key; of them
    /// one may be charged.
    fn charged_once(&mut self, id: AttemptId, charge: i128) {
        if charge == 0 {
            return;
        }
        if self.charged == Some(id.request_id) {
            self.doubled += 1;
            self.differ("charged attempts", &id.request_id.to_string(), 1, "more");
        }
        self.charged = Some(id.request_id);
    }

    /// Reads a file, if it is one that these books have sealed.
    async fn archive(
        &mut self,
        path: &Path,
        unread: &mut Vec<ArchiveRow>,
        versions: &Versions,
    ) -> Result<(), StatementError> {
        let place = path.display().to_string();
        let (entries, sha256) = digest(path).await?;
        let Some(at) = unread.iter().position(|archive| archive.sha256 == sha256) else {
            self.differ("archive", &place, "a file that these books have sealed", format!("sha256 {sha256}"));
            return Ok(());
        };
        let archive = unread.remove(at);
        self.differ("entries of an archive", &place, archive.entries, entries);
        self.charged = None;
        let mut file = EntryFile::open(path).await?;
        loop {
            let page = file.next_page(FILE_PAGE).await?;
            if page.is_empty() {
                return Ok(());
            }
            for filed in &page {
                self.entry(&filed.stored, versions);
            }
        }
    }

    /// Whether a file that was not given has entries of these hours.
    fn is_unread(&self, from_us: i64, to_us: i64) -> bool {
        self.unread_hours.iter().any(|(first, last)| *first < to_us && from_us <= *last)
    }

    /// Each boot: each attempt has one end, each end is in the books.
    async fn boots(&mut self, store: &Store) -> Result<Accounts, StatementError> {
        let boots = store.boots().await?;
        let counted = store.entries_by_boot().await?;
        let counted: HashMap<(String, BootId), u64> =
            counted.into_iter().map(|(replica, boot_id, entries)| ((replica, boot_id), entries)).collect();
        let (mut lost, mut missing_records) = (0, 0);
        for boot in &boots {
            let place = format!("{} {}", boot.replica, boot.boot_id);
            lost += boot.gap();
            missing_records += boot.missing;
            self.differ("attempts without one end", &place, 0, boot.unaccounted());
            self.differ("ends that are not in the books", &place, 0, boot.unbooked());
            let standing = counted.get(&(boot.replica.clone(), boot.boot_id)).copied().unwrap_or(0);
            self.differ("entries of a boot", &place, boot.entries, standing + boot.archived);
        }
        Ok(Accounts { boots: count(boots.len()), lost, missing_records })
    }

    /// What lies there is in no sum: its customer is not billed for it.
    async fn dead_letters(&mut self, store: &Store) -> Result<u64, StatementError> {
        let letters = store.dead_letters().await?;
        for letter in &letters {
            let place = letter.entry.admission.id.to_string();
            self.differ("entry", &place, "in the books", format!("a dead letter: {}", letter.reason));
        }
        Ok(count(letters.len()))
    }

    fn rollups(&mut self, stored: &BTreeMap<RollupKey, Sums>) {
        let expected = std::mem::take(&mut self.cells);
        for key in stored.keys().filter(|key| !expected.contains_key(*key)) {
            if self.is_unread(key.hour_us, key.hour_us + HOUR_US) {
                self.unchecked += 1;
            } else {
                self.differ("rollup", &place_of(key), "none", "a cell without entries");
            }
        }
        for (key, cell) in &expected {
            if self.is_unread(key.hour_us, key.hour_us + HOUR_US) {
                self.unchecked += 1;
                continue;
            }
            let place = place_of(key);
            let Some(sums) = stored.get(key) else {
                self.differ("rollup", &place, "a cell", "none");
                continue;
            };
            self.differ("rollup attempts", &place, cell.attempts, sums.attempts);
            self.differ("rollup requests", &place, cell.requests, sums.requests);
            for (sum, bucket) in cell.buckets.into_iter().zip(Bucket::ALL) {
                self.differ(&format!("rollup {}", bucket.name()), &place, sum, sums.usage.bucket(bucket));
            }
            self.differ("rollup reasoning", &place, cell.reasoning, sums.usage.reasoning);
            self.differ("rollup estimated", &place, cell.estimated, sums.estimated);
            self.differ("rollup cost", &place, cell.cost, sums.cost.get());
            self.differ("rollup charge", &place, cell.charge, sums.charge.get());
            self.differ("rollup unpriced", &place, cell.unpriced, sums.unpriced);
            self.differ("rollup worker_busy_us", &place, cell.worker_busy, sums.worker_busy_us);
        }
    }

    async fn statements(&mut self, store: &Store) -> Result<(), StatementError> {
        let expected: Vec<_> = self.statements.iter().map(|(key, charge)| (*key, *charge)).collect();
        for ((customer_id, month), charge) in expected {
            let (from_us, to_us) = month.bounds_us();
            if self.is_unread(from_us, to_us) {
                self.unchecked += 1;
                continue;
            }
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
        model: admission.model.as_str().into(),
        target: admission.target.as_str().into(),
    }
}

fn place_of(key: &RollupKey) -> String {
    format!("hour {} {} {} {} {}", key.hour_us, key.customer_id, key.key_id, key.model, key.target)
}

fn shown(amount: Option<NanoUsd>) -> String {
    amount.map_or_else(|| "unpriced".to_owned(), |amount| amount.to_string())
}
