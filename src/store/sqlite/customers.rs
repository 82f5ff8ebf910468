//! Who pays.

use sqlx::{Row, sqlite::SqliteRow};
use tollgate_core::id::CustomerId;

use super::row;
use crate::store::{Store, StoreError, exists};

/// A customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerRow {
    /// Its id.
    pub id: CustomerId,
    /// Name.
    pub name: String,
    /// The operator's own id of it; unique.
    pub external_id: Option<String>,
    /// `postpaid` or `prepaid`.
    pub billing: String,
    /// Name of its price book.
    pub price_book: String,
    /// Microseconds since 1970 UTC.
    pub created_at_us: i64,
}

const INSERT: &str = "
insert into customers (id, name, external_id, billing, price_book, created_at_us)
values (?, ?, ?, ?, ?, ?)";
const LIST: &str = "
select id, name, external_id, billing, price_book, created_at_us
from customers
order by id";
const GET: &str = "
select id, name, external_id, billing, price_book, created_at_us
from customers
where id = ?";

pub(in crate::store) const STATEMENTS: &[&str] = &[INSERT, LIST, GET];

impl Store {
    /// Adds a customer.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when another has its external id.
    pub async fn insert_customer(&self, customer: &CustomerRow) -> Result<(), StoreError> {
        sqlx::query(INSERT)
            .bind(customer.id.bytes().as_slice())
            .bind(&customer.name)
            .bind(&customer.external_id)
            .bind(&customer.billing)
            .bind(&customer.price_book)
            .bind(customer.created_at_us)
            .execute(&self.writer)
            .await
            .map_err(|error| {
                exists(error, || {
                    format!("a customer with the external id {}", customer.external_id.clone().unwrap_or_default())
                })
            })?;
        Ok(())
    }

    /// All customers, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn customers(&self) -> Result<Vec<CustomerRow>, StoreError> {
        sqlx::query(LIST).fetch_all(&self.readers).await?.iter().map(read).collect()
    }

    /// One customer.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn customer(&self, id: CustomerId) -> Result<CustomerRow, StoreError> {
        let row = sqlx::query(GET).bind(id.bytes().as_slice()).fetch_optional(&self.readers).await?;
        read(&row.ok_or_else(|| StoreError::NotFound(format!("customer {id}")))?)
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
