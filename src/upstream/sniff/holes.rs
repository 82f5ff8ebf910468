//! Where in a document values stand that say nothing but how long they are, and where its usage stands.

use std::ops::Range;

use super::path::Delivered;

/// Most holes of a document that is worth remembering.
const HOLES_MAX: usize = 16;

/// A value that says nothing but how long it is: a string, or a number that nobody looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hole {
    /// Where its content begins, and ends, in bytes of the document.
    pub(super) from: usize,
    pub(super) to: usize,
    /// A string, without its quotes; else a number.
    pub(super) is_text: bool,
    /// Where its bytes are counted.
    pub(super) delivers: Option<Delivered>,
}

/// The holes of a document.
#[derive(Debug, Default)]
pub(super) struct Holes {
    /// Whether anybody asks for them: only of the events of a stream.
    are_wanted: bool,
    holes: Vec<Hole>,
    /// Where its usage object stands, in bytes of the document.
    usage: Option<Range<usize>>,
    too_many: bool,
}

impl Holes {
    pub(super) fn new(are_wanted: bool) -> Self {
        Self { are_wanted, ..Self::default() }
    }

    /// All of them; none when there were too many to keep.
    pub(super) fn all(&self) -> Option<&[Hole]> {
        (!self.too_many).then_some(self.holes.as_slice())
    }

    pub(super) fn clear(&mut self) {
        self.holes.clear();
        self.usage = None;
        self.too_many = false;
    }

    /// Where its usage object stands.
    pub(super) fn usage(&self) -> Option<Range<usize>> {
        self.usage.clone()
    }

    /// A usage object begins here. A document with two is not worth remembering.
    pub(super) fn open_usage(&mut self, at: usize) {
        self.too_many |= self.usage.is_some();
        self.usage = Some(at..usize::MAX);
    }

    /// A container that is not looked into ends here: the usage object, if one has begun.
    pub(super) fn close_usage(&mut self, at: usize) {
        if let Some(usage) = self.usage.as_mut().filter(|usage| usage.end == usize::MAX) {
            usage.end = at;
        }
    }

    pub(super) fn open(&mut self, hole: Hole) {
        if !self.are_wanted {
            return;
        }
        if self.holes.len() < HOLES_MAX {
            self.holes.push(hole);
        } else {
            self.too_many = true;
        }
    }

    pub(super) fn close(&mut self, at: usize) {
        if let Some(hole) = self.holes.last_mut().filter(|hole| hole.to == usize::MAX) {
            hole.to = at;
        }
    }
}
