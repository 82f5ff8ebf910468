//! Entries and the posting transaction in SQLite.

use std::collections::BTreeMap;

use sqlx::{Row, Sqlite, Transaction, sqlite::SqliteRow};
use tollgate_core::{
    entry::Entry,
    id::{AttemptId, BootId, CustomerId, KeyId, RequestId},
    record::{decode_entry, encode_entry},
};

use super::{SqliteStore, boots, rollups::add_cells, row};
use crate::store::{
    StoreError,
    boots::Tally,
    column,
    entries::{EntryColumns, PostBatch, Posted, StoredEntry},
    rollups::{RollupKey, Sums, cell_of},
};

const INSERT: &str = "
insert into entries (
  request_id, attempt, replica, boot_id, sequence, customer_id, key_id, model, target, outcome, usage_source,
  admitted_at_us, cost_nanousd, charge_nanousd, unpriced, body
)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (request_id, attempt) do nothing";
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

pub(super) const STATEMENTS: &[&str] = &[INSERT, OF_REQUEST, PAGE, COUNT];

impl SqliteStore {
    pub(in crate::store) async fn post(&self, batch: &PostBatch) -> Result<Posted, StoreError> {
        let mut tx = self.begin().await?;
        let position = boots::position(&mut tx, batch).await?;
        let mut inserted = 0;
        let mut cells: BTreeMap<RollupKey, Sums> = BTreeMap::new();
        for (sequence, entry) in position.unsealed(batch) {
            if insert(&mut tx, &batch.replica, batch.boot_id, *sequence, entry).await? {
                inserted += 1;
                cells.entry(cell_of(entry)).or_default().add(entry)?;
            }
        }
        add_cells(&mut tx, &cells).await?;
        let tally = Tally::of(batch, position.counted_through).settled(batch, inserted, 0);
        boots::advance(&mut tx, batch, &tally).await?;
        tx.commit().await?;
        Ok(Posted::of(batch, inserted))
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

/// Inserts an entry; false when it is there already.
pub(super) async fn insert(
    tx: &mut Transaction<'_, Sqlite>,
    replica: &str,
    boot_id: BootId,
    sequence: u64,
    entry: &Entry,
) -> Result<bool, StoreError> {
    let admission = &entry.admission;
    let mut sums = Sums::default();
    sums.add(entry)?;
    let done = sqlx::query(INSERT)
        .bind(admission.id.request_id.bytes().as_slice())
        .bind(i64::from(admission.id.attempt))
        .bind(replica)
        .bind(boot_id.bytes().as_slice())
        .bind(column(sequence)?)
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
