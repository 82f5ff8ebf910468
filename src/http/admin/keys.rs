//! Keys. A change reaches the keyring of the running gateway before the answer leaves.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_core::id::{CustomerId, KeyId};

use super::{
    AdminState,
    books::time,
    problem::{Body, Id, Params, Problem},
};
use crate::{accounts::NewKeySpec, proxy::keys::reload, store::keys::KeyRow};

#[derive(Deserialize)]
pub(super) struct Filter {
    customer: Option<CustomerId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    #[serde(default)]
    grace_seconds: u32,
}

pub(super) async fn list(
    State(state): State<AdminState>,
    Params(filter): Params<Filter>,
) -> Result<Json<Value>, Problem> {
    let keys = state.accounts.store.keys().await?;
    let wanted = |key: &&KeyRow| filter.customer.is_none_or(|customer| key.customer_id == customer);
    let data: Vec<Value> = keys.iter().filter(wanted).map(|key| view(&state, key)).collect();
    Ok(Json(json!({ "data": data, "next": null })))
}

pub(super) async fn show(State(state): State<AdminState>, Id(id): Id<KeyId>) -> Result<Json<Value>, Problem> {
    Ok(Json(view(&state, &state.accounts.store.key(id).await?)))
}

pub(super) async fn create(
    State(state): State<AdminState>,
    Body(new): Body<NewKeySpec>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let (key, text) = state.accounts.create_key(new).await?;
    publish(&state).await?;
    Ok((StatusCode::CREATED, Json(with_text(view(&state, &key), text))))
}

pub(super) async fn rotate(
    State(state): State<AdminState>,
    Id(id): Id<KeyId>,
    Body(rotation): Body<Rotation>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let (key, text) = state.accounts.rotate_key(id, rotation.grace_seconds).await?;
    publish(&state).await?;
    Ok((StatusCode::CREATED, Json(with_text(view(&state, &key), text))))
}

pub(super) async fn revoke(State(state): State<AdminState>, Id(id): Id<KeyId>) -> Result<Json<Value>, Problem> {
    let key = state.accounts.revoke_key(id).await?;
    publish(&state).await?;
    Ok(Json(view(&state, &key)))
}

async fn publish(state: &AdminState) -> Result<(), Problem> {
    if let Some(running) = &state.running {
        reload(&running.keyring, &state.accounts.store, running.limits).await?;
    }
    Ok(())
}

fn with_text(mut view: Value, text: String) -> Value {
    if let Some(fields) = view.as_object_mut() {
        fields.insert("key".to_owned(), text.into());
    }
    view
}

fn view(state: &AdminState, key: &KeyRow) -> Value {
    let now_us = state.accounts.clock.unix_us();
    let past = |at: Option<i64>| at.is_some_and(|at| at <= now_us);
    let status = match (past(key.revoked_at_us), past(key.expires_at_us)) {
        (true, _) => "revoked",
        (_, true) => "expired",
        _ => "active",
    };
    json!({
        "id": key.id,
        "public_id": key.public_id,
        "name": key.name,
        "customer_id": key.customer_id,
        "requests_per_minute": key.requests_per_minute,
        "tokens_per_minute": key.tokens_per_minute,
        "concurrent_requests": key.concurrent_requests,
        "models": key.models,
        "status": status,
        "created_at": time(key.created_at_us),
        "expires_at": key.expires_at_us.map(time),
        "revoked_at": key.revoked_at_us.map(time),
        "rotated_from": key.rotated_from,
    })
}
