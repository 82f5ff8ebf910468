//! What the sniffer costs per event of a stream. Prints nanoseconds per event, the best of several rounds.

use std::collections::VecDeque;

use bytes::Bytes;
use tollgate::{
    clock::Clock,
    upstream::{
        dialect::{Dialect, Framing},
        sniff::Sniffer,
    },
};

const ROUNDS: u32 = 7;
const STREAMS_PER_ROUND: u32 = 200;
const EVENTS_PER_STREAM: u32 = 304;

fn main() {
    let event = Bytes::from_static(
        b"data: {\"id\":\"chatcmpl-9cc6649c7981\",\"object\":\"chat.completion.chunk\",\"created\":1750000000,\
        \"model\":\"gpt-4.1-nano-2025-04-14\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_0123456789\",\
        \"choices\":[{\"index\":0,\"delta\":{\"content\":\" alpha\"},\"logprobs\":null,\"finish_reason\":null}],\
        \"usage\":null,\"obfuscation\":\"a0b1c2d3e4f5\"}\n\n",
    );
    for injected in [false, true] {
        let best = (0..ROUNDS).map(|_| round(&event, injected)).min().unwrap_or_default();
        print(injected, event.len(), best);
    }
}

/// Nanoseconds per event.
fn round(event: &Bytes, injected: bool) -> u128 {
    let clock = Clock::system();
    let mut out = VecDeque::new();
    for _ in 0..STREAMS_PER_ROUND {
        let mut sniffer = Sniffer::new(Dialect::OpenAiChat, Framing::Sse, injected);
        for _ in 0..EVENTS_PER_STREAM {
            sniffer.push(event.clone(), &mut out);
            out.clear();
        }
        std::hint::black_box(sniffer.is_done());
    }
    clock.monotonic().as_nanos() / u128::from(STREAMS_PER_ROUND * EVENTS_PER_STREAM)
}

#[expect(clippy::print_stdout, reason = "the figures are the purpose of this program")]
fn print(injected: bool, bytes: usize, nanoseconds: u128) {
    println!("usage injected {injected}: {nanoseconds} ns/event of {bytes} bytes");
}
