//! The dialects beside OpenAI's first ones: for each its plain answer and the documents of its stream.

mod anthropic;
mod bedrock;
mod cohere;
mod frame;
mod gemini;
mod media;
mod ollama;
mod responses;

use bytes::Bytes;

use crate::{
    answer::{Endpoint, Turn},
    reply::{AWS_EVENTS, EVENTS, JSON, NDJSON},
};

/// One document of a stream.
#[derive(Debug)]
pub(crate) struct Doc {
    /// Its event's name, where the framing has one.
    event: Option<&'static str>,
    data: String,
    /// It carries the final usage.
    pub(crate) usage: bool,
}

impl Doc {
    fn named(event: &'static str, data: String) -> Self {
        Self { event: Some(event), data, usage: false }
    }

    fn bare(data: String) -> Self {
        Self { event: None, data, usage: false }
    }

    fn with_usage(self) -> Self {
        Self { usage: true, ..self }
    }
}

/// How a stream is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Sse,
    Ndjson,
    JsonArray,
    AwsEvents,
    /// The vendor's own events, in base64 within frames that are all called `chunk`.
    AwsChunks,
}

impl Framing {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Sse => EVENTS,
            Self::Ndjson => NDJSON,
            Self::JsonArray => JSON,
            Self::AwsEvents | Self::AwsChunks => AWS_EVENTS,
        }
    }

    /// The bytes of a document; `number` counts from 0.
    pub(crate) fn write(self, doc: &Doc, number: u64, eol: &str) -> Bytes {
        let data = &doc.data;
        match (self, doc.event) {
            (Self::Sse, Some(event)) => format!("event: {event}{eol}data: {data}{eol}{eol}").into(),
            (Self::Sse, None) => format!("data: {data}{eol}{eol}").into(),
            (Self::Ndjson, _) => format!("{data}\n").into(),
            (Self::JsonArray, _) if number == 0 => format!("[{data}").into(),
            (Self::JsonArray, _) => format!("\r\n,\r\n{data}").into(),
            (Self::AwsChunks, event) if !event.is_some_and(|name| name.ends_with("Exception")) => frame::event(
                "chunk",
                format!(r#"{{"bytes":"{}","p":"abc"}}"#, frame::base64(data.as_bytes())).as_bytes(),
            ),
            (Self::AwsEvents | Self::AwsChunks, event) => frame::event(event.unwrap_or("chunk"), data.as_bytes()),
        }
    }

    /// What follows the last document of a whole stream.
    pub(crate) fn end(self) -> &'static str {
        if self == Self::JsonArray { "]" } else { "" }
    }
}

/// The framing of a stream of this endpoint.
pub(crate) fn framing(turn: &Turn) -> Framing {
    match turn.endpoint {
        Endpoint::OllamaChat | Endpoint::OllamaGenerate => Framing::Ndjson,
        Endpoint::GeminiStream if !turn.alt_sse => Framing::JsonArray,
        Endpoint::ConverseStream => Framing::AwsEvents,
        Endpoint::InvokeStream => Framing::AwsChunks,
        _ => Framing::Sse,
    }
}

/// The final usage object, as the dialect writes it.
pub(crate) fn usage(turn: &Turn) -> Option<String> {
    match turn.endpoint {
        Endpoint::Responses => Some(responses::usage(turn)),
        Endpoint::Messages | Endpoint::Invoke | Endpoint::InvokeStream => Some(anthropic::usage(turn)),
        Endpoint::InvokeEmbed => Some(bedrock::embedding_usage(turn)),
        Endpoint::Gemini | Endpoint::GeminiStream => Some(gemini::usage(turn)),
        Endpoint::Interactions => Some(gemini::interactions_usage(turn)),
        Endpoint::Converse | Endpoint::ConverseStream => Some(bedrock::usage(turn)),
        Endpoint::CohereChat | Endpoint::CohereEmbed | Endpoint::CohereRerank => Some(cohere::usage(turn)),
        Endpoint::OllamaChat | Endpoint::OllamaGenerate | Endpoint::OllamaEmbed => Some(ollama::usage(turn)),
        Endpoint::Images | Endpoint::Transcription => Some(media::usage(turn)),
        _ => None,
    }
}

/// The whole answer as one JSON body.
pub(crate) fn plain(turn: &Turn) -> Option<String> {
    Some(match turn.endpoint {
        Endpoint::Responses => responses::plain(turn),
        Endpoint::Messages | Endpoint::Invoke | Endpoint::InvokeStream => anthropic::plain(turn),
        Endpoint::CountTokens => format!(r#"{{"input_tokens":{}}}"#, turn.prompt_tokens),
        Endpoint::Gemini | Endpoint::GeminiStream => gemini::plain(turn),
        Endpoint::GeminiCountTokens => format!(r#"{{"totalTokens":{}}}"#, turn.prompt_tokens),
        Endpoint::GeminiEmbed => gemini::embedded(turn),
        Endpoint::Interactions => gemini::interaction(turn),
        Endpoint::Converse | Endpoint::ConverseStream => bedrock::plain(turn),
        Endpoint::InvokeEmbed => bedrock::embedded(turn),
        Endpoint::CohereChat => cohere::plain(turn),
        Endpoint::CohereEmbed => cohere::embedded(turn),
        Endpoint::CohereRerank => cohere::reranked(turn),
        Endpoint::OllamaChat | Endpoint::OllamaGenerate => ollama::plain(turn),
        Endpoint::OllamaEmbed => ollama::embedded(turn),
        Endpoint::Images => media::images(turn),
        Endpoint::Transcription => media::transcription(turn),
        Endpoint::Moderation => media::moderation(turn),
        _ => return None,
    })
}

/// The documents before the content.
pub(crate) fn open(turn: &Turn) -> Vec<Doc> {
    match turn.endpoint {
        Endpoint::Responses => responses::open(turn),
        Endpoint::Messages | Endpoint::InvokeStream => anthropic::open(turn),
        Endpoint::ConverseStream => bedrock::open(turn),
        Endpoint::CohereChat => cohere::open(turn),
        Endpoint::Interactions => gemini::interaction_open(turn),
        _ => Vec::new(),
    }
}

/// The document of one piece of text.
pub(crate) fn content(turn: &Turn, index: u64) -> Doc {
    match turn.endpoint {
        Endpoint::Responses => responses::content(turn, index),
        Endpoint::Messages | Endpoint::InvokeStream => anthropic::content(turn, index),
        Endpoint::ConverseStream => bedrock::content(turn, index),
        Endpoint::CohereChat => cohere::content(turn, index),
        Endpoint::Interactions => gemini::interaction_content(turn, index),
        Endpoint::OllamaChat | Endpoint::OllamaGenerate => ollama::content(turn, index),
        _ => gemini::content(turn, index),
    }
}

/// The documents behind the content, the final usage among them unless the answer tells none.
pub(crate) fn close(turn: &Turn) -> Vec<Doc> {
    match turn.endpoint {
        Endpoint::Responses => responses::close(turn),
        Endpoint::Messages => anthropic::close(turn),
        Endpoint::InvokeStream => bedrock::invoked(turn, anthropic::close(turn)),
        Endpoint::ConverseStream => bedrock::close(turn),
        Endpoint::CohereChat => cohere::close(turn),
        Endpoint::Interactions => gemini::interaction_close(turn),
        Endpoint::OllamaChat | Endpoint::OllamaGenerate => ollama::close(turn),
        _ => gemini::close(turn),
    }
}

/// The document that tells of an error within a stream.
pub(crate) fn broken(turn: &Turn) -> Doc {
    let message = "The server had an error while processing your request.";
    match turn.endpoint {
        Endpoint::Messages => {
            Doc::named("error", r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#.into())
        }
        Endpoint::Responses => {
            let data = format!(
                r#"{{"type":"error","code":"server_error","message":"{message}","param":null,"sequence_number":9}}"#
            );
            Doc::named("error", data)
        }
        Endpoint::OllamaChat | Endpoint::OllamaGenerate => Doc::bare(format!(r#"{{"error":"{message}"}}"#)),
        Endpoint::ConverseStream | Endpoint::InvokeStream => {
            Doc::named("modelStreamErrorException", format!(r#"{{"message":"{message}"}}"#))
        }
        Endpoint::CohereChat => {
            let delta = format!(r#"{{"finish_reason":"ERROR","error":"{message}"}}"#);
            Doc::named("message-end", format!(r#"{{"type":"message-end","delta":{delta}}}"#))
        }
        Endpoint::Interactions => {
            let error = format!(r#"{{"code":"internal","message":"{message}"}}"#);
            Doc::named("error", format!(r#"{{"event_type":"error","error":{error}}}"#))
        }
        _ => Doc::bare(format!(r#"{{"error":{{"code":500,"message":"{message}","status":"INTERNAL"}}}}"#)),
    }
}

/// The name of Bedrock's error of a status.
pub(crate) fn exception(endpoint: Endpoint, status: u16) -> Option<&'static str> {
    let of_bedrock = matches!(
        endpoint,
        Endpoint::Converse
            | Endpoint::ConverseStream
            | Endpoint::Invoke
            | Endpoint::InvokeEmbed
            | Endpoint::InvokeStream
    );
    of_bedrock.then_some(match status {
        400 => "ValidationException",
        403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        _ => "InternalServerException",
    })
}

/// What Bedrock says of usage in headers, whatever the vendor's own body says.
pub(crate) fn usage_headers(turn: &Turn) -> Vec<(&'static str, u64)> {
    if turn.endpoint == Endpoint::Invoke { bedrock::usage_headers(turn) } else { Vec::new() }
}

/// The error body of a status.
pub(crate) fn refused(endpoint: Endpoint, status: u16, message: &str) -> Option<String> {
    let message = crate::answer::quoted(message);
    Some(match endpoint {
        Endpoint::Messages | Endpoint::CountTokens => {
            let kind = match status {
                400 => "invalid_request_error",
                401 => "authentication_error",
                403 => "permission_error",
                404 => "not_found_error",
                429 => "rate_limit_error",
                529 => "overloaded_error",
                _ => "api_error",
            };
            format!(r#"{{"type":"error","error":{{"type":"{kind}","message":{message}}},"request_id":"req_fake"}}"#)
        }
        Endpoint::Gemini | Endpoint::GeminiStream | Endpoint::GeminiCountTokens | Endpoint::GeminiEmbed => {
            let name = match status {
                400 => "INVALID_ARGUMENT",
                404 => "NOT_FOUND",
                429 => "RESOURCE_EXHAUSTED",
                503 => "UNAVAILABLE",
                _ => "INTERNAL",
            };
            format!(r#"{{"error":{{"code":{status},"message":{message},"status":"{name}"}}}}"#)
        }
        Endpoint::OllamaChat | Endpoint::OllamaGenerate | Endpoint::OllamaEmbed => format!(r#"{{"error":{message}}}"#),
        Endpoint::CohereChat
        | Endpoint::CohereEmbed
        | Endpoint::CohereRerank
        | Endpoint::Converse
        | Endpoint::ConverseStream
        | Endpoint::Invoke
        | Endpoint::InvokeEmbed
        | Endpoint::InvokeStream => format!(r#"{{"message":{message}}}"#),
        _ => return None,
    })
}
