//! Entries and the posting transaction in Postgres.

use std::{
    collections::{BTreeMap, HashSet},
    future::Future,
    time::Duration,
};

use sqlx::{Connection, PgConnection, Row, postgres::PgRow, types::Uuid};
use tokio::time::{sleep, timeout};
use tollgate_core::{
    entry::Entry,
    entry_row::EntryRow,
    id::{AttemptId, BootId, CustomerId, KeyId, RequestId},
    record::decode_entry,
};

use super::{PostgresStore, REPORT_MAX, WRITE_MAX, boots, rollups::add_cells, row};
use crate::store::{
    StoreError,
    boots::{Tally, days_of},
    column,
    entries::{EntryColumns, PostBatch, Posted, StoredEntry},
    rollups::{RollupKey, Sums, cell_of},
};

/// Times that a batch is repeated at once when another transaction was in the way.
const COLLISIONS_MAX: u32 = 5;
/// Wait before the first repetition; it doubles.
const COLLISION_WAIT: Duration = Duration::from_millis(5);

/// Entries come sorted by their key, so that two posters of the same entries wait for each other in one direction only.
const INSERT: &str = "
insert into entries (
  request_id, attempt, replica, boot_id, sequence, customer_id, key_id, model, target, outcome, usage_source,
  admitted_at_us, cost_nanousd, charge_nanousd, unpriced, body
)
select
  request_id, attempt, $1, $2, sequence, customer_id, key_id, model, target, outcome, usage_source, admitted_at_us,
  cost_nanousd, charge_nanousd, unpriced, body
from unnest(
  $3::uuid[], $4::integer[], $5::bigint[], $6::uuid[], $7::uuid[], $8::text[], $9::text[], $10::text[], $11::text[],
  $12::bigint[], $13::bigint[], $14::bigint[], $15::boolean[], $16::bytea[]
) as entry (
  request_id, attempt, sequence, customer_id, key_id, model, target, outcome, usage_source, admitted_at_us,
  cost_nanousd, charge_nanousd, unpriced, body
)
on conflict (request_id, attempt) do nothing
returning request_id, attempt";
const OF_REQUEST: &str = "
select
  request_id, attempt, customer_id, key_id, model, target, outcome, usage_source, admitted_at_us, cost_nanousd,
  charge_nanousd, unpriced, body
from entries
where request_id = $1
order by attempt";
/// The second condition says nothing new, but it is the one by which partitions are left out.
const PAGE: &str = "
select
  request_id, attempt, customer_id, key_id, model, target, outcome, usage_source, admitted_at_us, cost_nanousd,
  charge_nanousd, unpriced, body
from entries
where (request_id, attempt) > ($1, $2)
  and request_id >= $1
order by request_id, attempt
limit $3";
const COUNT: &str = "
select count(*) as entries
from entries";

pub(super) const STATEMENTS: &[&str] = &[INSERT, OF_REQUEST, PAGE, COUNT];

impl PostgresStore {
    pub(in crate::store) async fn post(&self, batch: &PostBatch) -> Result<Posted, StoreError> {
        self.make_days(&days_of(batch)).await;
        unless_in_the_way(|| self.post_once(batch)).await
    }

    async fn post_once(&self, batch: &PostBatch) -> Result<Posted, StoreError> {
        let mut session = self.writer.session().await?;
        let done = timeout(WRITE_MAX, post_on(&mut session, batch)).await;
        session.settle(WRITE_MAX, done)
    }

    pub(in crate::store) async fn entries_of_request(&self, request_id: RequestId) -> Result<Vec<Entry>, StoreError> {
        let rows = self.readers.fetch_all(sqlx::query(OF_REQUEST).bind(row::uuid(request_id.bytes()))).await?;
        rows.iter().map(|from| Ok(read(from)?.entry)).collect()
    }

    pub(in crate::store) async fn entries_after(
        &self,
        after: Option<AttemptId>,
        rows_max: u32,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        let (request_id, attempt) =
            after.map_or((Uuid::nil(), -1), |after| (row::uuid(after.request_id.bytes()), i32::from(after.attempt)));
        let query = sqlx::query(PAGE).bind(request_id).bind(attempt).bind(i64::from(rows_max));
        self.readers.fetch_all(query).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn entry_count(&self) -> Result<u64, StoreError> {
        row::count(&self.readers.within(REPORT_MAX).fetch_one(sqlx::query(COUNT)).await?, "entries")
    }
}

/// Does something again when another transaction was in its way.
pub(super) async fn unless_in_the_way<T, Once>(mut once: impl FnMut() -> Once) -> Result<T, StoreError>
where
    Once: Future<Output = Result<T, StoreError>>,
{
    let mut wait = COLLISION_WAIT;
    for _ in 0..COLLISIONS_MAX {
        match once().await {
            Err(error) if error.is_a_collision() => {
                tracing::debug!(%error, "another transaction was in the way of this one, which is repeated");
                sleep(wait).await;
                wait *= 2;
            }
            done => return done,
        }
    }
    once().await
}

/// The order of locks is the same for every batch: the boot's row, entries by key, cells by key.
async fn post_on(connection: &mut PgConnection, batch: &PostBatch) -> Result<Posted, StoreError> {
    let mut tx = connection.begin().await?;
    let position = boots::position(&mut tx, batch).await?;
    let inserted = insert(&mut tx, &batch.replica, batch.boot_id, position.unsealed(batch)).await?;
    add_cells(&mut tx, &inserted.cells).await?;
    let tally = Tally::of(batch, position.counted_through).settled(batch, inserted.count, 0);
    boots::advance(&mut tx, batch, &tally).await?;
    tx.commit().await?;
    Ok(Posted::of(batch, inserted.count))
}

/// What was really inserted.
pub(super) struct Inserted {
    pub(super) count: u64,
    pub(super) cells: BTreeMap<RollupKey, Sums>,
}

/// Inserts those of a boot's entries that are not there yet, and folds those that it inserted.
pub(super) async fn insert(
    connection: &mut PgConnection,
    replica: &str,
    boot_id: BootId,
    mut entries: Vec<&(u64, Box<EntryRow>)>,
) -> Result<Inserted, StoreError> {
    let mut inserted = Inserted { count: 0, cells: BTreeMap::new() };
    if entries.is_empty() {
        return Ok(inserted);
    }
    // Stable: of two entries of one attempt the first in the journal wins, as the database decides, too.
    entries.sort_by_key(|(_, entry)| entry.id);
    let columns = Columns::of(&entries)?;
    let rows = columns.query(replica, boot_id).fetch_all(connection).await?;
    let mut fresh: HashSet<(Uuid, i32)> = HashSet::with_capacity(rows.len());
    for returned in &rows {
        fresh.insert((returned.try_get("request_id")?, returned.try_get("attempt")?));
    }
    for (_, entry) in entries {
        let id = entry.id;
        // Taken out, so that a second entry of the same attempt in the same batch does not count.
        if fresh.remove(&(row::uuid(id.request_id.bytes()), i32::from(id.attempt))) {
            inserted.count += 1;
            inserted.cells.entry(cell_of(entry)).or_default().add(entry)?;
        }
    }
    Ok(inserted)
}

/// A batch turned by ninety degrees: one array a column.
#[derive(Default)]
struct Columns<'a> {
    request_ids: Vec<Uuid>,
    attempts: Vec<i32>,
    sequences: Vec<i64>,
    customer_ids: Vec<Uuid>,
    key_ids: Vec<Uuid>,
    models: Vec<&'a str>,
    targets: Vec<&'a str>,
    outcomes: Vec<&'a str>,
    usage_sources: Vec<&'a str>,
    admitted_at_us: Vec<i64>,
    cost_nanousd: Vec<i64>,
    charge_nanousd: Vec<i64>,
    unpriced: Vec<bool>,
    bodies: Vec<&'a [u8]>,
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

impl<'a> Columns<'a> {
    fn of(entries: &[&'a (u64, Box<EntryRow>)]) -> Result<Self, StoreError> {
        let mut columns = Self::default();
        for (sequence, entry) in entries.iter().copied() {
            let totals = entry.totals.ok_or(StoreError::TooLarge)?;
            columns.request_ids.push(row::uuid(entry.id.request_id.bytes()));
            columns.attempts.push(i32::from(entry.id.attempt));
            columns.sequences.push(column(*sequence)?);
            columns.customer_ids.push(row::uuid(entry.customer_id.bytes()));
            columns.key_ids.push(row::uuid(entry.key_id.bytes()));
            columns.models.push(&entry.model);
            columns.targets.push(&entry.target);
            columns.outcomes.push(entry.outcome.name());
            columns.usage_sources.push(entry.usage_source.name());
            columns.admitted_at_us.push(entry.admitted_at_us);
            columns.cost_nanousd.push(totals.cost.get());
            columns.charge_nanousd.push(totals.charge.get());
            columns.unpriced.push(entry.is_unpriced);
            columns.bodies.push(&entry.body);
        }
        Ok(columns)
    }

    fn query(self, replica: &'a str, boot_id: BootId) -> Query<'a> {
        sqlx::query(INSERT)
            .bind(replica)
            .bind(row::uuid(boot_id.bytes()))
            .bind(self.request_ids)
            .bind(self.attempts)
            .bind(self.sequences)
            .bind(self.customer_ids)
            .bind(self.key_ids)
            .bind(self.models)
            .bind(self.targets)
            .bind(self.outcomes)
            .bind(self.usage_sources)
            .bind(self.admitted_at_us)
            .bind(self.cost_nanousd)
            .bind(self.charge_nanousd)
            .bind(self.unpriced)
            .bind(self.bodies)
    }
}

fn read(from: &PgRow) -> Result<StoredEntry, StoreError> {
    let body: Vec<u8> = from.try_get("body")?;
    Ok(StoredEntry {
        entry: decode_entry(&body).map_err(|_| StoreError::Damaged("entry"))?,
        columns: EntryColumns {
            request_id: RequestId::from_bytes(row::id(from, "request_id")?),
            attempt: i64::from(from.try_get::<i32, _>("attempt")?),
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
