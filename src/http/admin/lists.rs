//! Lists, as every route answers them: a page at a time.
//!
//! A route says by what key its rows are ordered; no two rows have the same. `next` names the key of a page's last row, not
//! how many came before it: rows that come or go between two pages move no other row from one to the other.

use axum::{
    Json,
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::problem::{Params, Problem};

/// Rows of a page when nothing is said, and at most.
const ROWS_USUAL: u32 = 100;
const ROWS_MAX: u32 = 1000;

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// Its rows.
    data: Vec<T>,
    /// `cursor` of the next page; null: this is the last.
    next: Option<String>,
}

/// What every list may be asked.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageParams {
    /// Rows of a page; none: 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
    /// `next` of the page before; none: the first page.
    cursor: Option<String>,
}

/// Of a list that has no filter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoFilter {}

/// The query of a list: its filter, and which page is asked for.
pub(super) struct List<F, K>(pub(super) F, pub(super) Asked<K>);

/// Which page of a list is asked for; `K` is the key that its rows are ordered by.
pub(super) struct Asked<K> {
    /// The rows behind this one; none: from the first.
    pub(super) after: Option<K>,
    limit: u32,
    /// Path and filter: a cursor is good for no other.
    list: String,
}

impl<F, K, S> FromRequestParts<S> for List<F, K>
where
    F: DeserializeOwned,
    K: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Params(PageParams { limit, cursor }) = Params::from_request_parts(parts, state).await?;
        let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let mut filter: Vec<_> = query.filter(|(name, _)| !matches!(name.as_ref(), "limit" | "cursor")).collect();
        filter.sort();
        let filter = form_urlencoded::Serializer::new(String::new()).extend_pairs(filter).finish();
        let list = format!("{}?{filter}", parts.uri.path());
        let uri = list.parse().map_err(|_| Problem::bad_request("invalid_query", "the query cannot be read"))?;
        let Query(filter) = Query::try_from_uri(&uri)
            .map_err(|rejection| Problem::bad_request("invalid_query", rejection.body_text()))?;
        let after = cursor.map(|cursor| read_cursor(&cursor, &list)).transpose()?;
        Ok(Self(filter, Asked { after, limit: read_limit(limit)?, list }))
    }
}

fn read_limit(text: Option<String>) -> Result<u32, Problem> {
    let Some(text) = text else { return Ok(ROWS_USUAL) };
    text.parse().ok().filter(|limit| (1..=ROWS_MAX).contains(limit)).ok_or_else(|| {
        let detail = format!("limit: `{text}` is not a whole number from 1 to {ROWS_MAX}; none is {ROWS_USUAL}");
        Problem::bad_request("invalid_limit", detail)
    })
}

fn read_cursor<K: DeserializeOwned>(text: &str, list: &str) -> Result<K, Problem> {
    let refused = |what| {
        let detail =
            format!("cursor: {what}; take `next` as the page before has it, or leave `cursor` out to begin anew");
        Problem::bad_request("invalid_cursor", detail)
    };
    let read = hex::decode(text).ok().and_then(|bytes| serde_json::from_slice::<(String, Value)>(&bytes).ok());
    let (of, key) = read.ok_or_else(|| refused("it is not one of this API's"))?;
    if of != list {
        return Err(refused("it is of another list, or of the same with another filter"));
    }
    // No key has a NUL, which Postgres would not even take as a text.
    let key = Some(key).filter(|key| !has_nul(key)).and_then(|key| serde_json::from_value(key).ok());
    key.ok_or_else(|| refused("it is not one of this API's"))
}

fn has_nul(key: &Value) -> bool {
    match key {
        Value::String(text) => text.contains('\0'),
        Value::Array(parts) => parts.iter().any(has_nul),
        _ => false,
    }
}

impl<K: Serialize> Asked<K> {
    /// Rows to read: one more than are shown, which tells that there is a next page.
    pub(super) const fn rows_max(&self) -> u32 {
        self.limit.saturating_add(1)
    }

    /// The page of rows that were read behind `after`, in the order of `key`, up to `rows_max` of them.
    pub(super) fn page<R, T>(&self, mut rows: Vec<R>, key: impl Fn(&R) -> K, view: impl Fn(R) -> T) -> Json<Page<T>> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let is_last = rows.len() <= limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| !is_last).map(|row| hex::encode(json!([self.list, key(row)]).to_string()));
        Json(Page { data: rows.into_iter().map(view).collect(), next })
    }

    /// The page of a list that is small, or made of other things: `rows` are all of it, in any order.
    pub(super) fn page_of_all<R, T>(
        &self,
        mut rows: Vec<R>,
        key: impl Fn(&R) -> K,
        view: impl Fn(R) -> T,
    ) -> Json<Page<T>>
    where
        K: Ord,
    {
        rows.retain(|row| self.after.as_ref().is_none_or(|after| key(row) > *after));
        rows.sort_by_cached_key(&key);
        self.page(rows, key, view)
    }
}
