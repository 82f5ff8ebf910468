//! Entries and the posting transaction: entries, rollups of those really inserted, and the cursor, all or nothing.

use std::collections::BTreeMap;

use sqlx::{Row, Sqlite, Transaction, sqlite::SqliteRow};
use tollgate_core::{
    entry::Entry,
    id::{AttemptId, BootId, RequestId},
    record::{decode_entry, encode_entry},
};

use super::{
    rollups::{RollupKey, Sums, add_cells, cell_of},
    row,
};
use crate::store::{Store, StoreError};

/// Entries of one boot's journal, in its order.
#[derive(Clone, Debug)]
pub struct PostBatch {
    /// Whose journal.
    pub replica: String,
    /// Which boot's.
    pub boot_id: BootId,
    /// The journal is read through this sequence.
    pub through_sequence: u64,
    /// Entries and their sequences.
    pub entries: Vec<(u64, Entry)>,
}

/// What a batch came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Posted {
    /// Entries that are new.
    pub inserted: u64,
    /// Entries that had been posted before.
    pub already_there: u64,
}

/// An entry and the columns that were stored beside it.
#[derive(Clone, Debug)]
pub struct StoredEntry {
    /// The entry.
    pub entry: Entry,
    /// Sum of costs as stored.
    pub cost_nanousd: i64,
    /// Sum of charges as stored.
    pub charge_nanousd: i64,
    /// Whether it is unpriced, as stored.
    pub unpriced: bool,
}

const INSERT: &str = "
insert into entries (
  request_id, attempt, replica, boot_id, sequence, customer_id, key_id, model, target, outcome, usage_source,
  admitted_at_us, cost_nanousd, charge_nanousd, unpriced, body
)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (request_id, attempt) do nothing";
const SET_CURSOR: &str = "
insert into cursors (replica, boot_id, sequence, closed)
values (?, ?, ?, ?)
on conflict (replica, boot_id) do update set
  sequence = max(sequence, excluded.sequence),
  closed = max(closed, excluded.closed)";
const CURSOR: &str = "
select sequence
from cursors
where replica = ?
  and boot_id = ?";
const OF_REQUEST: &str = "
select cost_nanousd, charge_nanousd, unpriced, body
from entries
where request_id = ?
order by attempt";
const PAGE: &str = "
select cost_nanousd, charge_nanousd, unpriced, body
from entries
where (request_id, attempt) > (?, ?)
order by request_id, attempt
limit ?";
const COUNT: &str = "
select count(*) as entries
from entries";

pub(in crate::store) const STATEMENTS: &[&str] = &[INSERT, SET_CURSOR, CURSOR, OF_REQUEST, PAGE, COUNT];

impl Store {
    /// Posts a batch in one transaction. Posting it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of it was posted.
    pub async fn post(&self, batch: &PostBatch) -> Result<Posted, StoreError> {
        let mut tx = self.writer.begin().await?;
        let mut posted = Posted::default();
        let mut cells: BTreeMap<RollupKey, Sums> = BTreeMap::new();
        for (sequence, entry) in &batch.entries {
            if insert(&mut tx, batch, *sequence, entry).await? {
                posted.inserted += 1;
                cells.entry(cell_of(entry)).or_default().add(entry)?;
            } else {
                posted.already_there += 1;
            }
        }
        add_cells(&mut tx, &cells).await?;
        set_cursor(&mut tx, batch, false).await?;
        tx.commit().await?;
        Ok(posted)
    }

    /// Marks a boot's journal as posted to its end.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close_boot(&self, replica: &str, boot_id: BootId, through_sequence: u64) -> Result<(), StoreError> {
        let batch = PostBatch { replica: replica.to_owned(), boot_id, through_sequence, entries: Vec::new() };
        let mut tx = self.writer.begin().await?;
        set_cursor(&mut tx, &batch, true).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Through which sequence a boot's journal has been posted; 0 when none of it has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn cursor(&self, replica: &str, boot_id: BootId) -> Result<u64, StoreError> {
        let found =
            sqlx::query(CURSOR).bind(replica).bind(boot_id.bytes().as_slice()).fetch_optional(&self.readers).await?;
        found.map_or(Ok(0), |from| row::count(&from, "sequence"))
    }

    /// The attempts of a request, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn entries_of_request(&self, request_id: RequestId) -> Result<Vec<Entry>, StoreError> {
        let rows = sqlx::query(OF_REQUEST).bind(request_id.bytes().as_slice()).fetch_all(&self.readers).await?;
        rows.iter().map(|from| Ok(read(from)?.entry)).collect()
    }

    /// Entries behind one, in id order, at most so many: pages for the audit.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn entries_after(&self, after: Option<AttemptId>, rows_max: u32) -> Result<Vec<StoredEntry>, StoreError> {
        let (request_id, attempt) =
            after.map_or(([0; 16], -1), |after| (*after.request_id.bytes(), i64::from(after.attempt)));
        let rows =
            sqlx::query(PAGE).bind(request_id.as_slice()).bind(attempt).bind(rows_max).fetch_all(&self.readers).await?;
        rows.iter().map(read).collect()
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn entry_count(&self) -> Result<u64, StoreError> {
        row::count(&sqlx::query(COUNT).fetch_one(&self.readers).await?, "entries")
    }
}

async fn insert(
    tx: &mut Transaction<'_, Sqlite>,
    batch: &PostBatch,
    sequence: u64,
    entry: &Entry,
) -> Result<bool, StoreError> {
    let admission = &entry.admission;
    let mut sums = Sums::default();
    sums.add(entry)?;
    let done = sqlx::query(INSERT)
        .bind(admission.id.request_id.bytes().as_slice())
        .bind(i64::from(admission.id.attempt))
        .bind(&batch.replica)
        .bind(batch.boot_id.bytes().as_slice())
        .bind(row::column(sequence)?)
        .bind(admission.customer_id.bytes().as_slice())
        .bind(admission.key_id.bytes().as_slice())
        .bind(&admission.model)
        .bind(&admission.target)
        .bind(entry.outcome.name())
        .bind(entry.usage_source.name())
        .bind(admission.admitted_at_us)
        .bind(sums.cost.get())
        .bind(sums.charge.get())
        .bind(entry.is_unpriced())
        .bind(encode_entry(entry))
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() > 0)
}

async fn set_cursor(tx: &mut Transaction<'_, Sqlite>, batch: &PostBatch, closed: bool) -> Result<(), StoreError> {
    sqlx::query(SET_CURSOR)
        .bind(&batch.replica)
        .bind(batch.boot_id.bytes().as_slice())
        .bind(row::column(batch.through_sequence)?)
        .bind(closed)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn read(from: &SqliteRow) -> Result<StoredEntry, StoreError> {
    let body: Vec<u8> = from.try_get("body")?;
    Ok(StoredEntry {
        entry: decode_entry(&body).map_err(|_| StoreError::Damaged("entry"))?,
        cost_nanousd: from.try_get("cost_nanousd")?,
        charge_nanousd: from.try_get("charge_nanousd")?,
        unpriced: from.try_get("unpriced")?,
    })
}
