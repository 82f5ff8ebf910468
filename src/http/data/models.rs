//! The list of models that a key may use, in the form of each dialect that has one.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, Response, header},
};
use serde_json::{Value, json};

use super::{InPath, named, presented_key::presented_key};
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
    answered(&proxy, ProviderDialect::OpenAi, &headers, query.as_deref(), |models| {
        let data: Vec<_> = models.iter().map(|model| model_object(model)).collect();
        Ok(json!({ "object": "list", "data": data }))
    })
}

/// `GET /v1/models/{id}`
pub(super) async fn show(
    State(proxy): State<Arc<Proxy>>,
    InPath(id): InPath<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    answered(&proxy, ProviderDialect::OpenAi, &headers, query.as_deref(), |models| {
        if models.contains(&id) { Ok(model_object(&id)) } else { Err(ProxyError::UnknownModel(id)) }
    })
}

/// `GET /v1beta/models`
pub(super) async fn gemini(
    State(proxy): State<Arc<Proxy>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    answered(&proxy, ProviderDialect::Gemini, &headers, query.as_deref(), |models| {
        let models: Vec<_> = models.iter().map(|model| gemini_model(model)).collect();
        Ok(json!({ "models": models }))
    })
}

/// `GET /v1beta/models/{model}`
pub(super) async fn show_gemini(
    State(proxy): State<Arc<Proxy>>,
    InPath(id): InPath<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    answered(&proxy, ProviderDialect::Gemini, &headers, query.as_deref(), |models| {
        if models.contains(&id) { Ok(gemini_model(&id)) } else { Err(ProxyError::UnknownModel(id)) }
    })
}

/// `GET /api/tags`
pub(super) async fn ollama(
    State(proxy): State<Arc<Proxy>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    answered(&proxy, ProviderDialect::Ollama, &headers, query.as_deref(), |models| {
        let models: Vec<_> = models
            .iter()
            .map(|model| {
                json!({ "name": model, "model": model, "modified_at": "1970-01-01T00:00:00Z", "size": 0, "digest": "",
                    "details": {} })
            })
            .collect();
        Ok(json!({ "models": models }))
    })
}

/// Answers with what `form` makes of the models that the key may use.
fn answered(
    proxy: &Proxy,
    dialect: ProviderDialect,
    headers: &HeaderMap,
    query: Option<&str>,
    form: impl FnOnce(Vec<String>) -> Result<Value, ProxyError>,
) -> Response<Body> {
    let surface = Surface::of(dialect);
    named(proxy, surface, |request_id| {
        let models = proxy.keyring.authenticate(presented_key(headers, query)).map(|key| proxy.models(&key));
        match models.map_err(ProxyError::from).and_then(form) {
            Ok(body) => json_response(&body),
            Err(error) => errors::response(surface, &error, request_id),
        }
    })
}

fn gemini_model(name: &str) -> Value {
    json!({ "name": format!("models/{name}"), "displayName": name, "version": "" })
}

fn model_object(id: &str) -> Value {
    json!({ "id": id, "object": "model", "created": 0, "owned_by": "tollgate" })
}

fn json_response(body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
