//! The only place that reads time. A fake clock moves only when a test moves it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// Wall clock and monotonic clock. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { started: Instant },
    Fake { unix_us: Arc<AtomicI64>, elapsed_us: Arc<AtomicI64> },
}

impl Clock {
    /// The machine's clock.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads time")]
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System { started: Instant::now() })
    }

    /// A clock that stands at `unix_us` until [`Self::advance`] moves it.
    #[must_use]
    pub fn fake(unix_us: i64) -> Self {
        Self(Source::Fake { unix_us: Arc::new(AtomicI64::new(unix_us)), elapsed_us: Arc::default() })
    }

    /// Moves a fake clock; the machine's clock does not move.
    pub fn advance(&self, by: Duration) {
        if let Source::Fake { unix_us, elapsed_us } = &self.0 {
            let by_us = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            unix_us.fetch_add(by_us, Ordering::Relaxed);
            elapsed_us.fetch_add(by_us, Ordering::Relaxed);
        }
    }

    /// Sets a fake wall clock forward or back, as an operator or a time server does; no time passes.
    pub fn step_us(&self, by_us: i64) {
        if let Source::Fake { unix_us, .. } = &self.0 {
            unix_us.fetch_add(by_us, Ordering::Relaxed);
        }
    }

    /// Microseconds since 1970 UTC. May step; never used for durations.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads time")]
    #[must_use]
    pub fn unix_us(&self) -> i64 {
        match &self.0 {
            Source::System { .. } => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .ok()
                .and_then(|since| i64::try_from(since.as_micros()).ok())
                .unwrap_or(0),
            Source::Fake { unix_us, .. } => unix_us.load(Ordering::Relaxed),
        }
    }

    /// Time since this clock was made; never steps back.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System { started } => started.elapsed(),
            Source::Fake { elapsed_us, .. } => {
                Duration::from_micros(u64::try_from(elapsed_us.load(Ordering::Relaxed)).unwrap_or(0))
            }
        }
    }

    /// The UTC day.
    #[must_use]
    pub fn today(&self) -> Date {
        TimeZone::UTC.to_datetime(Timestamp::from_microsecond(self.unix_us()).unwrap_or_default()).date()
    }
}
