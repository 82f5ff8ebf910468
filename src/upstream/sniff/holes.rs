//! Where in a document values stand that say nothing but how long they are.

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
    holes: Vec<Hole>,
    too_many: bool,
}

impl Holes {
    /// All of them; none when there were too many to keep.
    pub(super) fn all(&self) -> Option<&[Hole]> {
        (!self.too_many).then_some(self.holes.as_slice())
    }

    pub(super) fn clear(&mut self) {
        self.holes.clear();
        self.too_many = false;
    }

    pub(super) fn open(&mut self, hole: Hole) {
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
