//! Dead letters in SQLite.

use std::collections::BTreeMap;

use sqlx::{Row, sqlite::SqliteRow};
use tollgate_core::{
    entry_row::EntryRow,
    id::{AttemptId, BootId},
    record::{decode_entry, encode_entry},
};

use super::{SqliteStore, boots, entries, rollups::add_cells, row};
use crate::store::{
    StoreError,
    boots::Tally,
    column,
    dead_letters::DeadLetter,
    entries::PostBatch,
    rollups::{Sums, cell_of},
};

/// Not what stands in the books already.
const BURY: &str = "
insert into dead_letters (request_id, attempt, replica, boot_id, sequence, reason, body, buried_at_us)
select ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
where not exists (
  select 1
  from entries
  where request_id = ?1
    and attempt = ?2
)
on conflict (request_id, attempt) do nothing";
const KEEP: &str = "
insert into dead_letters (request_id, attempt, replica, boot_id, sequence, reason, body, buried_at_us)
values (?, ?, ?, ?, ?, ?, ?, ?)
on conflict (request_id, attempt) do nothing";
const LIST: &str = "
select replica, boot_id, sequence, reason, body, buried_at_us
from dead_letters
order by request_id, attempt";
const PAGE: &str = "
select replica, boot_id, sequence, reason, body, buried_at_us
from dead_letters
where (request_id, attempt) > (?, ?)
order by request_id, attempt
limit ?";
const TAKE: &str = "
delete from dead_letters
where request_id = ?
  and attempt = ?
returning replica, boot_id, sequence, reason, body, buried_at_us";
const COUNT: &str = "
select count(*) as letters
from dead_letters";

pub(super) const STATEMENTS: &[&str] = &[BURY, KEEP, LIST, PAGE, TAKE, COUNT];

impl SqliteStore {
    pub(in crate::store) async fn bury(&self, batch: &PostBatch, reason: &str, now_us: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let position = boots::position(&mut tx, batch).await?;
        let mut buried = 0;
        for (sequence, entry) in position.unsealed(batch) {
            let id = entry.id;
            let done = sqlx::query(BURY)
                .bind(id.request_id.bytes().as_slice())
                .bind(i64::from(id.attempt))
                .bind(&batch.replica)
                .bind(batch.boot_id.bytes().as_slice())
                .bind(column(*sequence)?)
                .bind(reason)
                .bind(entry.body.as_slice())
                .bind(now_us)
                .execute(&mut *tx)
                .await?;
            buried += done.rows_affected();
        }
        let tally = Tally::of(batch, position.counted_through).settled(batch, 0, buried);
        boots::advance(&mut tx, batch, &tally).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(in crate::store) async fn keep_contradiction(&self, letter: &DeadLetter) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let id = letter.entry.admission.id;
        let query = sqlx::query(KEEP)
            .bind(id.request_id.bytes().as_slice())
            .bind(i64::from(id.attempt))
            .bind(&letter.replica)
            .bind(letter.boot_id.bytes().as_slice())
            .bind(column(letter.sequence)?)
            .bind(&letter.reason)
            .bind(encode_entry(&letter.entry))
            .bind(letter.buried_at_us);
        query.execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(in crate::store) async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        sqlx::query(LIST).fetch_all(&self.readers).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn dead_letters_after(
        &self,
        after: Option<AttemptId>,
        rows_max: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let (request_id, attempt) =
            after.map_or(([0; 16], -1), |after| (*after.request_id.bytes(), i64::from(after.attempt)));
        let query = sqlx::query(PAGE).bind(request_id.as_slice()).bind(attempt).bind(i64::from(rows_max));
        query.fetch_all(&self.readers).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn dead_letter_count(&self) -> Result<u64, StoreError> {
        row::count(&sqlx::query(COUNT).fetch_one(&self.readers).await?, "letters")
    }

    /// False when there is no such letter.
    pub(in crate::store) async fn revive(&self, id: AttemptId) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let query = sqlx::query(TAKE).bind(id.request_id.bytes().as_slice()).bind(i64::from(id.attempt));
        let Some(taken) = query.fetch_optional(&mut *tx).await? else { return Ok(false) };
        let letter = read(&taken)?;
        let entry = &EntryRow::of(&letter.entry);
        let inserted = entries::insert(&mut tx, &letter.replica, letter.boot_id, letter.sequence, entry).await?;
        if inserted {
            let mut sums = Sums::default();
            sums.add(entry)?;
            add_cells(&mut tx, &BTreeMap::from([(cell_of(entry), sums)])).await?;
        }
        boots::revived(&mut tx, &letter.replica, letter.boot_id, inserted).await?;
        tx.commit().await?;
        Ok(true)
    }
}

fn read(from: &SqliteRow) -> Result<DeadLetter, StoreError> {
    let body: Vec<u8> = from.try_get("body")?;
    Ok(DeadLetter {
        entry: decode_entry(&body).map_err(|_| StoreError::Damaged("dead letter"))?,
        replica: from.try_get("replica")?,
        boot_id: BootId::from_bytes(row::id(from, "boot_id")?),
        sequence: row::count(from, "sequence")?,
        reason: from.try_get("reason")?,
        buried_at_us: from.try_get("buried_at_us")?,
    })
}
