//! Server-sent events: frames them, looks on by JSON path, and decides what may pass now.
//!
//! Two things do not pass at once: the terminal event, which waits for the entry, and the usage chunk that the gateway
//! itself asked for, which the client did not ask for and would trip over. Everything else passes as it came, uncopied.

use std::collections::VecDeque;

use bytes::Bytes;
use memchr::memchr2;

use super::{Sniffed, watch::Watch};

/// An incomplete event larger than this is no usage chunk: it passes.
const HELD_BYTES_MAX: usize = 64 * 1024;
const TERMINAL: &[u8] = b"[DONE]";
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];
/// Longest field name that is told apart.
const NAME_BYTES_MAX: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// In the field's name, so many bytes read.
    Name,
    /// Behind `data:`, where one space may stand.
    BeforeData,
    /// In the data.
    Data,
    /// In a field or comment of no interest.
    Other,
}

/// Looks on as events pass.
#[derive(Debug)]
pub(super) struct SseSniffer {
    injected: bool,
    watch: Watch,
    line: Line,
    name: Vec<u8>,
    /// Bytes on the current line so far, terminator aside.
    line_is_empty: bool,
    after_cr: bool,
    at_stream_start: bool,
    /// First bytes of the event's data, as many as the terminal has.
    head: Vec<u8>,
    has_data: bool,
    /// Pieces of an incomplete event from earlier chunks.
    held: Vec<Bytes>,
    held_len: usize,
    /// The beginning of the current event has passed already.
    passed: bool,
    /// A line feed that belongs to an event that was dropped.
    drop_lf: bool,
    done: bool,
}

impl SseSniffer {
    /// Before the first byte; `injected` says that the gateway asked for usage and the client did not.
    #[must_use]
    pub(super) fn new(injected: bool) -> Self {
        Self {
            injected,
            watch: Watch::new(),
            line: Line::Name,
            name: Vec::with_capacity(NAME_BYTES_MAX + 1),
            line_is_empty: true,
            after_cr: false,
            at_stream_start: true,
            head: Vec::with_capacity(TERMINAL.len()),
            has_data: false,
            held: Vec::new(),
            held_len: 0,
            passed: false,
            drop_lf: false,
            done: false,
        }
    }

    /// Whether the terminal event came. It is held; [`Self::finish`] gives it.
    #[must_use]
    pub(super) const fn is_done(&self) -> bool {
        self.done
    }

    /// What was seen so far.
    #[must_use]
    pub(super) fn summary(&self) -> Sniffed {
        let mut seen = self.watch.seen().clone();
        seen.done = self.done;
        seen
    }

    /// The bytes that were held back: the terminal event, or an event that never became complete.
    pub(super) fn finish(&mut self) -> Option<Bytes> {
        self.held_len = 0;
        match std::mem::take(&mut self.held) {
            held if held.is_empty() => None,
            held => Some(held.concat().into()),
        }
    }

    /// Takes a chunk and gives what may pass now.
    pub(super) fn push(&mut self, chunk: Bytes, out: &mut VecDeque<Bytes>) {
        if self.done {
            // Behind the terminal event nothing is expected; it goes where that goes.
            self.hold(chunk);
            return;
        }
        // Bytes before `pass_from` have passed or been dropped; the current event begins at `event_from`.
        let (mut pass_from, mut event_from, mut at) = (0, 0, 0);
        while let Some(rest) = chunk.get(at..).filter(|rest| !rest.is_empty()) {
            let (eaten, event_ended) = self.take(rest);
            at += eaten;
            if self.drop_lf && at == event_from + 1 && chunk.get(event_from) == Some(&b'\n') {
                pass_from = at;
                event_from = at;
            }
            self.drop_lf = false;
            if !event_ended {
                continue;
            }
            if self.head == TERMINAL {
                self.done = true;
                self.pass(&chunk, pass_from, event_from, out);
                self.hold(chunk.slice(event_from..));
                return;
            }
            let event = self.watch.event();
            let drop = self.injected && !self.passed && event.has_usage && event.choices_empty;
            if drop {
                self.pass(&chunk, pass_from, event_from, out);
                self.held.clear();
                self.held_len = 0;
                pass_from = at;
                self.drop_lf = self.after_cr;
            } else {
                out.extend(self.held.drain(..));
                self.held_len = 0;
            }
            event_from = at;
            self.next_event();
        }
        let incomplete = chunk.len() - event_from;
        if self.may_yet_be_withheld(incomplete) {
            self.pass(&chunk, pass_from, event_from, out);
            if incomplete > 0 {
                self.hold(chunk.slice(event_from..));
            }
        } else {
            out.extend(self.held.drain(..));
            self.held_len = 0;
            self.passed |= incomplete > 0;
            self.pass(&chunk, pass_from, chunk.len(), out);
        }
    }

    fn may_yet_be_withheld(&self, incomplete: usize) -> bool {
        if self.passed || self.held_len + incomplete > HELD_BYTES_MAX {
            return false;
        }
        self.injected || TERMINAL.starts_with(&self.head)
    }

    fn pass(&self, chunk: &Bytes, from: usize, to: usize, out: &mut VecDeque<Bytes>) {
        if from < to {
            out.push_back(chunk.slice(from..to));
        }
    }

    fn hold(&mut self, piece: Bytes) {
        self.held_len += piece.len();
        self.held.push(piece);
    }

    fn next_event(&mut self) {
        self.head.clear();
        self.has_data = false;
        self.passed = false;
        self.watch.next_document();
    }

    /// Takes bytes of one line; says how many, and whether they ended an event.
    fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        let Some(&byte) = bytes.first() else { return (0, false) };
        if std::mem::take(&mut self.after_cr) && byte == b'\n' {
            return (1, false);
        }
        if matches!(byte, b'\n' | b'\r') {
            self.after_cr = byte == b'\r';
            return (1, self.end_line());
        }
        let len = memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len());
        let mut text = bytes.get(..len).unwrap_or_default();
        while !text.is_empty() {
            text = self.line_bytes(text);
        }
        (len, false)
    }

    fn line_bytes<'a>(&mut self, text: &'a [u8]) -> &'a [u8] {
        let Some((&byte, rest)) = text.split_first() else { return text };
        match self.line {
            Line::Name => {
                self.line_is_empty = false;
                if byte == b':' {
                    self.line = if self.name == b"data" { Line::BeforeData } else { Line::Other };
                    self.name.clear();
                } else if self.name.len() < NAME_BYTES_MAX {
                    self.name.push(byte);
                    if std::mem::take(&mut self.at_stream_start) || self.name.as_slice() == BYTE_ORDER_MARK {
                        self.skip_byte_order_mark();
                    }
                }
                rest
            }
            Line::BeforeData => {
                self.line = Line::Data;
                self.has_data = true;
                if byte == b' ' { rest } else { text }
            }
            Line::Data => {
                for byte in text {
                    if self.head.len() == TERMINAL.len() {
                        break;
                    }
                    if !(self.head.is_empty() && *byte == b' ') {
                        self.head.push(*byte);
                    }
                }
                self.watch.feed(text);
                &[]
            }
            Line::Other => &[],
        }
    }

    /// The stream may begin with a byte order mark; it is no part of the first field's name.
    fn skip_byte_order_mark(&mut self) {
        if BYTE_ORDER_MARK.starts_with(&self.name) {
            self.at_stream_start = self.name.len() < BYTE_ORDER_MARK.len();
        }
        if self.name == BYTE_ORDER_MARK {
            self.name.clear();
        }
    }

    /// A line ended; true when it was the empty one that ends an event.
    fn end_line(&mut self) -> bool {
        let empty = std::mem::replace(&mut self.line_is_empty, true);
        self.name.clear();
        self.at_stream_start = false;
        if self.line == Line::Data {
            // Lines of one event's data are joined by a line feed, which is white space in JSON.
            self.watch.feed(b"\n");
        }
        self.line = Line::Name;
        empty
    }
}
