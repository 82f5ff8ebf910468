//! Looks on as an answer's bytes pass, by JSON path, without parsing a chunk and without changing a byte.
//!
//! Constant memory: what is captured is capped, what is counted is a number. Text that imitates a usage object inside a
//! string, a tool schema or any nested object stands at another path and is never read.

mod array;
mod base64;
mod collect;
mod document;
pub mod documents;
mod ended;
mod escape;
mod event_stream;
mod frames;
mod headers;
mod holes;
#[cfg(test)]
mod lanes;
mod lines;
mod merge;
mod nested;
pub(in crate::upstream) mod path;
mod relay;
mod sample;
mod seen;
mod shape;
mod sse;
mod watch;

use std::collections::VecDeque;

use bytes::Bytes;
use http::HeaderMap;

use self::{array::ArrayFrames, collect::Collector, frames::Frames, lines::LineFrames, relay::Relay, sse::SseFrames};
pub use self::{
    document::Items,
    ended::Ended,
    sample::{SAMPLE_BYTES_MAX, Sample},
    seen::Sniffed,
};
use super::dialect::{Dialect, Framing};

/// Looks on as an answer passes, whatever its dialect and framing.
#[derive(Debug)]
pub struct Sniffer {
    documents: Collector,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// One document. `goes_on`: something stands behind it, so it is none.
    Whole { goes_on: bool },
    /// Many.
    Stream { frames: Frames, relay: Relay },
    /// Nothing to look into.
    Opaque,
}

impl Body {
    /// Tells of the whole what its documents cannot.
    fn tell(&self, seen: &mut Sniffed) {
        seen.is_within_array = matches!(self, Self::Stream { frames, .. } if frames.is_within_array());
        seen.done |= match self {
            Self::Stream { relay, .. } => relay.is_done(),
            Self::Whole { goes_on } => {
                seen.is_json_object &= !goes_on;
                seen.is_json_object
            }
            Self::Opaque => false,
        };
    }
}

impl Sniffer {
    /// Before the first byte; `withhold_usage` says that the gateway asked for a usage chunk and the client did not.
    #[must_use]
    pub fn new(dialect: Dialect, framing: Framing, withhold_usage: bool) -> Self {
        let stream = |frames| Body::Stream { frames, relay: Relay::new(withhold_usage) };
        let body = match framing {
            Framing::Json => Body::Whole { goes_on: false },
            Framing::Sse => stream(Frames::Sse(SseFrames::new())),
            Framing::Ndjson => stream(Frames::Lines(LineFrames)),
            Framing::JsonArray => stream(Frames::Array(ArrayFrames::default())),
            Framing::EventStream => stream(Frames::Events(Box::default())),
            Framing::Opaque => Body::Opaque,
        };
        Self { documents: Collector::new(dialect, framing), body }
    }

    /// Takes the usage that the answer's headers tell: Amazon Bedrock's.
    pub fn headers(&mut self, headers: &HeaderMap) {
        self.documents.seen_mut().headers_raw = headers::usage_of(headers);
    }

    /// So many answers were asked for at once; one unless it is said.
    pub const fn choices(&mut self, asked: u64) {
        self.documents.seen_mut().choices_asked = asked;
    }

    /// Takes a chunk and gives what may pass now.
    pub fn push(&mut self, chunk: Bytes, out: &mut VecDeque<Bytes>) {
        match &mut self.body {
            Body::Stream { frames, relay } => relay.push(chunk, frames, &mut self.documents, out),
            Body::Whole { goes_on } => {
                let eaten = self.documents.feed(&chunk);
                *goes_on |= chunk.iter().skip(eaten).any(|byte| !byte.is_ascii_whitespace());
                out.push_back(chunk);
            }
            Body::Opaque => {
                let bytes = &mut self.documents.seen_mut().opaque_bytes;
                *bytes = bytes.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
                out.push_back(chunk);
            }
        }
    }

    /// Whether the last document of a stream came. It is held; [`Self::finish`] gives it.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(&self.body, Body::Stream { relay, .. } if relay.is_done())
    }

    /// What was seen so far.
    #[must_use]
    pub fn summary(&self) -> Sniffed {
        let mut seen = self.documents.summary();
        self.body.tell(&mut seen);
        seen
    }

    /// As [`Self::summary`], of an answer of which nothing more comes: nothing is copied for it.
    pub fn sum_up(&mut self) -> &Sniffed {
        let seen = self.documents.sum_up();
        self.body.tell(seen);
        seen
    }

    /// No more bytes come: what was held back, which is the last document or one that never became complete.
    pub fn finish(&mut self) -> Option<Bytes> {
        match &mut self.body {
            Body::Stream { relay, .. } => relay.finish(),
            Body::Whole { .. } | Body::Opaque => None,
        }
    }

    /// No more bytes come, and the answer is not complete: what tells the client so. None where the framing cannot tell it:
    /// then only breaking off does.
    pub fn finish_broken(&mut self) -> Option<Bytes> {
        let (dialect, framing) = (self.documents.dialect(), self.documents.framing());
        let told = dialect.broken_off(framing)?;
        let within = matches!(&self.body, Body::Stream { relay, .. } if relay.is_within());
        // A document of which nothing has passed yet is dropped: it would be read as one, and is none.
        drop(self.finish());
        match framing {
            // One of which a part has passed is ended first, so that the error is one of its own.
            Framing::Sse if within => Some([b"\n\n", told.as_ref()].concat().into()),
            Framing::Ndjson if within => Some([b"\n", told.as_ref()].concat().into()),
            // A frame cannot be ended early.
            Framing::EventStream if within => None,
            _ => Some(told),
        }
    }
}
