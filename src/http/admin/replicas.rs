//! The gateways on this store, as far as it knows.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{AdminState, books::time, problem::Problem};
use crate::{fleet::lease::NAME_HELD_MAX, store::replicas::ReplicaRow};

pub(super) async fn list(State(state): State<AdminState>) -> Result<Json<Value>, Problem> {
    let replicas = state.accounts.store.replicas().await?;
    let view = |replica: &ReplicaRow| {
        let status = match (replica.released, replica.is_live(NAME_HELD_MAX)) {
            (true, _) => "stopped",
            (false, true) => "live",
            (false, false) => "lost",
        };
        json!({
            "name": replica.name,
            "status": status,
            "host": replica.host,
            "pid": replica.pid,
            "boot_id": replica.boot_id,
            "started_at": time(replica.started_at_us),
            "renewed_at": time(replica.renewed_at_us),
        })
    };
    let data: Vec<Value> = replicas.iter().map(view).collect();
    Ok(Json(json!({ "data": data, "next": null })))
}
