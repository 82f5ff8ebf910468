//! What a caller is told when there is no answer, in the OpenAI dialect.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{engine::Refused, text::template::TemplateError};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// A parameter's value cannot be.
    #[error("{param}: {message}")]
    Invalid {
        /// Which.
        param: String,
        /// What is wrong and what to write.
        message: String,
    },
    /// A parameter that is not supported, or not known.
    #[error("`{param}` is not supported by this worker{hint}. Leave it out.")]
    Unsupported {
        /// Which.
        param: String,
        /// Which of its values is.
        hint: String,
    },
    /// The body is no JSON object.
    #[error("The body is not a JSON object: {0}")]
    NotJson(String),
    /// The body is too large.
    #[error("The body has more than {0} bytes.")]
    TooLarge(usize),
    /// Another model.
    #[error("The model `{0}` is not served here; `{1}` is.")]
    UnknownModel(String, String),
    /// The prompt leaves no room for an answer.
    #[error("The prompt has {prompt} tokens; this model takes {max} with the answer.")]
    ContextLength {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens of the context.
        max: usize,
    },
    /// The model has no chat template.
    #[error("This model has no chat template: use /v1/completions, or start the worker with --chat-template.")]
    NoTemplate,
    /// The template or the tokenizer refused.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The tokenizer failed.
    #[error(transparent)]
    Tokenizer(#[from] crate::text::tokenizer::TokenizerError),
    /// The engine does not take it.
    #[error("{}", refused(.0))]
    Refused(#[from] Refused),
    /// The worker is loading or draining.
    #[error("The worker is {0}.")]
    NotReady(&'static str),
    /// The answer broke off.
    #[error("The model failed: {0}")]
    Failed(String),
    /// No such request.
    #[error("There is no request `{0}`, or its record is gone.")]
    UnknownRequest(String),
    /// No such path.
    #[error("There is nothing at this path.")]
    NoSuchPath,
}

fn refused(refused: &Refused) -> &'static str {
    match refused {
        Refused::QueueFull => "The worker's queue is full. Try again in a second.",
        Refused::IdTaken => "A request with this x-request-id is under way.",
    }
}

impl ApiError {
    /// A value that cannot be.
    pub(super) fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self::Invalid { param: param.to_owned(), message: message.into() }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Invalid { .. } | Self::Unsupported { .. } | Self::NotJson(_) => StatusCode::BAD_REQUEST,
            Self::ContextLength { .. } | Self::NoTemplate | Self::Template(TemplateError::Refused(_)) => {
                StatusCode::BAD_REQUEST
            }
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownModel(..) | Self::UnknownRequest(_) | Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::Refused(Refused::QueueFull) => StatusCode::TOO_MANY_REQUESTS,
            Self::Refused(Refused::IdTaken) => StatusCode::CONFLICT,
            Self::NotReady(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(_) | Self::Tokenizer(_) | Self::Template(TemplateError::Tokenizer(_)) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// Stable, for programs.
    const fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "invalid_value",
            Self::Unsupported { .. } => "unsupported_parameter",
            Self::NotJson(_) => "invalid_json",
            Self::TooLarge(_) => "body_too_large",
            Self::UnknownModel(..) => "model_not_found",
            Self::ContextLength { .. } => "context_length_exceeded",
            Self::NoTemplate => "no_chat_template",
            Self::Template(_) => "chat_template_refused",
            Self::Tokenizer(_) | Self::Failed(_) => "engine_failed",
            Self::Refused(Refused::QueueFull) => "queue_full",
            Self::Refused(Refused::IdTaken) => "request_id_taken",
            Self::NotReady(_) => "not_ready",
            Self::UnknownRequest(_) => "request_not_found",
            Self::NoSuchPath => "not_found",
        }
    }

    /// The error object.
    pub(super) fn body(&self) -> serde_json::Value {
        let status = self.status();
        let kind = match status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            _ if status.is_client_error() => "invalid_request_error",
            _ => "server_error",
        };
        let param = match self {
            Self::Invalid { param, .. } | Self::Unsupported { param, .. } => Some(param),
            _ => None,
        };
        json!({ "error": { "message": self.to_string(), "type": kind, "param": param, "code": self.code() } })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(self.body())).into_response();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
