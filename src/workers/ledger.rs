//! What workers said of their time, on its way into the store: the latest counters of each run and hour, kept until booked.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::health::{Health, Loaded};
use crate::store::{Store, rollups::HOUR_US, worker_hours::WorkerHourRow};

/// Hours of runs that wait for a store that fails; beyond, the oldest are given up.
const WAITING_MAX: usize = 10_000;

/// A run and an hour; the hour first, so that the oldest is the first.
type Cell = (i64, String, String);

/// Counters that are not booked yet.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<BTreeMap<Cell, WorkerHourRow>>);

impl Ledger {
    /// Notes what a worker with a loaded model said at `now_us`, microseconds since 1970 UTC.
    pub(super) fn note(&self, worker: &str, health: &Health, loaded: &Loaded, now_us: i64) {
        let hour_us = now_us.div_euclid(HOUR_US) * HOUR_US;
        self.add(WorkerHourRow {
            worker: worker.to_owned(),
            worker_id: health.worker_id.clone(),
            hour_us,
            model: loaded.model.clone(),
            model_sha256: loaded.model_sha256.clone(),
            engine_threads: loaded.engine_threads,
            uptime_us: health.uptime_us,
            busy_us: loaded.busy_us(),
            requests: loaded.requests_total,
        });
    }

    /// Books what was noted, now and then, until told to stop; then once more.
    pub(super) async fn run(self: std::sync::Arc<Self>, store: Store, every: Duration, stop: CancellationToken) {
        loop {
            let stopping = tokio::select! {
                () = stop.cancelled() => true,
                () = sleep(every) => false,
            };
            self.book(&store).await;
            if stopping {
                return;
            }
        }
    }

    async fn book(&self, store: &Store) {
        let rows: Vec<WorkerHourRow> = std::mem::take(&mut *self.waiting()).into_values().collect();
        if rows.is_empty() {
            return;
        }
        if let Err(error) = store.save_worker_hours(&rows).await {
            tracing::error!(%error, "the time of workers could not be booked; it is tried again");
            // What came in meanwhile is later and stays.
            rows.into_iter().for_each(|row| self.add(row));
        }
    }

    fn add(&self, row: WorkerHourRow) {
        let mut waiting = self.waiting();
        let cell = (row.hour_us, row.worker.clone(), row.worker_id.clone());
        let known = waiting.get(&cell);
        if known.is_none_or(|known| known.uptime_us <= row.uptime_us) {
            waiting.insert(cell, row);
        }
        while waiting.len() > WAITING_MAX {
            waiting.pop_first();
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, BTreeMap<Cell, WorkerHourRow>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
