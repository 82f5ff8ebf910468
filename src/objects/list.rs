//! Lists hold the caller's own objects: the ids are ours, what they look like now is asked of the provider one by one.

use std::collections::HashMap;

use axum::{
    body::Body,
    http::{Method, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::{
    Caller, Objects,
    ask::{self, Failed},
    detail::Detail,
    message_batches::localized,
    store_down,
};
use crate::{
    proxy::error::ProxyError,
    store::objects::{ObjectKind, ObjectRow, PageOf},
    upstream::request::error::RequestError,
};

/// Objects of a page when nothing is said, and at most.
const ROWS_USUAL: u32 = 20;
const ROWS_MAX: u32 = 100;
/// Objects asked for at once.
const ASKED_AT_ONCE: usize = 8;
/// Rows read for one page at most, where some are left out.
const READ_MAX: usize = 1000;

/// A page, in the order in which it was asked for.
struct Page {
    objects: Vec<Value>,
    has_more: bool,
}

impl Objects {
    /// `GET /v1/files`, `GET /v1/batches`
    ///
    /// # Errors
    /// [`ProxyError`] when the store or a provider does not answer.
    pub async fn list(&self, caller: &Caller, kind: ObjectKind) -> Result<Response<Body>, ProxyError> {
        let query = pairs(caller.query.as_deref());
        let is_asc = query.get("order").is_some_and(|order| order == "asc");
        let page = self.page(caller, kind, query.get("after"), is_asc, &query).await?;
        let edge = |at: Option<&Value>| at.and_then(|object| object.get("id").cloned());
        Ok(ask::json(&json!({
            "object": "list",
            "first_id": edge(page.objects.first()),
            "last_id": edge(page.objects.last()),
            "has_more": page.has_more,
            "data": page.objects,
        })))
    }

    /// `GET /v1/messages/batches`
    ///
    /// # Errors
    /// [`ProxyError`] when the store or a provider does not answer.
    pub async fn list_message_batches(&self, caller: &Caller) -> Result<Response<Body>, ProxyError> {
        let query = pairs(caller.query.as_deref());
        // What stands before an id is met by walking towards the newest from there.
        let before = query.get("before_id");
        let mut page = self
            .page(caller, ObjectKind::MessageBatch, before.or(query.get("after_id")), before.is_some(), &query)
            .await?;
        if before.is_some() {
            page.objects.reverse();
        }
        for batch in &mut page.objects {
            localized(batch);
        }
        let edge = |at: Option<&Value>| at.and_then(|object| object.get("id").cloned());
        Ok(ask::json(&json!({
            "first_id": edge(page.objects.first()),
            "last_id": edge(page.objects.last()),
            "has_more": page.has_more,
            "data": page.objects,
        })))
    }

    async fn page(
        &self,
        caller: &Caller,
        kind: ObjectKind,
        after: Option<&String>,
        oldest_first: bool,
        query: &HashMap<String, String>,
    ) -> Result<Page, ProxyError> {
        let wanted = limit(query)?;
        let purpose = query.get("purpose");
        let mut after = match after {
            Some(id) => {
                let (object, _) = self.owned(caller.customer_id(), kind, id, Some("after")).await?;
                Some((object.created_at_us, object.id))
            }
            None => None,
        };
        let rows_max = u32::try_from(wanted).unwrap_or(ROWS_MAX).saturating_add(1);
        let customer_id = caller.customer_id();
        let mut page = Page { objects: Vec::new(), has_more: false };
        for _ in 0..READ_MAX / wanted.max(1) {
            let of = PageOf { customer_id, kind, after, oldest_first, rows_max };
            let rows = self.store.objects_page(&of).await.map_err(store_down)?;
            let is_last = rows.len() < usize::try_from(rows_max).unwrap_or(usize::MAX);
            after = rows.last().map(|row| (row.created_at_us, row.id));
            let fits = |row: &ObjectRow| purpose.is_none_or(|wanted| Detail::of(&row.detail).purpose == *wanted);
            let fitting: Vec<ObjectRow> = rows.into_iter().filter(fits).collect();
            let mut shown =
                stream::iter(fitting.into_iter().map(|row| self.shown(caller, row))).buffered(ASKED_AT_ONCE);
            while let Some(object) = shown.next().await {
                let Some(object) = object? else { continue };
                if page.objects.len() == wanted {
                    page.has_more = true;
                    return Ok(page);
                }
                page.objects.push(object);
            }
            if is_last {
                return Ok(page);
            }
        }
        page.has_more = true;
        Ok(page)
    }

    /// What an object looks like now; none when its provider does not have it any more.
    async fn shown(&self, caller: &Caller, row: ObjectRow) -> Result<Option<Value>, ProxyError> {
        let provider = self.provider(&row.provider)?;
        let mut ask = self.about(&row, Method::GET, "")?.with(caller, Bytes::new());
        // The query is the list's.
        ask = ask.query(String::new());
        match self.ask_whole(&provider, ask).await {
            Ok(answer) => {
                if row.kind == ObjectKind::Batch {
                    self.saw_batch(&row, &answer).await?;
                }
                answer.read().map(Some)
            }
            Err(Failed { error: ProxyError::Upstream { status: 404 | 410, .. }, .. }) => Ok(None),
            Err(failed) => Err(failed.error),
        }
    }
}

fn limit(query: &HashMap<String, String>) -> Result<usize, ProxyError> {
    let rows = match query.get("limit") {
        None => ROWS_USUAL,
        Some(text) => {
            let number = text.parse::<u32>().ok().filter(|number| *number > 0);
            number
                .ok_or(RequestError::Invalid { field: "limit", expected: "a whole number, at least 1" })?
                .min(ROWS_MAX)
        }
    };
    Ok(usize::try_from(rows).unwrap_or(1))
}

/// The parameters of a query, escapes undone.
fn pairs(query: Option<&str>) -> HashMap<String, String> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect()
}
