//! Sealed days in Postgres: a day is a partition, and is dropped as one.

use sqlx::{Connection, PgConnection, Row, postgres::PgRow};
use tokio::time::timeout;

use super::{PostgresStore, STEP_MAX, row};
use crate::store::{
    StoreError,
    archives::{ArchiveRow, DAYS_END, FIRST_DAY, day_of, first_id_of},
    column,
};

const OLDEST: &str = "
select request_id
from entries
where request_id >= $1
  and request_id < $2
order by request_id
limit 1";
/// Counting a large day may take its time.
const PATIENCE: &str = "
set local statement_timeout = 0";
const SEAL: &str = "
select seal_entries_day($1, $2) as sealed";
const INSERT: &str = "
insert into archives (day, part, entries, first_hour_us, last_hour_us, sha256, file, archived_at_us)
values ($1, $2, $3, $4, $5, $6, $7, $8)";
const LIST: &str = "
select day, part, entries, first_hour_us, last_hour_us, sha256, file, archived_at_us
from archives
order by day, part";

pub(super) const STATEMENTS: &[&str] = &[OLDEST, PATIENCE, SEAL, INSERT, LIST];

impl PostgresStore {
    pub(in crate::store) async fn oldest_day(&self) -> Result<Option<i32>, StoreError> {
        let (first, end) = (first_id_of(FIRST_DAY), first_id_of(DAYS_END));
        let query = sqlx::query(OLDEST).bind(row::uuid(&first)).bind(row::uuid(&end));
        self.readers.fetch_optional(query).await?.map(|from| Ok(day_of(&row::id(&from, "request_id")?))).transpose()
    }

    pub(in crate::store) async fn seal_day(&self, archive: &ArchiveRow) -> Result<bool, StoreError> {
        let mut session = self.writer.session().await?;
        let done = timeout(STEP_MAX, seal_on(&mut session, archive)).await;
        session.settle(STEP_MAX, done)
    }

    pub(in crate::store) async fn archives(&self) -> Result<Vec<ArchiveRow>, StoreError> {
        self.readers.fetch_all(sqlx::query(LIST)).await?.iter().map(read).collect()
    }
}

async fn seal_on(connection: &mut PgConnection, archive: &ArchiveRow) -> Result<bool, StoreError> {
    let mut tx = connection.begin().await?;
    sqlx::query(PATIENCE).execute(&mut *tx).await?;
    let query = sqlx::query(SEAL).bind(archive.day).bind(column(archive.entries)?);
    if !query.fetch_one(&mut *tx).await?.try_get::<bool, _>("sealed")? {
        tx.rollback().await?;
        return Ok(false);
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

fn read(from: &PgRow) -> Result<ArchiveRow, StoreError> {
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
