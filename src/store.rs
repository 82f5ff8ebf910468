//! All SQL, one file per aggregate. Knows rows and core types; nobody else writes a statement.
//!
//! SQLite is the embedded engine: one writer connection, a few readers, write-ahead log, synced at each commit.

pub mod customers;
pub mod entries;
pub mod keys;
pub mod prices;
pub mod rollups;
mod row;
pub mod training;
pub mod worker_hours;

use std::path::{Path, PathBuf};

use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

/// Connections that only read.
const READERS: u32 = 4;

/// Why the store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database's folder cannot be made.
    #[error("{}: {source}", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The engine refused.
    #[error("the database failed: {0}")]
    Engine(#[from] sqlx::Error),
    /// The schema cannot be brought up to date.
    #[error("the database cannot be migrated: {0}; it may have been written by a newer build")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A row with the same unique value exists.
    #[error("{0} exists already")]
    Exists(String),
    /// No row of that name.
    #[error("there is no {0}")]
    NotFound(String),
    /// A stored row is not what this build wrote.
    #[error("a stored {0} is damaged")]
    Damaged(&'static str),
    /// A sum does not fit its column.
    #[error("a number is too large to store")]
    TooLarge,
}

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Store {
    /// Opens the database, making and migrating it as needed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            let failed = |source| StoreError::Folder { path: folder.to_owned(), source };
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(std::time::Duration::from_secs(10));
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        sqlx::migrate!("migrations/sqlite").run(&writer).await?;
        let readers = SqlitePoolOptions::new().max_connections(READERS).connect_with(options.read_only(true)).await?;
        Ok(Self { writer, readers })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("select 1").execute(&self.readers).await?;
        Ok(())
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Every statement, so that a test can prepare them all.
    #[must_use]
    pub fn statements() -> Vec<&'static str> {
        [
            customers::STATEMENTS,
            entries::STATEMENTS,
            keys::STATEMENTS,
            prices::STATEMENTS,
            rollups::STATEMENTS,
            training::STATEMENTS,
            worker_hours::STATEMENTS,
        ]
        .concat()
    }
}

/// A unique value that exists already, told by name.
fn exists(error: sqlx::Error, what: impl FnOnce() -> String) -> StoreError {
    match error.as_database_error() {
        Some(database) if database.is_unique_violation() => StoreError::Exists(what()),
        _ => StoreError::Engine(error),
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Executor, SqlStr};

    use super::*;

    #[tokio::test]
    async fn every_statement_prepares() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("t.db")).await.unwrap();
        for statement in Store::statements() {
            let prepared = (&store.writer).prepare(SqlStr::from_static(statement)).await;
            assert!(prepared.is_ok(), "{statement}: {:?}", prepared.err());
        }
    }
}
