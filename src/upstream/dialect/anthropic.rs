//! Anthropic's messages, and its counting of tokens.

use super::description::{Description, KindOf};
use crate::upstream::sniff::path::{ARGUMENTS, ERROR, Field, Node, SEALED, Slot, TEXT, answer, node};

/// `/v1/messages`
pub(super) static MESSAGES: Description = Description {
    whole: &MESSAGE,
    event: &EVENT,
    kinds: &[("message_start", KindOf::Start), ("message_stop", KindOf::Last), ("error", KindOf::Error)],
    marks_last: true,
};

static MESSAGE: Node = node(&[
    ("model", Field::Keep(Slot::Model)),
    ("content", Field::Each(&BLOCK)),
    ("stop_reason", Field::Keep(Slot::Finish)),
    ("usage", Field::Keep(Slot::Usage)),
    ("error", ERROR),
]);
/// A tool's input is an object of the model's making: its bytes count, nothing in it is read.
pub(super) static BLOCK: Node = answer(&[("text", TEXT), ("thinking", TEXT), ("data", SEALED), ("input", ARGUMENTS)]);
static EVENT: Node = node(&[
    ("type", Field::Keep(Slot::Kind)),
    ("message", Field::Into(&STARTED)),
    ("content_block", Field::Into(&BEGUN)),
    ("delta", Field::Into(&DELTA)),
    ("usage", Field::Keep(Slot::Usage)),
    ("error", ERROR),
]);
/// Its count of output tokens is a placeholder.
pub(super) static STARTED: Node =
    answer(&[("model", Field::Keep(Slot::Model)), ("usage", Field::Keep(Slot::UsageAtStart))]);
/// A tool's input is empty here: it comes in deltas. Redacted thinking comes as `data`, all at once.
pub(super) static BEGUN: Node = node(&[("text", TEXT), ("thinking", TEXT), ("data", SEALED)]);
/// A compaction's summary comes as `content`.
static DELTA: Node = node(&[
    ("text", TEXT),
    ("thinking", TEXT),
    ("content", TEXT),
    ("partial_json", ARGUMENTS),
    ("stop_reason", Field::Keep(Slot::Finish)),
]);

/// `/v1/messages/count_tokens`
pub(super) static COUNT_TOKENS: Description =
    Description { whole: &COUNT_ROOT, event: &COUNT_ROOT, kinds: &[], marks_last: false };

static COUNT_ROOT: Node = node(&[("input_tokens", Field::Member("counted_tokens")), ("error", ERROR)]);
