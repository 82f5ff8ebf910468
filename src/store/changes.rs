//! Counters of what gateways keep in memory: a process that sees one move reads anew what it stands for.
//!
//! Triggers move them in the transaction of the change itself, so that no path around this code is missed.

use std::collections::BTreeMap;

use super::{Store, StoreError};

/// Customers and keys.
pub const ACCOUNTS: &str = "accounts";

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
