//! A customer's own usage, by any of its keys. What the gateway pays, and whom, is not in it.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{Request, Response},
    response::IntoResponse,
};
use serde::Serialize;
use tollgate_core::{
    id::{CustomerId, KeyId},
    money::NanoUsd,
};

use super::{Plane, enter, presented_key::presented_key};
use crate::{
    admission::gate::LimitsView,
    config::dialect::ProviderDialect,
    http::{
        errors::{self, Surface},
        usage_query::{groups, hour},
    },
    proxy::error::ProxyError,
    reports::usage::{UsageRow, usage},
    store::rollups::{By, Span},
};

const PATH: &str = "/v1/usage";
const GROUPS: [(&str, By); 3] = [("key", By::Key), ("model", By::Model), ("day", By::Day)];

#[derive(Serialize)]
struct Usages {
    object: &'static str,
    customer_id: CustomerId,
    data: Vec<CustomerUsage>,
}

/// A group of a customer's requests.
#[derive(Serialize)]
struct CustomerUsage {
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<KeyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<String>,
    requests: u64,
    input_uncached: u64,
    cache_read: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
    cache_write_unspecified: u64,
    output: u64,
    reasoning: u64,
    charge_usd: NanoUsd,
    /// Not in the sum yet.
    unpriced: u64,
    estimated: u64,
}

impl From<UsageRow> for CustomerUsage {
    fn from(row: UsageRow) -> Self {
        Self {
            key_id: row.key_id,
            model: row.model,
            day: row.day,
            requests: row.requests,
            input_uncached: row.input_uncached,
            cache_read: row.cache_read,
            cache_write_5m: row.cache_write_5m,
            cache_write_1h: row.cache_write_1h,
            cache_write_unspecified: row.cache_write_unspecified,
            output: row.output,
            reasoning: row.reasoning,
            charge_usd: row.charge_usd,
            unpriced: row.unpriced,
            estimated: row.estimated,
        }
    }
}

/// `GET /v1/usage?by=model,day,key&from=…&to=…`: counted against the key's limits as any request.
pub(super) async fn show(State(plane): State<Plane>, request: Request<Body>) -> Response<Body> {
    let surface = Surface::of(ProviderDialect::OpenAi);
    let request_id = match plane.proxy.new_request_id() {
        Ok(id) => id,
        Err(error) => return errors::response(surface, &error, None),
    };
    let mut observer = plane.proxy.observers.request(request_id, (request.method(), PATH), request.headers());
    let mut limits = LimitsView::default();
    let query = request.uri().query();
    let read = match enter(&plane.proxy, presented_key(request.headers(), query), &mut limits) {
        Ok(entered) => {
            observer.entered(entered.shared_key());
            read(&plane, entered.key().record.customer_id, query).await
        }
        Err(error) => Err(error.into()),
    };
    let (mut response, error) = match read {
        Ok(usages) => (Json(usages).into_response(), None),
        Err(error) => (errors::response(surface, &error, Some(request_id)), Some(error)),
    };
    observer.answered(response.status().as_u16(), error.as_ref());
    errors::insert_request_id(surface, response.headers_mut(), request_id);
    errors::insert_limits(surface, response.headers_mut(), &limits, plane.proxy.clock.unix_us());
    response
}

async fn read(plane: &Plane, customer_id: CustomerId, query: Option<&str>) -> Result<Usages, ProxyError> {
    let asked = |name: &str| {
        let pairs = form_urlencoded::parse(query.unwrap_or("").as_bytes());
        pairs.filter(|(own, _)| own == name).map(|(_, value)| value.into_owned()).next()
    };
    let by = groups(asked("by").as_deref(), &GROUPS).map_err(ProxyError::Query)?;
    let from_us = hour(asked("from").as_deref(), "from").map_err(ProxyError::Query)?;
    let to_us = hour(asked("to").as_deref(), "to").map_err(ProxyError::Query)?;
    let rows = usage(&plane.store, &by, Span { from_us, to_us, customer_id: Some(customer_id) }).await;
    let rows = rows.map_err(|error| {
        tracing::warn!(%error, "a customer's usage cannot be read");
        ProxyError::StoreDown
    })?;
    Ok(Usages { object: "list", customer_id, data: rows.into_iter().map(CustomerUsage::from).collect() })
}
