//! Who pays.

use tollgate_core::id::CustomerId;

use super::{Store, StoreError};

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

impl Store {
    /// Adds a customer.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when another has its external id.
    pub async fn insert_customer(&self, customer: &CustomerRow) -> Result<(), StoreError> {
        on_engine!(self, insert_customer(customer))
    }

    /// All customers, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn customers(&self) -> Result<Vec<CustomerRow>, StoreError> {
        on_engine!(self, customers())
    }

    /// The customers behind one, oldest first, at most so many; none: from the first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn customers_after(
        &self,
        after: Option<CustomerId>,
        rows_max: u32,
    ) -> Result<Vec<CustomerRow>, StoreError> {
        on_engine!(self, customers_after(after, rows_max))
    }

    /// One customer.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn customer(&self, id: CustomerId) -> Result<CustomerRow, StoreError> {
        let row = on_engine!(self, customer(id))?;
        row.ok_or_else(|| StoreError::NotFound(format!("customer {id}")))
    }
}
