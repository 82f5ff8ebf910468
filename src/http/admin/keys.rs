//! Keys. A change reaches the keyring of the running gateway before the answer leaves.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use tollgate_core::id::{CustomerId, KeyId};
use utoipa::{IntoParams, ToSchema};

use super::{
    AdminState,
    books::time,
    lists::{List, Page, PageParams},
    problem::{Body, Id, Problem},
};
use crate::{accounts::NewKeySpec, proxy::keys::reload, store::keys::KeyRow};

/// A key, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Key)]
pub(super) struct KeyView {
    /// Its id.
    id: KeyId,
    /// The twelve characters by which it is known: `tg-<public id>-<secret>`.
    public_id: String,
    /// Name.
    name: Option<String>,
    /// Whose.
    customer_id: CustomerId,
    /// None: the default of the configuration.
    requests_per_minute: Option<u32>,
    /// None: the default of the configuration.
    tokens_per_minute: Option<u64>,
    /// None: the default of the configuration.
    concurrent_requests: Option<u32>,
    /// Public models that it may use; none: all.
    models: Option<Vec<String>>,
    /// `active`, `expired` or `revoked`.
    status: &'static str,
    /// RFC 3339 UTC.
    #[schema(format = DateTime)]
    created_at: String,
    /// RFC 3339 UTC.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// RFC 3339 UTC.
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
    /// The key that this one replaced.
    rotated_from: Option<KeyId>,
}

/// A new key, and the only time that its text is told.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedKey {
    #[serde(flatten)]
    view: KeyView,
    /// What the customer sends.
    key: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    /// Keys of this customer only.
    customer: Option<CustomerId>,
}

/// How a key is rotated.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// The old key works for so long.
    #[serde(default)]
    grace_seconds: u32,
}

/// All keys, or those of a customer, oldest first.
#[utoipa::path(get, path = "/keys", tag = "keys", params(Filter, PageParams), responses((status = OK, body = Page<KeyView>)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    List(filter, asked): List<Filter, KeyId>,
) -> Result<Json<Page<KeyView>>, Problem> {
    let keys = state.accounts.store.keys_after(filter.customer, asked.after, asked.rows_max()).await?;
    Ok(asked.page(keys, |key| key.id, |key| view(&state, key)))
}

/// One key.
#[utoipa::path(get, path = "/keys/{id}", tag = "keys", params(("id" = KeyId, Path)), responses((status = OK, body = KeyView)))]
pub(super) async fn show(State(state): State<AdminState>, Id(id): Id<KeyId>) -> Result<Json<KeyView>, Problem> {
    Ok(Json(view(&state, state.accounts.store.key(id).await?)))
}

/// Makes a key of a customer.
#[utoipa::path(post, path = "/keys", tag = "keys", request_body = NewKeySpec, responses((status = CREATED, body = CreatedKey)))]
pub(super) async fn create(
    State(state): State<AdminState>,
    Body(new): Body<NewKeySpec>,
) -> Result<(StatusCode, Json<CreatedKey>), Problem> {
    let (key, text) = state.accounts.create_key(new).await?;
    publish(&state).await?;
    Ok((StatusCode::CREATED, Json(CreatedKey { view: view(&state, key), key: text })))
}

/// Makes a key in another's place.
#[utoipa::path(
    post, path = "/keys/{id}/rotate", tag = "keys", params(("id" = KeyId, Path)), request_body = Rotation,
    responses((status = CREATED, body = CreatedKey))
)]
pub(super) async fn rotate(
    State(state): State<AdminState>,
    Id(id): Id<KeyId>,
    Body(rotation): Body<Rotation>,
) -> Result<(StatusCode, Json<CreatedKey>), Problem> {
    let (key, text) = state.accounts.rotate_key(id, rotation.grace_seconds).await?;
    publish(&state).await?;
    Ok((StatusCode::CREATED, Json(CreatedKey { view: view(&state, key), key: text })))
}

/// Ends a key, everywhere within a second.
#[utoipa::path(
    post, path = "/keys/{id}/revoke", tag = "keys", params(("id" = KeyId, Path)), responses((status = OK, body = KeyView))
)]
pub(super) async fn revoke(State(state): State<AdminState>, Id(id): Id<KeyId>) -> Result<Json<KeyView>, Problem> {
    let key = state.accounts.revoke_key(id).await?;
    publish(&state).await?;
    Ok(Json(view(&state, key)))
}

async fn publish(state: &AdminState) -> Result<(), Problem> {
    if let Some(running) = &state.running {
        reload(&running.keyring, &state.accounts.store, running.limits).await?;
    }
    Ok(())
}

fn view(state: &AdminState, key: KeyRow) -> KeyView {
    let now_us = state.accounts.clock.unix_us();
    let past = |at: Option<i64>| at.is_some_and(|at| at <= now_us);
    let status = match (past(key.revoked_at_us), past(key.expires_at_us)) {
        (true, _) => "revoked",
        (_, true) => "expired",
        _ => "active",
    };
    KeyView {
        id: key.id,
        public_id: key.public_id,
        name: key.name,
        customer_id: key.customer_id,
        requests_per_minute: key.requests_per_minute,
        tokens_per_minute: key.tokens_per_minute,
        concurrent_requests: key.concurrent_requests,
        models: key.models,
        status,
        created_at: time(key.created_at_us),
        expires_at: key.expires_at_us.map(time),
        revoked_at: key.revoked_at_us.map(time),
        rotated_from: key.rotated_from,
    }
}
