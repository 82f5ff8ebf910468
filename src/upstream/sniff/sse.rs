//! Server-sent events: comments, any line ends, any order of fields, data in several lines.

use memchr::memchr2;

use super::{collect::Collector, documents::Documents, frames::Ended};

const TERMINAL: &[u8] = b"[DONE]";
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];
/// Longest field name that is told apart.
const NAME_BYTES_MAX: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// In the field's name.
    Name,
    /// Behind `data:`, where one space may stand.
    BeforeData,
    /// In the data.
    Data,
    /// In a field or comment of no interest.
    Other,
}

/// Where in a stream of events the next byte stands.
#[derive(Debug)]
pub(super) struct SseFrames {
    line: Line,
    name: Vec<u8>,
    line_is_empty: bool,
    after_cr: bool,
    at_stream_start: bool,
    /// First bytes of the event's data, as many as the terminal has.
    head: Vec<u8>,
}

impl SseFrames {
    /// Before the first byte.
    pub(super) fn new() -> Self {
        Self {
            line: Line::Name,
            name: Vec::with_capacity(NAME_BYTES_MAX + 1),
            line_is_empty: true,
            after_cr: false,
            at_stream_start: true,
            head: Vec::with_capacity(TERMINAL.len()),
        }
    }

    pub(super) fn may_be_last(&self) -> bool {
        TERMINAL.starts_with(&self.head)
    }

    pub(super) const fn after_cr(&self) -> bool {
        self.after_cr
    }

    /// Takes bytes of one line.
    pub(super) fn take(&mut self, bytes: &[u8], documents: &mut Collector) -> (usize, Option<Ended>) {
        let Some(&byte) = bytes.first() else { return (0, None) };
        if std::mem::take(&mut self.after_cr) && byte == b'\n' {
            return (1, None);
        }
        if matches!(byte, b'\n' | b'\r') {
            self.after_cr = byte == b'\r';
            return (1, self.end_line(documents));
        }
        let len = memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len());
        let mut text = bytes.get(..len).unwrap_or_default();
        while !text.is_empty() {
            text = self.line_bytes(text, documents);
        }
        (len, None)
    }

    fn line_bytes<'a>(&mut self, text: &'a [u8], documents: &mut Collector) -> &'a [u8] {
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
                if byte == b' ' { rest } else { text }
            }
            Line::Data => {
                self.note_head(text);
                documents.data(text);
                &[]
            }
            Line::Other => &[],
        }
    }

    fn note_head(&mut self, text: &[u8]) {
        for byte in text {
            if self.head.len() == TERMINAL.len() {
                break;
            }
            if !(self.head.is_empty() && *byte == b' ') {
                self.head.push(*byte);
            }
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

    /// A line ended; an empty one ends an event.
    fn end_line(&mut self, documents: &mut Collector) -> Option<Ended> {
        let empty = std::mem::replace(&mut self.line_is_empty, true);
        self.name.clear();
        self.at_stream_start = false;
        if self.line == Line::Data {
            // Lines of one event's data are joined by a line feed, which is white space in JSON.
            documents.data(b"\n");
        }
        self.line = Line::Name;
        if !empty {
            return None;
        }
        documents.end(true);
        let is_last = self.head == TERMINAL;
        self.head.clear();
        Some(Ended { is_last })
    }
}
