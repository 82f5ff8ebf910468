//! Customers in Postgres.

use sqlx::{Row, postgres::PgRow};
use tollgate_core::id::CustomerId;

use super::{PostgresStore, row};
use crate::store::{StoreError, customers::CustomerRow, exists};

const INSERT: &str = "
insert into customers (id, name, external_id, billing, price_book, created_at_us)
values ($1, $2, $3, $4, $5, $6)";
const LIST: &str = "
select id, name, external_id, billing, price_book, created_at_us
from customers
order by id";
const PAGE: &str = "
select id, name, external_id, billing, price_book, created_at_us
from customers
where id > $1
order by id
limit $2";
const GET: &str = "
select id, name, external_id, billing, price_book, created_at_us
from customers
where id = $1";

pub(super) const STATEMENTS: &[&str] = &[INSERT, LIST, PAGE, GET];

impl PostgresStore {
    pub(in crate::store) async fn insert_customer(&self, customer: &CustomerRow) -> Result<(), StoreError> {
        let taken = || format!("a customer with the external id {}", customer.external_id.clone().unwrap_or_default());
        self.writer
            .execute(
                sqlx::query(INSERT)
                    .bind(row::uuid(customer.id.bytes()))
                    .bind(&customer.name)
                    .bind(&customer.external_id)
                    .bind(&customer.billing)
                    .bind(&customer.price_book)
                    .bind(customer.created_at_us),
            )
            .await
            .map_err(|error| exists(error, taken))?;
        Ok(())
    }

    pub(in crate::store) async fn customers(&self) -> Result<Vec<CustomerRow>, StoreError> {
        self.readers.fetch_all(sqlx::query(LIST)).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn customers_after(
        &self,
        after: Option<CustomerId>,
        rows_max: u32,
    ) -> Result<Vec<CustomerRow>, StoreError> {
        let after = after.unwrap_or(CustomerId::from_bytes([0; 16]));
        let query = sqlx::query(PAGE).bind(row::uuid(after.bytes())).bind(i64::from(rows_max));
        self.readers.fetch_all(query).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn customer(&self, id: CustomerId) -> Result<Option<CustomerRow>, StoreError> {
        let row = self.readers.fetch_optional(sqlx::query(GET).bind(row::uuid(id.bytes()))).await?;
        row.as_ref().map(read).transpose()
    }
}

fn read(from: &PgRow) -> Result<CustomerRow, StoreError> {
    Ok(CustomerRow {
        id: CustomerId::from_bytes(row::id(from, "id")?),
        name: from.try_get("name")?,
        external_id: from.try_get("external_id")?,
        billing: from.try_get("billing")?,
        price_book: from.try_get("price_book")?,
        created_at_us: from.try_get("created_at_us")?,
    })
}
