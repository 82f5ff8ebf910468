//! What a client is told inside a stream whose upstream broke off: an error of its dialect, never a clean end.

use crate::upstream::dialect::{Dialect, Framing};

/// How a body of a framing says that it is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// By this text, which first ends the line that may have begun.
    Text(&'static str),
    /// Only by its connection, which is broken off.
    Connection,
    /// Its proper end is its end: one document.
    None,
}

/// How a stream of a dialect says it.
pub(super) const fn telling(dialect: Dialect, framing: Framing) -> Telling {
    match (framing, dialect) {
        (Framing::Sse, Dialect::AnthropicMessages) => Telling::Text(ANTHROPIC),
        (Framing::Sse, Dialect::OpenAiResponses) => Telling::Text(RESPONSES),
        (Framing::Sse, Dialect::Gemini) => Telling::Text(GEMINI),
        (Framing::Sse, Dialect::GeminiInteractions) => Telling::Text(INTERACTIONS),
        // Its events have no error among them that SDKs would raise.
        (Framing::Sse, Dialect::Cohere) => Telling::Connection,
        (Framing::Sse, _) => Telling::Text(OPENAI),
        (Framing::Ndjson, _) => Telling::Text(LINE),
        // An array that does not end, and a frame that does not come, cannot be taken for whole.
        (Framing::JsonArray | Framing::EventStream, _) => Telling::Connection,
        (Framing::Json | Framing::Opaque, _) => Telling::None,
    }
}

const OPENAI: &str = "\n\ndata: {\"error\":{\"message\":\"The upstream ended the stream early: this is not the whole answer.\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_truncated\"}}\n\n";
const RESPONSES: &str = "\n\nevent: error\ndata: {\"type\":\"error\",\"code\":\"upstream_truncated\",\"message\":\"The upstream ended the stream early: this is not the whole answer.\",\"param\":null,\"sequence_number\":0}\n\n";
const ANTHROPIC: &str = "\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"The upstream ended the stream early: this is not the whole answer (upstream_truncated).\"}}\n\n";
const GEMINI: &str = "\r\n\r\ndata: {\"error\":{\"code\":502,\"message\":\"The upstream ended the stream early: this is not the whole answer (upstream_truncated).\",\"status\":\"UNAVAILABLE\"}}\r\n\r\n";
const INTERACTIONS: &str = "\n\nevent: error\ndata: {\"event_type\":\"error\",\"error\":{\"code\":\"upstream_truncated\",\"message\":\"The upstream ended the stream early: this is not the whole answer.\"}}\n\n";
const LINE: &str =
    "\n{\"error\":\"The upstream ended the stream early: this is not the whole answer (upstream_truncated).\"}\n";
