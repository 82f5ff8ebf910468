//! Ollama's own dialect, and Cohere's.

use super::description::{Description, KindOf};
use crate::upstream::sniff::path::{ARGUMENTS, Delivered, ERROR, Field, Mark, Node, PRESENT, Slot, TEXT, answer, node};

/// `/api/chat`, `/api/generate` and `/api/embed`; the counts stand loose in the document that says `done`.
pub(super) static OLLAMA: Description =
    Description { whole: &OLLAMA_ROOT, event: &OLLAMA_ROOT, kinds: &[], marks_last: true };

static OLLAMA_ROOT: Node = node(&[
    ("model", Field::Keep(Slot::Model)),
    ("message", Field::Into(&OLLAMA_MESSAGE)),
    ("response", TEXT),
    ("thinking", TEXT),
    ("done", Field::Mark(Mark::Last)),
    ("done_reason", Field::Keep(Slot::Finish)),
    ("prompt_eval_count", Field::Member("prompt_eval_count")),
    ("eval_count", Field::Member("eval_count")),
    ("embeddings", PRESENT),
    ("embedding", PRESENT),
    ("error", ERROR),
]);
static OLLAMA_MESSAGE: Node = answer(&[("content", TEXT), ("thinking", TEXT), ("tool_calls", Field::Each(&TOOL_CALL))]);
static TOOL_CALL: Node = node(&[("function", Field::Into(&FUNCTION))]);
static FUNCTION: Node = node(&[("arguments", ARGUMENTS)]);

/// `/v2/chat`, `/v2/embed` and `/v2/rerank`; `/v1/rerank`, which others tell the usage of as OpenAI would
pub(super) static COHERE: Description = Description {
    whole: &COHERE_ROOT,
    event: &COHERE_EVENT,
    kinds: &[("message-end", KindOf::Finish), ("message-start", KindOf::Start)],
    marks_last: false,
};

static COHERE_ROOT: Node = node(&[
    ("message", Field::Into(&COHERE_MESSAGE)),
    ("finish_reason", Field::Keep(Slot::Finish)),
    ("model", Field::Keep(Slot::Model)),
    ("usage", Field::Keep(Slot::Usage)),
    ("meta", Field::Keep(Slot::Usage)),
    ("embeddings", PRESENT),
    ("results", PRESENT),
    ("error", ERROR),
]);
static COHERE_MESSAGE: Node = answer(&[
    ("content", Field::Text(Delivered::Text, Some(&CONTENT))),
    ("tool_plan", TEXT),
    ("tool_calls", Field::Each(&TOOL_CALL)),
]);
static CONTENT: Node = node(&[("text", TEXT), ("thinking", TEXT)]);
static COHERE_EVENT: Node = node(&[("type", Field::Keep(Slot::Kind)), ("delta", Field::Into(&DELTA))]);
static DELTA: Node = node(&[
    ("message", Field::Into(&MESSAGE_DELTA)),
    ("finish_reason", Field::Keep(Slot::Finish)),
    ("usage", Field::Keep(Slot::Usage)),
    ("error", ERROR),
]);
static MESSAGE_DELTA: Node =
    answer(&[("content", Field::Into(&CONTENT)), ("tool_plan", TEXT), ("tool_calls", Field::Into(&TOOL_CALL))]);
