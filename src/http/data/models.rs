//! The list of models that a key may use, in the form of each dialect that has one.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, Response, header},
};
use serde_json::{Value, json};

use super::presented_key::presented_key;
use crate::{
    config::dialect::ProviderDialect,
    http::errors::{self, Surface},
    proxy::{Proxy, error::ProxyError},
};

/// `GET /v1/models`
pub(super) async fn list(
    State(proxy): State<Arc<Proxy>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let form = |models: Vec<String>| {
        let data: Vec<_> = models.iter().map(|model| model_object(model)).collect();
        json!({ "object": "list", "data": data })
    };
    listed(&proxy, ProviderDialect::OpenAi, &headers, query.as_deref(), form)
}

/// `GET /v1/models/{id}`
pub(super) async fn show(
    State(proxy): State<Arc<Proxy>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let surface = Surface::of(ProviderDialect::OpenAi);
    match proxy.keyring.authenticate(presented_key(&headers, query.as_deref())) {
        Ok(key) if proxy.models(&key).contains(&id) => json_response(&model_object(&id)),
        Ok(_) => errors::response(surface, &ProxyError::UnknownModel(id), None),
        Err(refusal) => errors::response(surface, &refusal.into(), None),
    }
}

/// `GET /v1beta/models`
pub(super) async fn gemini(
    State(proxy): State<Arc<Proxy>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let form = |models: Vec<String>| {
        let models: Vec<_> = models
            .iter()
            .map(|model| json!({ "name": format!("models/{model}"), "displayName": model, "version": "" }))
            .collect();
        json!({ "models": models })
    };
    listed(&proxy, ProviderDialect::Gemini, &headers, query.as_deref(), form)
}

/// `GET /api/tags`
pub(super) async fn ollama(
    State(proxy): State<Arc<Proxy>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let form = |models: Vec<String>| {
        let models: Vec<_> = models
            .iter()
            .map(|model| {
                json!({ "name": model, "model": model, "modified_at": "1970-01-01T00:00:00Z", "size": 0, "digest": "",
                    "details": {} })
            })
            .collect();
        json!({ "models": models })
    };
    listed(&proxy, ProviderDialect::Ollama, &headers, query.as_deref(), form)
}

fn listed(
    proxy: &Proxy,
    dialect: ProviderDialect,
    headers: &HeaderMap,
    query: Option<&str>,
    form: impl FnOnce(Vec<String>) -> Value,
) -> Response<Body> {
    match proxy.keyring.authenticate(presented_key(headers, query)) {
        Ok(key) => json_response(&form(proxy.models(&key))),
        Err(refusal) => errors::response(Surface::of(dialect), &refusal.into(), None),
    }
}

fn model_object(id: &str) -> Value {
    json!({ "id": id, "object": "model", "created": 0, "owned_by": "tollgate" })
}

fn json_response(body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
