//! Customers.

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};

use super::{
    AdminState,
    books::time,
    problem::{Body, Id, Problem},
};
use crate::{accounts::NewCustomer, store::customers::CustomerRow};

pub(super) async fn list(State(state): State<AdminState>) -> Result<Json<Value>, Problem> {
    let customers = state.accounts.store.customers().await?;
    let data: Vec<Value> = customers.iter().map(view).collect();
    Ok(Json(json!({ "data": data, "next": null })))
}

pub(super) async fn create(
    State(state): State<AdminState>,
    Body(new): Body<NewCustomer>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let catalog = state.catalog.load();
    let customer = state.accounts.create_customer(new, &catalog.books()).await?;
    Ok((StatusCode::CREATED, Json(view(&customer))))
}

pub(super) async fn show(
    State(state): State<AdminState>,
    Id(id): Id<tollgate_core::id::CustomerId>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(view(&state.accounts.store.customer(id).await?)))
}

fn view(customer: &CustomerRow) -> Value {
    json!({
        "id": customer.id,
        "name": customer.name,
        "external_id": customer.external_id,
        "billing": customer.billing,
        "price_book": customer.price_book,
        "created_at": time(customer.created_at_us),
    })
}
