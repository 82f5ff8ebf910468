//! A bucket of tokens per minute that can give units back: reserve an estimate, correct it at the end.
//!
//! The level may fall below zero when a request used more than it reserved; the key then waits until it has refilled.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Level units of one token: refilling adds `limit` units each microsecond.
const UNITS_PER_TOKEN: i128 = 60_000_000;

/// Tokens per minute of one key.
#[derive(Debug)]
pub struct TokenBucket {
    limit: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    level_units: i128,
    refilled_at: Duration,
}

/// What a bucket holds at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenView {
    /// Tokens per minute.
    pub limit: u64,
    /// Tokens that may be reserved now.
    pub remaining: u64,
    /// Until the bucket is full.
    pub reset: Duration,
}

/// Why tokens are not reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRefusal {
    /// More than the bucket can ever hold: waiting does not help.
    NeverFits,
    /// Enough will be there after this long.
    Wait(Duration),
}

impl TokenBucket {
    /// A full bucket of `limit` tokens per minute at `now` (monotonic).
    #[must_use]
    pub fn new(limit: u64, now: Duration) -> Self {
        Self { limit, state: Mutex::new(State { level_units: full(limit), refilled_at: now }) }
    }

    /// Tokens per minute.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Takes `tokens`, or says how long to wait.
    ///
    /// # Errors
    /// [`TokenRefusal`]; nothing is taken then.
    pub fn reserve(&self, tokens: u64, now: Duration) -> Result<(), TokenRefusal> {
        if tokens > self.limit {
            return Err(TokenRefusal::NeverFits);
        }
        self.with_refilled(now, |state| {
            let wanted = i128::from(tokens) * UNITS_PER_TOKEN;
            let missing = wanted - state.level_units;
            if missing > 0 {
                return Err(TokenRefusal::Wait(refill_time(missing, self.limit)));
            }
            state.level_units -= wanted;
            Ok(())
        })
    }

    /// Replaces a reservation of `reserved` tokens by the `used` that were counted.
    pub fn correct(&self, reserved: u64, used: u64, now: Duration) {
        self.with_refilled(now, |state| {
            state.level_units += (i128::from(reserved) - i128::from(used)) * UNITS_PER_TOKEN;
            state.level_units = state.level_units.min(full(self.limit));
        });
    }

    /// What is there now.
    #[must_use]
    pub fn view(&self, now: Duration) -> TokenView {
        self.with_refilled(now, |state| TokenView {
            limit: self.limit,
            remaining: u64::try_from(state.level_units / UNITS_PER_TOKEN).unwrap_or(0),
            reset: refill_time(full(self.limit) - state.level_units, self.limit),
        })
    }

    fn with_refilled<T>(&self, now: Duration, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed_us = now.saturating_sub(state.refilled_at).as_micros();
        let gained = i128::try_from(elapsed_us).unwrap_or(i128::MAX).saturating_mul(i128::from(self.limit));
        state.level_units = state.level_units.saturating_add(gained).min(full(self.limit));
        state.refilled_at = state.refilled_at.max(now);
        work(&mut state)
    }
}

fn full(limit: u64) -> i128 {
    i128::from(limit) * UNITS_PER_TOKEN
}

fn refill_time(units: i128, limit: u64) -> Duration {
    let per_us = u128::from(limit.max(1));
    let us = u128::try_from(units).unwrap_or(0).div_ceil(per_us);
    Duration::from_micros(u64::try_from(us).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::ZERO;

    #[test]
    fn the_wait_it_names_is_exactly_long_enough() {
        let bucket = TokenBucket::new(600, START);
        assert_eq!(bucket.reserve(600, START), Ok(()));
        let Err(TokenRefusal::Wait(wait)) = bucket.reserve(10, START) else { panic!("must wait") };
        assert_eq!(wait, Duration::from_secs(1));
        assert!(bucket.reserve(10, wait - Duration::from_micros(1)).is_err());
        assert_eq!(bucket.reserve(10, wait), Ok(()));
    }

    #[test]
    fn unused_tokens_come_back_and_excess_is_owed() {
        let bucket = TokenBucket::new(1000, START);
        bucket.reserve(800, START).unwrap();
        bucket.correct(800, 100, START);
        assert_eq!(bucket.view(START).remaining, 900);
        bucket.reserve(900, START).unwrap();
        bucket.correct(900, 2900, START);
        assert_eq!(bucket.view(START).remaining, 0);
        assert_eq!(bucket.reserve(1, Duration::from_secs(120)), Err(TokenRefusal::Wait(Duration::from_micros(60_000))));
    }

    #[test]
    fn what_can_never_fit_is_told_apart_from_what_must_wait() {
        assert_eq!(TokenBucket::new(10, START).reserve(11, START), Err(TokenRefusal::NeverFits));
    }

    #[test]
    fn a_full_bucket_does_not_grow() {
        let bucket = TokenBucket::new(60, START);
        assert_eq!(bucket.view(Duration::from_secs(3600)).remaining, 60);
        bucket.correct(50, 0, Duration::from_secs(3600));
        assert_eq!(bucket.view(Duration::from_secs(3600)).remaining, 60);
    }
}
