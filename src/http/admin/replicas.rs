//! The gateways on this store, as far as it knows.

use axum::{Json, extract::State};
use serde::Serialize;
use tollgate_core::id::BootId;
use utoipa::ToSchema;

use super::{
    AdminState,
    books::time,
    lists::{List, NoFilter, Page, PageParams},
    problem::Problem,
};
use crate::{fleet::lease::NAME_HELD_MAX, store::replicas::ReplicaRow};

/// A gateway.
#[derive(Serialize, ToSchema)]
#[schema(as = Replica)]
pub(super) struct ReplicaView {
    /// The name.
    name: String,
    /// `live`, `lost` or `stopped`.
    status: &'static str,
    /// The machine.
    host: String,
    /// The process there.
    pid: u32,
    /// This life of the process.
    boot_id: BootId,
    /// RFC 3339 UTC.
    #[schema(format = DateTime)]
    started_at: String,
    /// When it was heard of last, RFC 3339 UTC.
    #[schema(format = DateTime)]
    renewed_at: String,
}

/// The gateways on this store, by name.
#[utoipa::path(get, path = "/replicas", tag = "fleet", params(PageParams), responses((status = OK, body = Page<ReplicaView>)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    List(NoFilter {}, asked): List<NoFilter, String>,
) -> Result<Json<Page<ReplicaView>>, Problem> {
    let replicas = state.accounts.store.replicas().await?;
    let view = |replica: ReplicaRow| {
        let status = match (replica.released, replica.is_live(NAME_HELD_MAX)) {
            (true, _) => "stopped",
            (false, true) => "live",
            (false, false) => "lost",
        };
        ReplicaView {
            name: replica.name,
            status,
            host: replica.host,
            pid: replica.pid,
            boot_id: replica.boot_id,
            started_at: time(replica.started_at_us),
            renewed_at: time(replica.renewed_at_us),
        }
    };
    Ok(asked.page_of_all(replicas, |replica| replica.name.clone(), view))
}
