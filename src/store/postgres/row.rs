//! Columns to core types and back.

use sqlx::{Row, postgres::PgRow, types::Uuid};
use tollgate_core::money::NanoUsd;

use crate::store::StoreError;

/// Sixteen bytes of an id.
pub(super) fn id(row: &PgRow, column: &str) -> Result<[u8; 16], StoreError> {
    Ok(row.try_get::<Uuid, _>(column)?.into_bytes())
}

/// Sixteen bytes of an id, or null.
pub(super) fn maybe_id(row: &PgRow, column: &str) -> Result<Option<[u8; 16]>, StoreError> {
    Ok(row.try_get::<Option<Uuid>, _>(column)?.map(Uuid::into_bytes))
}

/// An id as a column.
pub(super) const fn uuid(id: &[u8; 16]) -> Uuid {
    Uuid::from_bytes(*id)
}

/// A count, at least zero.
pub(super) fn count(row: &PgRow, column: &str) -> Result<u64, StoreError> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|_| StoreError::Damaged("count"))
}

/// An amount.
pub(super) fn amount(row: &PgRow, column: &str) -> Result<NanoUsd, StoreError> {
    Ok(NanoUsd::new(row.try_get(column)?))
}
