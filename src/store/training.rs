//! Training runs: fixed costs to be earned back.

use tollgate_core::{id::TrainingRunId, money::NanoUsd};

use super::{Store, StoreError};

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

/// Where a run stands in lists: model, day and name, which no two have in common.
pub type Place = (String, String, String);

impl Store {
    /// Adds a run.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the model has a run of that name.
    pub async fn insert_training(&self, run: &TrainingRow) -> Result<(), StoreError> {
        on_engine!(self, insert_training(run))
    }

    /// Makes the runs of the configuration be exactly these. A run that is there already and says the same stays as it is.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when a run of that name was added by command.
    pub async fn replace_configured_trainings(&self, runs: &[TrainingRow]) -> Result<(), StoreError> {
        on_engine!(self, replace_configured_trainings(runs))
    }

    /// All runs, by model and day.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn trainings(&self) -> Result<Vec<TrainingRow>, StoreError> {
        on_engine!(self, trainings())
    }

    /// The runs behind a place, at most so many; none: from the first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn trainings_after(&self, after: Option<&Place>, rows_max: u32) -> Result<Vec<TrainingRow>, StoreError> {
        on_engine!(self, trainings_after(after, rows_max))
    }
}

impl TrainingRow {
    /// Where it stands in lists.
    #[must_use]
    pub fn place(&self) -> Place {
        (self.model.clone(), self.in_service.to_string(), self.name.clone())
    }

    /// Whether two rows say the same: everything but their ids and when they were written.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        let said = |run: &Self| (run.model.clone(), run.name.clone(), run.cost, run.in_service, run.source.clone());
        said(self) == said(other)
    }
}
