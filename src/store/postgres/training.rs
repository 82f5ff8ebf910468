//! Training runs in Postgres.

use sqlx::{Connection, PgConnection, Row, postgres::PgRow};
use tokio::time::timeout;
use tollgate_core::id::TrainingRunId;

use super::{PostgresStore, WRITE_MAX, row};
use crate::store::{
    StoreError, exists,
    training::{Place, TrainingRow},
};

const INSERT: &str = "
insert into training_runs (id, model, name, cost_nanousd, in_service, source, recorded_at_us)
values ($1, $2, $3, $4, $5, $6, $7)";
const DELETE_CONFIGURED: &str = "
delete from training_runs
where id = $1
  and source = 'config'";
/// Replicas start together, each with its configuration.
const LOCK: &str = "
lock table training_runs in share row exclusive mode";
const LIST: &str = "
select id, model, name, cost_nanousd, in_service, source, recorded_at_us
from training_runs
order by model, in_service, name";
const PAGE: &str = "
select id, model, name, cost_nanousd, in_service, source, recorded_at_us
from training_runs
where (model, in_service, name) > ($1, $2, $3)
order by model, in_service, name
limit $4";

pub(super) const STATEMENTS: &[&str] = &[INSERT, DELETE_CONFIGURED, LOCK, LIST, PAGE];

impl PostgresStore {
    pub(in crate::store) async fn insert_training(&self, run: &TrainingRow) -> Result<(), StoreError> {
        let mut session = self.writer.session().await?;
        let done = timeout(WRITE_MAX, insert(run, &mut *session)).await;
        session.settle(WRITE_MAX, done)
    }

    pub(in crate::store) async fn replace_configured_trainings(&self, runs: &[TrainingRow]) -> Result<(), StoreError> {
        let mut session = self.writer.session().await?;
        let done = timeout(WRITE_MAX, replace_on(&mut session, runs)).await;
        session.settle(WRITE_MAX, done)
    }

    pub(in crate::store) async fn trainings(&self) -> Result<Vec<TrainingRow>, StoreError> {
        self.readers.fetch_all(sqlx::query(LIST)).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn trainings_after(
        &self,
        after: Option<&Place>,
        rows_max: u32,
    ) -> Result<Vec<TrainingRow>, StoreError> {
        let (model, in_service, name) = after.map_or(("", "", ""), |(model, day, name)| (model, day, name));
        let query = sqlx::query(PAGE).bind(model).bind(in_service).bind(name).bind(i64::from(rows_max));
        self.readers.fetch_all(query).await?.iter().map(read).collect()
    }
}

async fn replace_on(connection: &mut PgConnection, runs: &[TrainingRow]) -> Result<(), StoreError> {
    let mut tx = connection.begin().await?;
    sqlx::query(LOCK).execute(&mut *tx).await?;
    let stored: Vec<TrainingRow> =
        sqlx::query(LIST).fetch_all(&mut *tx).await?.iter().map(read).collect::<Result<_, _>>()?;
    for old in stored.iter().filter(|old| !runs.iter().any(|run| run.says_the_same(old))) {
        sqlx::query(DELETE_CONFIGURED).bind(row::uuid(old.id.bytes())).execute(&mut *tx).await?;
    }
    for run in runs.iter().filter(|run| !stored.iter().any(|old| old.says_the_same(run))) {
        insert(run, &mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn insert(run: &TrainingRow, to: impl sqlx::Executor<'_, Database = sqlx::Postgres>) -> Result<(), StoreError> {
    sqlx::query(INSERT)
        .bind(row::uuid(run.id.bytes()))
        .bind(&run.model)
        .bind(&run.name)
        .bind(run.cost.get())
        .bind(run.in_service.to_string())
        .bind(&run.source)
        .bind(run.recorded_at_us)
        .execute(to)
        .await
        .map_err(|error| exists(error, || format!("a training run `{}` of the model {}", run.name, run.model)))?;
    Ok(())
}

fn read(from: &PgRow) -> Result<TrainingRow, StoreError> {
    let in_service: String = from.try_get("in_service")?;
    Ok(TrainingRow {
        id: TrainingRunId::from_bytes(row::id(from, "id")?),
        model: from.try_get("model")?,
        name: from.try_get("name")?,
        cost: row::amount(from, "cost_nanousd")?,
        in_service: in_service.parse().map_err(|_| StoreError::Damaged("day"))?,
        source: from.try_get("source")?,
        recorded_at_us: from.try_get("recorded_at_us")?,
    })
}
