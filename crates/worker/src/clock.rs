//! The only place that reads time: wall time for waiting, and the processor time of the calling thread.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Processor time that the calling thread has used so far. Neighbours on the machine do not change it.
#[must_use]
pub fn thread_busy() -> Duration {
    busy(ClockId::ThreadCPUTime)
}

/// Processor time that all threads of this process have used so far.
#[must_use]
pub fn process_busy() -> Duration {
    busy(ClockId::ProcessCPUTime)
}

fn busy(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Whole microseconds, saturating.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Seconds since 1970 UTC, for `created` fields.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
#[must_use]
pub fn unix_seconds() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// The wall clock as RFC 3339, whole seconds.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
#[must_use]
pub fn rfc3339_seconds() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}
