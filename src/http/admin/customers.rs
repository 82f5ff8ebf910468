//! Customers.

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use tollgate_core::id::CustomerId;
use utoipa::ToSchema;

use super::{
    AdminState,
    books::time,
    lists::{List, NoFilter, Page, PageParams},
    problem::{Body, Id, Problem},
};
use crate::{accounts::NewCustomer, store::customers::CustomerRow};

/// A customer.
#[derive(Serialize, ToSchema)]
#[schema(as = Customer)]
pub(super) struct CustomerView {
    /// Its id.
    id: CustomerId,
    /// Name.
    name: String,
    /// The operator's own id of it.
    external_id: Option<String>,
    /// `postpaid` or `prepaid`.
    billing: String,
    /// Price book.
    price_book: String,
    /// RFC 3339 UTC.
    #[schema(format = DateTime)]
    created_at: String,
}

/// All customers, oldest first.
#[utoipa::path(get, path = "/customers", tag = "customers", params(PageParams), responses((status = OK, body = Page<CustomerView>)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    List(NoFilter {}, asked): List<NoFilter, CustomerId>,
) -> Result<Json<Page<CustomerView>>, Problem> {
    let customers = state.accounts.store.customers_after(asked.after, asked.rows_max()).await?;
    Ok(asked.page(customers, |customer| customer.id, CustomerView::from))
}

/// Adds a customer.
#[utoipa::path(
    post, path = "/customers", tag = "customers", request_body = NewCustomer, responses((status = CREATED, body = CustomerView))
)]
pub(super) async fn create(
    State(state): State<AdminState>,
    Body(new): Body<NewCustomer>,
) -> Result<(StatusCode, Json<CustomerView>), Problem> {
    let catalog = state.catalog.load();
    let customer = state.accounts.create_customer(new, &catalog.books()).await?;
    Ok((StatusCode::CREATED, Json(customer.into())))
}

/// One customer.
#[utoipa::path(
    get, path = "/customers/{id}", tag = "customers", params(("id" = CustomerId, Path)), responses((status = OK, body = CustomerView))
)]
pub(super) async fn show(
    State(state): State<AdminState>,
    Id(id): Id<CustomerId>,
) -> Result<Json<CustomerView>, Problem> {
    Ok(Json(state.accounts.store.customer(id).await?.into()))
}

impl From<CustomerRow> for CustomerView {
    fn from(row: CustomerRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            external_id: row.external_id,
            billing: row.billing,
            price_book: row.price_book,
            created_at: time(row.created_at_us),
        }
    }
}
