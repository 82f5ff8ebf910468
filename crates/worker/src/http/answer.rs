//! Turns the events of a request into an answer of the OpenAI dialect: one body, or a stream of chunks.

use std::{collections::VecDeque, convert::Infallible};

use axum::{
    Json,
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;

use super::{error::ApiError, params::Endpoint};
use crate::{
    clock::unix_seconds,
    engine::{
        Event,
        usage::{FinishReason, Usage},
    },
};

/// What stands in every chunk and body of an answer.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) endpoint: Endpoint,
    pub(super) created: i64,
    pub(super) include_usage: bool,
    pub(super) return_token_ids: bool,
    /// The prompt's tokens, if the caller asked for ids.
    pub(super) prompt_ids: Option<Vec<u32>>,
}

impl Frame {
    pub(super) fn new(id: String, model: String, endpoint: Endpoint) -> Self {
        let created = unix_seconds();
        Self { id, model, endpoint, created, include_usage: false, return_token_ids: false, prompt_ids: None }
    }

    fn prefixed_id(&self) -> String {
        let prefix = if self.endpoint == Endpoint::Chat { "chatcmpl" } else { "cmpl" };
        format!("{prefix}-{}", self.id)
    }

    fn object(&self, streamed: bool) -> &'static str {
        match (self.endpoint, streamed) {
            (Endpoint::Chat, true) => "chat.completion.chunk",
            (Endpoint::Chat, false) => "chat.completion",
            (Endpoint::Completions, _) => "text_completion",
        }
    }

    fn with_choices(&self, streamed: bool, choices: Vec<Value>, usage: &Usage) -> Value {
        json!({
            "id": self.prefixed_id(),
            "object": self.object(streamed),
            "created": self.created,
            "model": self.model,
            "choices": choices,
            "usage": usage,
        })
    }

    fn chunk(&self, text: &str, ids: &[u32], reason: Option<FinishReason>, usage: &Usage) -> Value {
        let reason = reason.map(FinishReason::name);
        let mut choice = match self.endpoint {
            Endpoint::Chat if reason.is_some() && text.is_empty() => {
                json!({ "index": 0, "delta": {}, "logprobs": null, "finish_reason": reason })
            }
            Endpoint::Chat => {
                json!({ "index": 0, "delta": { "content": text }, "logprobs": null, "finish_reason": reason })
            }
            Endpoint::Completions => {
                json!({ "index": 0, "text": text, "logprobs": null, "finish_reason": reason })
            }
        };
        if self.return_token_ids {
            choice["token_ids"] = json!(ids);
        }
        self.with_choices(true, vec![choice], usage)
    }

    fn first_chunk(&self, usage: &Usage) -> Value {
        let choice = match self.endpoint {
            Endpoint::Chat => {
                let delta = json!({ "role": "assistant", "content": "" });
                json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": null })
            }
            Endpoint::Completions => json!({ "index": 0, "text": "", "logprobs": null, "finish_reason": null }),
        };
        let mut chunk = self.with_choices(true, vec![choice], usage);
        if let Some(ids) = &self.prompt_ids {
            chunk["prompt_token_ids"] = json!(ids);
        }
        chunk
    }

    fn body(&self, text: &str, ids: &[u32], reason: FinishReason, usage: &Usage) -> Value {
        let reason = reason.name();
        let mut choice = match self.endpoint {
            Endpoint::Chat => {
                let message = json!({ "role": "assistant", "content": text, "refusal": null });
                json!({ "index": 0, "message": message, "logprobs": null, "finish_reason": reason })
            }
            Endpoint::Completions => json!({ "index": 0, "text": text, "logprobs": null, "finish_reason": reason }),
        };
        if self.return_token_ids {
            choice["token_ids"] = json!(ids);
        }
        let mut body = self.with_choices(false, vec![choice], usage);
        if let Some(ids) = &self.prompt_ids {
            body["prompt_token_ids"] = json!(ids);
        }
        body
    }
}

/// Waits for the end and answers with one body.
pub(super) async fn whole(frame: Frame, mut events: Receiver<Event>) -> Result<Response, ApiError> {
    let (mut text, mut ids) = (String::new(), Vec::new());
    loop {
        match events.recv().await {
            Some(Event::Token { id, text: more, .. }) => {
                text.push_str(&more);
                ids.push(id);
            }
            Some(Event::Ended { reason, usage }) => {
                return Ok(Json(frame.body(&text, &ids, reason, &usage)).into_response());
            }
            Some(Event::Failed { message, .. }) => return Err(ApiError::Failed(message)),
            None => return Err(ApiError::Failed("the engine has stopped".to_owned())),
        }
    }
}

/// Answers with a stream of events, each as it comes.
pub(super) fn streamed(frame: Frame, events: Receiver<Event>) -> Response {
    let begun = frame.endpoint == Endpoint::Completions && frame.prompt_ids.is_none();
    let state = Streaming { frame, events, begun, ids: Vec::new(), ready: VecDeque::new(), ended: false };
    let chunks = stream::unfold(state, |mut state| async move {
        let chunk = state.next().await?;
        Some((Ok::<_, Infallible>(chunk), state))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

struct Streaming {
    frame: Frame,
    events: Receiver<Event>,
    /// The first chunk was sent.
    begun: bool,
    /// Tokens whose text is still to come.
    ids: Vec<u32>,
    ready: VecDeque<String>,
    ended: bool,
}

impl Streaming {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some(chunk);
            }
            if self.ended {
                return None;
            }
            match self.events.recv().await {
                Some(event) => self.take(event),
                // The engine's threads are gone: the stream ends without its terminal event, as a broken one.
                None => self.ended = true,
            }
        }
    }

    fn take(&mut self, event: Event) {
        let (Event::Token { usage, .. } | Event::Ended { usage, .. } | Event::Failed { usage, .. }) = &event;
        if !self.begun {
            self.begun = true;
            let first = self.frame.first_chunk(usage);
            self.put(&first);
        }
        match event {
            Event::Token { id, text, usage } => {
                self.ids.push(id);
                if !text.is_empty() {
                    let ids = std::mem::take(&mut self.ids);
                    let chunk = self.frame.chunk(&text, &ids, None, &usage);
                    self.put(&chunk);
                }
            }
            Event::Ended { reason, usage } => {
                let ids = std::mem::take(&mut self.ids);
                let last = self.frame.chunk("", &ids, Some(reason), &usage);
                self.put(&last);
                if self.frame.include_usage {
                    let only_usage = self.frame.with_choices(true, Vec::new(), &usage);
                    self.put(&only_usage);
                }
                self.ready.push_back("data: [DONE]\n\n".to_owned());
                self.ended = true;
            }
            Event::Failed { message, usage } => {
                let mut error = ApiError::Failed(message).body();
                error["usage"] = json!(usage);
                self.put(&error);
                self.ended = true;
            }
        }
    }

    fn put(&mut self, chunk: &Value) {
        self.ready.push_back(format!("data: {chunk}\n\n"));
    }
}
