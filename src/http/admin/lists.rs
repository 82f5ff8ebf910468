//! Lists, as every route answers them.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// A list.
#[derive(Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// Its rows.
    data: Vec<T>,
    /// Where the next page begins; null: this is all.
    next: Option<String>,
}

impl<T> Page<T> {
    /// All there is.
    pub(super) fn of(rows: impl IntoIterator<Item = T>) -> Json<Self> {
        Json(Self { data: rows.into_iter().collect(), next: None })
    }
}
