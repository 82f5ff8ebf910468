//! What the sniffer costs per event of a stream, beside what any body costs that hands a chunk on. Prints nanoseconds per
//! event, the best of many rounds.

use std::collections::VecDeque;

use bytes::Bytes;
use tollgate::{
    clock::Clock,
    upstream::{
        dialect::{Dialect, Framing},
        sniff::Sniffer,
    },
};

const ROUNDS: u32 = 40;
const STREAMS_PER_ROUND: u32 = 200;
const EVENTS_PER_STREAM: usize = 304;
const TEXTS: [(&str, &str); 4] =
    [(" alpha", "a0b1c2d3e4f5"), (" be", "a0b1"), (" gamma delta", "a"), ("!", "a0b1c2d3e4f5a0b1")];

fn main() {
    let chat = TEXTS.map(|(text, padding)| {
        Bytes::from(format!(
            "data: {{\"id\":\"chatcmpl-9cc6649c7981\",\"object\":\"chat.completion.chunk\",\"created\":1750000000,\
            \"model\":\"gpt-4.1-nano-2025-04-14\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_0123456789\",\
            \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"logprobs\":null,\"finish_reason\":null}}],\
            \"usage\":null,\"obfuscation\":\"{padding}\"}}\n\n"
        ))
    });
    let anthropic = TEXTS.map(|(text, _)| {
        Bytes::from(format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\
            \"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
        ))
    });
    print("the chunk alone", best(&chat, None));
    print("chat", best(&chat, Some((Dialect::OpenAiChat, false))));
    print("chat, usage withheld", best(&chat, Some((Dialect::OpenAiChat, true))));
    print("messages", best(&anthropic, Some((Dialect::AnthropicMessages, false))));
}

/// Nanoseconds per event; without a dialect, of a chunk that is only handed on.
fn best(events: &[Bytes], dialect: Option<(Dialect, bool)>) -> u128 {
    (0..ROUNDS).map(|_| round(events, dialect)).min().unwrap_or_default()
}

fn round(events: &[Bytes], dialect: Option<(Dialect, bool)>) -> u128 {
    let clock = Clock::system();
    let mut out = VecDeque::new();
    for _ in 0..STREAMS_PER_ROUND {
        let mut sniffer = dialect.map(|(dialect, withhold)| Sniffer::new(dialect, Framing::Sse, withhold));
        for event in events.iter().cycle().take(EVENTS_PER_STREAM) {
            let chunk = std::hint::black_box(event).clone();
            match &mut sniffer {
                Some(sniffer) => sniffer.push(chunk, &mut out),
                None => out.push_back(chunk),
            }
            out.clear();
        }
        std::hint::black_box(&sniffer);
    }
    clock.monotonic().as_nanos() / (u128::from(STREAMS_PER_ROUND) * u128::try_from(EVENTS_PER_STREAM).unwrap_or(1))
}

#[expect(clippy::print_stdout, reason = "the figures are the purpose of this program")]
fn print(what: &str, nanoseconds: u128) {
    println!("{what}: {nanoseconds} ns/event");
}
