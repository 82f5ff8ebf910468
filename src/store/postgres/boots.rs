//! Boots and their tallies in Postgres.

use sqlx::{PgConnection, Row, postgres::PgRow, types::Uuid};
use tollgate_core::id::{AttemptId, BootId, RequestId};

use super::{PostgresStore, REPORT_MAX, row};
use crate::store::{
    StoreError,
    boots::{BootRow, Position, Tally, days_of},
    column,
    entries::{PostBatch, Stage},
};

const CURSOR: &str = "
select sequence
from cursors
where replica = $1
  and boot_id = $2";
/// Locks the boot's row until the end of the transaction: of two posters of one boot the second waits, and then sees
/// what the first has posted. Sealing a day locks the rows of the day's boots, too.
const LOCK: &str = "
insert into cursors as boot (replica, boot_id, sequence, closed)
values ($1, $2, 0, false)
on conflict (replica, boot_id) do update set sequence = boot.sequence
returning sequence, closed";
/// A statement of its own, behind the lock: the statement that waits for a lock sees what was there before it waited.
const SEALED: &str = "
select distinct day
from archives
where day = any($1)";
const SEALED_ORPHANS: &str = "
select orphan.request_id, orphan.attempt
from sealed_orphans orphan
join unnest($1::uuid[], $2::integer[]) as asked (request_id, attempt)
  on orphan.request_id = asked.request_id and orphan.attempt = asked.attempt";
/// A closed boot is protected as a whole.
const FORGET_ORPHANS: &str = "
delete from sealed_orphans
where replica = $1
  and boot_id = $2";
const ADVANCE: &str = "
update cursors
set
  sequence = greatest(sequence, $3),
  closed = closed or $4,
  opened = opened + $5,
  ended = ended + $6,
  voided = voided + $7,
  resolved = resolved + $8,
  again = again + $9,
  entries = entries + $10,
  buried = buried + $11,
  missing = greatest(missing, $12)
where replica = $1
  and boot_id = $2";
const REVIVED: &str = "
update cursors
set entries = entries + $1, buried = buried - 1
where replica = $2
  and boot_id = $3";
const ONE: &str = "
select
  replica, boot_id, sequence, closed, counted_from, opened, ended, voided, resolved, again, entries, buried, archived,
  missing
from cursors
where replica = $1
  and boot_id = $2";
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
    else greatest(0, missing - greatest(0, ends - opened))
  end
  + abs(ends - voided - entries - buried)
), 0)::bigint as gap
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
    &[CURSOR, LOCK, SEALED, SEALED_ORPHANS, FORGET_ORPHANS, ADVANCE, REVIVED, ONE, LIST, GAP, ENTRIES];

/// Where a boot stands before this transaction, which has it for itself from now on.
pub(super) async fn position(connection: &mut PgConnection, batch: &PostBatch) -> Result<Position, StoreError> {
    let found = lock(connection, &batch.replica, batch.boot_id).await?;
    let mut position = Position {
        counted_through: row::count(&found, "sequence")?,
        closed: found.try_get("closed")?,
        ..Position::default()
    };
    position.must_be_at(batch)?;
    let days: Vec<i32> = days_of(batch).into_iter().collect();
    for sealed in sqlx::query(SEALED).bind(days).fetch_all(&mut *connection).await? {
        position.sealed_days.insert(sealed.try_get("day")?);
    }
    let asked = position.on_sealed_days(batch);
    if !asked.is_empty() {
        let request_ids: Vec<Uuid> = asked.iter().map(|id| row::uuid(id.request_id.bytes())).collect();
        let attempts: Vec<i32> = asked.iter().map(|id| i32::from(id.attempt)).collect();
        let query = sqlx::query(SEALED_ORPHANS).bind(request_ids).bind(attempts);
        for orphan in query.fetch_all(connection).await? {
            let request_id = RequestId::from_bytes(row::id(&orphan, "request_id")?);
            let attempt: i32 = orphan.try_get("attempt")?;
            let attempt = u16::try_from(attempt).map_err(|_| StoreError::Damaged("attempt"))?;
            position.sealed_orphans.insert(AttemptId { request_id, attempt });
        }
    }
    Ok(position)
}

/// The boot's sequence and whether it is closed, under a lock that comes before all others.
pub(super) async fn lock(connection: &mut PgConnection, replica: &str, boot_id: BootId) -> Result<PgRow, StoreError> {
    Ok(sqlx::query(LOCK).bind(replica).bind(row::uuid(boot_id.bytes())).fetch_one(connection).await?)
}

/// Moves the cursor, never back, and adds to the tallies.
pub(super) async fn advance(connection: &mut PgConnection, batch: &PostBatch, tally: &Tally) -> Result<(), StoreError> {
    let mut query = sqlx::query(ADVANCE)
        .bind(&batch.replica)
        .bind(row::uuid(batch.boot_id.bytes()))
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
    query.execute(&mut *connection).await?;
    if batch.stage == Stage::Closing {
        let query = sqlx::query(FORGET_ORPHANS).bind(&batch.replica).bind(row::uuid(batch.boot_id.bytes()));
        query.execute(connection).await?;
    }
    Ok(())
}

/// A dead letter of a boot became an entry, or was one already.
pub(super) async fn revived(
    connection: &mut PgConnection,
    replica: &str,
    boot_id: BootId,
    inserted: bool,
) -> Result<(), StoreError> {
    sqlx::query(REVIVED)
        .bind(i64::from(inserted))
        .bind(replica)
        .bind(row::uuid(boot_id.bytes()))
        .execute(connection)
        .await?;
    Ok(())
}

impl PostgresStore {
    pub(in crate::store) async fn cursor(&self, replica: &str, boot_id: BootId) -> Result<u64, StoreError> {
        let found =
            self.readers.fetch_optional(sqlx::query(CURSOR).bind(replica).bind(row::uuid(boot_id.bytes()))).await?;
        found.map_or(Ok(0), |from| row::count(&from, "sequence"))
    }

    /// Every commit is synced.
    pub(in crate::store) async fn cursor_on_disk(&self, replica: &str, boot_id: BootId) -> Result<u64, StoreError> {
        self.cursor(replica, boot_id).await
    }

    pub(in crate::store) async fn boot(&self, replica: &str, boot_id: BootId) -> Result<Option<BootRow>, StoreError> {
        let found =
            self.readers.fetch_optional(sqlx::query(ONE).bind(replica).bind(row::uuid(boot_id.bytes()))).await?;
        found.as_ref().map(read).transpose()
    }

    pub(in crate::store) async fn boots(&self) -> Result<Vec<BootRow>, StoreError> {
        self.readers.fetch_all(sqlx::query(LIST)).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn usage_gap(&self) -> Result<u64, StoreError> {
        row::count(&self.readers.fetch_one(sqlx::query(GAP)).await?, "gap")
    }

    pub(in crate::store) async fn entries_by_boot(&self) -> Result<Vec<(String, BootId, u64)>, StoreError> {
        let rows = self.readers.within(REPORT_MAX).fetch_all(sqlx::query(ENTRIES)).await?;
        let read = |from: &PgRow| {
            let boot_id = BootId::from_bytes(row::id(from, "boot_id")?);
            Ok((from.try_get("replica")?, boot_id, row::count(from, "entries")?))
        };
        rows.iter().map(read).collect()
    }
}

fn read(from: &PgRow) -> Result<BootRow, StoreError> {
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
