//! Amazon Bedrock: Converse, and InvokeModel with the bodies of many vendors.

use super::{
    anthropic::{BEGUN, BLOCK, STARTED},
    description::{Description, KindOf},
};
use crate::upstream::sniff::path::{ARGUMENTS, Counted, ERROR, Field, Node, PRESENT, Slot, TEXT, answer, choice, node};

/// Converse and ConverseStream; a stream's usage comes in `metadata`, behind `messageStop`.
pub(super) static CONVERSE: Description = Description {
    whole: &CONVERSE_ROOT,
    event: &CONVERSE_ROOT,
    kinds: &[("metadata", KindOf::Last)],
    marks_last: true,
};

static CONVERSE_ROOT: Node = node(&[
    ("output", Field::Into(&OUTPUT)),
    ("role", PRESENT),
    ("delta", Field::Into(&DELTA)),
    ("stopReason", Field::Keep(Slot::Finish)),
    ("usage", Field::Keep(Slot::Usage)),
    ("serviceTier", Field::Into(&TIER)),
    ("performanceConfig", Field::Into(&PERFORMANCE)),
]);
static OUTPUT: Node = answer(&[("message", Field::Into(&MESSAGE))]);
static MESSAGE: Node = node(&[("content", Field::Each(&CONVERSE_BLOCK))]);
static CONVERSE_BLOCK: Node =
    node(&[("text", TEXT), ("reasoningContent", Field::Into(&REASONING)), ("toolUse", Field::Into(&TOOL_USE))]);
static REASONING: Node = node(&[("text", TEXT), ("reasoningText", Field::Into(&REASONING_TEXT))]);
static REASONING_TEXT: Node = node(&[("text", TEXT)]);
static TOOL_USE: Node = node(&[("input", ARGUMENTS)]);
static DELTA: Node =
    answer(&[("text", TEXT), ("reasoningContent", Field::Into(&REASONING)), ("toolUse", Field::Into(&TOOL_USE))]);
static TIER: Node = node(&[("type", Field::Keep(Slot::Tier))]);
/// What is optimised for latency has a price of its own, like a tier.
static PERFORMANCE: Node = node(&[("latency", Field::Member("latency"))]);

/// InvokeModel: the body is the vendor's own. A stream's chunks hold the vendor's events in base64.
pub(super) static INVOKE: Description =
    Description { whole: &VENDOR, event: &CHUNK, kinds: &[("message_start", KindOf::Start)], marks_last: false };

static CHUNK: Node = node(&[("bytes", Field::Base64(&VENDOR_EVENT))]);
static VENDOR: Node = node(&[
    ("model", Field::Keep(Slot::Model)),
    ("usage", Field::Keep(Slot::Usage)),
    (METRICS, Field::Keep(Slot::Metrics)),
    // Anthropic
    ("content", Field::Each(&BLOCK)),
    ("stop_reason", Field::Keep(Slot::Finish)),
    // Amazon Nova
    ("output", Field::Into(&OUTPUT)),
    ("stopReason", Field::Keep(Slot::Finish)),
    // Amazon Titan
    ("results", Field::Each(&TITAN_RESULT)),
    ("inputTextTokenCount", Field::Member("input_tokens")),
    ("embedding", PRESENT),
    // Meta Llama
    ("generation", TEXT),
    ("prompt_token_count", Field::Member("input_tokens")),
    ("generation_token_count", Field::Member("output_tokens")),
    // Mistral, OpenAI, DeepSeek
    ("outputs", Field::Each(&MISTRAL_OUTPUT)),
    ("choices", Field::Count(Counted::Choices, &VENDOR_CHOICE)),
    // Cohere
    ("text", TEXT),
    ("finish_reason", Field::Keep(Slot::Finish)),
    ("generations", Field::Each(&COHERE_GENERATION)),
    ("embeddings", PRESENT),
    // Amazon Nova Canvas and Titan, Stability
    ("images", Field::Count(Counted::Images, &PICTURE)),
    // Anthropic's earlier models
    ("completion", TEXT),
    // TwelveLabs
    ("message", TEXT),
    ("finishReason", Field::Keep(Slot::Finish)),
]);
static PICTURE: Node = node(&[]);
const METRICS: &str = "amazon-bedrock-invocationMetrics";
static TITAN_RESULT: Node = answer(&[
    ("outputText", TEXT),
    ("tokenCount", Field::Member("output_tokens")),
    ("completionReason", Field::Keep(Slot::Finish)),
]);
static MISTRAL_OUTPUT: Node = answer(&[("text", TEXT), ("stop_reason", Field::Keep(Slot::Finish))]);
static COHERE_GENERATION: Node = answer(&[("text", TEXT), ("finish_reason", Field::Keep(Slot::Finish))]);
static VENDOR_CHOICE: Node = choice(&[
    ("index", Field::Keep(Slot::Index)),
    ("text", TEXT),
    ("message", Field::Into(&CHOICE_MESSAGE)),
    ("delta", Field::Into(&CHOICE_MESSAGE)),
    ("finish_reason", Field::Keep(Slot::Finish)),
    ("stop_reason", Field::Keep(Slot::Finish)),
]);
static CHOICE_MESSAGE: Node = node(&[
    ("content", TEXT),
    ("reasoning", TEXT),
    ("reasoning_content", TEXT),
    ("tool_calls", Field::Each(&CHOICE_CALL)),
]);
static CHOICE_CALL: Node = node(&[("function", Field::Into(&CHOICE_FUNCTION))]);
static CHOICE_FUNCTION: Node = node(&[("arguments", ARGUMENTS)]);
static VENDOR_EVENT: Node = node(&[
    ("type", Field::Keep(Slot::Kind)),
    ("model", Field::Keep(Slot::Model)),
    ("usage", Field::Keep(Slot::Usage)),
    (METRICS, Field::Keep(Slot::Metrics)),
    ("error", ERROR),
    // Anthropic
    ("message", Field::Into(&STARTED)),
    ("content_block", Field::Into(&BEGUN)),
    ("delta", Field::Into(&VENDOR_DELTA)),
    ("completion", TEXT),
    // Amazon Nova
    ("contentBlockDelta", Field::Into(&NOVA_DELTA)),
    ("messageStop", Field::Into(&NOVA_STOP)),
    ("metadata", Field::Into(&NOVA_METADATA)),
    // Amazon Titan
    ("outputText", TEXT),
    ("inputTextTokenCount", Field::Member("input_tokens")),
    ("totalOutputTextTokenCount", Field::Member("output_tokens")),
    ("completionReason", Field::Keep(Slot::Finish)),
    // Meta Llama
    ("generation", TEXT),
    ("prompt_token_count", Field::Member("input_tokens")),
    ("generation_token_count", Field::Member("output_tokens")),
    ("stop_reason", Field::Keep(Slot::Finish)),
    // Mistral, OpenAI, DeepSeek
    ("outputs", Field::Each(&MISTRAL_OUTPUT)),
    ("choices", Field::Count(Counted::Choices, &VENDOR_CHOICE)),
    // Cohere
    ("text", TEXT),
    ("finish_reason", Field::Keep(Slot::Finish)),
]);
static VENDOR_DELTA: Node = node(&[
    ("text", TEXT),
    ("thinking", TEXT),
    ("partial_json", ARGUMENTS),
    ("stop_reason", Field::Keep(Slot::Finish)),
]);
static NOVA_DELTA: Node = node(&[("delta", Field::Into(&DELTA))]);
static NOVA_STOP: Node = node(&[("stopReason", Field::Keep(Slot::Finish))]);
static NOVA_METADATA: Node = node(&[("usage", Field::Keep(Slot::Usage))]);
