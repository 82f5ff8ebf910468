//! Tables of SQLite as files, and back.

use std::path::Path;

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Connection, Row, SqlSafeStr, SqliteConnection, sqlite::SqliteRow};

use super::{SqliteStore, row};
use crate::store::{
    StoreError,
    archives::first_id_of,
    copy_text::{Kind, Value, write_row},
    dump::{DayFile, RowFile, Sink, TableFile, file_of},
    rollups::HOUR_US,
    tables::{ENTRIES, TABLES, Table},
};

const ADMITTED: &str = "
select coalesce(min(admitted_at_us), 0) as first, coalesce(max(admitted_at_us), 0) as last
from entries
where request_id >= ?
  and request_id < ?";

pub(super) const STATEMENTS: &[&str] = &[ADMITTED];

/// The statements that are made from the list of tables.
pub(super) fn made_statements() -> Vec<String> {
    let day = [day_statement()];
    TABLES.iter().flat_map(|table| [select(table), insert(table), any_row(table)]).chain(day).collect()
}

fn select(table: &Table) -> String {
    format!("select {} from {} order by {}", table.column_list(), table.name, table.key)
}

fn insert(table: &Table) -> String {
    let places = vec!["?"; table.columns.len()].join(", ");
    format!("insert into {} ({}) values ({places})", table.name, table.column_list())
}

fn any_row(table: &Table) -> String {
    format!("select 1 from {} limit 1", table.name)
}

fn day_statement() -> String {
    format!(
        "select {} from entries where request_id >= ? and request_id < ? order by {}",
        ENTRIES.column_list(),
        ENTRIES.key
    )
}

impl SqliteStore {
    pub(in crate::store) async fn dump(&self, dir: &Path) -> Result<Vec<TableFile>, StoreError> {
        let mut connection = self.readers.acquire().await?;
        // One snapshot for all tables, from the first read on.
        let mut tx = connection.begin().await?;
        let mut files = Vec::new();
        for table in TABLES {
            let mut sink = Sink::create(&file_of(dir, table.name)).await?;
            write_rows(sqlx::query(AssertSqlSafe(select(table))), &mut tx, table, &mut sink).await?;
            let (rows, sha256) = sink.finish().await?;
            files.push(TableFile { table: table.name.to_owned(), rows, sha256 });
        }
        tx.rollback().await?;
        Ok(files)
    }

    pub(in crate::store) async fn has_rows(&self, table: &Table) -> Result<bool, StoreError> {
        Ok(sqlx::query(AssertSqlSafe(any_row(table))).fetch_optional(&self.writer).await?.is_some())
    }

    pub(in crate::store) async fn load(&self, dir: &Path) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for table in TABLES {
            let mut file = RowFile::open(&file_of(dir, table.name), table).await?;
            let statement = AssertSqlSafe(insert(table)).into_sql_str();
            while let Some(values) = file.next().await? {
                let mut query = sqlx::query(statement.clone());
                for value in values {
                    query = match value {
                        Value::Null => query.bind(None::<i64>),
                        Value::Id(id) => query.bind(id.to_vec()),
                        Value::Integer(number) => query.bind(number),
                        Value::Flag(flag) => query.bind(flag),
                        Value::Text(text) => query.bind(text),
                        Value::Bytes(bytes) => query.bind(bytes),
                    };
                }
                query.execute(&mut *tx).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }

    pub(in crate::store) async fn dump_day(&self, day: i32, path: &Path) -> Result<DayFile, StoreError> {
        let (first, end) = (first_id_of(day), first_id_of(day + 1));
        let mut connection = self.readers.acquire().await?;
        let mut tx = connection.begin().await?;
        let query = sqlx::query(ADMITTED).bind(first.as_slice()).bind(end.as_slice());
        let admitted = query.fetch_one(&mut *tx).await?;
        let mut sink = Sink::create(path).await?;
        let query = sqlx::query(AssertSqlSafe(day_statement())).bind(first.as_slice()).bind(end.as_slice());
        write_rows(query, &mut tx, &ENTRIES, &mut sink).await?;
        tx.rollback().await?;
        let (entries, sha256) = sink.finish().await?;
        let hour = |at_us: i64| at_us.div_euclid(HOUR_US) * HOUR_US;
        let first_hour_us = hour(admitted.try_get("first")?);
        Ok(DayFile { entries, sha256, first_hour_us, last_hour_us: hour(admitted.try_get("last")?) })
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

async fn write_rows(
    query: Query<'_>,
    connection: &mut SqliteConnection,
    table: &Table,
    sink: &mut Sink,
) -> Result<(), StoreError> {
    let mut rows = query.fetch(connection);
    let mut line = String::new();
    while let Some(found) = rows.try_next().await? {
        let values: Vec<Value> =
            table.columns.iter().map(|(name, kind)| read(&found, name, *kind)).collect::<Result<_, _>>()?;
        line.clear();
        write_row(&values, &mut line);
        sink.write(line.as_bytes()).await?;
    }
    Ok(())
}

fn read(found: &SqliteRow, name: &str, kind: Kind) -> Result<Value, StoreError> {
    let value = match kind {
        Kind::Id => row::maybe_id(found, name)?.map(Value::Id),
        Kind::Integer => found.try_get::<Option<i64>, _>(name)?.map(Value::Integer),
        Kind::Flag => found.try_get::<Option<bool>, _>(name)?.map(Value::Flag),
        Kind::Text => found.try_get::<Option<String>, _>(name)?.map(Value::Text),
        Kind::Bytes => found.try_get::<Option<Vec<u8>>, _>(name)?.map(Value::Bytes),
    };
    Ok(value.unwrap_or(Value::Null))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::tables::NOT_BOOKS;

    /// Postgres has the same tables and columns: another test holds it to that.
    #[tokio::test]
    async fn every_table_and_column_of_the_schema_is_written_out() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("t.db")).await.unwrap();
        store.migrate().await.unwrap();
        let statement = "select t.name as tab, c.name as col from sqlite_schema t, pragma_table_info(t.name) c where t.type = 'table'";
        let mut schema: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for found in sqlx::query(statement).fetch_all(&store.readers).await.unwrap() {
            schema.entry(found.get("tab")).or_default().push(found.get("col"));
        }
        schema.retain(|table, _| !NOT_BOOKS.contains(&table.as_str()) && !table.starts_with("sqlite_"));
        let mut listed: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for table in TABLES {
            let columns = table.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
            listed.insert(table.name.to_owned(), columns);
        }
        schema.values_mut().chain(listed.values_mut()).for_each(|columns| columns.sort());
        assert_eq!(schema, listed);
    }
}
