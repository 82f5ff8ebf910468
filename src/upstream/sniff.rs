//! Looks on as an answer's bytes pass, by JSON path, without parsing a chunk and without changing a byte.
//!
//! Constant memory: what is captured is capped, what is counted is a number. Text that imitates a usage object inside a
//! string, a tool schema or any nested object stands at another path and is never read.

pub mod documents;
mod events;
mod json;
mod watch;

use std::collections::VecDeque;

use bytes::Bytes;

use self::{events::SseSniffer, json::JsonSniffer};
use super::dialect::{Dialect, Framing};

/// Looks on as an answer passes, whatever its framing.
#[derive(Debug)]
pub struct Sniffer {
    dialect: Dialect,
    framed: Framed,
}

#[derive(Debug)]
enum Framed {
    Events(Box<SseSniffer>),
    Json(Box<JsonSniffer>),
}

impl Sniffer {
    /// Before the first byte; `withhold_usage` says that the gateway asked for a usage chunk and the client did not.
    #[must_use]
    pub fn new(dialect: Dialect, framing: Framing, withhold_usage: bool) -> Self {
        let framed = match framing {
            Framing::Sse => Framed::Events(Box::new(SseSniffer::new(withhold_usage))),
            _ => Framed::Json(Box::new(JsonSniffer::new())),
        };
        Self { dialect, framed }
    }

    /// Takes a chunk and gives what may pass now.
    pub fn push(&mut self, chunk: Bytes, out: &mut VecDeque<Bytes>) {
        match &mut self.framed {
            Framed::Events(sniffer) => sniffer.push(chunk, out),
            Framed::Json(sniffer) => {
                sniffer.push(&chunk);
                out.push_back(chunk);
            }
        }
    }

    /// Whether the terminal event came. It is held; [`Self::finish`] gives it.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(&self.framed, Framed::Events(sniffer) if sniffer.is_done())
    }

    /// What was seen so far.
    #[must_use]
    pub fn summary(&self) -> Sniffed {
        let seen = match &self.framed {
            Framed::Events(sniffer) => sniffer.summary(),
            Framed::Json(sniffer) => sniffer.summary(),
        };
        Sniffed { dialect: self.dialect, ..seen }
    }

    /// No more bytes come: what was held back, which is the terminal event or an event that never became complete.
    pub fn finish(&mut self) -> Option<Bytes> {
        match &mut self.framed {
            Framed::Events(sniffer) => sniffer.finish(),
            Framed::Json(_) => None,
        }
    }
}

/// What was seen of an answer so far. The last non-null value of each field wins: reported numbers are cumulative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sniffed {
    /// The dialect in which it came.
    pub dialect: Dialect,
    /// The usage object as it came, at most 16 KiB.
    pub usage_raw: Option<String>,
    /// llama.cpp's `timings` object, which alone tells of cache reads.
    pub timings_raw: Option<String>,
    /// The model that served.
    pub model: Option<String>,
    /// Why the first choice that said so finished.
    pub finish: Option<String>,
    /// An error object stood where the answer should be.
    pub error_seen: bool,
    /// A message or delta carried a refusal.
    pub refusal_seen: bool,
    /// The terminal event came.
    pub done: bool,
    /// A `choices` or `data` array was there.
    pub choices_seen: bool,
    /// UTF-8 bytes of delivered text and reasoning.
    pub delivered_bytes: u64,
    /// UTF-8 bytes of delivered tool arguments.
    pub tool_bytes: u64,
    /// A whole body: it is one complete JSON object. Events: some event was.
    pub is_json_object: bool,
}

impl Sniffed {
    /// Whether the answer told how it ended, so that its usage is the last word.
    #[must_use]
    pub const fn says_its_end(&self) -> bool {
        self.done || self.finish.is_some() || self.error_seen
    }

    /// All delivered bytes, the base of an output estimate.
    #[must_use]
    pub const fn output_bytes(&self) -> u64 {
        self.delivered_bytes.saturating_add(self.tool_bytes)
    }
}
