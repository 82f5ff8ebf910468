//! Workers' counters in Postgres.

use sqlx::{Connection, PgConnection, Row, postgres::PgRow};
use tokio::time::timeout;

use super::{PostgresStore, WRITE_MAX, row};
use crate::store::{StoreError, column, worker_hours::WorkerHourRow};

/// Counters only grow, so the larger ones are the later ones, in whatever order they come.
const UPSERT: &str = "
insert into worker_hours as hour (
  worker, worker_id, hour_us, model, model_sha256, engine_threads, uptime_us, busy_us, requests
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (worker, worker_id, hour_us) do update set
  uptime_us = greatest(hour.uptime_us, excluded.uptime_us),
  busy_us = greatest(hour.busy_us, excluded.busy_us),
  requests = greatest(hour.requests, excluded.requests)";
const LIST: &str = "
select worker, worker_id, hour_us, model, model_sha256, engine_threads, uptime_us, busy_us, requests
from worker_hours
order by worker, worker_id, hour_us";

pub(super) const STATEMENTS: &[&str] = &[UPSERT, LIST];

impl PostgresStore {
    pub(in crate::store) async fn save_worker_hours(&self, hours: &[WorkerHourRow]) -> Result<(), StoreError> {
        let mut session = self.writer.session().await?;
        let done = timeout(WRITE_MAX, save_on(&mut session, hours)).await;
        session.settle(WRITE_MAX, done)
    }

    pub(in crate::store) async fn worker_hours(&self) -> Result<Vec<WorkerHourRow>, StoreError> {
        self.readers.fetch_all(sqlx::query(LIST)).await?.iter().map(read).collect()
    }
}

async fn save_on(connection: &mut PgConnection, hours: &[WorkerHourRow]) -> Result<(), StoreError> {
    let mut tx = connection.begin().await?;
    for hour in hours {
        sqlx::query(UPSERT)
            .bind(&hour.worker)
            .bind(&hour.worker_id)
            .bind(hour.hour_us)
            .bind(&hour.model)
            .bind(&hour.model_sha256)
            .bind(i64::from(hour.engine_threads))
            .bind(column(hour.uptime_us)?)
            .bind(column(hour.busy_us)?)
            .bind(column(hour.requests)?)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

fn read(from: &PgRow) -> Result<WorkerHourRow, StoreError> {
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
