//! Values that every process of these books must have in common, pinned by the first that has one.

use super::{Store, StoreError};

impl Store {
    /// Pins a value under a name, unless one is pinned, and gives the one that is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pin(&self, name: &str, value: &str) -> Result<String, StoreError> {
        on_engine!(self, pin(name, value))
    }
}
