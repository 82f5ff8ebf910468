//! Dead letters in Postgres.

use sqlx::{Connection, PgConnection, Row, postgres::PgRow};
use tokio::time::timeout;
use tollgate_core::{
    entry_row::EntryRow,
    id::{AttemptId, BootId},
    record::{decode_entry, encode_entry},
};

use super::{PostgresStore, WRITE_MAX, boots, entries, entries::unless_in_the_way, rollups::add_cells, row};
use crate::store::{StoreError, boots::Tally, column, dead_letters::DeadLetter, entries::PostBatch};

/// Not what stands in the books already.
const BURY: &str = "
insert into dead_letters (request_id, attempt, replica, boot_id, sequence, reason, body, buried_at_us)
select $1, $2, $3, $4, $5, $6, $7, $8
where not exists (
  select 1
  from entries
  where request_id = $1
    and attempt = $2
)
on conflict (request_id, attempt) do nothing";
const KEEP: &str = "
insert into dead_letters (request_id, attempt, replica, boot_id, sequence, reason, body, buried_at_us)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (request_id, attempt) do nothing";
const LIST: &str = "
select replica, boot_id, sequence, reason, body, buried_at_us
from dead_letters
order by request_id, attempt";
const PAGE: &str = "
select replica, boot_id, sequence, reason, body, buried_at_us
from dead_letters
where (request_id, attempt) > ($1, $2)
order by request_id, attempt
limit $3";
const BOOT_OF: &str = "
select replica, boot_id
from dead_letters
where request_id = $1
  and attempt = $2";
const TAKE: &str = "
delete from dead_letters
where request_id = $1
  and attempt = $2
returning replica, boot_id, sequence, reason, body, buried_at_us";
const COUNT: &str = "
select count(*) as letters
from dead_letters";

pub(super) const STATEMENTS: &[&str] = &[BURY, KEEP, LIST, PAGE, BOOT_OF, TAKE, COUNT];

impl PostgresStore {
    pub(in crate::store) async fn bury(&self, batch: &PostBatch, reason: &str, now_us: i64) -> Result<(), StoreError> {
        unless_in_the_way(|| self.bury_once(batch, reason, now_us)).await
    }

    async fn bury_once(&self, batch: &PostBatch, reason: &str, now_us: i64) -> Result<(), StoreError> {
        let mut session = self.writer.session().await?;
        let done = timeout(WRITE_MAX, bury_on(&mut session, batch, reason, now_us)).await;
        session.settle(WRITE_MAX, done)
    }

    pub(in crate::store) async fn keep_contradiction(&self, letter: &DeadLetter) -> Result<(), StoreError> {
        let id = letter.entry.admission.id;
        let query = sqlx::query(KEEP)
            .bind(row::uuid(id.request_id.bytes()))
            .bind(i32::from(id.attempt))
            .bind(&letter.replica)
            .bind(row::uuid(letter.boot_id.bytes()))
            .bind(column(letter.sequence)?)
            .bind(letter.reason.replace('\0', "\\0"))
            .bind(encode_entry(&letter.entry))
            .bind(letter.buried_at_us);
        self.writer.execute(query).await?;
        Ok(())
    }

    pub(in crate::store) async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        self.readers.fetch_all(sqlx::query(LIST)).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn dead_letters_after(
        &self,
        after: Option<AttemptId>,
        rows_max: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let (request_id, attempt) =
            after.map_or(([0; 16], -1), |after| (*after.request_id.bytes(), i32::from(after.attempt)));
        let query = sqlx::query(PAGE).bind(row::uuid(&request_id)).bind(attempt).bind(i64::from(rows_max));
        self.readers.fetch_all(query).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn dead_letter_count(&self) -> Result<u64, StoreError> {
        row::count(&self.readers.fetch_one(sqlx::query(COUNT)).await?, "letters")
    }

    /// False when there is no such letter.
    pub(in crate::store) async fn revive(&self, id: AttemptId) -> Result<bool, StoreError> {
        unless_in_the_way(|| self.revive_once(id)).await
    }

    async fn revive_once(&self, id: AttemptId) -> Result<bool, StoreError> {
        let mut session = self.writer.session().await?;
        let done = timeout(WRITE_MAX, revive_on(&mut session, id)).await;
        session.settle(WRITE_MAX, done)
    }
}

async fn bury_on(
    connection: &mut PgConnection,
    batch: &PostBatch,
    reason: &str,
    now_us: i64,
) -> Result<(), StoreError> {
    let mut tx = connection.begin().await?;
    let position = boots::position(&mut tx, batch).await?;
    let mut buried = 0;
    for (sequence, entry) in position.unsealed(batch) {
        let id = entry.id;
        let done = sqlx::query(BURY)
            .bind(row::uuid(id.request_id.bytes()))
            .bind(i32::from(id.attempt))
            .bind(&batch.replica)
            .bind(row::uuid(batch.boot_id.bytes()))
            .bind(column(*sequence)?)
            .bind(reason.replace('\0', "\\0"))
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

/// Locks in the order of posting: the boot's row comes first.
async fn revive_on(connection: &mut PgConnection, id: AttemptId) -> Result<bool, StoreError> {
    let (request_id, attempt) = (row::uuid(id.request_id.bytes()), i32::from(id.attempt));
    let mut tx = connection.begin().await?;
    let query = sqlx::query(BOOT_OF).bind(request_id).bind(attempt);
    let Some(found) = query.fetch_optional(&mut *tx).await? else {
        tx.rollback().await?;
        return Ok(false);
    };
    boots::lock(&mut tx, found.try_get("replica")?, BootId::from_bytes(row::id(&found, "boot_id")?)).await?;
    let query = sqlx::query(TAKE).bind(request_id).bind(attempt);
    let Some(taken) = query.fetch_optional(&mut *tx).await? else {
        tx.rollback().await?;
        return Ok(false);
    };
    let letter = read(&taken)?;
    let one = (letter.sequence, Box::new(EntryRow::of(&letter.entry)));
    let inserted = entries::insert(&mut tx, &letter.replica, letter.boot_id, vec![&one]).await?;
    add_cells(&mut tx, &inserted.cells).await?;
    boots::revived(&mut tx, &letter.replica, letter.boot_id, inserted.count > 0).await?;
    tx.commit().await?;
    Ok(true)
}

fn read(from: &PgRow) -> Result<DeadLetter, StoreError> {
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
