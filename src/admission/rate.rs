//! Requests per minute of one key: governor's cell rate algorithm on the gateway's own clock.

use std::{num::NonZeroU32, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::Clock as GovernorClock,
    middleware::StateInformationMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};

use crate::clock::Clock;

#[derive(Clone, Debug)]
struct Monotonic(Clock);

impl GovernorClock for Monotonic {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.monotonic().into()
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Monotonic, StateInformationMiddleware>;

/// Requests per minute of one key.
#[derive(Debug)]
pub struct RequestRate {
    limit: NonZeroU32,
    limiter: Limiter,
    clock: Clock,
}

/// What is left of a rate at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestView {
    /// Requests per minute.
    pub limit: u32,
    /// Requests that may start now.
    pub remaining: u32,
    /// Until all are there again.
    pub reset: Duration,
}

impl RequestRate {
    /// `limit` requests per minute; as many may come at once after a quiet minute.
    #[must_use]
    pub fn new(limit: NonZeroU32, clock: Clock) -> Self {
        let limiter = RateLimiter::direct_with_clock(Quota::per_minute(limit), Monotonic(clock.clone()))
            .with_middleware::<StateInformationMiddleware>();
        Self { limit, limiter, clock }
    }

    /// Requests per minute.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit.get()
    }

    /// Takes one request.
    ///
    /// # Errors
    /// How long to wait until the next one may start.
    pub fn take(&self) -> Result<RequestView, Duration> {
        match self.limiter.check() {
            Ok(snapshot) => Ok(self.view(snapshot.remaining_burst_capacity())),
            Err(not_until) => Err(not_until.wait_time_from(self.clock.monotonic().into())),
        }
    }

    /// The view when `remaining` requests are left.
    #[must_use]
    pub fn view(&self, remaining: u32) -> RequestView {
        let limit = self.limit.get();
        let each = Duration::from_secs(60) / limit;
        RequestView { limit, remaining, reset: each * limit.saturating_sub(remaining) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_it_names_is_long_enough_and_not_a_second_longer() {
        let clock = Clock::fake(0);
        let rate = RequestRate::new(NonZeroU32::new(3).unwrap(), clock.clone());
        assert_eq!(rate.take().unwrap().remaining, 2);
        rate.take().unwrap();
        assert_eq!(rate.take().unwrap().remaining, 0);
        let wait = rate.take().unwrap_err();
        assert!(wait <= Duration::from_secs(20) && wait > Duration::from_secs(19), "{wait:?}");
        clock.advance(wait - Duration::from_millis(1));
        assert!(rate.take().is_err());
        clock.advance(Duration::from_millis(2));
        assert!(rate.take().is_ok());
    }
}
