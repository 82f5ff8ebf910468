//! Gemini: generated content, counts, embeddings, interactions.

use super::description::{Description, KindOf};
use crate::upstream::sniff::path::{ARGUMENTS, Counted, ERROR, Field, Node, PRESENT, Slot, TEXT, answer, choice, node};

/// `:generateContent` and `:streamGenerateContent`; every document of a stream is a whole one. A stream just ends.
pub(super) static CONTENT: Description = Description { whole: &ROOT, event: &ROOT, kinds: &[], marks_last: false };

static ROOT: Node = node(&[
    ("candidates", Field::Each(&CANDIDATE)),
    ("usageMetadata", Field::Keep(Slot::Usage)),
    ("modelVersion", Field::Keep(Slot::Model)),
    ("promptFeedback", Field::Into(&FEEDBACK)),
    ("error", ERROR),
]);
static CANDIDATE: Node = choice(&[
    ("index", Field::Keep(Slot::Index)),
    ("content", Field::Into(&PARTS)),
    ("finishReason", Field::Keep(Slot::Finish)),
    ("groundingMetadata", Field::Into(&GROUNDING)),
]);
static PARTS: Node = node(&[("parts", Field::Each(&PART))]);
/// A call's arguments are an object of the model's making: its bytes count, nothing in it is read.
static PART: Node =
    node(&[("text", TEXT), ("functionCall", Field::Into(&CALL)), ("executableCode", Field::Into(&CODE))]);
static CALL: Node = node(&[("args", ARGUMENTS)]);
static CODE: Node = node(&[("code", TEXT)]);
static GROUNDING: Node = node(&[("webSearchQueries", Field::Count(Counted::Searches, &QUERY))]);
static QUERY: Node = node(&[]);
static FEEDBACK: Node = node(&[("blockReason", Field::Keep(Slot::Blocked))]);

/// `:countTokens`
pub(super) static COUNT_TOKENS: Description =
    Description { whole: &COUNT_ROOT, event: &COUNT_ROOT, kinds: &[], marks_last: false };

static COUNT_ROOT: Node = node(&[("totalTokens", Field::Member("counted_tokens")), ("error", ERROR)]);

/// `:embedContent` and `:batchEmbedContents`
pub(super) static EMBED: Description =
    Description { whole: &EMBED_ROOT, event: &EMBED_ROOT, kinds: &[], marks_last: false };

static EMBED_ROOT: Node = node(&[
    ("embedding", PRESENT),
    ("embeddings", PRESENT),
    ("predictions", PRESENT),
    ("usageMetadata", Field::Keep(Slot::Usage)),
    ("error", ERROR),
]);

/// `/v1beta/interactions`
pub(super) static INTERACTIONS: Description = Description {
    whole: &INTERACTION,
    event: &INTERACTION_EVENT,
    kinds: &[("error", KindOf::Error)],
    marks_last: false,
};

static INTERACTION: Node = answer(&[
    ("model", Field::Keep(Slot::Model)),
    ("status", Field::Keep(Slot::Finish)),
    ("outputs", Field::Each(&OUTPUT)),
    ("steps", Field::Each(&OUTPUT)),
    ("usage", Field::Keep(Slot::Usage)),
    ("service_tier", Field::Keep(Slot::Tier)),
    ("error", ERROR),
]);
static OUTPUT: Node = node(&[("text", TEXT), ("content", Field::Each(&SAID)), ("arguments", ARGUMENTS)]);
static SAID: Node = node(&[("text", TEXT)]);
static INTERACTION_EVENT: Node = node(&[
    ("event_type", Field::Keep(Slot::Kind)),
    ("interaction", Field::Into(&INTERACTION_TOLD)),
    ("delta", Field::Into(&DELTA)),
    ("error", ERROR),
]);
static INTERACTION_TOLD: Node = answer(&[
    ("model", Field::Keep(Slot::Model)),
    ("status", Field::Keep(Slot::Finish)),
    ("usage", Field::Keep(Slot::Usage)),
    ("service_tier", Field::Keep(Slot::Tier)),
    ("error", ERROR),
]);
static DELTA: Node = node(&[("text", TEXT), ("content", Field::Into(&SAID)), ("arguments", ARGUMENTS)]);
