//! Boots and their tallies in SQLite.

use sqlx::{Row, Sqlite, Transaction, sqlite::SqliteRow};
use tollgate_core::id::BootId;

use super::{SqliteStore, row};
use crate::store::{
    StoreError,
    boots::{BootRow, Position, Tally, days_of},
    column,
    entries::{PostBatch, Stage},
};

const CURSOR: &str = "
select sequence
from cursors
where replica = ?
  and boot_id = ?";
/// Changes nothing, so that there is something to commit.
const TOUCH: &str = "
update cursors
set sequence = sequence
where replica = ?
  and boot_id = ?
returning sequence";
const POSITION: &str = "
select sequence, closed
from cursors
where replica = ?
  and boot_id = ?";
const SEALED: &str = "
select day
from archives
where day = ?
limit 1";
const SEALED_ORPHAN: &str = "
select 1 as one
from sealed_orphans
where request_id = ?
  and attempt = ?";
/// A closed boot is protected as a whole.
const FORGET_ORPHANS: &str = "
delete from sealed_orphans
where replica = ?
  and boot_id = ?";
const ADVANCE: &str = "
insert into cursors (
  replica, boot_id, sequence, closed, counted_from, opened, ended, voided, resolved, again, entries, buried, archived,
  missing
)
values (?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, 0, ?)
on conflict (replica, boot_id) do update set
  sequence = max(sequence, excluded.sequence),
  closed = max(closed, excluded.closed),
  opened = opened + excluded.opened,
  ended = ended + excluded.ended,
  voided = voided + excluded.voided,
  resolved = resolved + excluded.resolved,
  again = again + excluded.again,
  entries = entries + excluded.entries,
  buried = buried + excluded.buried,
  missing = max(missing, excluded.missing)";
const REVIVED: &str = "
update cursors
set entries = entries + ?, buried = buried - 1
where replica = ?
  and boot_id = ?";
const ONE: &str = "
select
  replica, boot_id, sequence, closed, counted_from, opened, ended, voided, resolved, again, entries, buried, archived,
  missing
from cursors
where replica = ?
  and boot_id = ?";
const LIST: &str = "
select
  replica, boot_id, sequence, closed, counted_from, opened, ended, voided, resolved, again, entries, buried, archived,
  missing
from cursors
order by replica, boot_id";
const GAP: &str = "
select coalesce(sum(
  case
    when not closed or counted_from > 0 then missing
    when missing = 0 then abs(opened - ends)
    else max(0, missing - max(0, ends - opened))
  end
  + abs(ends - voided - entries - buried)
), 0) as gap
from (
  select *, ended - again + voided + resolved as ends
  from cursors
) as boot";
const ENTRIES: &str = "
select replica, boot_id, count(*) as entries
from entries
group by replica, boot_id
order by replica, boot_id";

pub(super) const STATEMENTS: &[&str] =
    &[CURSOR, TOUCH, POSITION, SEALED, SEALED_ORPHAN, FORGET_ORPHANS, ADVANCE, REVIVED, ONE, LIST, GAP, ENTRIES];

/// Where a boot stands before this transaction.
pub(super) async fn position(tx: &mut Transaction<'_, Sqlite>, batch: &PostBatch) -> Result<Position, StoreError> {
    let found = sqlx::query(POSITION)
        .bind(&batch.replica)
        .bind(batch.boot_id.bytes().as_slice())
        .fetch_optional(&mut **tx)
        .await?;
    let mut position = Position::default();
    if let Some(found) = found {
        position.counted_through = row::count(&found, "sequence")?;
        position.closed = found.try_get("closed")?;
    }
    position.must_be_at(batch)?;
    for day in days_of(batch) {
        if sqlx::query(SEALED).bind(day).fetch_optional(&mut **tx).await?.is_some() {
            position.sealed_days.insert(day);
        }
    }
    for id in position.on_sealed_days(batch) {
        let query = sqlx::query(SEALED_ORPHAN).bind(id.request_id.bytes().as_slice()).bind(i64::from(id.attempt));
        if query.fetch_optional(&mut **tx).await?.is_some() {
            position.sealed_orphans.insert(id);
        }
    }
    Ok(position)
}

/// Moves the cursor, never back, and adds to the tallies.
pub(super) async fn advance(
    tx: &mut Transaction<'_, Sqlite>,
    batch: &PostBatch,
    tally: &Tally,
) -> Result<(), StoreError> {
    let mut query = sqlx::query(ADVANCE)
        .bind(&batch.replica)
        .bind(batch.boot_id.bytes().as_slice())
        .bind(column(batch.through_sequence)?)
        .bind(batch.stage == Stage::Closing);
    for count in [
        tally.opened,
        tally.ended,
        tally.voided,
        tally.resolved,
        tally.again,
        tally.entries,
        tally.buried,
        batch.missing,
    ] {
        query = query.bind(column(count)?);
    }
    query.execute(&mut **tx).await?;
    if batch.stage == Stage::Closing {
        let query = sqlx::query(FORGET_ORPHANS).bind(&batch.replica).bind(batch.boot_id.bytes().as_slice());
        query.execute(&mut **tx).await?;
    }
    Ok(())
}

/// A dead letter of a boot became an entry, or was one already.
pub(super) async fn revived(
    tx: &mut Transaction<'_, Sqlite>,
    replica: &str,
    boot_id: BootId,
    inserted: bool,
) -> Result<(), StoreError> {
    sqlx::query(REVIVED).bind(inserted).bind(replica).bind(boot_id.bytes().as_slice()).execute(&mut **tx).await?;
    Ok(())
}

impl SqliteStore {
    pub(in crate::store) async fn cursor(&self, replica: &str, boot_id: BootId) -> Result<u64, StoreError> {
        let found =
            sqlx::query(CURSOR).bind(replica).bind(boot_id.bytes().as_slice()).fetch_optional(&self.readers).await?;
        found.map_or(Ok(0), |from| row::count(&from, "sequence"))
    }

    /// A commit that is synced takes all before it along.
    pub(in crate::store) async fn cursor_on_disk(&self, replica: &str, boot_id: BootId) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let query = sqlx::query(TOUCH).bind(replica).bind(boot_id.bytes().as_slice());
        let found = query.fetch_optional(&mut *tx).await?;
        let through = found.map_or(Ok(0), |from| row::count(&from, "sequence"))?;
        tx.commit().await?;
        Ok(through)
    }

    pub(in crate::store) async fn boot(&self, replica: &str, boot_id: BootId) -> Result<Option<BootRow>, StoreError> {
        let found =
            sqlx::query(ONE).bind(replica).bind(boot_id.bytes().as_slice()).fetch_optional(&self.readers).await?;
        found.as_ref().map(read).transpose()
    }

    pub(in crate::store) async fn boots(&self) -> Result<Vec<BootRow>, StoreError> {
        sqlx::query(LIST).fetch_all(&self.readers).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn usage_gap(&self) -> Result<u64, StoreError> {
        row::count(&sqlx::query(GAP).fetch_one(&self.readers).await?, "gap")
    }

    pub(in crate::store) async fn entries_by_boot(&self) -> Result<Vec<(String, BootId, u64)>, StoreError> {
        let rows = sqlx::query(ENTRIES).fetch_all(&self.readers).await?;
        let read = |from: &SqliteRow| {
            let boot_id = BootId::from_bytes(row::id(from, "boot_id")?);
            Ok((from.try_get("replica")?, boot_id, row::count(from, "entries")?))
        };
        rows.iter().map(read).collect()
    }
}

fn read(from: &SqliteRow) -> Result<BootRow, StoreError> {
    Ok(BootRow {
        replica: from.try_get("replica")?,
        boot_id: BootId::from_bytes(row::id(from, "boot_id")?),
        sequence: row::count(from, "sequence")?,
        closed: from.try_get("closed")?,
        counted_from: row::count(from, "counted_from")?,
        opened: row::count(from, "opened")?,
        ended: row::count(from, "ended")?,
        voided: row::count(from, "voided")?,
        resolved: row::count(from, "resolved")?,
        again: row::count(from, "again")?,
        entries: row::count(from, "entries")?,
        buried: row::count(from, "buried")?,
        archived: row::count(from, "archived")?,
        missing: row::count(from, "missing")?,
    })
}
