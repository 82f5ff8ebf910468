//! Training runs: fixed costs to be earned back.

use sqlx::{Row, sqlite::SqliteRow};
use tollgate_core::{id::TrainingRunId, money::NanoUsd};

use super::{Store, StoreError, exists, row};

/// A training run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingRow {
    /// Its id.
    pub id: TrainingRunId,
    /// Public model.
    pub model: String,
    /// Name of the run; one per model.
    pub name: String,
    /// What it cost.
    pub cost: NanoUsd,
    /// First day on which revenue counts.
    pub in_service: jiff::civil::Date,
    /// `config`, `added`, or the receipt that it was added from.
    pub source: String,
    /// Microseconds since 1970 UTC.
    pub recorded_at_us: i64,
}

const INSERT: &str = "
insert into training_runs (id, model, name, cost_nanousd, in_service, source, recorded_at_us)
values (?, ?, ?, ?, ?, ?, ?)";
const DELETE_CONFIGURED: &str = "
delete from training_runs
where source = 'config'";
const LIST: &str = "
select id, model, name, cost_nanousd, in_service, source, recorded_at_us
from training_runs
order by model, in_service, name";

pub(super) const STATEMENTS: &[&str] = &[INSERT, DELETE_CONFIGURED, LIST];

impl Store {
    /// Adds a run.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the model has a run of that name.
    pub async fn insert_training(&self, run: &TrainingRow) -> Result<(), StoreError> {
        insert(run, &self.writer).await
    }

    /// Makes the runs of the configuration be exactly these.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when a run of that name was added by command.
    pub async fn replace_configured_trainings(&self, runs: &[TrainingRow]) -> Result<(), StoreError> {
        let mut tx = self.writer.begin().await?;
        sqlx::query(DELETE_CONFIGURED).execute(&mut *tx).await?;
        for run in runs {
            insert(run, &mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// All runs, by model and day.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn trainings(&self) -> Result<Vec<TrainingRow>, StoreError> {
        sqlx::query(LIST).fetch_all(&self.readers).await?.iter().map(read).collect()
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
