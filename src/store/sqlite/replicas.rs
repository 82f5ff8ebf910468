//! Replicas in SQLite.

use sqlx::{Row, sqlite::SqliteRow};
use tollgate_core::id::BootId;

use super::{SqliteStore, row};
use crate::store::{
    StoreError,
    replicas::{Claim, ReplicaRow},
};

const TAKE: &str = "
insert into replicas as held (name, boot_id, instance, host, pid, started_at_us, renewed_at_us, released)
select ?1, ?2, ?3, ?4, ?5, clock.now_us, clock.now_us, false
from (select cast(unixepoch('subsec') * 1000000 as integer) as now_us) as clock
where true
on conflict (name) do update set
  boot_id = excluded.boot_id,
  instance = excluded.instance,
  host = excluded.host,
  pid = excluded.pid,
  started_at_us = excluded.started_at_us,
  renewed_at_us = excluded.renewed_at_us,
  released = false
where held.released
  or (?7 and held.instance = excluded.instance)
  or held.renewed_at_us < excluded.renewed_at_us - ?6
returning name";
const RENEW: &str = "
update replicas
set renewed_at_us = cast(unixepoch('subsec') * 1000000 as integer), released = false
where name = ?1
  and boot_id = ?2";
const RELEASE: &str = "
update replicas
set released = true
where name = ?1
  and boot_id = ?2";
const LIST: &str = "
select
  name, boot_id, host, pid, started_at_us, renewed_at_us, released,
  cast(unixepoch('subsec') * 1000000 as integer) - renewed_at_us as age_us
from replicas
order by name";

pub(super) const STATEMENTS: &[&str] = &[TAKE, RENEW, RELEASE, LIST];

impl SqliteStore {
    pub(in crate::store) async fn take_name(
        &self,
        claim: &Claim,
        succeeds: bool,
        longest_us: i64,
    ) -> Result<bool, StoreError> {
        let taken = sqlx::query(TAKE)
            .bind(&claim.name)
            .bind(claim.boot_id.bytes().as_slice())
            .bind(&claim.instance)
            .bind(&claim.host)
            .bind(i64::from(claim.pid))
            .bind(longest_us)
            .bind(succeeds)
            .fetch_optional(&self.writer)
            .await?;
        Ok(taken.is_some())
    }

    /// Not synced: a power cut that undoes it ends the process that it is of, too.
    pub(in crate::store) async fn renew_name(&self, name: &str, boot_id: BootId) -> Result<bool, StoreError> {
        let mut tx = self.begin_unsynced().await?;
        let done = sqlx::query(RENEW).bind(name).bind(boot_id.bytes().as_slice()).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    pub(in crate::store) async fn release_name(&self, name: &str, boot_id: BootId) -> Result<(), StoreError> {
        sqlx::query(RELEASE).bind(name).bind(boot_id.bytes().as_slice()).execute(&self.writer).await?;
        Ok(())
    }

    pub(in crate::store) async fn replicas(&self) -> Result<Vec<ReplicaRow>, StoreError> {
        sqlx::query(LIST).fetch_all(&self.readers).await?.iter().map(read).collect()
    }
}

fn read(from: &SqliteRow) -> Result<ReplicaRow, StoreError> {
    Ok(ReplicaRow {
        name: from.try_get("name")?,
        boot_id: BootId::from_bytes(row::id(from, "boot_id")?),
        host: from.try_get("host")?,
        pid: u32::try_from(from.try_get::<i64, _>("pid")?).map_err(|_| StoreError::Damaged("process id"))?,
        started_at_us: from.try_get("started_at_us")?,
        renewed_at_us: from.try_get("renewed_at_us")?,
        age_us: from.try_get("age_us")?,
        released: from.try_get("released")?,
    })
}
