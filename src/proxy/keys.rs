//! Brings the keys of the store into the keyring in memory, with the configuration's defaults filled in.

use std::num::NonZeroU32;

use crate::{
    admission::keyring::{KeyLimits, KeyRecord, Keyring},
    config::Limits,
    store::{
        Store, StoreError,
        changes::{ACCOUNTS, Changes},
        keys::KeyRow,
    },
};

/// Replaces what the keyring holds by what the store does.
///
/// # Errors
/// [`StoreError`]; then the keyring is as it was.
pub async fn reload(keyring: &Keyring, store: &Store, defaults: Limits) -> Result<(), StoreError> {
    follow(keyring, store, defaults, &store.changes().await?).await
}

/// Replaces what the keyring holds if the store's counters, read before, say that it is out of date.
///
/// # Errors
/// [`StoreError`]; then the keyring is as it was.
pub async fn follow_changes(
    keyring: &Keyring,
    store: &Store,
    defaults: Limits,
    changes: &Changes,
) -> Result<(), StoreError> {
    if changes.get(ACCOUNTS).is_some_and(|version| *version == keyring.version()) {
        return Ok(());
    }
    follow(keyring, store, defaults, changes).await
}

async fn follow(keyring: &Keyring, store: &Store, defaults: Limits, changes: &Changes) -> Result<(), StoreError> {
    let version = changes.get(ACCOUNTS).copied().unwrap_or(0);
    let is_rewound = version < keyring.version();
    let keys = store.keys().await?;
    keyring.replace(version, is_rewound, keys.into_iter().map(|key| record(key, defaults)).collect());
    Ok(())
}

fn record(key: KeyRow, defaults: Limits) -> KeyRecord {
    KeyRecord {
        key_id: key.id,
        customer_id: key.customer_id,
        public_id: key.public_id,
        secret_hash: key.secret_hash,
        price_book: key.price_book,
        models: key.models,
        expires_at_us: key.expires_at_us,
        revoked_at_us: key.revoked_at_us,
        limits: KeyLimits {
            requests_per_minute: key.requests_per_minute.or(defaults.requests_per_minute).and_then(NonZeroU32::new),
            tokens_per_minute: key.tokens_per_minute.or(defaults.tokens_per_minute),
            concurrent_requests: key.concurrent_requests.or(defaults.concurrent_requests),
        },
    }
}
