//! Bedrock: converse, and what it adds to a vendor's own dialect.

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
        _ if turn.script.tool_call.is_some() => "tool_use",
        "stop" => "end_turn",
        "length" => "max_tokens",
        other => other,
    }
}

pub(super) fn plain(turn: &Turn) -> String {
    let usage = turn.usage_told().map(|usage| format!(r#","usage":{usage}"#)).unwrap_or_default();
    let block = match &turn.script.tool_call {
        Some(call) => format!(
            r#"{{"toolUse":{{"toolUseId":"tooluse_fake","name":{},"input":{}}}}}"#,
            quoted(&call.name),
            call.arguments
        ),
        None => format!(r#"{{"text":{}}}"#, quoted(&turn.whole_text())),
    };
    format!(
        r#"{{"metrics":{{"latencyMs":7}},"output":{{"message":{{"content":[{block}],"role":"assistant"}}}},"stopReason":"{}"{usage}}}"#,
        stop_reason(turn)
    )
}

pub(super) fn open(turn: &Turn) -> Vec<Doc> {
    let mut docs = vec![Doc::named("messageStart", r#"{"p":"abcd","role":"assistant"}"#.to_owned())];
    if let Some(call) = &turn.script.tool_call {
        let start = format!(
            r#"{{"contentBlockIndex":0,"p":"a","start":{{"toolUse":{{"name":{},"toolUseId":"tooluse_fake"}}}}}}"#,
            quoted(&call.name)
        );
        docs.push(Doc::named("contentBlockStart", start));
    }
    docs
}

pub(super) fn content(turn: &Turn, index: u64) -> Doc {
    let delta = match &turn.script.tool_call {
        Some(call) => format!(r#"{{"toolUse":{{"input":{}}}}}"#, quoted(&turn.arguments(call, index))),
        None => format!(r#"{{"text":{}}}"#, quoted(&turn.text(index))),
    };
    Doc::named("contentBlockDelta", format!(r#"{{"contentBlockIndex":0,"delta":{delta},"p":"abc"}}"#))
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

/// Amazon's own embedding: its count stands beside the vector.
pub(super) fn embedded(turn: &Turn) -> String {
    let counted = turn.usage_told().unwrap_or_else(|| "{}".to_owned());
    let counted = counted.trim_start_matches('{').trim_end_matches('}');
    let beside = if counted.is_empty() { String::new() } else { format!(",{counted}") };
    format!(r#"{{"embedding":[0.25,0.5,-0.25,0.125]{beside}}}"#)
}

pub(super) fn embedding_usage(turn: &Turn) -> String {
    format!(r#"{{"inputTextTokenCount":{}}}"#, turn.prompt_tokens)
}

/// The headers of an invocation. The tokens of caches are beside the input.
pub(super) fn usage_headers(turn: &Turn) -> Vec<(&'static str, u64)> {
    let read = turn.script.cached_tokens.unwrap_or(0);
    vec![
        ("x-amzn-bedrock-input-token-count", turn.prompt_tokens.saturating_sub(read)),
        ("x-amzn-bedrock-output-token-count", turn.chunks),
        ("x-amzn-bedrock-cache-read-input-token-count", read),
        ("x-amzn-bedrock-invocation-latency", 7),
    ]
}

/// A vendor's last documents, with Bedrock's own count in the very last.
pub(super) fn invoked(turn: &Turn, mut docs: Vec<Doc>) -> Vec<Doc> {
    if let Some(last) = docs.last_mut().filter(|_| turn.usage_told().is_some()) {
        last.data.pop();
        last.data.push_str(&format!(
            r#","amazon-bedrock-invocationMetrics":{{"inputTokenCount":{},"outputTokenCount":{},"invocationLatency":7,"firstByteLatency":3}}}}"#,
            turn.prompt_tokens, turn.chunks
        ));
    }
    docs
}
