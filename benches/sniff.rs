//! What the sniffer costs per event of a stream, and per megabyte of one event.
//!
//! A chunk is made before the clock runs and dropped after it has stopped: what is measured is taking it in and giving it out. `a
//! chunk is handed on` is the same without a sniffer, so the difference is the sniffer's. The events of a stream differ in texts,
//! lengths and counts, as they do in life. Memory is held to account by `tests/allocations.rs`.

use std::{collections::VecDeque, hint::black_box};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tollgate::upstream::{
    dialect::{Dialect, Framing},
    sniff::Sniffer,
};
use tollgate_eventstream::writer;

const TEXTS: [(&str, &str); 4] =
    [(" alpha", "a0b1c2d3e4f5"), (" be", "a0b1"), (" gamma delta", "a"), ("!", "a0b1c2d3e4f5a0b1")];
const PIECE_BYTES: usize = 64 * 1024;
const PIECES: usize = 160;

fn benches(criterion: &mut Criterion) {
    let chat = events(|text, padding, _| {
        format!(
            "data: {{\"id\":\"chatcmpl-9cc6649c7981\",\"object\":\"chat.completion.chunk\",\"created\":1750000000,\
            \"model\":\"gpt-4.1-nano-2025-04-14\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_0123456789\",\
            \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"logprobs\":null,\"finish_reason\":null}}],\
            \"usage\":null,\"obfuscation\":\"{padding}\"}}\n\n"
        )
        .into_bytes()
    });
    let messages = events(|text, _, _| {
        format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\
            \"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
        )
        .into_bytes()
    });
    let responses = events(|text, padding, number| {
        format!(
            "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"sequence_number\":{number},\
            \"item_id\":\"msg_0123456789abcdef\",\"output_index\":0,\"content_index\":0,\"delta\":\"{text}\",\"logprobs\":[],\
            \"obfuscation\":\"{padding}\"}}\n\n"
        )
        .into_bytes()
    });
    let gemini = |text: &str, number: u32| {
        format!(
            "{{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"{text}\"}}],\"role\":\"model\"}},\"index\":0}}],\
            \"usageMetadata\":{{\"promptTokenCount\":14,\"candidatesTokenCount\":{number},\"totalTokenCount\":{},\
            \"promptTokensDetails\":[{{\"modality\":\"TEXT\",\"tokenCount\":14}}],\"thoughtsTokenCount\":97}},\
            \"modelVersion\":\"gemini-2.5-flash\",\"responseId\":\"0123456789abcdef\"}}",
            number + 111
        )
    };
    let gemini_sse = events(|text, _, number| format!("data: {}\r\n\r\n", gemini(text, number)).into_bytes());
    let gemini_array = events(|text, _, number| format!(",\r\n{}", gemini(text, number)).into_bytes());
    let converse = events(|text, padding, _| {
        let payload = format!("{{\"contentBlockIndex\":0,\"delta\":{{\"text\":\"{text}\"}},\"p\":\"{padding}\"}}");
        writer::event("contentBlockDelta", payload.as_bytes()).unwrap_or_default()
    });
    let ollama = events(|text, padding, _| {
        format!(
            "{{\"model\":\"llama3.2\",\"created_at\":\"2026-01-01T00:00:00.{padding}Z\",\
            \"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\"done\":false}}\n"
        )
        .into_bytes()
    });
    event(criterion, "a chunk is handed on", &chat, None);
    let sse = |dialect| Some((dialect, Framing::Sse, false));
    event(criterion, "chat", &chat, sse(Dialect::OpenAiChat));
    event(criterion, "chat, usage withheld", &chat, Some((Dialect::OpenAiChat, Framing::Sse, true)));
    event(criterion, "messages", &messages, sse(Dialect::AnthropicMessages));
    event(criterion, "responses", &responses, sse(Dialect::OpenAiResponses));
    event(criterion, "gemini, with counts", &gemini_sse, sse(Dialect::Gemini));
    event(
        criterion,
        "gemini as an array, with counts",
        &gemini_array,
        Some((Dialect::Gemini, Framing::JsonArray, false)),
    );
    event(criterion, "bedrock converse", &converse, Some((Dialect::BedrockConverse, Framing::EventStream, false)));
    event(criterion, "ollama", &ollama, Some((Dialect::Ollama, Framing::Ndjson, false)));
    large(criterion);
}

/// Enough that counts go on for a while before they begin anew.
fn events(make: impl Fn(&str, &str, u32) -> Vec<u8>) -> Vec<Bytes> {
    let texts = TEXTS.iter().cycle().zip(100..400);
    texts.map(|((text, padding), number)| make(text, padding, number).into()).collect()
}

fn event(criterion: &mut Criterion, what: &str, events: &[Bytes], of: Option<(Dialect, Framing, bool)>) {
    let mut sniffer = of.map(|(dialect, framing, withhold)| Sniffer::new(dialect, framing, withhold));
    let mut out = VecDeque::with_capacity(4);
    if let (Some(sniffer), Some((_, Framing::JsonArray, _))) = (&mut sniffer, of) {
        sniffer.push(Bytes::from_static(b"[{}"), &mut out);
        out.clear();
    }
    let round = u64::try_from(events.len()).unwrap_or(1);
    let mut next = events.iter().cycle();
    criterion.bench_function(what, |bencher| {
        bencher.iter_batched(
            || next.next().cloned().unwrap_or_default(),
            |chunk| {
                match &mut sniffer {
                    Some(sniffer) => sniffer.push(black_box(chunk), &mut out),
                    None => out.push_back(black_box(chunk)),
                }
                out.pop_front()
            },
            // One round of the events: more at once would measure the memory that holds them.
            BatchSize::NumIterations(round),
        );
    });
}

/// One event of ten megabytes, in pieces.
fn large(criterion: &mut Criterion) {
    let piece = Bytes::from(vec![b'x'; PIECE_BYTES]);
    let mut group = criterion.benchmark_group("one event");
    group.throughput(Throughput::Bytes(u64::try_from(PIECE_BYTES * PIECES).unwrap_or(0)));
    group.sample_size(20);
    group.bench_function("of 10 MB", |bencher| {
        let mut out = VecDeque::with_capacity(4);
        bencher.iter(|| {
            let mut sniffer = Sniffer::new(Dialect::OpenAiChat, Framing::Sse, false);
            sniffer.push(Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"content\":\""), &mut out);
            for _ in 0..PIECES {
                sniffer.push(piece.clone(), &mut out);
                out.clear();
            }
            sniffer.push(Bytes::from_static(b"\"}}]}\n\n"), &mut out);
            out.clear();
            sniffer.summary().delivered_bytes
        });
    });
    group.finish();
}

criterion_group!(sniff_benches, benches);
criterion_main!(sniff_benches);
