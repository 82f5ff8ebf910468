//! The keys in memory: an immutable snapshot, swapped when keys change; each key's limiters outlive the swap.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, atomic::AtomicU32},
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
}

impl Keyring {
    /// An empty ring.
    #[must_use]
    pub fn new(pepper: [u8; 32], clock: Clock) -> Self {
        Self { pepper, clock, keys: ArcSwap::default() }
    }

    /// Replaces the keys. A key whose limits did not change keeps the state of its limiters.
    pub fn replace(&self, records: Vec<KeyRecord>) {
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
