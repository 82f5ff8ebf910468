//! The fast lane: most events of a stream differ from the one before in a few strings and numbers only.
//!
//! Remembers the last event as text with holes. An event that has the same text around its holes does what that one did,
//! but for the bytes that it delivers and the counts of its usage, so it need not be walked. Any event that does not match is
//! walked, and replaces it.

use std::{fmt, ops::Range};

use super::{
    document::Document,
    holes::{Hole, Holes},
    path::Delivered,
};
use crate::upstream::dialect::description::KindOf;

/// Longest event that is remembered.
const EVENT_BYTES_MAX: usize = 2048;

/// An event with holes.
#[derive(Default)]
pub(super) struct Shape {
    /// Whether an event is remembered that others may be like.
    is_known: bool,
    /// The event that was walked last, as it came.
    event: Vec<u8>,
    /// Its values that say nothing but how long they are, and the counts of its usage, in order; and whether they vary.
    values: Vec<(Hole, bool)>,
    /// Those that do.
    holes: Vec<Hole>,
    /// Room for the values of the event that is learned.
    found: Vec<Hole>,
    /// Its usage object.
    usage: Option<Range<usize>>,
    kind: Option<KindOf>,
}

/// What a matching event delivers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Match {
    /// Length of the event, in bytes.
    pub(super) len: usize,
    pub(super) text_bytes: u64,
    pub(super) refusal_bytes: u64,
    pub(super) tool_bytes: u64,
    /// Its usage object; empty when it has none.
    pub(super) usage: Range<usize>,
}

/// An event that was walked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walked<'a> {
    /// Its bytes, those around its document included.
    pub(super) event: &'a [u8],
    /// Where in them its document begins.
    pub(super) document_from: usize,
    /// What the document said.
    pub(super) document: &'a Document,
    /// The meaning of its type.
    pub(super) kind: KindOf,
    /// Where in the document what may vary stands.
    pub(super) holes: &'a Holes,
}

/// The event holds what a customer was told.
impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shape({} bytes)", self.event.len())
    }
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
    pub(super) fn learn(&mut self, walked: Walked<'_>) {
        self.forget();
        let Walked { event, document_from, document, kind, holes } = walked;
        let speaks_for_itself = matches!(kind, KindOf::Plain | KindOf::Silent | KindOf::Arguments | KindOf::Refusal);
        if event.len() > EVENT_BYTES_MAX || !speaks_for_itself || !document.only_tells_progress() {
            return;
        }
        let Some(found) = holes.all() else { return };
        if found.iter().any(|hole| hole.delivers == Some(Delivered::Sealed)) {
            return;
        }
        let shift = |range: Range<usize>| range.start + document_from..range.end + document_from;
        self.usage = holes.usage().map(shift);
        if self.usage.is_some() != document.has_usage() {
            return;
        }
        self.found.clear();
        self.found.extend(found.iter().map(|hole| {
            let Range { start, end } = shift(hole.from..hole.to);
            Hole { from: start, to: end, ..*hole }
        }));
        if let Some(usage) = self.usage.clone() {
            counts(event, usage, &mut self.found);
            self.found.sort_unstable_by_key(|hole| hole.from);
        }
        self.kind = Some(kind);
        self.note_values(event);
        self.event.clear();
        self.event.extend_from_slice(event);
        self.is_known = true;
    }

    /// A value that is delivered varies, and one that is not what it was in an event with the same values.
    fn note_values(&mut self, event: &[u8]) {
        let same = self.values.len() == self.found.len();
        self.holes.clear();
        for (number, hole) in self.found.iter().copied().enumerate() {
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
        self.values.truncate(self.found.len());
    }

    /// Whether these bytes begin with an event of the remembered shape.
    pub(super) fn matches(&self, bytes: &[u8]) -> Option<Match> {
        match &self.usage {
            _ if !self.is_known => None,
            None => self.matches_around(bytes, |_, _, _| {}),
            Some(usage) => self.matches_around(bytes, |found, from, to| place_usage(usage, found, from, to)),
        }
    }

    /// Gives each text that an event which matches delivers.
    pub(super) fn each_text(&self, event: &[u8], mut give: impl FnMut(&[u8])) {
        let (mut rest, mut from) = (event, 0);
        for hole in &self.holes {
            let Some(filled) = rest.get(hole.from - from..) else { return };
            let is_end = |byte: &u8| if hole.is_text { *byte == b'"' } else { !byte.is_ascii_digit() };
            let Some(len) = filled.iter().position(is_end) else { return };
            let (content, behind) = filled.split_at(len);
            if hole.delivers.is_some() {
                give(content);
            }
            (rest, from) = (behind, hole.to);
        }
    }

    /// `passed` is told of each literal of the remembered event before its length is added.
    fn matches_around(&self, bytes: &[u8], passed: impl Fn(&mut Match, usize, usize)) -> Option<Match> {
        let mut found = Match::default();
        let (mut rest, mut from) = (bytes, 0);
        for hole in &self.holes {
            let literal = self.event.get(from..hole.from)?;
            rest = behind(rest, literal)?;
            passed(&mut found, from, hole.from);
            let filled = if hole.is_text { text_len(rest)? } else { digits_len(rest)? };
            rest = rest.get(filled..)?;
            found.len += literal.len() + filled;
            found.deliver(hole.delivers, filled);
            from = hole.to;
        }
        let tail = self.event.get(from..)?;
        behind(rest, tail)?;
        passed(&mut found, from, self.event.len());
        found.len += tail.len();
        Some(found)
    }
}

/// The usage object begins or ends within the literal `from..to` of the remembered event, which stands at `found.len`.
fn place_usage(usage: &Range<usize>, found: &mut Match, from: usize, to: usize) {
    if (from..to).contains(&usage.start) {
        found.usage.start = found.len + (usage.start - from);
    }
    if from < usage.end && usage.end <= to {
        found.usage.end = found.len + (usage.end - from);
    }
}

impl Match {
    fn deliver(&mut self, to: Option<Delivered>, bytes: usize) {
        let count = match to {
            // What is sealed is walked.
            None | Some(Delivered::Sealed) => return,
            Some(Delivered::Text) => &mut self.text_bytes,
            Some(Delivered::Refusal) => &mut self.refusal_bytes,
            Some(Delivered::Tool) => &mut self.tool_bytes,
        };
        *count = count.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

/// Finds the whole numbers of a usage object, outside its strings. One with an escape in a string is left as it is.
fn counts(event: &[u8], usage: Range<usize>, into: &mut Vec<Hole>) {
    let object = event.get(usage.clone()).unwrap_or_default();
    if object.contains(&b'\\') {
        return;
    }
    let (mut in_text, mut begin) = (false, None);
    for (index, byte) in object.iter().enumerate() {
        if *byte == b'"' {
            in_text = !in_text;
        }
        let part_of_number = !in_text && (byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-'));
        match (begin, part_of_number) {
            (None, true) => begin = Some(index),
            (Some(from), false) => {
                begin = None;
                let (from, to) = (usage.start + from, usage.start + index);
                // Its content is looked at where it is noted: only digits may vary.
                into.push(Hole { from, to, is_text: false, delivers: None });
            }
            _ => {}
        }
    }
}

/// What stands behind a prefix; none when something else stands there.
fn behind<'a>(bytes: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = bytes.split_at_checked(prefix.len())?;
    // A short one is compared without a call.
    let is_same = match prefix.len() {
        4..=8 => has_ends_of::<4>(start, prefix),
        9..=16 => has_ends_of::<8>(start, prefix),
        17..=32 => has_ends_of::<16>(start, prefix),
        _ => start == prefix,
    };
    is_same.then_some(rest)
}

/// Whether two texts of one length have the same first and last bytes: all of them, where they have at most twice as many.
fn has_ends_of<const BYTES: usize>(one: &[u8], other: &[u8]) -> bool {
    one.first_chunk::<BYTES>() == other.first_chunk() && one.last_chunk::<BYTES>() == other.last_chunk()
}

/// Bytes of a string up to its end. None when it is not plain: escapes are walked, and a line end would end the line.
fn text_len(bytes: &[u8]) -> Option<usize> {
    let mut len = 0;
    // Most texts are a few bytes long: sixteen at once, without a call, and without a branch that depends on how long they are.
    while let Some(pair) = bytes.get(len..).and_then(<[u8]>::first_chunk::<16>) {
        let [first, second] = [0, 8]
            .map(|at| pair.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| stops(u64::from_le_bytes(*word))));
        if first | second != 0 {
            let marks = if first == 0 { second } else { first };
            let before = if first == 0 { 8 } else { 0 };
            len += before + usize::try_from(marks.trailing_zeros() / 8).ok()?;
            return (bytes.get(len) == Some(&b'"')).then_some(len);
        }
        len += pair.len();
    }
    let rest = bytes.get(len..)?;
    let stop = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20))?;
    (rest.get(stop) == Some(&b'"')).then_some(len + stop)
}

/// Marks in each byte's highest bit that it ends plain text: a quote, a backslash, or a control character. Exact up to the first mark.
const fn stops(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    const fn below(word: u64, least: u64) -> u64 {
        word.wrapping_sub(ONES * least) & !word & HIGH
    }
    let quote = word ^ (ONES * 0x22);
    let backslash = word ^ (ONES * 0x5c);
    below(quote, 1) | below(backslash, 1) | below(word, 0x20)
}

/// Bytes of a number's digits. None when there are none, or nothing stands behind them.
fn digits_len(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| !byte.is_ascii_digit()).filter(|len| *len > 0)
}

/// Where the data begins, in an event whose data stand in one line.
pub(super) fn data_of_one_line(event: &[u8]) -> Option<usize> {
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
        Shape { is_known: true, event: event.as_bytes().to_vec(), holes, ..Shape::default() }
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
