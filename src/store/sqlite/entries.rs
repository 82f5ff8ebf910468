//! Entries and the posting transaction in SQLite.

use std::{collections::BTreeMap, sync::Arc};

use sqlx::{
    Arguments, AssertSqlSafe, Row, Sqlite, Transaction,
    error::DatabaseError,
    sqlite::{SqliteArguments, SqliteRow},
};
use tollgate_core::{
    entry::Entry,
    entry_row::EntryRow,
    id::{AttemptId, BootId, CustomerId, KeyId, RequestId},
    record::decode_entry,
};

use super::{SqliteStore, boots, rollups::add_cells, row};
use crate::store::{
    StoreError,
    boots::Tally,
    column,
    entries::{EntryColumns, PostBatch, Posted, Stage, StoredEntry},
    rollups::{RollupKey, Sums, cell_of},
};

const INTO: &str = " into entries (
  request_id, attempt, replica, boot_id, sequence, customer_id, key_id, model, target, outcome, usage_source,
  admitted_at_us, cost_nanousd, charge_nanousd, unpriced, body
)
select
  substr(column1, 1, 16), column2, ?, ?, column3, substr(column1, 17, 16), substr(column1, 33, 16), column4, column5,
  column6, column7, column8, column9, column10, column11, substr(column1, 49)
from (values ";
/// What is bytes comes as one value ([`packed`]) and is taken apart by the engine (ADR 0021): each value costs three allocations and
/// two copies on its way there.
const ROW: &str = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
/// As many are bound for a row, and so many before them for all rows.
const VALUES_OF_ROW: usize = 11;
const VALUES_OF_ALL: usize = 2;
const END_OF_ROWS: &str = ")";
/// With a condition, as otherwise the conflict would be one of a join.
const UNLESS_THERE: &str = "
where true
on conflict (request_id, attempt) do nothing";
/// The engine need not be able to undo a part of the statement: when it fails, the transaction is given up.
const INSERT: &str = "
insert or fail";
/// Rows that go into one statement: it is a statement, not a row, that is handed to the engine's thread and waited for.
const ROWS_AT_ONCE: [usize; 5] = [512, 128, 32, 8, 1];
const OF_REQUEST: &str = "
select
  request_id, attempt, customer_id, key_id, model, target, outcome, usage_source, admitted_at_us, cost_nanousd,
  charge_nanousd, unpriced, body
from entries
where request_id = ?
order by attempt";
const PAGE: &str = "
select
  request_id, attempt, customer_id, key_id, model, target, outcome, usage_source, admitted_at_us, cost_nanousd,
  charge_nanousd, unpriced, body
from entries
where (request_id, attempt) > (?, ?)
order by request_id, attempt
limit ?";
const COUNT: &str = "
select count(*) as entries
from entries";

pub(super) const STATEMENTS: &[&str] = &[OF_REQUEST, PAGE, COUNT];

/// The statements that are made as they are needed.
pub(super) fn made_statements() -> Vec<String> {
    ROWS_AT_ONCE.map(insert_all_of).into_iter().chain([insert_unless_there()]).collect()
}

/// Inserts so many entries, or fails.
fn insert_all_of(rows: usize) -> String {
    [INSERT, INTO, &vec![ROW; rows].join(", "), END_OF_ROWS].concat()
}

fn insert_unless_there() -> String {
    [INSERT, INTO, ROW, END_OF_ROWS, UNLESS_THERE].concat()
}

impl SqliteStore {
    pub(in crate::store) async fn post(&self, batch: &PostBatch) -> Result<Posted, StoreError> {
        let mut tx = self.begin_post(batch).await?;
        let mut position = boots::position(&mut tx, batch).await?;
        let new = match insert_together(&mut tx, batch, &position.unsealed(batch)).await? {
            Some(new) => new,
            None => {
                // Some were there, and which ones is not told: again from the beginning, one by one.
                tx.rollback().await?;
                tx = self.begin_post(batch).await?;
                position = boots::position(&mut tx, batch).await?;
                insert_one_by_one(&mut tx, batch, &position.unsealed(batch)).await?
            }
        };
        let mut inserted = 0;
        let mut cells: BTreeMap<RollupKey, Sums> = BTreeMap::new();
        for entry in new {
            inserted += 1;
            cells.entry(cell_of(entry)).or_default().add(entry)?;
        }
        add_cells(&mut tx, &cells).await?;
        let tally = Tally::of(batch, position.counted_through).settled(batch, inserted, 0);
        boots::advance(&mut tx, batch, &tally).await?;
        tx.commit().await?;
        Ok(Posted::of(batch, inserted))
    }

    async fn begin_post(&self, batch: &PostBatch) -> Result<Transaction<'_, Sqlite>, StoreError> {
        if batch.stage == Stage::Reading { self.begin_unsynced().await } else { self.begin().await }
    }

    pub(in crate::store) async fn entries_of_request(&self, request_id: RequestId) -> Result<Vec<Entry>, StoreError> {
        let rows = sqlx::query(OF_REQUEST).bind(request_id.bytes().as_slice()).fetch_all(&self.readers).await?;
        rows.iter().map(|from| Ok(read(from)?.entry)).collect()
    }

    pub(in crate::store) async fn entries_after(
        &self,
        after: Option<AttemptId>,
        rows_max: u32,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        let (request_id, attempt) =
            after.map_or(([0; 16], -1), |after| (*after.request_id.bytes(), i64::from(after.attempt)));
        let rows =
            sqlx::query(PAGE).bind(request_id.as_slice()).bind(attempt).bind(rows_max).fetch_all(&self.readers).await?;
        rows.iter().map(read).collect()
    }

    pub(in crate::store) async fn entry_count(&self) -> Result<u64, StoreError> {
        row::count(&sqlx::query(COUNT).fetch_one(&self.readers).await?, "entries")
    }
}

/// Inserts entries, many in a statement, and gives them; none when some were there: then the transaction is of no more use.
async fn insert_together<'a>(
    tx: &mut Transaction<'_, Sqlite>,
    batch: &PostBatch,
    entries: &[&'a (u64, Box<EntryRow>)],
) -> Result<Option<Vec<&'a EntryRow>>, StoreError> {
    let rows: Vec<_> = entries.iter().map(|(sequence, entry)| (*sequence, entry.as_ref())).collect();
    let mut left = rows.as_slice();
    for rows_at_once in ROWS_AT_ONCE {
        while let Some((now, rest)) = left.split_at_checked(rows_at_once) {
            match execute(tx, insert_all_of(now.len()), &batch.replica, batch.boot_id, now).await {
                Err(StoreError::Engine(error)) if is_there(&error) => return Ok(None),
                inserted => must_be_all(inserted?, now.len())?,
            }
            left = rest;
        }
    }
    Ok(Some(rows.into_iter().map(|(_, entry)| entry).collect()))
}

/// Inserts entries and gives those that were not there.
async fn insert_one_by_one<'a>(
    tx: &mut Transaction<'_, Sqlite>,
    batch: &PostBatch,
    entries: &[&'a (u64, Box<EntryRow>)],
) -> Result<Vec<&'a EntryRow>, StoreError> {
    let mut new = Vec::new();
    for (sequence, entry) in entries {
        if insert(tx, &batch.replica, batch.boot_id, *sequence, entry).await? {
            new.push(entry.as_ref());
        }
    }
    Ok(new)
}

/// Inserts an entry; false when it is there already.
pub(super) async fn insert(
    tx: &mut Transaction<'_, Sqlite>,
    replica: &str,
    boot_id: BootId,
    sequence: u64,
    entry: &EntryRow,
) -> Result<bool, StoreError> {
    Ok(execute(tx, insert_unless_there(), replica, boot_id, &[(sequence, entry)]).await? > 0)
}

/// What is counted is counted of the batch, so nothing of it may be left out, whatever the statement says.
fn must_be_all(inserted: u64, entries: usize) -> Result<(), StoreError> {
    if u64::try_from(entries) == Ok(inserted) {
        return Ok(());
    }
    Err(StoreError::Engine(sqlx::Error::Protocol(format!("of {entries} entries the engine inserted {inserted}"))))
}

fn is_there(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(DatabaseError::is_unique_violation)
}

/// A column's text of the row before, which most often is that of the next row, too: bound again without a copy.
struct Repeated(Option<Arc<str>>);

impl Repeated {
    fn shared(&mut self, text: &str) -> Arc<str> {
        match &self.0 {
            Some(before) if **before == *text => Arc::clone(before),
            _ => Arc::clone(self.0.insert(text.into())),
        }
    }
}

/// Inserts entries by a statement that has as many rows, and says how many it inserted.
async fn execute(
    tx: &mut Transaction<'_, Sqlite>,
    statement: String,
    replica: &str,
    boot_id: BootId,
    entries: &[(u64, &EntryRow)],
) -> Result<u64, StoreError> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(VALUES_OF_ALL + entries.len() * VALUES_OF_ROW, 0);
    let query = sqlx::query_with(AssertSqlSafe(statement), arguments);
    let mut query = query.bind(replica).bind(boot_id.bytes().as_slice());
    let [mut outcomes, mut sources] = [const { Repeated(None) }; 2];
    for (sequence, entry) in entries {
        let totals = entry.totals.ok_or(StoreError::TooLarge)?;
        query = query
            .bind(packed(entry))
            .bind(i64::from(entry.id.attempt))
            .bind(column(*sequence)?)
            .bind(Arc::clone(&entry.model))
            .bind(Arc::clone(&entry.target))
            .bind(outcomes.shared(entry.outcome.name()))
            .bind(sources.shared(entry.usage_source.name()))
            .bind(entry.admitted_at_us)
            .bind(totals.cost.get())
            .bind(totals.charge.get())
            .bind(entry.is_unpriced);
    }
    Ok(query.execute(&mut **tx).await?.rows_affected())
}

/// Ids of request, customer and key, of sixteen bytes each, and the body.
fn packed(entry: &EntryRow) -> Vec<u8> {
    let [request, customer, key] = [entry.id.request_id.bytes(), entry.customer_id.bytes(), entry.key_id.bytes()];
    [request, customer, key, entry.body.as_slice()].concat()
}

fn read(from: &SqliteRow) -> Result<StoredEntry, StoreError> {
    let body: Vec<u8> = from.try_get("body")?;
    Ok(StoredEntry {
        entry: decode_entry(&body).map_err(|_| StoreError::Damaged("entry"))?,
        columns: EntryColumns {
            request_id: RequestId::from_bytes(row::id(from, "request_id")?),
            attempt: from.try_get("attempt")?,
            customer_id: CustomerId::from_bytes(row::id(from, "customer_id")?),
            key_id: KeyId::from_bytes(row::id(from, "key_id")?),
            model: from.try_get("model")?,
            target: from.try_get("target")?,
            outcome: from.try_get("outcome")?,
            usage_source: from.try_get("usage_source")?,
            admitted_at_us: from.try_get("admitted_at_us")?,
        },
        cost_nanousd: from.try_get("cost_nanousd")?,
        charge_nanousd: from.try_get("charge_nanousd")?,
        unpriced: from.try_get("unpriced")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_that_leaves_something_out_is_an_error_that_is_no_conflict() {
        assert!(must_be_all(512, 512).is_ok());
        for inserted in [0, 511, 513] {
            let Err(StoreError::Engine(error)) = must_be_all(inserted, 512) else { panic!("{inserted}") };
            assert!(!is_there(&error), "{error}");
        }
    }
}
