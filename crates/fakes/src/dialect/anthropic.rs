//! Anthropic messages.

use super::Doc;
use crate::answer::{Turn, quoted};

fn stop_reason(turn: &Turn) -> &str {
    match turn.finish_reason.as_str() {
        _ if turn.script.tool_call.is_some() => "tool_use",
        "stop" => "end_turn",
        "length" => "max_tokens",
        other => other,
    }
}

fn input(turn: &Turn) -> (u64, u64, u64, u64) {
    let read = turn.script.cached_tokens.unwrap_or(0);
    let short = turn.script.cache_write_5m.unwrap_or(0);
    let long = turn.script.cache_write_1h.unwrap_or(0);
    (turn.prompt_tokens.saturating_sub(read + short + long), read, short, long)
}

fn usage_with(turn: &Turn, output: u64) -> String {
    let (fresh, read, short, long) = input(turn);
    format!(
        concat!(
            r#"{{"input_tokens":{},"cache_creation_input_tokens":{},"cache_read_input_tokens":{},"#,
            r#""cache_creation":{{"ephemeral_5m_input_tokens":{},"ephemeral_1h_input_tokens":{}}},"#,
            r#""output_tokens":{},"service_tier":"standard"}}"#
        ),
        fresh,
        short + long,
        read,
        short,
        long,
        output
    )
}

pub(super) fn usage(turn: &Turn) -> String {
    usage_with(turn, turn.chunks)
}

pub(super) fn plain(turn: &Turn) -> String {
    let block = match &turn.script.tool_call {
        Some(call) => {
            let (name, arguments) = (quoted(&call.name), &call.arguments);
            format!(r#"{{"type":"tool_use","id":"toolu_fake","name":{name},"input":{arguments}}}"#)
        }
        None => format!(r#"{{"type":"text","text":{}}}"#, quoted(&turn.whole_text())),
    };
    let usage = turn.usage_told().map(|usage| format!(r#","usage":{usage}"#)).unwrap_or_default();
    format!(
        r#"{{"id":{},"type":"message","role":"assistant","model":{},"content":[{block}],"stop_reason":"{}","stop_sequence":null{usage}}}"#,
        quoted(&turn.id),
        quoted(&turn.model),
        stop_reason(turn),
    )
}

pub(super) fn open(turn: &Turn) -> Vec<Doc> {
    let start = format!(
        concat!(
            r#"{{"type":"message_start","message":{{"id":{},"type":"message","role":"assistant","model":{},"content":[],"#,
            r#""stop_reason":null,"stop_sequence":null,"usage":{}}}}}"#
        ),
        quoted(&turn.id),
        quoted(&turn.model),
        usage_with(turn, 1)
    );
    let block = match &turn.script.tool_call {
        Some(call) => format!(r#"{{"type":"tool_use","id":"toolu_fake","name":{},"input":{{}}}}"#, quoted(&call.name)),
        None => r#"{"type":"text","text":""}"#.to_owned(),
    };
    vec![
        Doc::named("message_start", start),
        Doc::named(
            "content_block_start",
            format!(r#"{{"type":"content_block_start","index":0,"content_block":{block}}}"#),
        ),
        Doc::named("ping", r#"{"type":"ping"}"#.to_owned()),
    ]
}

pub(super) fn content(turn: &Turn, index: u64) -> Doc {
    let delta = match &turn.script.tool_call {
        Some(call) => {
            format!(r#"{{"type":"input_json_delta","partial_json":{}}}"#, quoted(&turn.arguments(call, index)))
        }
        None => format!(r#"{{"type":"text_delta","text":{}}}"#, quoted(&turn.text(index))),
    };
    Doc::named("content_block_delta", format!(r#"{{"type":"content_block_delta","index":0,"delta":{delta}}}"#))
}

pub(super) fn close(turn: &Turn) -> Vec<Doc> {
    let told = turn.usage_told();
    let delta = format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"{}","stop_sequence":null}},"usage":{}}}"#,
        stop_reason(turn),
        told.as_deref().unwrap_or(r#"{"output_tokens":0}"#)
    );
    let delta = Doc::named("message_delta", delta);
    vec![
        Doc::named("content_block_stop", r#"{"type":"content_block_stop","index":0}"#.to_owned()),
        if told.is_some() { delta.with_usage() } else { delta },
        Doc::named("message_stop", r#"{"type":"message_stop"}"#.to_owned()),
    ]
}
