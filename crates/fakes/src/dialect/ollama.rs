//! Ollama's own paths.

use super::Doc;
use crate::answer::{Endpoint, Turn, quoted};

const CREATED_AT: &str = "2026-01-01T00:00:00.000000Z";

/// Its numbers stand beside the answer, not in an object of their own; this is what the log is told.
pub(super) fn usage(turn: &Turn) -> String {
    let output = if turn.endpoint == Endpoint::OllamaEmbed { 0 } else { turn.chunks };
    format!(r#"{{"prompt_eval_count":{},"eval_count":{output}}}"#, turn.prompt_tokens)
}

fn counts(turn: &Turn) -> String {
    let told = turn.usage_told().unwrap_or_default();
    let inner = told.trim_start_matches('{').trim_end_matches('}');
    if inner.is_empty() { String::new() } else { format!(",{inner}") }
}

/// A call stands whole in the first document of a stream.
fn said(turn: &Turn, text: &str, is_first: bool) -> String {
    let text = quoted(text);
    match (&turn.script.tool_call, turn.endpoint) {
        (_, Endpoint::OllamaGenerate) => format!(r#""response":{text}"#),
        (Some(_), _) if !is_first => r#""message":{"role":"assistant","content":""}"#.to_owned(),
        (Some(call), _) => format!(
            r#""message":{{"role":"assistant","content":"","tool_calls":[{{"function":{{"name":{},"arguments":{}}}}}]}}"#,
            quoted(&call.name),
            call.arguments
        ),
        _ => format!(r#""message":{{"role":"assistant","content":{text}}}"#),
    }
}

fn last(turn: &Turn, text: &str, is_first: bool) -> String {
    format!(
        r#"{{"model":{},"created_at":"{CREATED_AT}",{},"done":true,"done_reason":"{}","total_duration":4000000,"load_duration":1000{}}}"#,
        quoted(&turn.model),
        said(turn, text, is_first),
        turn.finish_reason,
        counts(turn)
    )
}

pub(super) fn plain(turn: &Turn) -> String {
    last(turn, &turn.whole_text(), true)
}

pub(super) fn content(turn: &Turn, index: u64) -> Doc {
    let data = format!(
        r#"{{"model":{},"created_at":"{CREATED_AT}",{},"done":false}}"#,
        quoted(&turn.model),
        said(turn, &turn.text(index), index == 0)
    );
    Doc::bare(data)
}

pub(super) fn close(turn: &Turn) -> Vec<Doc> {
    let data = last(turn, "", false);
    let last = Doc::bare(data);
    vec![if turn.usage_told().is_some() { last.with_usage() } else { last }]
}

pub(super) fn embedded(turn: &Turn) -> String {
    let vectors = vec!["[0.25,0.5,-0.25,0.125]"; turn.items].join(",");
    let count = turn.prompt_tokens;
    format!(
        r#"{{"model":{},"embeddings":[{vectors}],"total_duration":4000000,"load_duration":1000,"prompt_eval_count":{count}}}"#,
        quoted(&turn.model)
    )
}
