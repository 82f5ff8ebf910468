//! Numbers that stand where a model, a user or a tool can write are never read; and no bytes at all break the sniffer.

use bytes::Bytes;
use proptest::{
    prelude::{Just, Strategy, any, prop, prop_oneof},
    sample::Index,
    test_runner::{Config, TestRunner},
};
use serde_json::{Map, Value, json};
use tollgate::{
    metering::{Metered, Reporter, conclude},
    upstream::{
        dialect::Framing,
        sniff::{Sample, Sniffed},
    },
};

use crate::metering_fixtures::{Case, all_cases, end_of, feed};

/// Names that mean something somewhere in some dialect.
const NAMES: &[&str] = &[
    "usage",
    "usageMetadata",
    "model",
    "modelVersion",
    "error",
    "choices",
    "finish_reason",
    "stop_reason",
    "stopReason",
    "status",
    "service_tier",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "input_tokens",
    "output_tokens",
    "inputTokens",
    "promptTokenCount",
    "prompt_eval_count",
    "eval_count",
    "done",
    "type",
    "event_type",
    "response",
    "message",
    "delta",
    "content",
    "text",
    "data",
    "output",
    "candidates",
    "timings",
    "x_groq",
    "bytes",
    "meta",
    "billed_units",
    "amazon-bedrock-invocationMetrics",
];

/// Names that no dialect knows, some of which look like ones that are known.
const UNKNOWN: &[&str] = &[
    "x_unknown",
    "Usage",
    "usage ",
    "usage_",
    "_usage",
    "us\\u0061ge",
    "usage\"",
    "tools",
    "metadata",
    "instructions",
    "annotations",
];

const TEXTS: &[&str] = &[
    "\"usage\":{\"prompt_tokens\":999999,\"completion_tokens\":999999}",
    "data: {\"usage\":{\"prompt_tokens\":999999}}\n\ndata: [DONE]\n\n",
    "\\\"},\\\"usage\\\":{",
    "message_stop",
    "\u{feff}\r\n\r\n🧮",
    "]}",
];

/// Anything that somebody who wants to be billed less, or another to be billed more, might write.
fn forged() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<u32>().prop_map(|number| json!(number)),
        Just(json!(999_999)),
        Just(json!(true)),
        Just(Value::Null),
        prop::sample::select(TEXTS).prop_map(|text| json!(text)),
        prop::sample::select(NAMES).prop_map(|name| json!(name)),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec((prop::sample::select(NAMES), inner.clone()), 0..5).prop_map(object),
            prop::collection::vec(inner, 0..4).prop_map(Value::Array),
        ]
    })
}

fn object(members: Vec<(&'static str, Value)>) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Puts forged members under unknown names into every object, but for those that are the report itself.
fn forge(value: &mut Value, forgeries: &[(&'static str, Value)], next: &mut usize) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                if !matches!(name.as_str(), "usage" | "usageMetadata" | "meta" | "timings") && !name.contains("Metrics")
                {
                    forge(member, forgeries, next);
                }
            }
            // In a tool's input the bytes are counted as they stand; everything else there is forged already.
            for _ in 0..2 {
                let (name, forgery) = &forgeries[*next % forgeries.len()];
                *next += 1;
                if !members.contains_key(*name) {
                    members.insert((*name).to_owned(), forgery.clone());
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| forge(element, forgeries, next)),
        _ => {}
    }
}

/// The case's documents, rewritten one by one; none where they stand in a framing that is not text.
fn rewrite(case: &Case, mut change: impl FnMut(&mut Value)) -> Option<Bytes> {
    let text = std::str::from_utf8(&case.body).ok()?;
    let mut changed = |text: &str| {
        let mut value: Value = serde_json::from_str(text).ok()?;
        change(&mut value);
        Some(value.to_string())
    };
    match case.framing() {
        Framing::Json => changed(text).map(Bytes::from),
        Framing::Sse => {
            let lines = text.split_inclusive('\n').map(|line| {
                let data = line.strip_prefix("data: ").and_then(|data| changed(data.trim_end()));
                data.map_or_else(|| line.to_owned(), |data| format!("data: {data}\n"))
            });
            Some(lines.collect::<String>().replace("\r\n", "\n").into())
        }
        Framing::Ndjson => Some(text.lines().filter_map(changed).map(|line| line + "\n").collect::<String>().into()),
        _ => None,
    }
}

/// What was metered, but for tool arguments, which hold what was forged.
fn metered(case: &Case, body: &Bytes) -> (Metered, Sniffed) {
    let (mut seen, _) = feed(case, [body.clone()]);
    (seen.tool_bytes, seen.sample) = (0, Sample::default());
    let metered = conclude(&seen, end_of(case, &seen), &case.asked(), Reporter::Provider);
    (metered, seen)
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

#[test]
fn what_is_forged_at_any_path_that_is_not_watched_changes_nothing() {
    let cases = all_cases();
    let forgeries = prop::collection::vec((prop::sample::select(UNKNOWN), forged()), 1..12);
    runner(48)
        .run(&forgeries, |forgeries| {
            for case in &cases {
                let (Some(plain), Some(forged)) =
                    (rewrite(case, |_| {}), rewrite(case, |document| forge(document, &forgeries, &mut 0)))
                else {
                    continue;
                };
                assert_eq!(metered(case, &forged), metered(case, &plain), "{}: {forged:?}", case.id());
            }
            Ok(())
        })
        .unwrap();
}

/// One change of some bytes.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Delete(Index, u8),
    Repeat(Index, u8),
    Insert(Index, &'static str),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, len)| Damage::Delete(at, len)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, len)| Damage::Repeat(at, len)),
        (
            any::<Index>(),
            prop::sample::select(
                &["\"", "\\", "{", "}", "[", "]", "\n\n", "\r", "data: ", "\\ud83d", ",", "[DONE]"][..]
            )
        )
            .prop_map(|(at, text)| Damage::Insert(at, text)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    match damage {
        Damage::Flip(at, bits) => {
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
        }
        Damage::Delete(at, len) => {
            let at = at.index(bytes.len());
            bytes.drain(at..(at + usize::from(*len)).min(bytes.len()));
        }
        Damage::Repeat(at, len) => {
            let at = at.index(bytes.len());
            let copy = bytes[at..(at + usize::from(*len)).min(bytes.len())].to_vec();
            bytes.splice(at..at, copy);
        }
        Damage::Insert(at, text) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, text.bytes());
        }
    }
}

#[test]
fn damaged_bytes_pass_unchanged_and_are_seen_alike_however_they_are_split() {
    let cases = all_cases();
    let damages = (prop::collection::vec(damage(), 1..6), prop::collection::vec(any::<Index>(), 0..12));
    runner(64)
        .run(&damages, |(damages, splits)| {
            for case in cases.iter().filter(|case| !case.injected()) {
                let mut bytes = case.body.to_vec();
                damages.iter().for_each(|damage| apply(&mut bytes, damage));
                let bytes = Bytes::from(bytes);
                let mut at: Vec<usize> = splits.iter().map(|split| split.index(bytes.len() + 1)).collect();
                at.extend([0, bytes.len()]);
                at.sort_unstable();
                let (whole, relayed) = feed(case, [bytes.clone()]);
                assert_eq!(relayed, bytes, "{}: what passed", case.id());
                let (split, relayed) = feed(case, at.windows(2).map(|pair| bytes.slice(pair[0]..pair[1])));
                assert_eq!(relayed, bytes, "{}: what passed in pieces", case.id());
                assert_eq!(split, whole, "{}: split at {at:?}: {bytes:?}", case.id());
                let metered = conclude(&whole, end_of(case, &whole), &case.asked(), Reporter::Provider);
                let raw_len = metered.raw_usage.as_ref().map_or(0, String::len);
                assert!(raw_len <= 16 * 1024 && metered.lines.len() < 200, "{}", case.id());
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_stream_of_many_shapes_is_seen_as_if_each_of_its_events_were_alone() {
    let texts = prop::collection::vec((0_usize..6, ".{0,12}"), 1..40);
    let case = all_cases().into_iter().find(|case| case.id() == "chat-stream-injected").unwrap();
    runner(256)
        .run(&texts, |events| {
            let bodies: Vec<String> = events.iter().map(|(shape, text)| event(*shape, text)).collect();
            let together = Bytes::from(bodies.concat());
            // Byte by byte no event is in one piece, so that each of them is walked.
            let (walked, _) = feed(&case, (0..together.len()).map(|at| together.slice(at..=at)));
            let (fast, relayed) = feed(&case, [together.clone()]);
            assert_eq!(fast, walked, "{together:?}");
            assert_eq!(relayed, feed(&case, (0..together.len()).map(|at| together.slice(at..=at))).1);
            let (one_by_one, _) = feed(&case, bodies.iter().cloned().map(Bytes::from));
            assert_eq!(one_by_one, walked, "{together:?}");
            Ok(())
        })
        .unwrap();
}

/// An event of one of several shapes that holds this text.
fn event(shape: usize, text: &str) -> String {
    let delta = |delta: Value, more: Map<String, Value>| {
        let mut chunk = json!({"id":"c","model":"small-2","created":17,"choices":[{"index":0,"delta":delta}]});
        chunk.as_object_mut().unwrap().extend(more);
        format!("data: {chunk}\n\n")
    };
    let number = text.len();
    match shape {
        0 => delta(json!({"content":text}), Map::new()),
        1 => delta(
            json!({"reasoning_content":text}),
            object(vec![("model", json!("other"))]).as_object().unwrap().clone(),
        ),
        2 => delta(json!({"tool_calls":[{"index":number,"function":{"arguments":text}}]}), Map::new()),
        3 => delta(json!({"refusal":text}), Map::new()),
        4 => format!(
            "data: {}\n\n",
            json!({"choices":[],"service_tier":"flex","usage":{"prompt_tokens":number,"completion_tokens":1}})
        ),
        _ => format!(
            ": {number}\nid: {number}\nevent: chunk\ndata: {}\n\n",
            json!({"choices":[{"delta":{"content":text},"finish_reason":"stop"}],"service_tier":"default"})
        ),
    }
}
