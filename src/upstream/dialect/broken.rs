//! What a client is told inside a stream that broke off, so that no part of an answer is taken for the whole.

use bytes::Bytes;
use tollgate_eventstream::writer;

use super::{Dialect, Framing};

/// For a person to read.
macro_rules! message {
    () => {
        "The upstream ended the stream early: this is not the whole answer."
    };
}

const OPENAI: &str = concat!(
    "data: {\"error\":{\"message\":\"",
    message!(),
    "\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_truncated\"}}\n\n"
);
const RESPONSES: &str = concat!(
    "event: error\ndata: {\"type\":\"error\",\"code\":\"upstream_truncated\",\"message\":\"",
    message!(),
    "\",\"param\":null,\"sequence_number\":0}\n\n"
);
const ANTHROPIC: &str = concat!(
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"",
    message!(),
    "\"}}\n\n"
);
const GEMINI: &str =
    concat!("data: {\"error\":{\"code\":502,\"message\":\"", message!(), "\",\"status\":\"UNAVAILABLE\"}}\n\n");
/// Its SDK passes over an event without a type that it knows.
const INTERACTIONS: &str = concat!(
    "event: error\ndata: {\"event_type\":\"error\",\"error\":{\"code\":\"upstream_truncated\",\"message\":\"",
    message!(),
    "\"}}\n\n"
);
const OLLAMA: &str = concat!("{\"error\":\"", message!(), "\"}\n");
const BEDROCK: &str = concat!("{\"message\":\"", message!(), "\"}");

impl Dialect {
    /// The bytes that end a stream which broke off; none where the framing has no way of saying so.
    #[must_use]
    pub fn broken_off(self, framing: Framing) -> Option<Bytes> {
        let text = match (framing, self) {
            (Framing::Sse, Self::OpenAiResponses) => RESPONSES,
            (Framing::Sse, Self::AnthropicMessages) => ANTHROPIC,
            (Framing::Sse, Self::Gemini) => GEMINI,
            (Framing::Sse, Self::GeminiInteractions) => INTERACTIONS,
            // Its `message-end` may tell of an error, but its SDK raises none then: a broken connection is not overlooked.
            (Framing::Sse, Self::Cohere) => return None,
            (Framing::Sse, _) => OPENAI,
            (Framing::Ndjson, _) => OLLAMA,
            (Framing::EventStream, _) => return exception(),
            // An array that is closed behind an error is whole JSON, and looks like an answer to who asks for its text.
            (Framing::Json | Framing::JsonArray | Framing::Opaque, _) => return None,
        };
        Some(Bytes::from_static(text.as_bytes()))
    }
}

fn exception() -> Option<Bytes> {
    writer::exception("modelStreamErrorException", BEDROCK.as_bytes()).ok().map(Bytes::from)
}
