//! The fast lane: most events of a stream differ from the one before in a few strings and numbers only.
//!
//! Remembers the last event as text with holes. An event that has the same text around its holes does what that one did,
//! but for the bytes that it delivers, so it need not be walked. Any event that does not match is walked, and replaces it.

use memchr::memchr3;

use super::{
    document::Document,
    holes::{Hole, Holes},
    path::Delivered,
};
use crate::upstream::dialect::description::KindOf;

/// Longest event that is remembered.
const EVENT_BYTES_MAX: usize = 2048;

/// An event with holes.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// Whether an event is remembered that others may be like.
    is_known: bool,
    /// The event that was walked last, as it came.
    event: Vec<u8>,
    /// Its values that say nothing but how long they are, and whether they vary.
    values: Vec<(Hole, bool)>,
    /// Those that do.
    holes: Vec<Hole>,
    kind: Option<KindOf>,
}

/// What a matching event delivers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Match {
    /// Length of the event, in bytes.
    pub(super) len: usize,
    pub(super) text_bytes: u64,
    pub(super) refusal_bytes: u64,
    pub(super) tool_bytes: u64,
}

impl Shape {
    pub(super) const fn forget(&mut self) {
        self.is_known = false;
    }

    /// The meaning of the remembered event's type.
    pub(super) fn kind(&self) -> KindOf {
        self.kind.unwrap_or(KindOf::Plain)
    }

    /// Remembers a complete event, if its like may be taken without a walk.
    pub(super) fn learn(&mut self, event: &[u8], document: &Document, kind: KindOf, holes: &Holes) {
        self.forget();
        let speaks_for_itself = matches!(kind, KindOf::Plain | KindOf::Silent | KindOf::Arguments | KindOf::Refusal);
        if event.len() > EVENT_BYTES_MAX || !speaks_for_itself || !document.only_delivers() {
            return;
        }
        let Some(holes) = holes.all() else { return };
        let Some(data_from) = data_of_one_line(event) else { return };
        self.kind = Some(kind);
        self.note_values(event, holes, data_from);
        self.event.clear();
        self.event.extend_from_slice(event);
        self.is_known = true;
    }

    /// A value that is delivered varies, and one that is not what it was in an event with the same values.
    fn note_values(&mut self, event: &[u8], holes: &[Hole], data_from: usize) {
        let same = self.values.len() == holes.len();
        self.holes.clear();
        for (number, hole) in holes.iter().enumerate() {
            let hole = Hole { from: hole.from + data_from, to: hole.to + data_from, ..*hole };
            let content = event.get(hole.from..hole.to).unwrap_or_default();
            let before = self.values.get(number).filter(|_| same).copied();
            let varied = before
                .is_some_and(|(before, varied)| varied || self.event.get(before.from..before.to) != Some(content));
            let is_plain = hole.is_text || !content.is_empty() && content.iter().all(u8::is_ascii_digit);
            let varies = is_plain && (varied || hole.delivers.is_some());
            if varies {
                self.holes.push(hole);
            }
            match self.values.get_mut(number).filter(|_| same) {
                Some(value) => *value = (hole, varies),
                None => {
                    self.values.truncate(number);
                    self.values.push((hole, varies));
                }
            }
        }
        self.values.truncate(holes.len());
    }

    /// Whether these bytes begin with an event of the remembered shape.
    pub(super) fn matches(&self, bytes: &[u8]) -> Option<Match> {
        if !self.is_known {
            return None;
        }
        let mut found = Match::default();
        let mut from = 0;
        for hole in &self.holes {
            let literal = self.event.get(from..hole.from)?;
            let rest = bytes.get(found.len..)?.strip_prefix(literal)?;
            let filled = if hole.is_text { text_len(rest)? } else { digits_len(rest) };
            found.len += literal.len() + filled;
            found.deliver(hole.delivers, filled);
            from = hole.to;
        }
        let tail = self.event.get(from..)?;
        bytes.get(found.len..)?.starts_with(tail).then(|| found.len += tail.len())?;
        Some(found)
    }
}

impl Match {
    fn deliver(&mut self, to: Option<Delivered>, bytes: usize) {
        let count = match to {
            None => return,
            Some(Delivered::Text) => &mut self.text_bytes,
            Some(Delivered::Refusal) => &mut self.refusal_bytes,
            Some(Delivered::Tool) => &mut self.tool_bytes,
        };
        *count = count.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

/// Bytes of a string up to its end. None when it is not plain: escapes are walked, and a line end would end the line.
fn text_len(bytes: &[u8]) -> Option<usize> {
    let len = memchr3(b'"', b'\\', b'\n', bytes)?;
    let (text, rest) = bytes.split_at(len);
    let has_cr = text.iter().fold(false, |found, byte| found | (*byte == b'\r'));
    (rest.first() == Some(&b'"') && !has_cr).then_some(len)
}

fn digits_len(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len())
}

/// Where the data begins, in an event whose data stand in one line.
fn data_of_one_line(event: &[u8]) -> Option<usize> {
    let mut found = None;
    let mut from = 0;
    for line in event.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
        if let Some(data) = line.strip_prefix(b"data:") {
            let space = usize::from(data.first() == Some(&b' '));
            if found.replace(from + 5 + space).is_some() {
                return None;
            }
        }
        from += line.len();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(event: &str, holes: &[(&str, bool)]) -> Shape {
        let hole = |(text, is_text): &(&str, bool)| {
            let from = event.find(text).unwrap();
            Hole { from, to: from + text.len(), is_text: *is_text, delivers: is_text.then_some(Delivered::Text) }
        };
        let holes = holes.iter().map(hole).collect();
        Shape { is_known: true, event: event.as_bytes().to_vec(), values: Vec::new(), holes, kind: None }
    }

    #[test]
    fn an_event_that_differs_in_its_holes_matches_and_no_other_does() {
        let shape = shape("data: {\"n\":17,\"t\":\"alpha\",\"z\":0}\n\n", &[("17", false), ("alpha", true)]);
        let found = |event: &str| shape.matches(event.as_bytes()).map(|found| (found.len, found.text_bytes));
        let longer = "data: {\"n\":18,\"t\":\" be\",\"z\":0}\n\n";
        assert_eq!(found(&format!("{longer}data")), Some((longer.len(), 3)));
        let empty = "data: {\"n\":1,\"t\":\"\",\"z\":0}\n\n";
        assert_eq!(found(empty), Some((empty.len(), 0)));
        for other in [
            "data: {\"n\":18,\"t\":\"a\\n\",\"z\":0}\n\n",
            "data: {\"n\":18,\"t\":\"a\nb\",\"z\":0}\n\n",
            "data: {\"n\":18,\"t\":\"a\rb\",\"z\":0}\n\n",
            "data: {\"n\":18,\"t\":\"a\",\"z\":1}\n\n",
            "data: {\"n\":18,\"t\":\"a\",\"z\":0}\n",
            "data: {\"n\":18,\"t\":\"a",
            "",
        ] {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn data_in_two_lines_have_no_shape() {
        assert_eq!(data_of_one_line(b"event: a\ndata: {}\n\n"), Some(15));
        assert_eq!(data_of_one_line(b"\ndata:{}\r\n\r"), Some(6));
        assert_eq!(data_of_one_line(b"data: {\ndata: }\n\n"), None);
        assert_eq!(data_of_one_line(b": comment\n\n"), None);
    }
}
