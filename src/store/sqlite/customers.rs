//! Customers in SQLite.

use sqlx::{Row, sqlite::SqliteRow};
use tollgate_core::id::CustomerId;

use super::{SqliteStore, row};
use crate::store::{StoreError, customers::CustomerRow, exists};

const INSERT: &str = "
insert into customers (id, name, external_id, billing, price_book, created_at_us)
values (?, ?, ?, ?, ?, ?)";
const LIST: &str = "
select id, name, external_id, billing, price_book, created_at_us
from customers
order by id";
const PAGE: &str = "
select id, name, external_id, billing, price_book, created_at_us
from customers
where id > ?
order by id
limit ?";
const GET: &str = "
select id, name, external_id, billing, price_book, created_at_us
from customers
where id = ?";

pub(super) const STATEMENTS: &[&str] = &[INSERT, LIST, PAGE, GET];

impl SqliteStore {
    pub(in crate::store) async fn insert_customer(&self, customer: &CustomerRow) -> Result<(), StoreError> {
        let taken = || format!("a customer with the external id {}", customer.external_id.clone().unwrap_or_default());
        sqlx::query(INSERT)
            .bind(customer.id.bytes().as_slice())
            .bind(&customer.name)
            .bind(&customer.external_id)
            .bind(&customer.billing)
            .bind(&customer.price_book)
            .bind(customer.created_at_us)
            .execute(&self.writer)
            .await
            .map_err(|error| exists(error, taken))?;
        Ok(())
    }

    pub(in crate::store) async fn customers(&self) -> Result<Vec<CustomerRow>, StoreError> {
        sqlx::query(LIST).fetch_all(&self.readers).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn customers_after(
        &self,
        after: Option<CustomerId>,
        rows_max: u32,
    ) -> Result<Vec<CustomerRow>, StoreError> {
        let after = after.unwrap_or(CustomerId::from_bytes([0; 16]));
        let query = sqlx::query(PAGE).bind(after.bytes().as_slice()).bind(i64::from(rows_max));
        query.fetch_all(&self.readers).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn customer(&self, id: CustomerId) -> Result<Option<CustomerRow>, StoreError> {
        let row = sqlx::query(GET).bind(id.bytes().as_slice()).fetch_optional(&self.readers).await?;
        row.as_ref().map(read).transpose()
    }
}

fn read(from: &SqliteRow) -> Result<CustomerRow, StoreError> {
    Ok(CustomerRow {
        id: CustomerId::from_bytes(row::id(from, "id")?),
        name: from.try_get("name")?,
        external_id: from.try_get("external_id")?,
        billing: from.try_get("billing")?,
        price_book: from.try_get("price_book")?,
        created_at_us: from.try_get("created_at_us")?,
    })
}
