//! Reads price files of other projects: what they say becomes price versions, what they cannot say or we cannot express is
//! told row by row.

mod complete;
mod genai;
mod litellm;
mod plan;
mod regex;

use serde::{Deserialize, Serialize};

pub use self::{
    complete::{Completion, complete},
    plan::{Manner, Plan, plan},
};
use super::PriceVersion;

/// A price file of another project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// The data file of genai-prices, version 2.
    GenaiPrices,
    /// LiteLLM's `model_prices_and_context_window.json`.
    Litellm,
}

impl Format {
    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GenaiPrices => "genai-prices",
            Self::Litellm => "litellm",
        }
    }
}

/// What became of a row of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = ImportRow)]
pub struct Row {
    /// `provider/model`, or the provider.
    pub place: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, or what changes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub what: String,
}

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ImportOutcome)]
pub enum Outcome {
    /// A model that had no price.
    Added,
    /// A model whose price is another one.
    Changed,
    /// A model whose price is as the file says.
    Unchanged,
    /// Imported, but for something.
    Partly,
    /// A price that is a thousand times off the one before it; not imported unless it is forced.
    Refused,
    /// Not imported.
    Skipped,
}

/// A file, read.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// What it says; a version that applies since ever has `valid_from_us` 0.
    pub versions: Vec<PriceVersion>,
    /// What of it was left out, and why.
    pub left_out: Vec<Row>,
}

/// Why a file cannot be read at all.
#[derive(Debug, thiserror::Error)]
#[error("this is no price file of that kind: {0}")]
pub struct ImportError(String);

/// Reads a file. `source` says where it is from; `recorded_at_us` when it was read.
///
/// # Errors
/// [`ImportError`] when it is no such file.
pub fn read(format: Format, text: &str, source: &str, recorded_at_us: i64) -> Result<Read, ImportError> {
    match format {
        Format::GenaiPrices => genai::read(text, source, recorded_at_us),
        Format::Litellm => litellm::read(text, source, recorded_at_us),
    }
}

impl Read {
    fn leave_out(&mut self, outcome: Outcome, place: &str, what: impl Into<String>) {
        self.left_out.push(Row { place: place.to_owned(), outcome, what: what.into() });
    }
}
