//! Tables of Postgres as files, and back: COPY, within one snapshot or one transaction.

use std::{collections::BTreeSet, path::Path};

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres, Row, Transaction};
use tokio::{fs::File, io::AsyncReadExt};

use super::{PostgresStore, STEP_MAX, row, sessions::bounded};
use crate::store::{
    StoreError,
    archives::{day_of, first_id_of},
    copy_text::Value,
    dump::{DayFile, RowFile, Sink, TableFile, file_of},
    rollups::HOUR_US,
    tables::{ENTRIES, TABLES, Table},
};

/// Bytes sent at once.
const CHUNK_BYTES: usize = 1 << 18;

const SNAPSHOT: &str = "
set transaction isolation level repeatable read, read only";
const PATIENCE: &str = "
set local statement_timeout = 0";
const ADMITTED: &str = "
select coalesce(min(admitted_at_us), 0) as first, coalesce(max(admitted_at_us), 0) as last
from entries
where request_id >= $1
  and request_id < $2";
/// What was loaded has no statistics yet.
const ANALYZE: &str = "
analyze";

pub(super) const STATEMENTS: &[&str] = &[SNAPSHOT, PATIENCE, ADMITTED, ANALYZE];

/// The statements that are made from the list of tables.
pub(super) fn made_statements() -> Vec<String> {
    let day = [day_statement(0)];
    TABLES.iter().flat_map(|table| [copy_out(table), copy_in(table), any_row(table)]).chain(day).collect()
}

fn copy_out(table: &Table) -> String {
    format!("copy (select {} from {} order by {}) to stdout", table.column_list(), table.name, table.key)
}

fn copy_in(table: &Table) -> String {
    format!("copy {} ({}) from stdin", table.name, table.column_list())
}

fn any_row(table: &Table) -> String {
    format!("select 1 as one from {} limit 1", table.name)
}

/// COPY takes no parameters; what is put in comes from a number.
fn day_statement(day: i32) -> String {
    let (first, end) = (row::uuid(&first_id_of(day)), row::uuid(&first_id_of(day + 1)));
    format!(
        "copy (select {} from entries where request_id >= '{first}' and request_id < '{end}' order by {}) to stdout",
        ENTRIES.column_list(),
        ENTRIES.key
    )
}

impl PostgresStore {
    pub(in crate::store) async fn dump(&self, dir: &Path) -> Result<Vec<TableFile>, StoreError> {
        let mut session = self.readers.session().await?;
        // Each step is bounded, the whole is as long as the tables are large.
        let dumped = dump_on(&mut session, dir).await;
        session.settle(STEP_MAX, Ok(dumped))
    }

    pub(in crate::store) async fn has_rows(&self, table: &Table) -> Result<bool, StoreError> {
        Ok(self.writer.fetch_optional(sqlx::query(AssertSqlSafe(any_row(table)))).await?.is_some())
    }

    pub(in crate::store) async fn load(&self, dir: &Path) -> Result<(), StoreError> {
        self.make_days(&days_in(&file_of(dir, ENTRIES.name)).await?).await;
        let mut session = self.writer.session().await?;
        let loaded = load_on(&mut session, dir).await;
        session.settle(STEP_MAX, Ok(loaded))
    }

    pub(in crate::store) async fn dump_day(&self, day: i32, path: &Path) -> Result<DayFile, StoreError> {
        let mut session = self.readers.session().await?;
        let dumped = dump_day_on(&mut session, day, path).await;
        session.settle(STEP_MAX, Ok(dumped))
    }
}

async fn dump_on(connection: &mut PgConnection, dir: &Path) -> Result<Vec<TableFile>, StoreError> {
    let mut tx = begin(connection).await?;
    let mut files = Vec::new();
    for table in TABLES {
        let sink = Sink::create(&file_of(dir, table.name)).await?;
        let (rows, sha256) = copy_to(&mut tx, &copy_out(table), sink).await?;
        files.push(TableFile { table: table.name.to_owned(), rows, sha256 });
    }
    bounded(STEP_MAX, tx.rollback()).await?;
    Ok(files)
}

async fn dump_day_on(connection: &mut PgConnection, day: i32, path: &Path) -> Result<DayFile, StoreError> {
    let mut tx = begin(connection).await?;
    let query = sqlx::query(ADMITTED).bind(row::uuid(&first_id_of(day))).bind(row::uuid(&first_id_of(day + 1)));
    let admitted = bounded(STEP_MAX, query.fetch_one(&mut *tx)).await?;
    let (entries, sha256) = copy_to(&mut tx, &day_statement(day), Sink::create(path).await?).await?;
    bounded(STEP_MAX, tx.rollback()).await?;
    let hour = |at_us: i64| at_us.div_euclid(HOUR_US) * HOUR_US;
    let first_hour_us = hour(admitted.try_get("first")?);
    Ok(DayFile { entries, sha256, first_hour_us, last_hour_us: hour(admitted.try_get("last")?) })
}

/// A transaction that sees one moment, for as long as it takes.
async fn begin(connection: &mut PgConnection) -> Result<Transaction<'_, Postgres>, StoreError> {
    let beginning = async {
        let mut tx = connection.begin().await?;
        sqlx::query(SNAPSHOT).execute(&mut *tx).await?;
        sqlx::query(PATIENCE).execute(&mut *tx).await?;
        Ok(tx)
    };
    bounded(STEP_MAX, beginning).await
}

async fn load_on(connection: &mut PgConnection, dir: &Path) -> Result<(), StoreError> {
    let mut tx = connection.begin().await?;
    bounded(STEP_MAX, sqlx::query(PATIENCE).execute(&mut *tx)).await?;
    for table in TABLES {
        copy_from(&mut tx, &copy_in(table), &file_of(dir, table.name)).await?;
    }
    bounded(STEP_MAX, tx.commit()).await?;
    bounded(STEP_MAX, sqlx::query(ANALYZE).execute(connection)).await?;
    Ok(())
}

async fn copy_to(connection: &mut PgConnection, statement: &str, mut sink: Sink) -> Result<(u64, String), StoreError> {
    let mut chunks = bounded(STEP_MAX, connection.copy_out_raw(statement)).await?;
    while let Some(chunk) = bounded(STEP_MAX, chunks.try_next()).await? {
        sink.write(&chunk).await?;
    }
    sink.finish().await
}

async fn copy_from(connection: &mut PgConnection, statement: &str, path: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { path: path.to_owned(), source };
    let mut file = File::open(path).await.map_err(failed)?;
    let mut copy = bounded(STEP_MAX, connection.copy_in_raw(statement)).await?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = match file.read(&mut chunk).await {
            Ok(read) => read,
            Err(error) => {
                bounded(STEP_MAX, copy.abort("the file cannot be read")).await?;
                return Err(failed(error));
            }
        };
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        bounded(STEP_MAX, copy.send(bytes)).await?;
    }
    bounded(STEP_MAX, copy.finish()).await?;
    Ok(())
}

/// The days of the entries in a file.
async fn days_in(path: &Path) -> Result<BTreeSet<i32>, StoreError> {
    let mut file = RowFile::open(path, &ENTRIES).await?;
    let mut days = BTreeSet::new();
    while let Some(values) = file.next().await? {
        if let Some(Value::Id(request_id)) = values.first() {
            days.insert(day_of(request_id));
        }
    }
    Ok(days)
}
