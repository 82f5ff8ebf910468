//! Counters of what gateways keep in memory: a process that sees one move reads anew what it stands for.
//!
//! Triggers move them in the transaction of the change itself, so that no path around this code is missed.

use std::{collections::BTreeMap, time::Duration};

use super::{Engine, Store, StoreError, postgres::PostgresListener};

/// Customers and keys.
pub const ACCOUNTS: &str = "accounts";
/// Price sets.
pub const PRICES: &str = "prices";

/// Counters by topic.
pub type Changes = BTreeMap<String, i64>;

impl Store {
    /// The counters as they stand.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn changes(&self) -> Result<Changes, StoreError> {
        on_engine!(self, changes())
    }
}

/// Hears of changes. What it misses shows in the counters all the same.
pub struct ChangeListener {
    postgres: Option<PostgresListener>,
}

impl Store {
    /// A listener to changes, of this process and of others.
    #[must_use]
    pub fn listen(&self) -> ChangeListener {
        let postgres = match &self.engine {
            Engine::Postgres(db) => Some(db.listen()),
            // One process at a time has an SQLite store, and that one knows what it changes.
            Engine::Sqlite(_) => None,
        };
        ChangeListener { postgres }
    }
}

impl ChangeListener {
    /// Waits until a change is heard of, at most so long. Ends early without a change now and then.
    pub async fn wait(&mut self, at_most: Duration) {
        match &mut self.postgres {
            Some(listener) => listener.wait(at_most).await,
            None => tokio::time::sleep(at_most).await,
        }
    }
}
