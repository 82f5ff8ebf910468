//! What is remembered of an object beside its columns. Counts, names and digests only: nothing of what a request says.

use serde::{Deserialize, Serialize};

use super::lines::Models;

/// The `detail` of an object, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Detail {
    /// Of a file: what it is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) purpose: String,
    /// Of a batch and of its file: the path that its requests call.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) endpoint: String,
    /// Requests in it.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) requests: u64,
    /// Tokens of their input by the published rule.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) input_estimate: u64,
    /// Tokens of the longest one's.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) input_max: u64,
    /// Which models they name.
    #[serde(skip_serializing_if = "Models::is_empty")]
    pub(super) models: Models,
    /// A sum over the names that the client gave to its requests: tells a batch by its results.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) names_sum: String,
    /// Of a batch: the file that it reads.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) input_file: String,
    /// Of a file: the batch that wrote it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) batch: String,
    /// Of a batch: `x-tollgate-tags`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Vec<(String, String)>,
}

impl Detail {
    /// As it is stored.
    pub(super) fn to_json(&self) -> String {
        // Texts and numbers only: it cannot fail.
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }

    /// Reads what [`Self::to_json`] wrote; what cannot be read says nothing.
    pub(super) fn of(stored: &str) -> Self {
        serde_json::from_str(stored).unwrap_or_default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}
