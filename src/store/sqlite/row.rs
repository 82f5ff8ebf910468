//! Columns to core types and back.

use sqlx::{Row, sqlite::SqliteRow};
use tollgate_core::money::NanoUsd;

use crate::store::StoreError;

/// Sixteen bytes of an id.
pub(super) fn id(row: &SqliteRow, column: &str) -> Result<[u8; 16], StoreError> {
    let bytes: Vec<u8> = row.try_get(column)?;
    bytes.try_into().map_err(|_| StoreError::Damaged("id"))
}

/// Sixteen bytes of an id, or null.
pub(super) fn maybe_id(row: &SqliteRow, column: &str) -> Result<Option<[u8; 16]>, StoreError> {
    let bytes: Option<Vec<u8>> = row.try_get(column)?;
    bytes.map(|bytes| bytes.try_into().map_err(|_| StoreError::Damaged("id"))).transpose()
}

/// A count, at least zero.
pub(super) fn count(row: &SqliteRow, column: &str) -> Result<u64, StoreError> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|_| StoreError::Damaged("count"))
}

/// An amount.
pub(super) fn amount(row: &SqliteRow, column: &str) -> Result<NanoUsd, StoreError> {
    Ok(NanoUsd::new(row.try_get(column)?))
}
