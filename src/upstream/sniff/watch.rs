//! A push machine over the bytes of JSON documents that knows where it is and notes what stands at the watched paths.
//!
//! Does not validate: an answer that is no JSON simply has nothing at those paths.

use memchr::memchr2;

use super::Sniffed;

/// Longest value that is captured; the rest of it is not kept and the value does not count.
const CAPTURE_BYTES_MAX: usize = 16 * 1024;
/// Longest key that can be a watched one.
const KEY_BYTES_MAX: usize = 24;

/// A container whose members are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Root,
    Choices,
    Choice,
    Message,
    ToolCalls,
    ToolCall,
    Function,
}

/// What the value that comes next is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Unwatched,
    Enter(Node),
    Usage,
    Timings,
    Model,
    Finish,
    Error,
    Text,
    Refusal,
    Arguments,
    Data,
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
    /// Inside a container that is not looked into, so deep.
    Skip(u32),
    /// Inside a string within such a container.
    SkipText(u32),
    /// The document is complete.
    Complete,
}

/// The machine.
#[derive(Debug)]
pub(super) struct Watch {
    mode: Mode,
    nodes: Vec<Node>,
    /// In an object: a key comes next rather than a value.
    expect_key: bool,
    key: Vec<u8>,
    field: Field,
    captured: Vec<u8>,
    overflow: bool,
    escape: Escape,
    seen: Sniffed,
    event: Event,
}

/// What stood in the current document.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Event {
    pub(super) has_usage: bool,
    pub(super) choices_empty: bool,
    choices: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    None,
    Backslash,
    /// So many hexadecimal digits read, with this value.
    Unicode(u8, u32),
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            mode: Mode::Between,
            nodes: Vec::with_capacity(8),
            expect_key: false,
            key: Vec::with_capacity(KEY_BYTES_MAX),
            field: Field::Enter(Node::Root),
            captured: Vec::new(),
            overflow: false,
            escape: Escape::None,
            seen: Sniffed::default(),
            event: Event::default(),
        }
    }

    /// Begins a new document; what was seen stays.
    pub(super) fn next_document(&mut self) {
        self.mode = Mode::Between;
        self.nodes.clear();
        self.expect_key = false;
        self.field = Field::Enter(Node::Root);
        self.captured.clear();
        self.overflow = false;
        self.escape = Escape::None;
        self.event = Event::default();
    }

    pub(super) const fn seen(&self) -> &Sniffed {
        &self.seen
    }

    pub(super) const fn event(&self) -> Event {
        self.event
    }

    pub(super) fn is_complete(&self) -> bool {
        self.mode == Mode::Complete
    }

    /// Takes the next bytes of the current document.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = match self.mode {
                Mode::Between => {
                    self.between(byte);
                    rest
                }
                Mode::Key | Mode::Text | Mode::SkipText(_) => self.string(bytes),
                Mode::Scalar => self.scalar(byte, bytes, rest),
                Mode::Skip(depth) => self.skip(depth, bytes),
                Mode::Complete => return,
            };
        }
    }

    fn captures(&self) -> bool {
        match self.field {
            Field::Usage | Field::Timings | Field::Finish => true,
            // It stands in every chunk; once is enough.
            Field::Model => self.seen.model.is_none(),
            _ => false,
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.captured.len() + bytes.len() > CAPTURE_BYTES_MAX {
            self.overflow = true;
        } else {
            self.captured.extend_from_slice(bytes);
        }
    }

    fn in_array(&self) -> bool {
        matches!(self.nodes.last(), Some(Node::Choices | Node::ToolCalls))
    }

    fn between(&mut self, byte: u8) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b':' => {}
            b',' => self.expect_key = !self.in_array(),
            b'}' | b']' => self.leave(),
            b'"' if self.expect_key => {
                self.key.clear();
                self.mode = Mode::Key;
            }
            _ => self.value(byte),
        }
    }

    fn leave(&mut self) {
        self.nodes.pop();
        self.expect_key = false;
        if self.nodes.is_empty() {
            self.seen.is_json_object = true;
            self.mode = Mode::Complete;
        }
    }

    /// A value begins with this byte.
    fn value(&mut self, byte: u8) {
        if self.in_array() {
            self.field = match self.nodes.last() {
                Some(Node::Choices) => {
                    self.event.choices_empty = false;
                    Field::Enter(Node::Choice)
                }
                _ => Field::Enter(Node::ToolCall),
            };
        }
        if matches!(self.field, Field::Error) && byte != b'n' {
            self.seen.error_seen = true;
        }
        if matches!(self.field, Field::Data) && byte == b'[' {
            self.seen.choices_seen = true;
        }
        match (byte, self.field) {
            (b'{', Field::Enter(node)) if !matches!(node, Node::Choices | Node::ToolCalls) => {
                self.nodes.push(node);
                self.expect_key = true;
            }
            (b'[', Field::Enter(node @ (Node::Choices | Node::ToolCalls))) => {
                if node == Node::Choices {
                    self.seen.choices_seen = true;
                    self.event.choices = true;
                    self.event.choices_empty = true;
                }
                self.nodes.push(node);
            }
            (b'{' | b'[', _) => {
                self.begin_capture(byte);
                self.mode = Mode::Skip(1);
            }
            (b'"', _) => {
                self.begin_capture(byte);
                self.mode = Mode::Text;
            }
            _ => {
                self.begin_capture(byte);
                self.mode = Mode::Scalar;
            }
        }
    }

    fn begin_capture(&mut self, byte: u8) {
        self.captured.clear();
        self.overflow = false;
        self.escape = Escape::None;
        if self.captures() {
            self.keep(&[byte]);
        }
    }

    fn scalar<'a>(&mut self, byte: u8, bytes: &'a [u8], rest: &'a [u8]) -> &'a [u8] {
        if matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r') {
            self.end_value();
            return bytes;
        }
        if self.captures() {
            self.keep(&[byte]);
        }
        rest
    }

    fn skip<'a>(&mut self, depth: u32, bytes: &'a [u8]) -> &'a [u8] {
        for (index, byte) in bytes.iter().enumerate() {
            let depth_now = match byte {
                b'{' | b'[' => depth.saturating_add(1),
                b'}' | b']' => depth.saturating_sub(1),
                b'"' => depth,
                _ => continue,
            };
            let (eaten, rest) = bytes.split_at(index + 1);
            if self.captures() {
                self.keep(eaten);
            }
            match (byte, depth_now) {
                (b'"', _) => self.mode = Mode::SkipText(depth),
                (_, 0) => self.end_value(),
                _ => self.mode = Mode::Skip(depth_now),
            }
            return rest;
        }
        if self.captures() {
            self.keep(bytes);
        }
        &[]
    }

    /// Inside a string: up to its end, or to the end of the bytes.
    fn string<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if self.escape != Escape::None {
            return self.escaped(bytes);
        }
        let plain = memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
        let (text, rest) = bytes.split_at(plain);
        self.text(text, u64::try_from(text.len()).unwrap_or(0));
        let Some((&stop, rest)) = rest.split_first() else { return rest };
        if stop == b'\\' {
            self.escape = Escape::Backslash;
            self.text(&[stop], 0);
            return rest;
        }
        match self.mode {
            Mode::Key => {
                self.field = self.field_of_key();
                self.expect_key = false;
                self.mode = Mode::Between;
            }
            Mode::SkipText(depth) => {
                self.text(&[stop], 0);
                self.mode = Mode::Skip(depth);
            }
            _ => {
                self.text(&[stop], 0);
                self.end_value();
            }
        }
        rest
    }

    fn escaped<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some((&byte, rest)) = bytes.split_first() else { return bytes };
        let mut utf8_len = 0;
        self.escape = match (self.escape, byte) {
            (Escape::Backslash, b'u') => Escape::Unicode(0, 0),
            (Escape::Unicode(digits, value), _) => {
                let value = value * 16 + char::from(byte).to_digit(16).unwrap_or(0);
                if digits < 3 {
                    Escape::Unicode(digits + 1, value)
                } else {
                    utf8_len = match value {
                        0..0x80 => 1,
                        // One half of a pair that makes four bytes.
                        0x80..0x800 | 0xd800..0xe000 => 2,
                        _ => 3,
                    };
                    Escape::None
                }
            }
            _ => {
                utf8_len = 1;
                Escape::None
            }
        };
        self.text(&[byte], utf8_len);
        rest
    }

    /// Bytes inside a string, which decode to so many bytes of UTF-8.
    fn text(&mut self, raw: &[u8], utf8_len: u64) {
        match (self.mode, self.field) {
            (Mode::Key, _) if self.key.len() + raw.len() <= KEY_BYTES_MAX => self.key.extend_from_slice(raw),
            // Too long to be a watched key: made unlike any.
            (Mode::Key, _) => self.key.resize(KEY_BYTES_MAX, 0),
            (Mode::Text, Field::Text) => self.seen.delivered_bytes = self.seen.delivered_bytes.saturating_add(utf8_len),
            (Mode::Text, Field::Refusal) => {
                self.seen.delivered_bytes = self.seen.delivered_bytes.saturating_add(utf8_len);
                self.seen.refusal_seen |= utf8_len > 0;
            }
            (Mode::Text, Field::Arguments) => self.seen.tool_bytes = self.seen.tool_bytes.saturating_add(utf8_len),
            _ if self.captures() => self.keep(raw),
            _ => {}
        }
    }

    fn field_of_key(&self) -> Field {
        match (self.nodes.last(), self.key.as_slice()) {
            (Some(Node::Root), b"usage") => Field::Usage,
            (Some(Node::Root), b"timings") => Field::Timings,
            (Some(Node::Root), b"model") => Field::Model,
            (Some(Node::Root), b"error") => Field::Error,
            (Some(Node::Root), b"choices") => Field::Enter(Node::Choices),
            (Some(Node::Root), b"data") => Field::Data,
            (Some(Node::Choice), b"finish_reason") => Field::Finish,
            (Some(Node::Choice), b"text") => Field::Text,
            (Some(Node::Choice), b"delta" | b"message") => Field::Enter(Node::Message),
            (Some(Node::Message), b"content" | b"reasoning_content" | b"reasoning") => Field::Text,
            (Some(Node::Message), b"refusal") => Field::Refusal,
            (Some(Node::Message), b"tool_calls") => Field::Enter(Node::ToolCalls),
            (Some(Node::ToolCall), b"function") => Field::Enter(Node::Function),
            (Some(Node::Function), b"arguments") => Field::Arguments,
            _ => Field::Unwatched,
        }
    }

    fn end_value(&mut self) {
        self.mode = Mode::Between;
        let usable = !self.overflow && !self.captured.is_empty() && self.captured != b"null";
        if usable {
            self.note();
        }
        self.captured.clear();
        self.field = Field::Unwatched;
        if self.nodes.is_empty() {
            self.mode = Mode::Complete;
        }
    }

    fn note(&mut self) {
        let decoded = || serde_json::from_slice::<String>(&self.captured).ok().filter(|text| !text.is_empty());
        match self.field {
            Field::Usage => {
                replace_text(&mut self.seen.usage_raw, &self.captured);
                self.event.has_usage = true;
            }
            Field::Timings => replace_text(&mut self.seen.timings_raw, &self.captured),
            Field::Model => self.seen.model = decoded().filter(|model| model.len() <= 256),
            Field::Finish => self.seen.finish = decoded().or(self.seen.finish.take()),
            _ => {}
        }
    }
}

/// Keeps the room of the text before: some upstreams send a usage object with every chunk.
fn replace_text(kept: &mut Option<String>, captured: &[u8]) {
    let Ok(text) = std::str::from_utf8(captured) else {
        *kept = None;
        return;
    };
    let kept = kept.get_or_insert_default();
    kept.clear();
    kept.push_str(text);
}
