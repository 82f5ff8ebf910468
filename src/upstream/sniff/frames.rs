//! Finds the documents of a stream in its bytes, by framing.

use super::{
    array::ArrayFrames, collect::Collector, event_stream::EventFrames, lines::LineFrames, shape::data_of_one_line,
    sse::SseFrames,
};

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

    /// Takes a whole document of the shape of the one before, if it comes next; says how many bytes it and its frame have.
    pub(super) fn take_like(&self, bytes: &[u8], documents: &mut Collector) -> Option<usize> {
        match self {
            Self::Sse(_) | Self::Lines(_) | Self::Array(_) => documents.take_like(bytes),
            Self::Events(frames) => frames.take_like(bytes, documents),
        }
    }

    /// Remembers the shape of the document that has just ended, of which `bytes` are the whole frame.
    pub(super) fn learn(&mut self, bytes: &[u8], documents: &mut Collector) {
        let document_from = match self {
            Self::Sse(_) => data_of_one_line(bytes),
            Self::Lines(_) => Some(0),
            Self::Array(frames) => frames.document_from(bytes),
            Self::Events(frames) => return frames.learn(bytes, documents),
        };
        match document_from {
            Some(document_from) => documents.learn(bytes, document_from),
            None => documents.forget_shape(),
        }
    }

    /// Whether an array has begun and not ended.
    pub(super) const fn is_within_array(&self) -> bool {
        matches!(self, Self::Array(ArrayFrames::Between | ArrayFrames::Within { alone: false }))
    }

    /// Whether a line feed that comes next belongs to the line that has ended.
    pub(super) const fn after_cr(&self) -> bool {
        matches!(self, Self::Sse(frames) if frames.after_cr())
    }
}
