//! All SQL, one file per aggregate and engine. Knows rows and core types; nobody else writes a statement.
//!
//! Two engines keep the same promises: SQLite is the embedded default, Postgres is what a fleet shares. A file of this
//! folder owns an aggregate's rows and its part of [`Store`]; `sqlite/` and `postgres/` own its statements.

/// Calls the same method of whichever engine is open.
macro_rules! on_engine {
    ($store:ident, $method:ident($($argument:expr),*)) => {
        match &$store.engine {
            $crate::store::Engine::Sqlite(db) => db.$method($($argument),*).await,
            $crate::store::Engine::Postgres(db) => db.$method($($argument),*).await,
        }
    };
}

pub mod archives;
pub mod boots;
pub mod changes;
mod copy_text;
pub mod customers;
pub mod dead_letters;
pub mod dump;
pub mod entries;
mod error;
pub mod keys;
pub mod objects;
pub mod pins;
mod postgres;
pub mod price_sets;
pub mod prices;
pub mod replicas;
pub mod rollups;
mod sqlite;
mod tables;
pub mod training;
pub mod worker_hours;

use std::path::Path;

pub use self::error::StoreError;
use self::{error::exists, postgres::PostgresStore, sqlite::SqliteStore};
use crate::config::{
    self,
    store_url::{Database, StoreUrl},
};

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    engine: Engine,
}

#[derive(Clone, Debug)]
enum Engine {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

impl Store {
    /// Opens an SQLite database, making and migrating it as needed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let db = SqliteStore::open(path).await?;
        db.migrate().await?;
        Ok(Self { engine: Engine::Sqlite(db) })
    }

    /// Opens the database of a configuration, and migrates it unless that is left to `tollgate migrate`.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::NotMigrated`] when the schema is not what this build needs.
    pub async fn open_configured(config: &config::Store) -> Result<Self, StoreError> {
        let store = Self::connect(&config.url).await?;
        if config.migrate_at_start {
            store.migrate().await?;
        } else {
            store.prepare_statements().await.map_err(|error| StoreError::NotMigrated(error.to_string()))?;
        }
        Ok(store)
    }

    /// Opens a database as it is. Nothing but [`Self::migrate`] is promised to work before it was migrated.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn connect(url: &StoreUrl) -> Result<Self, StoreError> {
        let engine = match url.resolve()? {
            Database::Sqlite(path) => Engine::Sqlite(SqliteStore::open(&path).await?),
            Database::Postgres(url) => Engine::Postgres(PostgresStore::connect(&url).await?),
        };
        Ok(Self { engine })
    }

    /// Brings the schema up to date. Of several processes that ask at once, one does it and the others wait.
    ///
    /// # Errors
    /// [`StoreError::Migrate`], also when a newer build has migrated it further.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        on_engine!(self, migrate())
    }

    /// The store as it stands now, for reading: what is posted later does not show. Close it soon; until then the database
    /// keeps what it would clean up.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn snapshot(&self) -> Result<Self, StoreError> {
        let engine = match &self.engine {
            Engine::Sqlite(db) => Engine::Sqlite(db.snapshot().await?),
            Engine::Postgres(db) => Engine::Postgres(db.snapshot().await?),
        };
        Ok(Self { engine })
    }

    /// Whether several processes may use the database at once.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self.engine, Engine::Postgres(_))
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        on_engine!(self, ping())
    }

    /// Closes every connection.
    pub async fn close(&self) {
        on_engine!(self, close());
    }

    /// Prepares every statement that this build can send: what the schema lacks shows up here, and not at night.
    ///
    /// # Errors
    /// [`StoreError::Statement`] names the first that the database refuses.
    pub async fn prepare_statements(&self) -> Result<usize, StoreError> {
        on_engine!(self, prepare_statements())
    }
}

/// A count as a column.
fn column(count: u64) -> Result<i64, StoreError> {
    i64::try_from(count).map_err(|_| StoreError::TooLarge)
}
