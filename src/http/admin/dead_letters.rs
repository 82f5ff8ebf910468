//! Dead letters: entries that the store refused for what they are. Listed, and posted after all when the reason is gone.

use axum::{Json, extract::State};
use serde::Serialize;
use tollgate_core::id::{AttemptId, BootId, CustomerId, RequestId};
use utoipa::ToSchema;

use super::{
    AdminState,
    books::time,
    lists::{List, NoFilter, Page, PageParams},
    problem::{Id, Problem},
};
use crate::store::dead_letters::DeadLetter;

/// An attempt's id, as it is shown: `req_….0`.
#[derive(Clone, Copy)]
pub(super) struct Attempt(AttemptId);

impl std::str::FromStr for Attempt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("`{text}` is not an attempt: expected such as req_0123456789abcdef0123456789abcdef.0");
        let (request_id, attempt) = text.rsplit_once('.').ok_or_else(refused)?;
        let request_id: RequestId = request_id.parse().map_err(|_| refused())?;
        let attempt = attempt.parse().map_err(|_| refused())?;
        Ok(Self(AttemptId { request_id, attempt }))
    }
}

/// An entry that the store refused for what it is.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub(super) struct LetterView {
    /// The attempt, `req_….0`.
    id: String,
    /// Who pays.
    customer_id: CustomerId,
    /// Public model.
    model: String,
    /// What the store said.
    reason: String,
    /// Whose journal it stood in.
    replica: String,
    /// Which boot's.
    boot_id: BootId,
    /// At which sequence.
    sequence: u64,
    /// RFC 3339 UTC.
    #[schema(format = DateTime)]
    admitted_at: String,
    /// RFC 3339 UTC.
    #[schema(format = DateTime)]
    buried_at: String,
}

/// A dead letter that is in the books now.
#[derive(Serialize, ToSchema)]
pub(super) struct Revived {
    /// The attempt, `req_….0`.
    id: String,
    /// True.
    posted: bool,
}

/// Entries that wait because the store refused them, by attempt.
#[utoipa::path(get, path = "/dead-letters", tag = "books", params(PageParams), responses((status = OK, body = Page<LetterView>)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    List(NoFilter {}, asked): List<NoFilter, (RequestId, u16)>,
) -> Result<Json<Page<LetterView>>, Problem> {
    let after = asked.after.map(|(request_id, attempt)| AttemptId { request_id, attempt });
    let letters = state.accounts.store.dead_letters_after(after, asked.rows_max()).await?;
    let view = |letter: DeadLetter| {
        let admission = letter.entry.admission;
        LetterView {
            id: admission.id.to_string(),
            customer_id: admission.customer_id,
            model: admission.model,
            reason: letter.reason,
            replica: letter.replica,
            boot_id: letter.boot_id,
            sequence: letter.sequence,
            admitted_at: time(admission.admitted_at_us),
            buried_at: time(letter.buried_at_us),
        }
    };
    let key = |letter: &DeadLetter| {
        let AttemptId { request_id, attempt } = letter.entry.admission.id;
        (request_id, attempt)
    };
    Ok(asked.page(letters, key, view))
}

/// Posts a dead letter after all.
#[utoipa::path(
    post, path = "/dead-letters/{id}/retry", tag = "books", params(("id" = String, Path, description = "The attempt, `req_….0`")),
    responses((status = OK, body = Revived))
)]
pub(super) async fn retry(
    State(state): State<AdminState>,
    Id(Attempt(id)): Id<Attempt>,
) -> Result<Json<Revived>, Problem> {
    state.accounts.store.revive(id).await?;
    Ok(Json(Revived { id: id.to_string(), posted: true }))
}
