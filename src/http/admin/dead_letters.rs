//! Dead letters: entries that the store refused for what they are. Listed, and posted after all when the reason is gone.

use axum::{Json, extract::State};
use serde_json::{Value, json};
use tollgate_core::id::{AttemptId, RequestId};

use super::{
    AdminState,
    books::time,
    problem::{Id, Problem},
};

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

pub(super) async fn list(State(state): State<AdminState>) -> Result<Json<Value>, Problem> {
    let letters = state.accounts.store.dead_letters().await?;
    let view = |letter: &crate::store::dead_letters::DeadLetter| {
        let admission = &letter.entry.admission;
        json!({
            "id": admission.id.to_string(),
            "customer_id": admission.customer_id,
            "model": admission.model,
            "reason": letter.reason,
            "replica": letter.replica,
            "boot_id": letter.boot_id,
            "sequence": letter.sequence,
            "admitted_at": time(admission.admitted_at_us),
            "buried_at": time(letter.buried_at_us),
        })
    };
    let data: Vec<Value> = letters.iter().map(view).collect();
    Ok(Json(json!({ "data": data, "next": null })))
}

pub(super) async fn retry(
    State(state): State<AdminState>,
    Id(Attempt(id)): Id<Attempt>,
) -> Result<Json<Value>, Problem> {
    state.accounts.store.revive(id).await?;
    Ok(Json(json!({ "id": id.to_string(), "posted": true })))
}
