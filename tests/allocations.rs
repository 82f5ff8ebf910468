//! What a passing stream and those who look on cost in memory, counted by the allocator.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use allocation_counter::measure;
use axum::http::HeaderMap;
use bytes::Bytes;
use tollgate::{
    telemetry::{genai::GenAi, metrics::Metrics, series::StatusClass, trace::Tracer},
    upstream::{
        dialect::{Dialect, Framing},
        sniff::Sniffer,
    },
};
use tollgate_core::{
    entry::{Admission, Entry, Line, Outcome, UsageSource},
    id::{AttemptId, CustomerId, KeyId, RequestId},
    money::NanoUsd,
    usage::Usage,
};
use tollgate_eventstream::writer;

const CHAT: &str = "data: {\"id\":\"chatcmpl-1\",\"model\":\"small-2\",\"service_tier\":\"default\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" al\\npha\"},\"finish_reason\":null}],\"usage\":null}\n\n";
const CHAT_WITH_USAGE: &str = "data: {\"id\":\"chatcmpl-1\",\"model\":\"small-2\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" alpha\"},\"finish_reason\":null}],\"usage\":{\"prompt_tokens\":18,\"completion_tokens\":3}}\n\n";
const ANTHROPIC: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" alpha\"}}\n\n";
const RESPONSES: &str = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":3,\"item_id\":\"m\",\"delta\":\"alpha\"}\n\n";
const OLLAMA: &str = "{\"model\":\"llama3.2\",\"created_at\":\"t\",\"message\":{\"role\":\"assistant\",\"content\":\"alpha\"},\"done\":false}\n";

fn streams() -> [(Dialect, Framing, &'static str); 5] {
    [
        (Dialect::OpenAiChat, Framing::Sse, CHAT),
        (Dialect::OpenAiChat, Framing::Sse, CHAT_WITH_USAGE),
        (Dialect::AnthropicMessages, Framing::Sse, ANTHROPIC),
        (Dialect::OpenAiResponses, Framing::Sse, RESPONSES),
        (Dialect::Ollama, Framing::Ndjson, OLLAMA),
    ]
}

#[test]
fn an_ordinary_document_passes_without_an_allocation_in_one_piece_and_in_two() {
    for (dialect, framing, document) in streams() {
        for withhold_usage in [false, true] {
            let document = Bytes::from_static(document.as_bytes());
            let pieces = [document.clone(), document.slice(..40), document.slice(40..)];
            let mut sniffer = Sniffer::new(dialect, framing, withhold_usage);
            let mut out = VecDeque::with_capacity(8);
            let mut pass = |times: usize| {
                for _ in 0..times {
                    for piece in &pieces {
                        sniffer.push(piece.clone(), &mut out);
                    }
                    out.clear();
                }
            };
            // The first ones make the room that the others use again; that of the sample grows in three steps.
            pass(3);
            let counted = measure(|| pass(400));
            assert!(counted.count_total <= 3, "{dialect:?}, usage withheld: {withhold_usage}: {counted:?}");
            let counted = measure(|| pass(1000));
            assert_eq!(counted.count_total, 0, "{dialect:?}, usage withheld: {withhold_usage}: {counted:?}");
        }
    }
}

#[test]
fn events_that_differ_in_texts_and_counts_pass_without_an_allocation() {
    let gemini = |number: u32| {
        format!(
            "{{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"alpha\"}}]}}}}],\
            \"usageMetadata\":{{\"promptTokenCount\":4,\"candidatesTokenCount\":{number}}},\"modelVersion\":\"g\"}}"
        )
    };
    let converse = |number: u32| {
        let padding = "abcdefgh".get(..number as usize % 8).unwrap();
        let payload = format!("{{\"contentBlockIndex\":0,\"delta\":{{\"text\":\"alpha\"}},\"p\":\"{padding}\"}}");
        writer::event("contentBlockDelta", payload.as_bytes()).unwrap()
    };
    type Make<'a> = &'a dyn Fn(u32) -> Vec<u8>;
    let streams: [(Dialect, Framing, Make<'_>); 3] = [
        (Dialect::Gemini, Framing::Sse, &|number| format!("data: {}\r\n\r\n", gemini(number)).into_bytes()),
        (Dialect::Gemini, Framing::JsonArray, &|number| format!(",\n{}", gemini(number)).into_bytes()),
        (Dialect::BedrockConverse, Framing::EventStream, &converse),
    ];
    for (dialect, framing, make) in streams {
        let mut sniffer = Sniffer::new(dialect, framing, false);
        let mut out = VecDeque::with_capacity(8);
        if framing == Framing::JsonArray {
            sniffer.push(Bytes::from_static(b"["), &mut out);
        }
        let events: Vec<Bytes> = (100..400).map(|number| make(number).into()).collect();
        // The first clone of a chunk makes room for its count; that is no cost of the sniffer.
        let _counted = events.clone();
        let mut pass = |events: &[Bytes]| {
            for event in events {
                sniffer.push(event.clone(), &mut out);
                out.clear();
            }
        };
        // Until the sample is full.
        pass(&events);
        pass(&events);
        let counted = measure(|| pass(&events));
        assert_eq!(counted.count_total, 0, "{dialect:?}: {counted:?}");
        assert_eq!(sniffer.summary().delivered_bytes, 5 * 900, "{dialect:?}");
        if dialect == Dialect::Gemini {
            assert!(sniffer.summary().usage_raw.unwrap().ends_with("399}"), "the last count wins");
        }
    }
}

#[test]
fn ten_megabytes_in_one_document_take_no_more_memory_than_one_kilobyte() {
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    for (dialect, framing, document) in streams() {
        let (before, after) = document.split_once("pha").unwrap();
        let mut sniffer = Sniffer::new(dialect, framing, false);
        let mut out = VecDeque::with_capacity(8);
        let counted = measure(|| {
            sniffer.push(Bytes::from_static(before.as_bytes()), &mut out);
            for _ in 0..160 {
                sniffer.push(piece.clone(), &mut out);
                out.clear();
            }
            sniffer.push(Bytes::from_static(after.as_bytes()), &mut out);
        });
        assert!(sniffer.summary().delivered_bytes > 10_000_000, "{dialect:?}");
        assert!(counted.bytes_max < 8 * 1024, "{dialect:?}: {counted:?}");
    }
}

#[test]
fn a_whole_answer_of_any_size_is_looked_at_in_constant_memory() {
    let piece = Bytes::from("{\"b64_json\":\"AAAA\"},".repeat(1000));
    let mut sniffer = Sniffer::new(Dialect::OpenAiImages, Framing::Json, false);
    let mut out = VecDeque::with_capacity(8);
    let counted = measure(|| {
        sniffer.push(Bytes::from_static(b"{\"data\":["), &mut out);
        for _ in 0..500 {
            sniffer.push(piece.clone(), &mut out);
            out.clear();
        }
        sniffer.push(Bytes::from_static(b"{}],\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}"), &mut out);
    });
    assert_eq!(sniffer.summary().images, 500_001);
    assert!(counted.bytes_max < 8 * 1024, "{counted:?}");
}

fn entry() -> Entry {
    let line = Line {
        usage: Usage { input_uncached: 12, cache_read: 3, output: 40, ..Usage::default() },
        cost: Some(NanoUsd::new(100)),
        charge: Some(NanoUsd::new(120)),
        ..Line::default()
    };
    Entry {
        admission: Admission {
            id: AttemptId { request_id: RequestId::new(1, &[3; 10]), attempt: 0 },
            customer_id: CustomerId::new(1, &[0; 10]),
            key_id: KeyId::new(1, &[0; 10]),
            dialect: "openai".to_owned(),
            endpoint: "/v1/chat/completions".to_owned(),
            model: "small".to_owned(),
            target: "demo/small".to_owned(),
            stream: false,
            admitted_at_us: 1,
            cost_price_version: None,
            charge_price_version: None,
            input_estimate: 1,
            end_user: None,
            tags: None,
        },
        outcome: Outcome::Complete,
        usage_source: UsageSource::ProviderFinal,
        flags: Vec::new(),
        lines: vec![line],
        ended_at_us: 2,
        elapsed_us: 900,
        first_byte_us: Some(700),
        status: Some(200),
        raw_usage: None,
        reported_total: None,
        reported_cost_usd: None,
        counters: tollgate_core::counters::Counters::default(),
        corrects: None,
        output_estimate: None,
    }
}

#[test]
fn counting_a_request_and_deciding_not_to_trace_it_allocate_nothing() {
    let (metrics, entry, headers) = (Metrics::new().unwrap(), entry(), HeaderMap::new());
    let (tracer, _spans) = Tracer::new(0.0, Arc::default());
    let look_on = || {
        assert!(tracer.begin(&[7; 16], &headers).is_none());
        metrics.request(Some("small"), StatusClass::Success, "ok");
        metrics.request(None, StatusClass::ClientError, "invalid_api_key");
        metrics.ended(&entry, Some(Duration::from_micros(800)));
    };
    // The first one makes the series that the others use.
    look_on();
    let counted = measure(|| (0..1000).for_each(|_| look_on()));
    assert_eq!(counted.count_total, 0, "{counted:?}");
    // For a collector a key is made to find the series by, and nothing else.
    let genai = GenAi::new().unwrap();
    genai.ended(&entry, 0.1);
    let counted = measure(|| (0..1000).for_each(|_| genai.ended(&entry, 0.1)));
    assert!(counted.count_total <= 1000, "{counted:?}");
}
