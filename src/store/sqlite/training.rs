//! Training runs in SQLite.

use sqlx::{Row, sqlite::SqliteRow};
use tollgate_core::id::TrainingRunId;

use super::{SqliteStore, row};
use crate::store::{
    StoreError, exists,
    training::{Place, TrainingRow},
};

const INSERT: &str = "
insert into training_runs (id, model, name, cost_nanousd, in_service, source, recorded_at_us)
values (?, ?, ?, ?, ?, ?, ?)";
const DELETE_CONFIGURED: &str = "
delete from training_runs
where id = ?
  and source = 'config'";
const LIST: &str = "
select id, model, name, cost_nanousd, in_service, source, recorded_at_us
from training_runs
order by model, in_service, name";
const PAGE: &str = "
select id, model, name, cost_nanousd, in_service, source, recorded_at_us
from training_runs
where (model, in_service, name) > (?, ?, ?)
order by model, in_service, name
limit ?";

pub(super) const STATEMENTS: &[&str] = &[INSERT, DELETE_CONFIGURED, LIST, PAGE];

impl SqliteStore {
    pub(in crate::store) async fn insert_training(&self, run: &TrainingRow) -> Result<(), StoreError> {
        insert(run, &self.writer).await
    }

    pub(in crate::store) async fn replace_configured_trainings(&self, runs: &[TrainingRow]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let stored: Vec<TrainingRow> =
            sqlx::query(LIST).fetch_all(&mut *tx).await?.iter().map(read).collect::<Result<_, _>>()?;
        for old in stored.iter().filter(|old| !runs.iter().any(|run| run.says_the_same(old))) {
            sqlx::query(DELETE_CONFIGURED).bind(old.id.bytes().as_slice()).execute(&mut *tx).await?;
        }
        for run in runs.iter().filter(|run| !stored.iter().any(|old| old.says_the_same(run))) {
            insert(run, &mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    pub(in crate::store) async fn trainings(&self) -> Result<Vec<TrainingRow>, StoreError> {
        sqlx::query(LIST).fetch_all(&self.readers).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn trainings_after(
        &self,
        after: Option<&Place>,
        rows_max: u32,
    ) -> Result<Vec<TrainingRow>, StoreError> {
        let (model, in_service, name) = after.map_or(("", "", ""), |(model, day, name)| (model, day, name));
        let query = sqlx::query(PAGE).bind(model).bind(in_service).bind(name).bind(i64::from(rows_max));
        query.fetch_all(&self.readers).await?.iter().map(read).collect()
    }
}

async fn insert(run: &TrainingRow, to: impl sqlx::Executor<'_, Database = sqlx::Sqlite>) -> Result<(), StoreError> {
    sqlx::query(INSERT)
        .bind(run.id.bytes().as_slice())
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

fn read(from: &SqliteRow) -> Result<TrainingRow, StoreError> {
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
