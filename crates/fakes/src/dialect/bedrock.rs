//! Bedrock converse.

use super::Doc;
use crate::answer::{Turn, quoted};

pub(super) fn usage(turn: &Turn) -> String {
    let read = turn.script.cached_tokens.unwrap_or(0);
    let (input, output) = (turn.prompt_tokens.saturating_sub(read), turn.chunks);
    format!(
        r#"{{"inputTokens":{input},"outputTokens":{output},"totalTokens":{},"cacheReadInputTokens":{read},"cacheReadInputTokenCount":{read}}}"#,
        input + output + read
    )
}

fn stop_reason(turn: &Turn) -> &str {
    match turn.finish_reason.as_str() {
        "stop" => "end_turn",
        "length" => "max_tokens",
        other => other,
    }
}

pub(super) fn plain(turn: &Turn) -> String {
    let usage = turn.usage_told().map(|usage| format!(r#","usage":{usage}"#)).unwrap_or_default();
    format!(
        r#"{{"metrics":{{"latencyMs":7}},"output":{{"message":{{"content":[{{"text":{}}}],"role":"assistant"}}}},"stopReason":"{}"{usage}}}"#,
        quoted(&turn.whole_text()),
        stop_reason(turn)
    )
}

pub(super) fn open() -> Vec<Doc> {
    vec![Doc::named("messageStart", r#"{"p":"abcd","role":"assistant"}"#.to_owned())]
}

pub(super) fn content(turn: &Turn, index: u64) -> Doc {
    let data = format!(r#"{{"contentBlockIndex":0,"delta":{{"text":{}}},"p":"abc"}}"#, quoted(&turn.text(index)));
    Doc::named("contentBlockDelta", data)
}

pub(super) fn close(turn: &Turn) -> Vec<Doc> {
    let mut docs = vec![
        Doc::named("contentBlockStop", r#"{"contentBlockIndex":0,"p":"ab"}"#.to_owned()),
        Doc::named("messageStop", format!(r#"{{"p":"a","stopReason":"{}"}}"#, stop_reason(turn))),
    ];
    if let Some(usage) = turn.usage_told() {
        let data = format!(r#"{{"metrics":{{"latencyMs":7}},"p":"abcde","usage":{usage}}}"#);
        docs.push(Doc::named("metadata", data).with_usage());
    }
    docs
}
