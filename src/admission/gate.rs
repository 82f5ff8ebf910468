//! Lets a request in, step by step: rate and concurrency before its body is read, model and tokens after.

use std::sync::{Arc, atomic::Ordering};

use super::{
    keyring::KeyState,
    rate::RequestView,
    refusal::Refusal,
    tokens::{TokenRefusal, TokenView},
};
use crate::clock::Clock;

/// A request that may be read. Drop gives its place back.
#[derive(Debug)]
pub struct Entered {
    key: Arc<KeyState>,
    clock: Clock,
    requests: Option<RequestView>,
}

/// A request that may start. Drop gives back its place and what it did not use.
#[derive(Debug)]
pub struct Admitted {
    entered: Entered,
    reserved_tokens: u64,
    settled: bool,
}

/// What is left of a key's limits, for the rate-limit headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitsView {
    /// Requests per minute.
    pub requests: Option<RequestView>,
    /// Tokens per minute.
    pub tokens: Option<TokenView>,
}

impl Entered {
    /// Takes a place among the key's concurrent requests, then one request of its minute.
    ///
    /// # Errors
    /// [`Refusal::Concurrency`] or [`Refusal::Requests`]; nothing is taken then.
    pub fn enter(key: Arc<KeyState>, clock: Clock) -> Result<Self, Refusal> {
        let limit = key.record.limits.concurrent_requests.unwrap_or(u32::MAX);
        let place = key.in_flight.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |n| (n < limit).then_some(n + 1));
        if place.is_err() {
            return Err(Refusal::Concurrency { limit });
        }
        // From here on Drop returns the place.
        let mut entered = Self { key, clock, requests: None };
        if let Some(rate) = entered.key.requests.clone() {
            let view = rate.take().map_err(|retry_after| Refusal::Requests { limit: rate.limit(), retry_after })?;
            entered.requests = Some(view);
        }
        Ok(entered)
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &KeyState {
        &self.key
    }

    /// The key, for whoever outlives the request's place.
    #[must_use]
    pub fn shared_key(&self) -> Arc<KeyState> {
        Arc::clone(&self.key)
    }

    /// Checks the model against the key's scope and reserves tokens: the input estimate and the output maximum that
    /// was asked for, at most the whole bucket, so that a large maximum alone never makes a request impossible.
    ///
    /// # Errors
    /// [`Refusal::ModelNotAllowed`], [`Refusal::Tokens`] or [`Refusal::TooLargeForKey`].
    pub fn admit(self, model: &str, input_estimate: u64, output_max: u64) -> Result<Admitted, Refusal> {
        let scope = self.key.record.models.as_deref();
        if scope.is_some_and(|models| !models.iter().any(|allowed| allowed == model)) {
            return Err(Refusal::ModelNotAllowed(model.to_owned()));
        }
        let mut reserved_tokens = 0;
        if let Some(bucket) = &self.key.tokens {
            let limit = bucket.limit();
            if input_estimate > limit {
                return Err(Refusal::TooLargeForKey { limit, requested: input_estimate });
            }
            reserved_tokens = input_estimate.saturating_add(output_max).min(limit);
            bucket.reserve(reserved_tokens, self.clock.monotonic()).map_err(|refusal| match refusal {
                TokenRefusal::NeverFits => Refusal::TooLargeForKey { limit, requested: reserved_tokens },
                TokenRefusal::Wait(retry_after) => Refusal::Tokens { limit, requested: reserved_tokens, retry_after },
            })?;
        }
        Ok(Admitted { entered: self, reserved_tokens, settled: false })
    }

    /// What is left of the key's limits.
    #[must_use]
    pub fn limits_view(&self) -> LimitsView {
        let tokens = self.key.tokens.as_ref().map(|bucket| bucket.view(self.clock.monotonic()));
        LimitsView { requests: self.requests, tokens }
    }
}

impl LimitsView {
    /// What a key is told that could not even enter.
    #[must_use]
    pub fn of_refused(key: &KeyState, refusal: &Refusal, clock: &Clock) -> Self {
        let refused_for_rate = matches!(refusal, Refusal::Requests { .. });
        let requests = key.requests.as_ref().filter(|_| refused_for_rate).map(|rate| rate.view(0));
        let tokens = key.tokens.as_ref().map(|bucket| bucket.view(clock.monotonic()));
        Self { requests, tokens }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.key.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Admitted {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &KeyState {
        self.entered.key()
    }

    /// The key, for whoever outlives the request's place.
    #[must_use]
    pub fn shared_key(&self) -> Arc<KeyState> {
        self.entered.shared_key()
    }

    /// What is left of the key's limits.
    #[must_use]
    pub fn limits_view(&self) -> LimitsView {
        self.entered.limits_view()
    }

    /// Replaces the reservation by what was used and gives the place back.
    pub fn settle(mut self, used_tokens: u64) {
        self.correct(used_tokens);
    }

    fn correct(&mut self, used_tokens: u64) {
        self.settled = true;
        if let Some(bucket) = &self.entered.key.tokens {
            bucket.correct(self.reserved_tokens, used_tokens, self.entered.clock.monotonic());
        }
    }
}

/// A request that never came to use anything returns all that it reserved.
impl Drop for Admitted {
    fn drop(&mut self) {
        if !self.settled {
            self.correct(0);
        }
    }
}
