//! What workers said of their time, by the hour: cumulative counters of each run, as last seen in that hour.

use super::{Store, StoreError};

/// The counters of one run of a worker as last seen in one hour; all count from the start of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerHourRow {
    /// Name in the configuration.
    pub worker: String,
    /// The run: new at each start of the worker.
    pub worker_id: String,
    /// Beginning of the hour, microseconds since 1970 UTC.
    pub hour_us: i64,
    /// What the worker calls its model.
    pub model: String,
    /// Hash of the model.
    pub model_sha256: String,
    /// Threads of its engine: so many microseconds of thread time pass in one.
    pub engine_threads: u32,
    /// Time since it started.
    pub uptime_us: u64,
    /// Thread time of prefill and decode.
    pub busy_us: u64,
    /// Requests that it took.
    pub requests: u64,
}

impl Store {
    /// Keeps counters; those that are kept already, or older ones, change nothing.
    ///
    /// # Errors
    /// [`StoreError`]; then none of them was kept.
    pub async fn save_worker_hours(&self, hours: &[WorkerHourRow]) -> Result<(), StoreError> {
        on_engine!(self, save_worker_hours(hours))
    }

    /// All of them, by worker, run and hour.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn worker_hours(&self) -> Result<Vec<WorkerHourRow>, StoreError> {
        on_engine!(self, worker_hours())
    }
}
