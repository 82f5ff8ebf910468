//! What workers said of their time, by the hour: cumulative counters of each run, as last seen in that hour.

use sqlx::{Row, sqlite::SqliteRow};

use super::{Store, StoreError, row};

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

/// Counters only grow, so the larger ones are the later ones, in whatever order they come.
const UPSERT: &str = "
insert into worker_hours (
  worker, worker_id, hour_us, model, model_sha256, engine_threads, uptime_us, busy_us, requests
)
values (?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (worker, worker_id, hour_us) do update set
  uptime_us = max(uptime_us, excluded.uptime_us),
  busy_us = max(busy_us, excluded.busy_us),
  requests = max(requests, excluded.requests)";
const LIST: &str = "
select worker, worker_id, hour_us, model, model_sha256, engine_threads, uptime_us, busy_us, requests
from worker_hours
order by worker, worker_id, hour_us";

pub(super) const STATEMENTS: &[&str] = &[UPSERT, LIST];

impl Store {
    /// Keeps counters; those that are kept already, or older ones, change nothing.
    ///
    /// # Errors
    /// [`StoreError`]; then none of them was kept.
    pub async fn save_worker_hours(&self, hours: &[WorkerHourRow]) -> Result<(), StoreError> {
        let mut tx = self.writer.begin().await?;
        for hour in hours {
            sqlx::query(UPSERT)
                .bind(&hour.worker)
                .bind(&hour.worker_id)
                .bind(hour.hour_us)
                .bind(&hour.model)
                .bind(&hour.model_sha256)
                .bind(i64::from(hour.engine_threads))
                .bind(row::column(hour.uptime_us)?)
                .bind(row::column(hour.busy_us)?)
                .bind(row::column(hour.requests)?)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// All of them, by worker, run and hour.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn worker_hours(&self) -> Result<Vec<WorkerHourRow>, StoreError> {
        sqlx::query(LIST).fetch_all(&self.readers).await?.iter().map(read).collect()
    }
}

fn read(from: &SqliteRow) -> Result<WorkerHourRow, StoreError> {
    Ok(WorkerHourRow {
        worker: from.try_get("worker")?,
        worker_id: from.try_get("worker_id")?,
        hour_us: from.try_get("hour_us")?,
        model: from.try_get("model")?,
        model_sha256: from.try_get("model_sha256")?,
        engine_threads: u32::try_from(row::count(from, "engine_threads")?)
            .map_err(|_| StoreError::Damaged("engine thread count"))?,
        uptime_us: row::count(from, "uptime_us")?,
        busy_us: row::count(from, "busy_us")?,
        requests: row::count(from, "requests")?,
    })
}
