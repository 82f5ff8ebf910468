//! Decides which bytes of a stream may pass now.
//!
//! Two things do not pass at once: the last document, which waits for the entry, and the usage chunk that the gateway
//! itself asked for, which the client did not ask for and would trip over. Everything else passes as it came, uncopied.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{collect::Collector, frames::Frames};

/// An incomplete document larger than this is no usage chunk: it passes.
const HELD_BYTES_MAX: usize = 64 * 1024;

/// What is held back of a stream.
#[derive(Debug)]
pub(super) struct Relay {
    withhold_usage: bool,
    /// Pieces of an incomplete document from earlier chunks.
    held: Vec<Bytes>,
    held_len: usize,
    /// The beginning of the current document has passed already.
    passed: bool,
    /// A line feed comes that belongs to a document that was dropped.
    drop_lf: bool,
    /// Whether a carriage return stood before the event whose shape is remembered, and at its end.
    shape_after_cr: bool,
    done: bool,
}

impl Relay {
    /// Before the first byte.
    pub(super) const fn new(withhold_usage: bool) -> Self {
        Self {
            withhold_usage,
            held: Vec::new(),
            held_len: 0,
            passed: false,
            drop_lf: false,
            shape_after_cr: false,
            done: false,
        }
    }

    pub(super) const fn is_done(&self) -> bool {
        self.done
    }

    /// Whether a part of the current document has passed and its end has not.
    pub(super) const fn is_within(&self) -> bool {
        self.passed
    }

    /// The bytes that are held back.
    pub(super) fn finish(&mut self) -> Option<Bytes> {
        self.held_len = 0;
        match std::mem::take(&mut self.held) {
            held if held.is_empty() => None,
            held => Some(held.concat().into()),
        }
    }

    /// Takes a chunk and gives what may pass now.
    pub(super) fn push(
        &mut self,
        chunk: Bytes,
        frames: &mut Frames,
        documents: &mut Collector,
        out: &mut VecDeque<Bytes>,
    ) {
        if self.done {
            // Behind the last document nothing is expected; it goes where that goes.
            self.hold(chunk);
            return;
        }
        if chunk.is_empty() {
            return;
        }
        let mut alike = 0;
        if self.is_between() && !frames.after_cr() && !self.shape_after_cr {
            while let Some(rest) = chunk.get(alike..).filter(|rest| !rest.is_empty())
                && let Some(len) = frames.take_like(rest, documents)
            {
                alike += len;
            }
        }
        if alike == chunk.len() {
            out.push_back(chunk);
        } else {
            self.walk(chunk, alike, frames, documents, out);
        }
    }

    /// Takes a chunk of which the first bytes, so many, are events like the one before, and were taken.
    fn walk(
        &mut self,
        chunk: Bytes,
        alike: usize,
        frames: &mut Frames,
        documents: &mut Collector,
        out: &mut VecDeque<Bytes>,
    ) {
        // Bytes before `pass_from` have passed or been dropped; the current document begins at `begin`.
        let (mut pass_from, mut begin, mut at) = (0, alike, alike);
        let mut cr_before = frames.after_cr();
        while let Some(rest) = chunk.get(at..).filter(|rest| !rest.is_empty()) {
            if at == begin && self.is_between() && frames.after_cr() && rest.first() == Some(&b'\n') {
                // It came late, and belongs to the event before, which has passed.
                at += frames.take(b"\n", documents).0;
                begin = at;
                cr_before = false;
                continue;
            }
            if at == begin
                && self.is_between()
                && cr_before == self.shape_after_cr
                && let Some(len) = frames.take_like(rest, documents)
            {
                at += len;
                begin = at;
                continue;
            }
            let (eaten, ended) = frames.take(rest, documents);
            at += eaten;
            if self.drop_lf && at == begin + 1 && chunk.get(begin) == Some(&b'\n') {
                pass_from = at;
                begin = at;
            }
            self.drop_lf = false;
            let Some(ended) = ended else { continue };
            if frames.after_cr() && chunk.get(at) == Some(&b'\n') {
                // Of a line that ends with both, both belong to the event.
                at += frames.take(b"\n", documents).0;
            }
            let document = documents.take_ended();
            if ended.is_last || document.terminal {
                self.done = true;
                pass(&chunk, pass_from, begin, out);
                self.hold(chunk.slice(begin..));
                return;
            }
            let is_in_one_piece = self.is_between();
            if self.withhold_usage && !self.passed && document.has_usage && document.choices_empty && !document.error {
                pass(&chunk, pass_from, begin, out);
                self.held.clear();
                pass_from = at;
                self.drop_lf = frames.after_cr();
            } else {
                out.extend(self.held.drain(..));
            }
            self.held_len = 0;
            self.passed = false;
            if is_in_one_piece && cr_before == frames.after_cr() {
                frames.learn(chunk.get(begin..at).unwrap_or_default(), documents);
                self.shape_after_cr = cr_before;
            } else {
                documents.forget_shape();
            }
            begin = at;
            cr_before = frames.after_cr();
        }
        self.end_chunk(chunk, pass_from, begin, frames, documents, out);
    }

    /// Whether no part of the current document came in an earlier chunk.
    const fn is_between(&self) -> bool {
        self.held_len == 0 && !self.passed && !self.drop_lf
    }

    /// What is left of the chunk is an incomplete document, or nothing.
    fn end_chunk(
        &mut self,
        chunk: Bytes,
        pass_from: usize,
        begin: usize,
        frames: &Frames,
        documents: &Collector,
        out: &mut VecDeque<Bytes>,
    ) {
        let incomplete = chunk.len() - begin;
        if incomplete == 0 && pass_from == 0 {
            out.push_back(chunk);
        } else if self.may_yet_be_withheld(incomplete, frames, documents) {
            pass(&chunk, pass_from, begin, out);
            if incomplete > 0 {
                self.hold(chunk.slice(begin..));
            }
        } else {
            out.extend(self.held.drain(..));
            self.held_len = 0;
            self.passed |= incomplete > 0;
            pass(&chunk, pass_from, chunk.len(), out);
        }
    }

    fn may_yet_be_withheld(&self, incomplete: usize, frames: &Frames, documents: &Collector) -> bool {
        if self.passed || self.held_len + incomplete > HELD_BYTES_MAX {
            return false;
        }
        self.withhold_usage || frames.may_be_last() || documents.may_be_terminal()
    }

    fn hold(&mut self, piece: Bytes) {
        self.held_len += piece.len();
        self.held.push(piece);
    }
}

fn pass(chunk: &Bytes, from: usize, to: usize, out: &mut VecDeque<Bytes>) {
    if from < to {
        out.push_back(chunk.slice(from..to));
    }
}
