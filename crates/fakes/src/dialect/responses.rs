//! OpenAI responses.

use super::Doc;
use crate::answer::{CREATED, Turn, quoted};

pub(super) fn usage(turn: &Turn) -> String {
    let (input, output) = (turn.prompt_tokens, turn.chunks);
    format!(
        concat!(
            r#"{{"input_tokens":{},"input_tokens_details":{{"cached_tokens":{}}},"output_tokens":{},"#,
            r#""output_tokens_details":{{"reasoning_tokens":{}}},"total_tokens":{}}}"#
        ),
        input,
        turn.script.cached_tokens.unwrap_or(0),
        output,
        turn.script.reasoning_tokens.unwrap_or(0),
        input + output
    )
}

fn is_cut(turn: &Turn) -> bool {
    turn.finish_reason == "length"
}

fn item(turn: &Turn) -> String {
    match &turn.script.tool_call {
        Some(call) => format!(
            r#"{{"id":"fc_fake","type":"function_call","status":"completed","call_id":"call_fake","name":{},"arguments":{}}}"#,
            quoted(&call.name),
            quoted(&call.arguments.to_string())
        ),
        None => format!(
            r#"{{"id":"msg_fake","type":"message","status":"completed","role":"assistant","content":[{{"type":"output_text","text":{},"annotations":[]}}]}}"#,
            quoted(&turn.whole_text())
        ),
    }
}

fn response(turn: &Turn, status: &str, output: &str, usage: &str) -> String {
    let incomplete = if status == "incomplete" { r#"{"reason":"max_output_tokens"}"# } else { "null" };
    format!(
        concat!(
            r#"{{"id":{},"object":"response","created_at":{},"status":"{}","background":false,"error":null,"#,
            r#""incomplete_details":{},"instructions":null,"model":{},"output":[{}],"parallel_tool_calls":true,"#,
            r#""tool_choice":"auto","tools":[{{"type":"function","name":"trap","parameters":{{"usage":{{"input_tokens":999999}}}}}}],"#,
            r#""usage":{},"metadata":{{}}}}"#
        ),
        quoted(&turn.id),
        CREATED,
        status,
        incomplete,
        quoted(&turn.model),
        output,
        usage
    )
}

fn ended(turn: &Turn) -> &'static str {
    if is_cut(turn) { "incomplete" } else { "completed" }
}

pub(super) fn plain(turn: &Turn) -> String {
    let usage = turn.usage_told();
    response(turn, ended(turn), &item(turn), usage.as_deref().unwrap_or("null"))
}

pub(super) fn open(turn: &Turn) -> Vec<Doc> {
    let begun = response(turn, "in_progress", "", "null");
    let event = |name: &'static str, number: u64| {
        Doc::named(name, format!(r#"{{"type":"{name}","sequence_number":{number},"response":{begun}}}"#))
    };
    let item = match &turn.script.tool_call {
        Some(call) => format!(
            r#"{{"id":"fc_fake","type":"function_call","status":"in_progress","call_id":"call_fake","name":{},"arguments":""}}"#,
            quoted(&call.name)
        ),
        None => {
            r#"{"id":"msg_fake","type":"message","status":"in_progress","role":"assistant","content":[]}"#.to_owned()
        }
    };
    let mut docs = vec![
        event("response.created", 0),
        event("response.in_progress", 1),
        Doc::named(
            "response.output_item.added",
            format!(r#"{{"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{item}}}"#),
        ),
    ];
    if turn.script.tool_call.is_none() {
        let part = r#"{"type":"response.content_part.added","sequence_number":3,"item_id":"msg_fake","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}"#;
        docs.push(Doc::named("response.content_part.added", part.to_owned()));
    }
    docs
}

pub(super) fn content(turn: &Turn, index: u64) -> Doc {
    let number = index + 4;
    match &turn.script.tool_call {
        Some(call) => {
            let data = format!(
                r#"{{"type":"response.function_call_arguments.delta","sequence_number":{number},"item_id":"fc_fake","output_index":0,"delta":{}}}"#,
                quoted(&turn.arguments(call, index))
            );
            Doc::named("response.function_call_arguments.delta", data)
        }
        None => {
            let data = format!(
                r#"{{"type":"response.output_text.delta","sequence_number":{number},"item_id":"msg_fake","output_index":0,"content_index":0,"delta":{},"logprobs":[]}}"#,
                quoted(&turn.text(index))
            );
            Doc::named("response.output_text.delta", data)
        }
    }
}

pub(super) fn close(turn: &Turn) -> Vec<Doc> {
    let number = turn.chunks + 4;
    let usage = turn.usage_told();
    let whole = response(turn, ended(turn), &item(turn), usage.as_deref().unwrap_or("null"));
    let name = if is_cut(turn) { "response.incomplete" } else { "response.completed" };
    let last = Doc::named(name, format!(r#"{{"type":"{name}","sequence_number":{},"response":{whole}}}"#, number + 1));
    vec![
        Doc::named(
            "response.output_item.done",
            format!(
                r#"{{"type":"response.output_item.done","sequence_number":{number},"output_index":0,"item":{}}}"#,
                item(turn)
            ),
        ),
        if usage.is_some() { last.with_usage() } else { last },
    ]
}
