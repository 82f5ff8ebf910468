//! What leaves the process for somebody else who may be slow or away: how much was taken, and how much was given up.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use tracing_appender::non_blocking::ErrorCounter;

/// One kind of what leaves.
#[derive(Debug, Default)]
pub struct Outlet {
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl Outlet {
    /// So much was taken.
    pub fn sent(&self, count: u64) {
        self.sent.fetch_add(count, Ordering::Relaxed);
    }

    /// So much was given up.
    pub fn dropped(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// Taken and given up, since the start.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }
}

/// All that leaves.
#[derive(Debug, Default)]
pub struct Outlets {
    /// Spans.
    pub traces: Outlet,
    /// Reports of metrics.
    pub metrics: Outlet,
    log: OnceLock<ErrorCounter>,
}

impl Outlets {
    /// From now on the lines that this log gives up are counted.
    pub fn watch(&self, log: ErrorCounter) {
        // The first log is the process's.
        let _already_watched = self.log.set(log);
    }

    /// Log lines that were given up.
    #[must_use]
    pub fn log_lines_dropped(&self) -> u64 {
        self.log.get().map_or(0, |log| u64::try_from(log.dropped_lines()).unwrap_or(u64::MAX))
    }
}
