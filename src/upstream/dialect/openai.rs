//! The dialects of OpenAI and of everybody who is compatible with it.

use super::description::{Description, KindOf};
use crate::upstream::sniff::path::{
    ARGUMENTS, Counted, Delivered, ERROR, Field, Node, PRESENT, REFUSAL, Slot, TEXT, answer, choice, item, node,
};

/// `/v1/chat/completions` and `/v1/completions`. The end of a stream is `[DONE]`.
pub(super) static CHAT: Description =
    Description { whole: &CHAT_ROOT, event: &CHAT_ROOT, kinds: &[], marks_last: false };

static CHAT_ROOT: Node = node(&[
    ("choices", Field::Count(Counted::Choices, &CHOICE)),
    ("model", Field::Keep(Slot::Model)),
    ("usage", Field::Keep(Slot::Usage)),
    ("service_tier", Field::Keep(Slot::Tier)),
    ("error", ERROR),
    ("timings", Field::Keep(Slot::Timings)),
    ("x_groq", Field::Into(&X_GROQ)),
]);
/// Groq's copy, which for some models was the only one.
static X_GROQ: Node = node(&[("usage", Field::Keep(Slot::Usage))]);
static CHOICE: Node = choice(&[
    ("index", Field::Keep(Slot::Index)),
    ("delta", Field::Into(&MESSAGE)),
    ("message", Field::Into(&MESSAGE)),
    ("text", TEXT),
    ("finish_reason", Field::Keep(Slot::Finish)),
]);
static MESSAGE: Node = node(&[
    ("content", Field::Text(Delivered::Text, Some(&PART))),
    ("reasoning_content", TEXT),
    ("reasoning", TEXT),
    ("refusal", REFUSAL),
    ("tool_calls", Field::Each(&TOOL_CALL)),
    ("function_call", Field::Into(&FUNCTION)),
    ("audio", Field::Into(&SPOKEN)),
]);
/// What the model says aloud, in words.
static SPOKEN: Node = node(&[("transcript", TEXT)]);
/// Mistral's content may be parts; its thinking is parts within a part.
static PART: Node = node(&[("text", TEXT), ("thinking", Field::Text(Delivered::Text, Some(&THOUGHT)))]);
static THOUGHT: Node = node(&[("text", TEXT)]);
static TOOL_CALL: Node = node(&[("function", Field::Into(&FUNCTION)), ("custom", Field::Into(&CUSTOM))]);
static CUSTOM: Node = node(&[("input", ARGUMENTS)]);
static FUNCTION: Node = node(&[("arguments", ARGUMENTS)]);

/// `/v1/embeddings`
pub(super) static EMBEDDINGS: Description =
    Description { whole: &EMBEDDINGS_ROOT, event: &EMBEDDINGS_ROOT, kinds: &[], marks_last: false };

static EMBEDDINGS_ROOT: Node = node(&[
    ("data", PRESENT),
    ("model", Field::Keep(Slot::Model)),
    ("usage", Field::Keep(Slot::Usage)),
    ("service_tier", Field::Keep(Slot::Tier)),
    ("error", ERROR),
]);

/// `/v1/moderations`
pub(super) static MODERATIONS: Description =
    Description { whole: &MODERATIONS_ROOT, event: &MODERATIONS_ROOT, kinds: &[], marks_last: false };

static MODERATIONS_ROOT: Node = node(&[
    ("results", PRESENT),
    ("model", Field::Keep(Slot::Model)),
    ("usage", Field::Keep(Slot::Usage)),
    ("error", ERROR),
]);

/// `/v1/responses`. The response echoes the request's instructions, tools and metadata: none of them is looked into.
pub(super) static RESPONSES: Description = Description {
    whole: &RESPONSE,
    event: &RESPONSE_EVENT,
    kinds: &[
        ("response.output_item.done", KindOf::ItemDone),
        ("response.output_item.added", KindOf::Silent),
        ("response.refusal.delta", KindOf::Refusal),
        ("response.function_call_arguments.delta", KindOf::Arguments),
        ("response.mcp_call_arguments.delta", KindOf::Arguments),
        ("response.mcp_call.arguments.delta", KindOf::Arguments),
        ("response.custom_tool_call_input.delta", KindOf::Arguments),
        ("response.code_interpreter_call_code.delta", KindOf::Arguments),
        ("response.audio.delta", KindOf::Silent),
        ("response.output_audio.delta", KindOf::Silent),
        ("response.completed", KindOf::Last),
        ("response.incomplete", KindOf::Last),
        ("response.failed", KindOf::Last),
        ("response.cancelled", KindOf::Last),
        ("error", KindOf::Error),
    ],
    marks_last: true,
};

static RESPONSE: Node = answer(&[
    ("model", Field::Keep(Slot::Model)),
    ("status", Field::Keep(Slot::Finish)),
    ("incomplete_details", Field::Into(&INCOMPLETE)),
    ("error", ERROR),
    ("output", Field::Each(&OUTPUT_ITEM)),
    ("usage", Field::Keep(Slot::Usage)),
    ("service_tier", Field::Keep(Slot::Tier)),
]);
static OUTPUT_ITEM: Node = item(&[
    ("type", Field::Keep(Slot::ItemType)),
    ("action", Field::Into(&ACTION)),
    ("content", Field::Each(&CONTENT)),
    ("summary", Field::Each(&THOUGHT)),
    ("arguments", ARGUMENTS),
    ("input", ARGUMENTS),
    ("code", ARGUMENTS),
]);
static CONTENT: Node = node(&[("text", TEXT), ("refusal", REFUSAL)]);
static ACTION: Node = node(&[("type", Field::Keep(Slot::ItemAction))]);
static INCOMPLETE: Node = node(&[("reason", Field::Keep(Slot::Reason))]);
static RESPONSE_EVENT: Node = node(&[
    ("type", Field::Keep(Slot::Kind)),
    ("delta", TEXT),
    ("response", Field::Into(&RESPONSE_TOLD)),
    ("item", Field::Into(&ITEM_TOLD)),
    ("error", ERROR),
]);
/// The response within an event: its text was delivered by other events.
static RESPONSE_TOLD: Node = answer(&[
    ("model", Field::Keep(Slot::Model)),
    ("status", Field::Keep(Slot::Finish)),
    ("incomplete_details", Field::Into(&INCOMPLETE)),
    ("error", ERROR),
    ("output", Field::Each(&ITEM_TOLD)),
    ("usage", Field::Keep(Slot::Usage)),
    ("service_tier", Field::Keep(Slot::Tier)),
]);
static ITEM_TOLD: Node = item(&[("type", Field::Keep(Slot::ItemType)), ("action", Field::Into(&ACTION))]);

/// `/v1/images/generations` and `/v1/images/edits`
pub(super) static IMAGES: Description = Description {
    whole: &IMAGES_ROOT,
    event: &IMAGE_EVENT,
    kinds: &[
        ("image_generation.completed", KindOf::Picture),
        ("image_edit.completed", KindOf::Picture),
        ("error", KindOf::Error),
    ],
    marks_last: false,
};

static IMAGES_ROOT: Node = node(&[
    ("data", Field::Count(Counted::Images, &IMAGE)),
    ("size", Field::Member("size")),
    ("quality", Field::Member("quality")),
    ("model", Field::Keep(Slot::Model)),
    ("usage", Field::Keep(Slot::Usage)),
    ("error", ERROR),
]);
static IMAGE: Node = node(&[]);
static IMAGE_EVENT: Node = node(&[
    ("type", Field::Keep(Slot::Kind)),
    ("b64_json", PRESENT),
    ("size", Field::Member("size")),
    ("quality", Field::Member("quality")),
    ("usage", Field::Keep(Slot::Usage)),
    ("error", ERROR),
]);

/// `/v1/audio/speech` and `/v1/audio/transcriptions`
pub(super) static AUDIO: Description = Description {
    whole: &AUDIO_ROOT,
    event: &AUDIO_EVENT,
    kinds: &[
        ("transcript.text.done", KindOf::Finish),
        ("speech.audio.done", KindOf::Finish),
        ("transcription.done", KindOf::Finish),
        ("error", KindOf::Error),
    ],
    marks_last: false,
};

static AUDIO_ROOT: Node = node(&[
    ("text", TEXT),
    // Speech in base64.
    ("audio", PRESENT),
    ("audio_data", PRESENT),
    ("model", Field::Keep(Slot::Model)),
    ("duration", Field::Member("duration")),
    ("usage", Field::Keep(Slot::Usage)),
    ("error", ERROR),
]);
static AUDIO_EVENT: Node = node(&[
    ("type", Field::Keep(Slot::Kind)),
    ("delta", TEXT),
    ("audio", PRESENT),
    ("model", Field::Keep(Slot::Model)),
    ("usage", Field::Keep(Slot::Usage)),
    ("error", ERROR),
]);
