//! Gemini: content, embeddings and interactions.

use super::Doc;
use crate::{
    answer::{Turn, quoted},
    script::ToolCall,
};

fn counts(turn: &Turn, output: u64) -> String {
    let cached = turn.script.cached_tokens.map(|n| format!(r#","cachedContentTokenCount":{n}"#)).unwrap_or_default();
    let thoughts = turn.script.reasoning_tokens;
    let beside = thoughts.map(|n| format!(r#","thoughtsTokenCount":{n}"#)).unwrap_or_default();
    format!(
        r#"{{"promptTokenCount":{},"candidatesTokenCount":{output},"totalTokenCount":{}{cached}{beside}}}"#,
        turn.prompt_tokens,
        turn.prompt_tokens + output + thoughts.unwrap_or(0)
    )
}

pub(super) fn usage(turn: &Turn) -> String {
    counts(turn, turn.chunks)
}

fn finish(turn: &Turn) -> &str {
    match turn.finish_reason.as_str() {
        "stop" => "STOP",
        "length" => "MAX_TOKENS",
        other => other,
    }
}

fn document(turn: &Turn, part: &str, finish: Option<&str>, usage: Option<&str>) -> String {
    let finish = finish.map(|reason| format!(r#","finishReason":"{reason}""#)).unwrap_or_default();
    let usage = usage.map(|usage| format!(r#","usageMetadata":{usage}"#)).unwrap_or_default();
    format!(
        r#"{{"candidates":[{{"content":{{"parts":[{part}],"role":"model"}}{finish},"index":0}}]{usage},"modelVersion":{},"responseId":{}}}"#,
        quoted(&turn.model),
        quoted(&turn.id)
    )
}

fn part(turn: &Turn, text: &str) -> String {
    match &turn.script.tool_call {
        Some(call) => format!(r#"{{"functionCall":{{"name":{},"args":{}}}}}"#, quoted(&call.name), call.arguments),
        None => format!(r#"{{"text":{}}}"#, quoted(text)),
    }
}

pub(super) fn plain(turn: &Turn) -> String {
    document(turn, &part(turn, &turn.whole_text()), Some(finish(turn)), turn.usage_told().as_deref())
}

pub(super) fn content(turn: &Turn, index: u64) -> Doc {
    let usage = turn.usage_told().map(|_| counts(turn, index + 1));
    // A call stands in one chunk; the others are empty.
    let part = if index > 0 && turn.script.tool_call.is_some() {
        r#"{"text":""}"#.to_owned()
    } else {
        part(turn, &turn.text(index))
    };
    Doc::bare(document(turn, &part, None, usage.as_deref()))
}

pub(super) fn close(turn: &Turn) -> Vec<Doc> {
    let usage = turn.usage_told();
    let last = Doc::bare(document(turn, r#"{"text":""}"#, Some(finish(turn)), usage.as_deref()));
    vec![if usage.is_some() { last.with_usage() } else { last }]
}

pub(super) fn embedded(turn: &Turn) -> String {
    let values = r#"{"values":[0.25,0.5,-0.25,0.125]}"#;
    if turn.many {
        format!(r#"{{"embeddings":[{}]}}"#, vec![values; turn.items].join(","))
    } else {
        format!(r#"{{"embedding":{values}}}"#)
    }
}

pub(super) fn interactions_usage(turn: &Turn) -> String {
    let (input, output) = (turn.prompt_tokens, turn.chunks);
    let thoughts = turn.script.reasoning_tokens.unwrap_or(0);
    format!(
        r#"{{"total_input_tokens":{input},"total_cached_tokens":{},"total_output_tokens":{output},"total_thought_tokens":{thoughts},"total_tool_use_tokens":0,"total_tokens":{}}}"#,
        turn.script.cached_tokens.unwrap_or(0),
        input + output + thoughts
    )
}

fn interaction_object(turn: &Turn, status: &str, steps: &str, usage: Option<&str>) -> String {
    let usage = usage.map(|usage| format!(r#","usage":{usage}"#)).unwrap_or_default();
    format!(
        r#"{{"id":{},"object":"interaction","status":"{status}","model":{},"steps":[{steps}],"created":"2026-01-01T00:00:00Z","updated":"2026-01-01T00:00:00Z"{usage}}}"#,
        quoted(&turn.id),
        quoted(&turn.model)
    )
}

fn status(turn: &Turn) -> &'static str {
    if turn.script.tool_call.is_some() { "requires_action" } else { "completed" }
}

fn function_call(call: &ToolCall, arguments: &str) -> String {
    format!(r#"{{"type":"function_call","id":"call_fake","name":{},"arguments":{arguments}}}"#, quoted(&call.name))
}

pub(super) fn interaction(turn: &Turn) -> String {
    let step = match &turn.script.tool_call {
        Some(call) => function_call(call, &call.arguments.to_string()),
        None => {
            let text = quoted(&turn.whole_text());
            format!(r#"{{"type":"model_output","content":[{{"type":"text","text":{text}}}]}}"#)
        }
    };
    interaction_object(turn, status(turn), &step, turn.usage_told().as_deref())
}

pub(super) fn interaction_open(turn: &Turn) -> Vec<Doc> {
    let begun = interaction_object(turn, "in_progress", "", None);
    let step = match &turn.script.tool_call {
        Some(call) => function_call(call, "{}"),
        None => r#"{"type":"model_output"}"#.to_owned(),
    };
    vec![
        Doc::named("interaction.created", format!(r#"{{"event_type":"interaction.created","interaction":{begun}}}"#)),
        Doc::named("step.start", format!(r#"{{"event_type":"step.start","index":0,"step":{step}}}"#)),
    ]
}

pub(super) fn interaction_content(turn: &Turn, index: u64) -> Doc {
    let delta = match &turn.script.tool_call {
        Some(call) => {
            format!(r#"{{"type":"arguments_delta","arguments":{}}}"#, quoted(&turn.arguments(call, index)))
        }
        None => format!(r#"{{"type":"text","text":{}}}"#, quoted(&turn.text(index))),
    };
    Doc::named("step.delta", format!(r#"{{"event_type":"step.delta","index":0,"delta":{delta}}}"#))
}

pub(super) fn interaction_close(turn: &Turn) -> Vec<Doc> {
    let usage = turn.usage_told();
    let whole = interaction_object(turn, status(turn), "", usage.as_deref());
    let last = Doc::named(
        "interaction.completed",
        format!(r#"{{"event_type":"interaction.completed","interaction":{whole}}}"#),
    );
    vec![
        Doc::named("step.stop", r#"{"event_type":"step.stop","index":0}"#.to_owned()),
        if usage.is_some() { last.with_usage() } else { last },
    ]
}
