//! The fast lane takes what a walk takes: any stream, event by event and byte by byte, comes to the same.

use std::collections::VecDeque;

use bytes::Bytes;
use proptest::prelude::*;
use tollgate_eventstream::writer;

use super::{Sniffed, Sniffer};
use crate::upstream::dialect::{Dialect, Framing};

/// Contents of JSON strings, some of which look like what they are not.
const TEXTS: [&str; 9] = [
    "",
    "a",
    " word",
    " d\u{e9}j\u{e0} vu",
    " line\\n",
    r#"\"usage\":{\"prompt_tokens\":9,\"output_tokens\":9}"#,
    r#"{'usage':{'completion_tokens':7}}"#,
    "\u{1}",
    " a text that is longer than two words of a machine",
];
const NUMBERS: [&str; 6] = ["1", "2", "17", "18446744073709551615", "0", "1.5"];

type Template = fn(&str, &str) -> String;

const CHAT: &[Template] = &[
    |text, _| {
        format!(
            r#"{{"model":"m","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}],"usage":null}}"#
        )
    },
    |text, n| {
        format!(
            r#"{{"model":"m","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}],"usage":{{"prompt_tokens":5,"completion_tokens":{n}}}}}"#
        )
    },
    |text, n| {
        format!(
            r#"{{"model":"m","choices":[{{"index":{n},"delta":{{"tool_calls":[{{"function":{{"arguments":"{text}"}}}}]}}}}]}}"#
        )
    },
    |_, n| {
        format!(
            r#"{{"model":"m","choices":[],"usage":{{"prompt_tokens":{n},"completion_tokens":{n},"prompt_tokens_details":{{"cached_tokens":1}}}}}}"#
        )
    },
    |text, _| {
        format!(r#"{{"model":"m","choices":[{{"index":0,"delta":{{"refusal":"{text}"}},"finish_reason":null}}]}}"#)
    },
    |_, _| r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#.to_owned(),
    |text, n| {
        format!(
            r#"{{"choices":[{{"delta":{{"content":"x"}}}}],"tool":{{"usage":{{"prompt_tokens":{n}}}}},"n":"{text}"}}"#
        )
    },
];
const GEMINI: &[Template] = &[
    |text, n| {
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}],"role":"model"}},"index":0}}],"usageMetadata":{{"promptTokenCount":4,"candidatesTokenCount":{n},"totalTokenCount":{n},"promptTokensDetails":[{{"modality":"TEXT","tokenCount":4}}]}},"modelVersion":"g"}}"#
        )
    },
    |text, n| {
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}]}}}}],"usageMetadata":{{"promptTokenCount":{n}}},"modelVersion":"g"}}"#
        )
    },
    |text, n| {
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"functionCall":{{"name":"f","args":{{"a":"{text}","usageMetadata":{{"promptTokenCount":{n}}}}}}}}}]}}}}],"modelVersion":"g"}}"#
        )
    },
    |text, n| {
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}]}},"groundingMetadata":{{"webSearchQueries":["q","{text}"]}}}}],"usageMetadata":{{"thoughtsTokenCount":{n},"note":"{text}"}}}}"#
        )
    },
];
const CONVERSE: &[Template] = &[
    |text, n| format!(r#"{{"contentBlockIndex":{n},"delta":{{"text":"{text}"}},"p":"abcd"}}"#),
    |text, _| format!(r#"{{"contentBlockIndex":0,"delta":{{"toolUse":{{"input":"{text}"}}}},"p":"{text}"}}"#),
    |text, n| format!(r#"{{"delta":{{"text":"x"}},"forged":{{"usage":{{"inputTokens":{n}}}}},"p":"{text}"}}"#),
];
const INVOKE: &[Template] = &[
    // {"type":"content_block_delta","delta":{"type":"text_delta","text":"hello"}} and one with usage, encoded.
    |_, _| {
        r#"{"bytes":"eyJ0eXBlIjoiY29udGVudF9ibG9ja19kZWx0YSIsImRlbHRhIjp7InR5cGUiOiJ0ZXh0X2RlbHRhIiwidGV4dCI6ImhlbGxvIn19","p":"ab"}"#.to_owned()
    },
    |text, _| format!(r#"{{"bytes":"eyJ1c2FnZSI6eyJpbnB1dF90b2tlbnMiOjd9fQ==","p":"{text}"}}"#),
];
const OLLAMA: &[Template] = &[
    |text, n| {
        format!(
            r#"{{"model":"l","created_at":"{n}","message":{{"role":"assistant","content":"{text}"}},"done":false}}"#
        )
    },
    |text, n| {
        format!(
            r#"{{"model":"l","created_at":"t","message":{{"content":"x","tool_calls":[{{"function":{{"arguments":{{"a":"{text}","n":{n}}}}}}}]}},"done":false}}"#
        )
    },
];
const ANTHROPIC: &[Template] = &[
    |text, n| {
        format!(r#"{{"type":"content_block_delta","index":{n},"delta":{{"type":"text_delta","text":"{text}"}}}}"#)
    },
    |text, _| {
        format!(
            r#"{{"type":"content_block_delta","index":1,"delta":{{"type":"input_json_delta","partial_json":"{text}"}}}}"#
        )
    },
    |_, n| {
        format!(
            r#"{{"type":"message_start","message":{{"model":"c","usage":{{"input_tokens":{n},"output_tokens":1}}}}}}"#
        )
    },
    |_, n| {
        format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn"}},"usage":{{"output_tokens":{n}}}}}"#)
    },
];

const STREAMS: [(Dialect, Framing, &[Template]); 7] = [
    (Dialect::OpenAiChat, Framing::Sse, CHAT),
    (Dialect::AnthropicMessages, Framing::Sse, ANTHROPIC),
    (Dialect::Gemini, Framing::Sse, GEMINI),
    (Dialect::Gemini, Framing::JsonArray, GEMINI),
    (Dialect::BedrockConverse, Framing::EventStream, CONVERSE),
    (Dialect::BedrockInvoke, Framing::EventStream, INVOKE),
    (Dialect::Ollama, Framing::Ndjson, OLLAMA),
];

fn framed(framing: Framing, number: usize, document: &str, line_end: &str, damaged: bool) -> Vec<u8> {
    match framing {
        Framing::Sse => format!("data: {document}{line_end}{line_end}").into_bytes(),
        Framing::JsonArray => format!("{}{document}", if number == 0 { "[" } else { ",\r\n" }).into_bytes(),
        Framing::EventStream => {
            let mut frame = writer::event("contentBlockDelta", document.as_bytes()).unwrap();
            // In the payload: the lengths stay right, the checksum does not.
            let last = frame.len() - 6;
            frame[last] ^= u8::from(damaged);
            frame
        }
        _ => format!("{document}\n").into_bytes(),
    }
}

/// What was seen and what passed, in pieces of so many bytes; none: event by event.
fn run(of: (Dialect, Framing), withhold: bool, events: &[Vec<u8>], piece: Option<usize>) -> (Sniffed, Vec<u8>) {
    let mut sniffer = Sniffer::new(of.0, of.1, withhold);
    let (mut out, mut passed) = (VecDeque::new(), Vec::new());
    let whole = events.concat();
    let pieces: Vec<&[u8]> = match piece {
        Some(bytes) => whole.chunks(bytes).collect(),
        None => events.iter().map(Vec::as_slice).collect(),
    };
    for piece in pieces {
        sniffer.push(Bytes::copy_from_slice(piece), &mut out);
        passed.extend(out.drain(..).flatten());
    }
    let seen = sniffer.summary();
    passed.extend(sniffer.finish().into_iter().flatten());
    (seen, passed)
}

proptest! {
    #[test]
    fn a_stream_comes_to_the_same_event_by_event_and_byte_by_byte(
        stream in 0..STREAMS.len(),
        withhold: bool,
        line_end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        drawn in prop::collection::vec((0_usize..7, 0..TEXTS.len(), 0..NUMBERS.len(), prop::bool::weighted(0.03)), 1..14),
        repeat in 1_usize..4,
    ) {
        let (dialect, framing, templates) = STREAMS[stream];
        let documents = drawn.iter().flat_map(|(template, text, number, damaged)| {
            let document = templates[template % templates.len()](TEXTS[*text], NUMBERS[*number]);
            // Several in a row are what the fast lane is for.
            std::iter::repeat_n((document, *damaged), repeat)
        });
        let events: Vec<_> =
            documents.enumerate().map(|(number, (document, damaged))| framed(framing, number, &document, line_end, damaged)).collect();
        let walked = run((dialect, framing), withhold, &events, Some(1));
        prop_assert_eq!(&run((dialect, framing), withhold, &events, None), &walked);
        prop_assert_eq!(&run((dialect, framing), withhold, &events, Some(1 << 20)), &walked);
    }
}
