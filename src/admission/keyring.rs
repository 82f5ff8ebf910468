//! The keys in memory: an immutable snapshot, swapped when keys change; each key's limiters outlive the swap.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU32},
};

use arc_swap::ArcSwap;
use tollgate_core::{
    id::{CustomerId, KeyId},
    key::{PresentedKey, SecretHash, hash_secret, hashes_equal},
};

use super::{rate::RequestRate, refusal::Refusal, tokens::TokenBucket};
use crate::clock::Clock;

/// What admission needs to know of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its id.
    pub key_id: KeyId,
    /// Who pays.
    pub customer_id: CustomerId,
    /// Twelve characters.
    pub public_id: String,
    /// Keyed hash of the secret.
    pub secret_hash: SecretHash,
    /// The customer's price book.
    pub price_book: String,
    /// Public models that it may use; none: all.
    pub models: Option<Vec<String>>,
    /// Microseconds since 1970 UTC.
    pub expires_at_us: Option<i64>,
    /// Microseconds since 1970 UTC; may lie ahead (rotation with grace).
    pub revoked_at_us: Option<i64>,
    /// Limits, defaults filled in; none: no limit.
    pub limits: KeyLimits,
}

/// Limits of one key; none: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyLimits {
    /// Requests per minute.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens per minute.
    pub tokens_per_minute: Option<u64>,
    /// Requests under way at once.
    pub concurrent_requests: Option<u32>,
}

/// A key and the state of its limiters.
#[derive(Debug)]
pub struct KeyState {
    /// The key.
    pub record: KeyRecord,
    /// Requests under way.
    pub(super) in_flight: Arc<AtomicU32>,
    pub(super) requests: Option<Arc<RequestRate>>,
    pub(super) tokens: Option<Arc<TokenBucket>>,
}

/// All keys, by public id.
#[derive(Debug)]
pub struct Keyring {
    pepper: [u8; 32],
    clock: Clock,
    keys: ArcSwap<HashMap<String, Arc<KeyState>>>,
    /// Version of the keys in place; held while they are replaced.
    version: Mutex<i64>,
}

impl Keyring {
    /// An empty ring.
    #[must_use]
    pub fn new(pepper: [u8; 32], clock: Clock) -> Self {
        Self { pepper, clock, keys: ArcSwap::default(), version: Mutex::new(0) }
    }

    /// Version of the keys in place: everything that was changed up to it is in them.
    #[must_use]
    pub fn version(&self) -> i64 {
        *self.version.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the keys by those read at `version` or later, unless newer ones are in place: of two readers that overlap
    /// the slower one must not bring back a key that was revoked in between. `is_rewound` says that the store's versions
    /// begin anew. A key whose limits did not change keeps the state of its limiters.
    pub fn replace(&self, version: i64, is_rewound: bool, records: Vec<KeyRecord>) {
        let mut held = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        if version < *held && !is_rewound {
            return;
        }
        *held = version;
        let old = self.keys.load();
        let keys = records.into_iter().map(|record| {
            let kept = old.get(&record.public_id).filter(|old| old.record.limits == record.limits);
            (record.public_id.clone(), Arc::new(self.state(record, kept)))
        });
        self.keys.store(Arc::new(keys.collect()));
    }

    fn state(&self, record: KeyRecord, kept: Option<&Arc<KeyState>>) -> KeyState {
        if let Some(old) = kept {
            return KeyState {
                record,
                in_flight: Arc::clone(&old.in_flight),
                requests: old.requests.clone(),
                tokens: old.tokens.clone(),
            };
        }
        let limits = record.limits;
        KeyState {
            record,
            in_flight: Arc::default(),
            requests: limits.requests_per_minute.map(|limit| Arc::new(RequestRate::new(limit, self.clock.clone()))),
            tokens: limits.tokens_per_minute.map(|limit| Arc::new(TokenBucket::new(limit, self.clock.monotonic()))),
        }
    }

    /// Finds and checks a key. An unknown public id costs the same work as a wrong secret.
    ///
    /// # Errors
    /// [`Refusal`] of the key.
    pub fn authenticate(&self, presented: Option<&str>) -> Result<Arc<KeyState>, Refusal> {
        let text = presented.ok_or(Refusal::MissingKey)?;
        let presented = PresentedKey::parse(text.trim()).ok_or(Refusal::InvalidKey)?;
        let hash = hash_secret(&self.pepper, presented.secret);
        let keys = self.keys.load();
        let found = keys.get(presented.public_id);
        let expected = found.map_or([0; 32], |key| key.record.secret_hash);
        let equal = hashes_equal(&hash, &expected);
        let key = found.filter(|_| equal).ok_or(Refusal::InvalidKey)?;
        let now_us = self.clock.unix_us();
        if key.record.revoked_at_us.is_some_and(|at| at <= now_us) {
            return Err(Refusal::RevokedKey);
        }
        if key.record.expires_at_us.is_some_and(|at| at <= now_us) {
            return Err(Refusal::ExpiredKey);
        }
        Ok(Arc::clone(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_does_not_bring_back_what_a_faster_one_saw_revoked() {
        let ring = Keyring::new([0; 32], Clock::fake(0));
        let key = |revoked_at_us| KeyRecord {
            key_id: KeyId::new(1, &[0; 10]),
            customer_id: CustomerId::new(1, &[0; 10]),
            public_id: "AAAAAAAAAAAA".to_owned(),
            secret_hash: [0; 32],
            price_book: "default".to_owned(),
            models: None,
            expires_at_us: None,
            revoked_at_us,
            limits: KeyLimits::default(),
        };
        let revoked = || ring.keys.load().values().all(|state| state.record.revoked_at_us.is_some());
        ring.replace(2, false, vec![key(Some(0))]);
        ring.replace(1, false, vec![key(None)]);
        assert!(revoked() && ring.version() == 2);
        ring.replace(1, true, vec![key(None)]);
        assert!(!revoked() && ring.version() == 1, "a store that went back is believed");
    }
}
