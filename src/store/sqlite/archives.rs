//! Sealed days in SQLite.

use sqlx::{Row, sqlite::SqliteRow};

use super::{SqliteStore, row};
use crate::store::{
    StoreError,
    archives::{ArchiveRow, DAYS_END, FIRST_DAY, day_of, first_id_of},
    column,
};

const OLDEST: &str = "
select request_id
from entries
where request_id >= ?
  and request_id < ?
order by request_id
limit 1";
const COUNT: &str = "
select count(*) as entries
from entries
where request_id >= ?
  and request_id < ?";
const REMEMBER: &str = "
update cursors
set archived = archived + moved.entries
from (
  select replica, boot_id, count(*) as entries
  from entries
  where request_id >= ?
    and request_id < ?
  group by replica, boot_id
) as moved
where cursors.replica = moved.replica
  and cursors.boot_id = moved.boot_id";
/// What its boot's cursor does not protect: see the table.
const REMEMBER_ORPHANS: &str = "
insert or ignore into sealed_orphans (request_id, attempt, replica, boot_id)
select e.request_id, e.attempt, e.replica, e.boot_id
from entries e
join cursors c on c.replica = e.replica and c.boot_id = e.boot_id
where e.request_id >= ?
  and e.request_id < ?
  and not c.closed
  and (e.sequence = 0 or e.outcome = 'interrupted')";
const DROP: &str = "
delete from entries
where request_id >= ?
  and request_id < ?";
const INSERT: &str = "
insert into archives (day, part, entries, first_hour_us, last_hour_us, sha256, file, archived_at_us)
values (?, ?, ?, ?, ?, ?, ?, ?)";
const LIST: &str = "
select day, part, entries, first_hour_us, last_hour_us, sha256, file, archived_at_us
from archives
order by day, part";

pub(super) const STATEMENTS: &[&str] = &[OLDEST, COUNT, REMEMBER, REMEMBER_ORPHANS, DROP, INSERT, LIST];

impl SqliteStore {
    pub(in crate::store) async fn oldest_day(&self) -> Result<Option<i32>, StoreError> {
        let (first, end) = (first_id_of(FIRST_DAY), first_id_of(DAYS_END));
        let found =
            sqlx::query(OLDEST).bind(first.as_slice()).bind(end.as_slice()).fetch_optional(&self.readers).await?;
        found.map(|from| Ok(day_of(&row::id(&from, "request_id")?))).transpose()
    }

    pub(in crate::store) async fn seal_day(&self, archive: &ArchiveRow) -> Result<bool, StoreError> {
        let (first, end) = (first_id_of(archive.day), first_id_of(archive.day + 1));
        let mut tx = self.begin().await?;
        let query = sqlx::query(COUNT).bind(first.as_slice()).bind(end.as_slice());
        if row::count(&query.fetch_one(&mut *tx).await?, "entries")? != archive.entries {
            return Ok(false);
        }
        for statement in [REMEMBER, REMEMBER_ORPHANS, DROP] {
            sqlx::query(statement).bind(first.as_slice()).bind(end.as_slice()).execute(&mut *tx).await?;
        }
        sqlx::query(INSERT)
            .bind(archive.day)
            .bind(archive.part)
            .bind(column(archive.entries)?)
            .bind(archive.first_hour_us)
            .bind(archive.last_hour_us)
            .bind(&archive.sha256)
            .bind(&archive.file)
            .bind(archive.archived_at_us)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    pub(in crate::store) async fn archives(&self) -> Result<Vec<ArchiveRow>, StoreError> {
        sqlx::query(LIST).fetch_all(&self.readers).await?.iter().map(read).collect()
    }
}

fn read(from: &SqliteRow) -> Result<ArchiveRow, StoreError> {
    Ok(ArchiveRow {
        day: from.try_get("day")?,
        part: from.try_get("part")?,
        entries: row::count(from, "entries")?,
        first_hour_us: from.try_get("first_hour_us")?,
        last_hour_us: from.try_get("last_hour_us")?,
        sha256: from.try_get("sha256")?,
        file: from.try_get("file")?,
        archived_at_us: from.try_get("archived_at_us")?,
    })
}
