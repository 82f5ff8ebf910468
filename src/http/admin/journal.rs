//! The journal on disk: its verification, and the adoption of a lost replica's.

use std::path::PathBuf;

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    AdminState,
    problem::{Body, Problem},
};
use crate::{
    journal::{error::JournalError, verify},
    posting::{
        live::PostingError,
        recover::{self, Adopted},
    },
};

/// Reads every record of the journal.
#[utoipa::path(get, path = "/journal/verify", tag = "journal", responses((status = OK, body = verify::Report)))]
pub(super) async fn verify(State(state): State<AdminState>) -> Result<Json<verify::Report>, Problem> {
    let dir = state.journal_dir.clone();
    let report = tokio::task::spawn_blocking(move || verify::verify(&dir)).await;
    let report =
        report.map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "journal_failed", error.to_string()))?;
    Ok(Json(report?))
}

/// A lost replica's journal.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Adoption {
    /// Absolute path of its folder, on the gateway's machine.
    #[schema(value_type = String)]
    dir: PathBuf,
    /// The name that the replica had; none: the one in its files.
    replica: Option<String>,
    /// Leave the files where they are.
    #[serde(default)]
    keep: bool,
}

/// Posts what a lost replica's journal holds.
#[utoipa::path(post, path = "/journal/adopt", tag = "journal", request_body = Adoption, responses((status = OK, body = Adopted)))]
pub(super) async fn adopt(
    State(state): State<AdminState>,
    Body(wanted): Body<Adoption>,
) -> Result<Json<Adopted>, Problem> {
    if !wanted.dir.is_absolute() || !wanted.dir.is_dir() {
        let what = format!("dir: `{}` is not the absolute path of a folder", wanted.dir.display());
        return Err(Problem::bad_request("invalid_value", what));
    }
    let store = &state.accounts.store;
    let adopted = recover::adopt(store, &wanted.dir, wanted.replica.as_deref(), wanted.keep).await;
    adopted.map(Json).map_err(|error| match error {
        PostingError::Journal(error @ JournalError::NewerFormat { .. }) => {
            Problem::new(StatusCode::CONFLICT, "newer_format", error.to_string())
        }
        PostingError::Journal(error) => error.into(),
        PostingError::Store(error) => error.into(),
    })
}
