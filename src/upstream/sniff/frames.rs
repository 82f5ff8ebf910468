//! Finds the documents of a stream in its bytes, by framing.

use super::{array::ArrayFrames, collect::Collector, event_stream::EventFrames, lines::LineFrames, sse::SseFrames};

/// A document ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// The framing itself says that it was the last: `[DONE]`, or the end of the array.
    pub(super) is_last: bool,
}

/// A framing's reader.
#[derive(Debug)]
pub(super) enum Frames {
    Sse(SseFrames),
    Lines(LineFrames),
    Array(ArrayFrames),
    Events(Box<EventFrames>),
}

impl Frames {
    /// Takes bytes, at most to the end of a document; says how many, and whether they ended one.
    pub(super) fn take(&mut self, bytes: &[u8], documents: &mut Collector) -> (usize, Option<Ended>) {
        match self {
            Self::Sse(frames) => frames.take(bytes, documents),
            Self::Lines(frames) => frames.take(bytes, documents),
            Self::Array(frames) => frames.take(bytes, documents),
            Self::Events(frames) => frames.take(bytes, documents),
        }
    }

    /// Whether the incomplete document may yet turn out to be the last, as far as the framing knows.
    pub(super) fn may_be_last(&self) -> bool {
        matches!(self, Self::Sse(frames) if frames.may_be_last())
    }

    /// Whether a line feed that comes next belongs to the line that has ended.
    pub(super) const fn after_cr(&self) -> bool {
        matches!(self, Self::Sse(frames) if frames.after_cr())
    }
}
