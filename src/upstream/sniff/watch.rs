//! A push machine over the bytes of a JSON document that knows where it is and notes what stands at the watched paths.
//!
//! Does not validate: an answer that is no JSON simply has nothing at those paths.

use memchr::memchr2;

use super::{
    base64::Base64,
    document::Document,
    escape::{Escape, Escaped},
    holes::{Hole, Holes},
    nested::Nested,
    path::{Counted, Field, Mark, Node, Role, Slot},
};

/// Longest value that is captured; the rest of it is not kept and the value does not count.
const CAPTURE_BYTES_MAX: usize = 64 * 1024;
/// Room that is made for what is captured, a usage object at most times; what is needed beyond is allocated again.
const CAPTURE_BYTES_USUAL: usize = 512;
/// Longest captured value other than a usage object.
const WORD_BYTES_MAX: usize = 1024;
/// Longest key that can be a watched one.
const KEY_BYTES_MAX: usize = 40;
/// Deepest nesting of watched containers.
const DEPTH: usize = 12;

#[derive(Clone, Copy, Debug)]
enum Frame {
    Object(&'static Node),
    /// An array: what each element is, and whether elements are counted.
    Array(Field, Option<Counted>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Between tokens inside a watched container, or before the document.
    Between,
    /// Inside a key.
    Key,
    /// Inside a string value.
    Text,
    /// Inside a number, true, false or null.
    Scalar,
    /// Inside a container that is not looked into.
    Skip(Nested),
    /// The document is complete.
    Complete,
}

/// The machine. Its memory is bounded by the constants above.
#[derive(Debug)]
pub(super) struct Watch {
    root: &'static Node,
    mode: Mode,
    frames: Vec<Frame>,
    /// In an object: a key comes next rather than a value.
    expect_key: bool,
    key: Vec<u8>,
    field: Field,
    /// The value is to be kept: its bytes are captured.
    captures: bool,
    captured: Vec<u8>,
    overflow: bool,
    escape: Escape,
    inner: Option<Box<Inner>>,
    /// Where in the document the bytes stand that are looked at.
    at: usize,
    holes: Holes,
}

/// A document inside a string.
#[derive(Debug)]
struct Inner {
    decoder: Base64,
    watch: Watch,
}

impl Watch {
    /// Before a document. `notes_holes`: [`Self::holes`] will be asked for.
    pub(super) fn new(root: &'static Node, notes_holes: bool) -> Self {
        Self {
            root,
            mode: Mode::Between,
            frames: Vec::with_capacity(DEPTH),
            expect_key: false,
            key: Vec::with_capacity(KEY_BYTES_MAX),
            field: Field::Into(root),
            captures: false,
            captured: Vec::new(),
            overflow: false,
            escape: Escape::default(),
            inner: None,
            at: 0,
            holes: Holes::new(notes_holes),
        }
    }

    /// Begins a new document.
    pub(super) fn restart(&mut self) {
        self.mode = Mode::Between;
        self.frames.clear();
        self.expect_key = false;
        self.field = Field::Into(self.root);
        self.captures = false;
        self.captured.clear();
        self.overflow = false;
        self.escape = Escape::default();
        self.at = 0;
        self.holes.clear();
    }

    /// The holes of the document.
    pub(super) const fn holes(&self) -> &Holes {
        &self.holes
    }

    pub(super) fn is_complete(&self) -> bool {
        self.mode == Mode::Complete
    }

    /// Takes the next bytes of the document, up to its end; says how many.
    pub(super) fn feed(&mut self, bytes: &[u8], document: &mut Document) -> usize {
        let mut left = bytes;
        let begin = self.at;
        while let Some((&byte, rest)) = left.split_first() {
            self.at = begin + (bytes.len() - left.len());
            left = match self.mode {
                Mode::Between if byte == b'"' && self.expect_key => self.key(rest, document),
                Mode::Between => {
                    self.between(byte, document);
                    rest
                }
                Mode::Key | Mode::Text => self.string(left, document),
                Mode::Scalar => self.scalar(left, document),
                Mode::Skip(nested) => self.skip(nested, left, document),
                Mode::Complete => break,
            };
        }
        let eaten = bytes.len() - left.len();
        self.at = begin + eaten;
        eaten
    }

    fn between(&mut self, byte: u8, document: &mut Document) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b':' => {}
            // A byte order mark before the document.
            0xef | 0xbb | 0xbf if self.frames.is_empty() => {}
            b',' => self.expect_key = matches!(self.frames.last(), Some(Frame::Object(_))),
            b'}' | b']' => self.leave(document),
            _ => self.value(byte, document),
        }
    }

    /// A key begins: most often it stands here whole, as it is.
    fn key<'a>(&mut self, bytes: &'a [u8], document: &mut Document) -> &'a [u8] {
        let plain = memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
        let (key, rest) = bytes.split_at(plain);
        match rest.split_first() {
            Some((b'"', rest)) => {
                self.end_key(self.field_of(key), document);
                rest.strip_prefix(b":").unwrap_or(rest)
            }
            _ => {
                self.key.clear();
                self.mode = Mode::Key;
                bytes
            }
        }
    }

    fn end_key(&mut self, field: Field, document: &mut Document) {
        self.field = field;
        document.told |= !matches!(field, Field::Unwatched);
        self.expect_key = false;
        self.mode = Mode::Between;
    }

    fn leave(&mut self, document: &mut Document) {
        match self.frames.pop() {
            Some(Frame::Object(Node { role: Role::Item, .. })) => document.end_item(),
            Some(Frame::Object(Node { role: Role::Choice, .. })) => document.end_choice(),
            _ => {}
        }
        self.expect_key = false;
        self.field = Field::Unwatched;
        if self.frames.is_empty() {
            document.complete = true;
            self.mode = Mode::Complete;
        }
    }

    /// A value begins with this byte.
    fn value(&mut self, byte: u8, document: &mut Document) {
        if let Some(Frame::Array(element, counted)) = self.frames.last() {
            self.field = *element;
            if let Some(counted) = counted {
                document.count_one(*counted);
            }
        }
        match (byte, self.field) {
            (b'{', Field::Into(node)) => self.enter(node, document),
            (b'[', Field::Each(node) | Field::Text(_, Some(node))) => {
                self.frames.push(Frame::Array(Field::Into(node), None));
            }
            (b'[', Field::Count(counted, node)) => {
                document.begin_count(counted);
                self.frames.push(Frame::Array(Field::Into(node), Some(counted)));
            }
            _ => self.begin_plain(byte, document),
        }
    }

    fn enter(&mut self, node: &'static Node, document: &mut Document) {
        self.frames.push(Frame::Object(node));
        self.expect_key = true;
        document.answer |= matches!(node.role, Role::Answer | Role::Choice);
        if node.role == Role::Choice {
            document.begin_choice();
        }
    }

    /// A value begins that is not looked into.
    fn begin_plain(&mut self, byte: u8, document: &mut Document) {
        self.captured.clear();
        self.overflow = false;
        self.escape = Escape::default();
        self.captures = match self.field {
            // It stands in every chunk; once is enough.
            Field::Keep(Slot::Model) => !document.model_known,
            Field::Keep(_) | Field::Member(_) => true,
            _ => false,
        };
        if self.captures {
            self.captured.reserve(CAPTURE_BYTES_USUAL);
        }
        match self.field {
            Field::Mark(mark) if !matches!(byte, b'n' | b'f') => mark_in(mark, document),
            Field::Base64(node) if byte == b'"' => {
                document.has_depths = true;
                self.begin_inner(node);
            }
            _ => {}
        }
        self.open_hole(byte);
        self.mode = match byte {
            b'{' | b'[' => Mode::Skip(Nested::begun()),
            b'"' => Mode::Text,
            _ => Mode::Scalar,
        };
        if byte != b'"' || self.captures {
            self.plain(&[byte], 1, document);
        }
    }

    fn open_hole(&mut self, byte: u8) {
        if byte == b'{' && matches!(self.field, Field::Keep(Slot::Usage | Slot::UsageAtStart)) {
            return self.holes.open_usage(self.at);
        }
        let delivers = match self.field {
            Field::Unwatched | Field::Keep(Slot::Index) => None,
            Field::Keep(Slot::Model) if !self.captures => None,
            Field::Text(to, _) | Field::Raw(to) if byte == b'"' => Some(to),
            _ => return,
        };
        match byte {
            b'"' => self.holes.open(Hole { from: self.at + 1, to: usize::MAX, is_text: true, delivers }),
            b'0'..=b'9' => self.holes.open(Hole { from: self.at, to: usize::MAX, is_text: false, delivers }),
            _ => {}
        }
    }

    fn begin_inner(&mut self, node: &'static Node) {
        match &mut self.inner {
            Some(inner) => {
                inner.decoder = Base64::default();
                inner.watch.restart();
            }
            None => self.inner = Some(Box::new(Inner { decoder: Base64::default(), watch: Self::new(node, false) })),
        }
    }

    /// Inside a number, true, false or null: up to its end, or to the end of the bytes.
    fn scalar<'a>(&mut self, bytes: &'a [u8], document: &mut Document) -> &'a [u8] {
        let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
        let end = bytes.iter().position(is_end);
        let (scalar, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        self.plain(scalar, len(scalar), document);
        if end.is_some() {
            self.holes.close(self.at + scalar.len());
            self.end_value(document);
        }
        rest
    }

    fn skip<'a>(&mut self, mut nested: Nested, bytes: &'a [u8], document: &mut Document) -> &'a [u8] {
        let left = nested.pass(bytes);
        let (passed, _) = bytes.split_at(bytes.len() - left.len());
        self.plain(passed, len(passed), document);
        self.mode = Mode::Skip(nested);
        if nested.is_over() {
            self.holes.close_usage(self.at + passed.len());
            self.end_value(document);
        }
        left
    }

    /// Inside a string: up to its end, or to the end of the bytes.
    fn string<'a>(&mut self, bytes: &'a [u8], document: &mut Document) -> &'a [u8] {
        if self.escape.is_open() {
            return self.escaped(bytes, document);
        }
        let plain = memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
        let (text, rest) = bytes.split_at(plain);
        self.text(text, text, len(text), document);
        let Some((&stop, rest)) = rest.split_first() else { return rest };
        if stop == b'\\' {
            self.escape.open();
            self.text(&[stop], &[], 0, document);
            return rest;
        }
        match self.mode {
            Mode::Key => self.end_key(self.field_of(&self.key), document),
            _ => {
                if self.captures {
                    self.plain(&[stop], 1, document);
                }
                self.holes.close(self.at + plain);
                self.end_value(document);
            }
        }
        rest
    }

    fn escaped<'a>(&mut self, bytes: &'a [u8], document: &mut Document) -> &'a [u8] {
        let Some((&byte, rest)) = bytes.split_first() else { return bytes };
        let Escaped { utf8_len, character } = self.escape.take(byte);
        let mut room = [0; 4];
        let text = character.map_or(&[][..], |character| character.encode_utf8(&mut room).as_bytes());
        self.text(&[byte], text, utf8_len, document);
        rest
    }

    /// Bytes inside a string, which decode to this text, so many bytes of UTF-8.
    fn text(&mut self, raw: &[u8], text: &[u8], utf8_len: u64, document: &mut Document) {
        match (self.mode, self.field) {
            (Mode::Key, _) if self.key.len() + raw.len() <= KEY_BYTES_MAX => self.key.extend_from_slice(raw),
            // Too long to be a watched key: made unlike any.
            (Mode::Key, _) => {
                self.key.clear();
                self.key.resize(KEY_BYTES_MAX, 0);
            }
            (Mode::Text, Field::Text(to, _) | Field::Raw(to)) => document.delivered(to, utf8_len, text),
            (Mode::Text, Field::Base64(_)) => {
                if let Some(inner) = &mut self.inner {
                    inner.decoder.decode(raw, |decoded| {
                        inner.watch.feed(decoded, document);
                    });
                }
            }
            _ => self.plain(raw, len(raw), document),
        }
    }

    /// Bytes of a value that is not looked into, as they stand.
    fn plain(&mut self, raw: &[u8], raw_len: u64, document: &mut Document) {
        if self.captures {
            let max = match self.field {
                Field::Keep(Slot::Usage | Slot::UsageAtStart | Slot::Metrics | Slot::Timings) => CAPTURE_BYTES_MAX,
                _ => WORD_BYTES_MAX,
            };
            if self.captured.len() + raw.len() > max {
                self.overflow = true;
            } else {
                self.captured.extend_from_slice(raw);
            }
        } else if let (Field::Raw(to), Mode::Skip(_)) = (self.field, self.mode) {
            document.delivered(to, raw_len, raw);
            document.has_depths = true;
        }
    }

    fn field_of(&self, key: &[u8]) -> Field {
        let Some(Frame::Object(node)) = self.frames.last() else { return Field::Unwatched };
        node.members.iter().find(|(name, _)| name.as_bytes() == key).map_or(Field::Unwatched, |(_, field)| *field)
    }

    fn end_value(&mut self, document: &mut Document) {
        self.mode = if self.frames.is_empty() { Mode::Complete } else { Mode::Between };
        if std::mem::take(&mut self.captures) {
            match self.field {
                Field::Keep(Slot::Usage | Slot::UsageAtStart) if self.overflow => document.usage_overflow = true,
                _ if self.overflow => {}
                Field::Keep(slot) => document.note(slot, &mut self.captured),
                Field::Member(name) => document.note_member(name, &self.captured),
                _ => {}
            }
            self.captured.clear();
        }
        self.field = Field::Unwatched;
    }
}

fn mark_in(mark: Mark, document: &mut Document) {
    match mark {
        Mark::Answer => document.answer = true,
        Mark::Error => document.error = true,
        Mark::Last => document.last = true,
    }
}

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
