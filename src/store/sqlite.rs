//! The embedded engine: one writer connection, a few readers, write-ahead log, synced at each commit but for those of which the
//! gateway's journal keeps what is in them ([ADR 0018](../../docs/adr/0018-sqlite-is-synced-before-the-journal-forgets.md)).

mod archives;
mod boots;
mod changes;
mod customers;
mod dead_letters;
mod dump;
mod entries;
mod keys;
mod objects;
mod pins;
mod price_sets;
mod prices;
mod replicas;
mod rollups;
mod row;
mod training;
mod worker_hours;

use std::path::Path;

use sqlx::{
    AssertSqlSafe, Executor, SqlSafeStr, Sqlite, SqlitePool, Transaction,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::StoreError;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");
/// Connections that only read.
const READERS: u32 = 4;
/// Wait for another process's transaction.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// What is committed on the writer's connection, unless it says otherwise, is on the disk.
const SYNCED: &str = "pragma synchronous = full";

/// An SQLite database. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteStore {
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            let failed = |source| StoreError::File { path: folder.to_owned(), source };
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            // Four times the usual: of a batch of entries, as many bytes are written in a quarter of the calls.
            .page_size(16 * 1024)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        // First the writer, which makes the file.
        // What a statement of the writer's would undo of itself is kept in memory: in a file it is written for each of them. Readers
        // sort by files: there is no bound to what the audit sorts.
        let of_writer = options.clone().pragma("temp_store", "memory");
        let writer = SqlitePoolOptions::new().max_connections(1).before_acquire(|connection, _| {
            Box::pin(async move {
                connection.execute(SYNCED).await?;
                Ok(true)
            })
        });
        let writer = writer.connect_with(of_writer).await?;
        let readers = SqlitePoolOptions::new().max_connections(READERS).connect_with(options.read_only(true)).await?;
        Ok(Self { writer, readers })
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        let mut connection = self.writer.acquire().await?;
        // A migration sorts whole tables.
        connection.execute("pragma temp_store = file").await?;
        let migrated = MIGRATIONS.run_direct(None, &mut *connection, false).await;
        connection.execute("pragma temp_store = memory").await?;
        Ok(migrated?)
    }

    /// One reader that began a transaction when it connected, and stays in it.
    pub(super) async fn snapshot(&self) -> Result<Self, StoreError> {
        let options = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None).after_connect(
            |connection, _| {
                Box::pin(async move {
                    // The first read takes the snapshot.
                    connection.execute("begin").await?;
                    connection.execute("select count(*) from sqlite_schema").await?;
                    Ok(())
                })
            },
        );
        let reader = options.connect_with(self.readers.connect_options().as_ref().clone()).await?;
        Ok(Self { writer: reader.clone(), readers: reader })
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("select 1").execute(&self.readers).await?;
        Ok(())
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    pub(super) async fn prepare_statements(&self) -> Result<usize, StoreError> {
        let statements = statements();
        for statement in &statements {
            let prepared = (&self.writer).prepare(AssertSqlSafe(statement.as_str()).into_sql_str()).await;
            prepared
                .map_err(|error| StoreError::Statement { statement: statement.clone(), reason: error.to_string() })?;
        }
        Ok(statements.len())
    }

    /// A transaction that writes: it takes its place at once, so that it never fails half-way for having read first.
    async fn begin(&self) -> Result<Transaction<'_, Sqlite>, StoreError> {
        Ok(self.writer.begin_with("begin immediate").await?)
    }

    /// The same for what is still in the journal: a power cut may undo the last of such transactions, and nothing else. The next
    /// transaction that is synced makes them last.
    async fn begin_unsynced(&self) -> Result<Transaction<'_, Sqlite>, StoreError> {
        Ok(self.writer.begin_with("pragma synchronous = normal; begin immediate").await?)
    }
}

/// Every statement, so that a test can prepare them all.
fn statements() -> Vec<String> {
    let constants = [
        archives::STATEMENTS,
        boots::STATEMENTS,
        changes::STATEMENTS,
        customers::STATEMENTS,
        dead_letters::STATEMENTS,
        dump::STATEMENTS,
        entries::STATEMENTS,
        keys::STATEMENTS,
        objects::STATEMENTS,
        pins::STATEMENTS,
        price_sets::STATEMENTS,
        prices::STATEMENTS,
        replicas::STATEMENTS,
        rollups::STATEMENTS,
        training::STATEMENTS,
        worker_hours::STATEMENTS,
    ];
    let made = entries::made_statements().into_iter().chain(rollups::made_statements()).chain(dump::made_statements());
    constants.concat().into_iter().map(str::to_owned).chain(made).collect()
}

#[cfg(test)]
mod tests {
    use sqlx::Row;

    use super::*;

    const ENTRY: &str = "
insert into entries
values (?, 0, 'one', x'01', 1, x'02', x'03', 'model', 'target', 'complete', 'provider_final', ?, 5, 7, 0, x'0405')";
    const ENTRIES: &str = "
select request_id, admitted_at_us, cost_nanousd, charge_nanousd, body
from entries
order by request_id";

    /// 1 is NORMAL, 2 is FULL.
    async fn synchronous(connection: &mut sqlx::SqliteConnection) -> i64 {
        sqlx::query_scalar("pragma synchronous").fetch_one(connection).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_not_synced_does_not_spread_to_what_comes_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("books.db")).await.unwrap();
        assert_eq!(synchronous(&mut store.writer.acquire().await.unwrap()).await, 2);
        for commits in [true, false] {
            let mut tx = store.begin_unsynced().await.unwrap();
            assert_eq!(synchronous(&mut tx).await, 1);
            // Given up, it must not be left behind either.
            if commits {
                tx.commit().await.unwrap()
            } else {
                drop(tx)
            }
            let mut tx = store.begin().await.unwrap();
            assert_eq!(synchronous(&mut tx).await, 2);
            tx.rollback().await.unwrap();
            drop(store.begin_unsynced().await.unwrap());
            assert_eq!(synchronous(&mut store.writer.acquire().await.unwrap()).await, 2, "a statement of its own");
        }
        store.close().await;
    }

    #[tokio::test]
    async fn books_from_before_keep_every_entry_and_refuse_a_second_one_of_an_attempt() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("books.db")).await.unwrap();
        let before = MIGRATIONS.iter().filter(|migration| migration.version < 9).cloned().collect();
        Migrator::with_migrations(before).run(&store.writer).await.unwrap();
        for number in [3_u8, 1, 2] {
            sqlx::query(ENTRY).bind(vec![number; 16]).bind(i64::from(number)).execute(&store.writer).await.unwrap();
        }
        store.migrate().await.unwrap();
        let rows = sqlx::query(ENTRIES).fetch_all(&store.readers).await.unwrap();
        let read = |row: &sqlx::sqlite::SqliteRow| -> (Vec<u8>, i64, i64, i64, Vec<u8>) {
            (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))
        };
        let expected = [1_u8, 2, 3].map(|number| (vec![number; 16], i64::from(number), 5, 7, vec![4, 5]));
        assert_eq!(rows.iter().map(read).collect::<Vec<_>>(), expected);
        let again = sqlx::query(ENTRY).bind(vec![1_u8; 16]).bind(1_i64).execute(&store.writer).await;
        assert!(again.unwrap_err().as_database_error().unwrap().is_unique_violation());
        store.close().await;
    }
}
