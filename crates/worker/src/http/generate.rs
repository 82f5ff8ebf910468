//! `/v1/chat/completions`, `/v1/completions` and `/tokenize`.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, HeaderName, HeaderValue},
    response::Response,
};
use serde_json::{Value, json};

use super::{
    Server,
    answer::{self, Frame},
    error::ApiError,
    params::{Endpoint, Params, Prompt, tokenize_prompt},
};
use crate::{
    engine::{Engine, Request},
    entropy,
    model::Model,
};

/// Names a request; also in the answer.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest such name.
const REQUEST_ID_BYTES_MAX: usize = 128;
/// Output maximum of a completion whose caller names none, as the dialect says.
const COMPLETION_TOKENS_DEFAULT: u64 = 16;

type Body = Result<Bytes, BytesRejection>;

/// `POST /v1/chat/completions`
pub(super) async fn chat(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    generate(&server, &headers, &read(body, &server)?, Endpoint::Chat).await
}

/// `POST /v1/completions`
pub(super) async fn completions(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    generate(&server, &headers, &read(body, &server)?, Endpoint::Completions).await
}

/// `POST /tokenize`
pub(super) async fn tokenize(State(server): State<Arc<Server>>, body: Body) -> Result<Json<Value>, ApiError> {
    let engine = server.engine()?;
    let tokens = encode(engine.model(), tokenize_prompt(&read(body, &server)?)?)?;
    Ok(Json(json!({ "count": tokens.len(), "tokens": tokens })))
}

fn read(body: Body, server: &Server) -> Result<Bytes, ApiError> {
    body.map_err(|_| ApiError::TooLarge(server.body_bytes_max))
}

async fn generate(
    server: &Server,
    headers: &HeaderMap,
    body: &Bytes,
    endpoint: Endpoint,
) -> Result<Response, ApiError> {
    let engine = server.taking_engine()?;
    let model = engine.model();
    let id = request_id(headers)?;
    let params = Params::read(body, endpoint)?;
    if let Some(name) = params.model.as_ref().filter(|name| **name != model.info.id) {
        return Err(ApiError::UnknownModel(name.clone(), model.info.id.clone()));
    }
    let prompt = encode(model, params.prompt)?;
    let max_tokens = output_max(model, prompt.len(), params.max_tokens, endpoint)?;
    let mut frame = Frame::new(id.clone(), model.info.id.clone(), endpoint);
    frame.include_usage = params.include_usage;
    frame.return_token_ids = params.return_token_ids;
    frame.prompt_ids = params.return_token_ids.then(|| prompt.clone());
    let mut sampling = params.sampling;
    sampling.seed = params.seed.unwrap_or_else(entropy::seed);
    let request = Request {
        id: id.clone(),
        prompt,
        max_tokens,
        sampling,
        stops: params.stops,
        ignore_end: params.ignore_end,
        stream: params.stream,
    };
    let events = submit(engine, request)?;
    let mut response =
        if params.stream { answer::streamed(frame, events) } else { answer::whole(frame, events).await? };
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    Ok(response)
}

fn submit(engine: &Engine, request: Request) -> Result<tokio::sync::mpsc::Receiver<crate::engine::Event>, ApiError> {
    Ok(engine.submit(request)?)
}

/// The caller's name for its request, or a new one.
fn request_id(headers: &HeaderMap) -> Result<String, ApiError> {
    let Some(value) = headers.get(X_REQUEST_ID) else { return Ok(entropy::request_id()) };
    let name = value.to_str().ok().filter(|name| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
    });
    name.map(str::to_owned)
        .ok_or_else(|| ApiError::invalid("x-request-id", "must be 1 to 128 visible ASCII characters"))
}

fn encode(model: &Model, prompt: Prompt) -> Result<Vec<u32>, ApiError> {
    let tokens = match prompt {
        Prompt::Text(text) => model.tokenizer.encode_prompt(&text)?,
        Prompt::Tokens(tokens) => {
            let known = |id: &u32| usize::try_from(*id).is_ok_and(|id| id < model.tokenizer.vocabulary());
            if !tokens.iter().all(known) {
                return Err(ApiError::invalid("prompt", "holds an id that is no token of this model"));
            }
            tokens
        }
        Prompt::Messages(messages) => {
            let template = model.template.as_ref().ok_or(ApiError::NoTemplate)?;
            template.encode(&messages, &model.tokenizer)?
        }
    };
    Ok(tokens)
}

/// At most what the caller wants, and what the context has room for.
fn output_max(model: &Model, prompt: usize, wanted: Option<u64>, endpoint: Endpoint) -> Result<u64, ApiError> {
    if prompt == 0 {
        return Err(ApiError::invalid("prompt", "is empty, and this model needs at least one token"));
    }
    let max = model.info.context_tokens_max;
    let room = max.checked_sub(prompt).filter(|room| *room > 0).ok_or(ApiError::ContextLength { prompt, max })?;
    let room = u64::try_from(room).unwrap_or(u64::MAX);
    let wanted = wanted.or((endpoint == Endpoint::Completions).then_some(COMPLETION_TOKENS_DEFAULT));
    Ok(wanted.map_or(room, |wanted| wanted.min(room)))
}
