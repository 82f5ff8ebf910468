//! How long to wait before a worker that ended is started again.

use std::time::Duration;

use super::Patience;

/// Waits that double, up to a most, until a run was long enough to count as stable.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    stable_after: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(patience: &Patience) -> Self {
        // Never a tight loop, whatever is configured.
        let min = patience.restart_wait_min.max(Duration::from_millis(1));
        Self { min, max: patience.restart_wait_max.max(min), stable_after: patience.stable_after, next: min }
    }

    /// The wait after a run that lasted for `lived`.
    pub(super) fn after(&mut self, lived: Duration) -> Duration {
        if lived >= self.stable_after {
            self.next = self.min;
        }
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(self.max);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_are_bounded_and_begin_anew_after_a_stable_run() {
        let mut backoff = Backoff::new(&Patience::default());
        let short = Duration::from_secs(59);
        let waits: Vec<u128> = (0..9).map(|_| backoff.after(short).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
        assert_eq!(backoff.after(Duration::from_secs(60)).as_millis(), 500);
        assert_eq!(backoff.after(Duration::ZERO).as_millis(), 1000);
    }

    #[test]
    fn there_is_always_a_wait_and_it_never_overflows() {
        let patience = Patience {
            restart_wait_min: Duration::ZERO,
            restart_wait_max: Duration::MAX,
            stable_after: Duration::MAX,
            ..Patience::default()
        };
        let mut backoff = Backoff::new(&patience);
        let mut before = Duration::ZERO;
        for _ in 0..200 {
            let wait = backoff.after(Duration::from_secs(1));
            assert!(wait > Duration::ZERO && wait >= before);
            before = wait;
        }
    }
}
