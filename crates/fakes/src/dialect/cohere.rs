//! Cohere: chat, embeddings, reranking.

use super::Doc;
use crate::answer::{Endpoint, Turn, quoted};

pub(super) fn usage(turn: &Turn) -> String {
    let (input, output) = (turn.prompt_tokens, turn.chunks);
    match turn.endpoint {
        Endpoint::CohereEmbed => format!(r#"{{"billed_units":{{"input_tokens":{input}}}}}"#),
        Endpoint::CohereRerank => r#"{"billed_units":{"search_units":1}}"#.to_owned(),
        // What is billed is not what the model saw.
        _ => format!(
            r#"{{"billed_units":{{"input_tokens":{input},"output_tokens":{output}}},"tokens":{{"input_tokens":{},"output_tokens":{}}}}}"#,
            input + 500,
            output + 2
        ),
    }
}

fn finish(turn: &Turn) -> &str {
    match turn.finish_reason.as_str() {
        _ if turn.script.tool_call.is_some() => "TOOL_CALL",
        "stop" => "COMPLETE",
        "length" => "MAX_TOKENS",
        other => other,
    }
}

fn message(turn: &Turn) -> String {
    match &turn.script.tool_call {
        Some(call) => format!(
            r#"{{"role":"assistant","tool_calls":[{{"id":"call_fake","type":"function","function":{{"name":{},"arguments":{}}}}}]}}"#,
            quoted(&call.name),
            quoted(&call.arguments.to_string())
        ),
        None => {
            format!(r#"{{"role":"assistant","content":[{{"type":"text","text":{}}}]}}"#, quoted(&turn.whole_text()))
        }
    }
}

pub(super) fn plain(turn: &Turn) -> String {
    let usage = turn.usage_told().map(|usage| format!(r#","usage":{usage}"#)).unwrap_or_default();
    format!(r#"{{"id":{},"finish_reason":"{}","message":{}{usage}}}"#, quoted(&turn.id), finish(turn), message(turn))
}

pub(super) fn open(turn: &Turn) -> Vec<Doc> {
    let begun = match &turn.script.tool_call {
        Some(call) => Doc::named(
            "tool-call-start",
            format!(
                r#"{{"type":"tool-call-start","index":0,"delta":{{"message":{{"tool_calls":{{"id":"call_fake","type":"function","function":{{"name":{},"arguments":""}}}}}}}}}}"#,
                quoted(&call.name)
            ),
        ),
        None => Doc::named(
            "content-start",
            r#"{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"text","text":""}}}}"#
                .to_owned(),
        ),
    };
    vec![
        Doc::named(
            "message-start",
            format!(
                r#"{{"type":"message-start","id":{},"delta":{{"message":{{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}}}}"#,
                quoted(&turn.id)
            ),
        ),
        begun,
    ]
}

pub(super) fn content(turn: &Turn, index: u64) -> Doc {
    if let Some(call) = &turn.script.tool_call {
        let data = format!(
            r#"{{"type":"tool-call-delta","index":0,"delta":{{"message":{{"tool_calls":{{"function":{{"arguments":{}}}}}}}}}}}"#,
            quoted(&turn.arguments(call, index))
        );
        return Doc::named("tool-call-delta", data);
    }
    let data = format!(
        r#"{{"type":"content-delta","index":0,"delta":{{"message":{{"content":{{"text":{}}}}}}}}}"#,
        quoted(&turn.text(index))
    );
    Doc::named("content-delta", data)
}

pub(super) fn close(turn: &Turn) -> Vec<Doc> {
    let usage = turn.usage_told();
    let told = usage.as_ref().map(|usage| format!(r#","usage":{usage}"#)).unwrap_or_default();
    let last = Doc::named(
        "message-end",
        format!(r#"{{"type":"message-end","delta":{{"finish_reason":"{}"{told}}}}}"#, finish(turn)),
    );
    let over = if turn.script.tool_call.is_some() { "tool-call-end" } else { "content-end" };
    vec![
        Doc::named(over, format!(r#"{{"type":"{over}","index":0}}"#)),
        if usage.is_some() { last.with_usage() } else { last },
    ]
}

fn meta(turn: &Turn) -> String {
    let usage = turn.usage_told().unwrap_or_else(|| "{}".to_owned());
    let inner = usage.trim_start_matches('{').trim_end();
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let inner = if inner.is_empty() { String::new() } else { format!(",{inner}") };
    format!(r#"{{"api_version":{{"version":"2"}}{inner}}}"#)
}

pub(super) fn embedded(turn: &Turn) -> String {
    let vectors = vec!["[0.25,0.5,-0.25,0.125]"; turn.items].join(",");
    format!(
        r#"{{"id":{},"embeddings":{{"float":[{vectors}]}},"texts":[],"response_type":"embeddings_by_type","meta":{}}}"#,
        quoted(&turn.id),
        meta(turn)
    )
}

pub(super) fn reranked(turn: &Turn) -> String {
    let results: Vec<_> =
        (0..turn.items).map(|index| format!(r#"{{"index":{index},"relevance_score":0.5}}"#)).collect();
    format!(r#"{{"id":{},"results":[{}],"meta":{}}}"#, quoted(&turn.id), results.join(","), meta(turn))
}
