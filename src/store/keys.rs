//! API keys: hashes, limits, expiry and revocation.

use tollgate_core::{
    id::{CustomerId, KeyId},
    key::SecretHash,
};

use super::{Store, StoreError};

/// A key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// Its id.
    pub id: KeyId,
    /// Who pays.
    pub customer_id: CustomerId,
    /// The customer's price book (read with the key, not stored with it).
    pub price_book: String,
    /// Twelve characters.
    pub public_id: String,
    /// Name.
    pub name: Option<String>,
    /// Keyed hash of the secret.
    pub secret_hash: SecretHash,
    /// None: the default of the configuration.
    pub requests_per_minute: Option<u32>,
    /// None: the default of the configuration.
    pub tokens_per_minute: Option<u64>,
    /// None: the default of the configuration.
    pub concurrent_requests: Option<u32>,
    /// Public models that it may use; none: all.
    pub models: Option<Vec<String>>,
    /// Microseconds since 1970 UTC.
    pub expires_at_us: Option<i64>,
    /// Microseconds since 1970 UTC.
    pub revoked_at_us: Option<i64>,
    /// Microseconds since 1970 UTC.
    pub created_at_us: i64,
    /// The key that this one replaced.
    pub rotated_from: Option<KeyId>,
}

impl Store {
    /// Adds a key.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when its public id is taken, [`StoreError::Engine`] when its customer does not exist.
    pub async fn insert_key(&self, key: &KeyRow) -> Result<(), StoreError> {
        on_engine!(self, insert_key(key))
    }

    /// Adds a key that takes the place of another one, which is revoked from a time on: both or nothing.
    ///
    /// # Errors
    /// As [`Self::insert_key`].
    pub async fn replace_key(&self, old: KeyId, new: &KeyRow, old_until_us: i64) -> Result<(), StoreError> {
        on_engine!(self, replace_key(old, new, old_until_us))
    }

    /// All keys, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keys(&self) -> Result<Vec<KeyRow>, StoreError> {
        on_engine!(self, keys())
    }

    /// The keys behind one, oldest first, at most so many, of a customer or of all; none: from the first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keys_after(
        &self,
        customer_id: Option<CustomerId>,
        after: Option<KeyId>,
        rows_max: u32,
    ) -> Result<Vec<KeyRow>, StoreError> {
        on_engine!(self, keys_after(customer_id, after, rows_max))
    }

    /// One key.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn key(&self, id: KeyId) -> Result<KeyRow, StoreError> {
        let key = on_engine!(self, key(id))?;
        key.ok_or_else(|| StoreError::NotFound(format!("key {id}")))
    }

    /// Revokes a key from a time on; an earlier revocation stands.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn revoke_key(&self, id: KeyId, at_us: i64) -> Result<(), StoreError> {
        self.key(id).await?;
        on_engine!(self, revoke_key(id, at_us))
    }
}
