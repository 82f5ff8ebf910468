//! Whatever somebody writes where a model, a tool or a user can write, and however the answer is split: what is metered is the usage
//! that the answer reports, and every byte passes as it came.
#![no_main]

mod templates;

use std::collections::VecDeque;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tollgate::{
    metering::{Asked, End, Reporter, conclude},
    upstream::{
        dialect::{Dialect, Framing},
        sniff::Sniffer,
    },
};
use tollgate_core::{entry::Outcome, usage::Usage};
use tollgate_eventstream::writer;

use self::templates::{CHAT_USAGE, TEMPLATES, Template};

fuzz_target!(|data: &[u8]| {
    // Which answer, how it is written, four lengths of its pieces, and what is forged.
    let Some((&[which, how, a, b, c, d], forged)) = data.split_first_chunk() else { return };
    let template = &TEMPLATES[usize::from(which) % TEMPLATES.len()];
    let how = How(how);
    let documents = documents(template, forged, how);
    let body = framed(template, &documents, how, |_| false);
    let withholds = how.withholds() && template.dialect == Dialect::OpenAiChat;

    let mut sniffer = Sniffer::new(template.dialect, template.framing, withholds);
    let (mut out, mut rest) = (VecDeque::new(), body.clone());
    for length in [a, b, c, d].into_iter().cycle() {
        let length = if length == 0 { rest.len() } else { usize::from(length).min(rest.len()) };
        sniffer.push(rest.split_to(length), &mut out);
        if rest.is_empty() {
            break;
        }
    }
    let seen = sniffer.summary();
    out.extend(sniffer.finish());

    let end = if seen.done { End::Terminal } else { End::Eof };
    let metered = conclude(&seen, end, &Asked::default(), Reporter::Provider);
    let told = Usage { input_uncached: 5, output: 7, ..Usage::default() };
    assert_eq!(metered.outcome, Outcome::Complete, "{metered:?}");
    assert_eq!(metered.lines.len(), 1, "{metered:?}");
    assert_eq!(metered.lines[0].usage, told, "{metered:?}");
    assert!(metered.lines[0].billed_model.as_deref().is_none_or(|model| model == "m"), "{metered:?}");

    let passed: Vec<u8> = out.iter().flat_map(|piece| piece.iter().copied()).collect();
    let is_withheld =
        |document: &[u8]| withholds && template.framing == Framing::Sse && document == CHAT_USAGE.as_bytes();
    assert_eq!(passed, framed(template, &documents, how, is_withheld));
});

/// How an answer is written, a bit each.
#[derive(Clone, Copy)]
struct How(u8);

impl How {
    const fn withholds(self) -> bool {
        self.0 & 1 != 0
    }

    /// Every byte that can be is escaped as a code point.
    const fn escapes_all(self) -> bool {
        self.0 & 2 != 0
    }

    const fn line_end(self) -> &'static str {
        match self.0 & 12 {
            4 => "\r\n",
            8 => "\r",
            _ => "\n",
        }
    }

    const fn comments(self) -> bool {
        self.0 & 16 != 0
    }
}

type Documents = Vec<(&'static str, Vec<u8>)>;

/// The documents with forged strings in all their places: the pieces between bytes that no UTF-8 has, in turn.
fn documents(template: &Template, forged: &[u8], how: How) -> Documents {
    let mut pieces = forged.split(|byte| *byte == 0xff).cycle();
    let write = |(kind, text): &(&'static str, &'static str)| {
        let mut written = Vec::new();
        for (number, part) in text.split('@').enumerate() {
            if number > 0 {
                quote(pieces.next().unwrap_or_default(), how, &mut written);
            }
            written.extend_from_slice(part.as_bytes());
        }
        (*kind, written)
    };
    template.documents.iter().map(write).collect()
}

/// A JSON string. What is no UTF-8 stays as it is: some servers cut a text within a character.
fn quote(bytes: &[u8], how: How, into: &mut Vec<u8>) {
    into.push(b'"');
    for byte in bytes {
        match byte {
            0..0x20 => into.extend(format!("\\u{byte:04x}").bytes()),
            0x20..0x80 if how.escapes_all() => into.extend(format!("\\u{byte:04X}").bytes()),
            b'"' | b'\\' => into.extend([b'\\', *byte]),
            _ => into.push(*byte),
        }
    }
    into.push(b'"');
}

/// The whole body; documents that are left out leave the comments before them.
fn framed(template: &Template, documents: &Documents, how: How, is_left_out: impl Fn(&[u8]) -> bool) -> Bytes {
    let end = how.line_end();
    let mut body = Vec::new();
    for (number, (kind, document)) in documents.iter().enumerate() {
        match template.framing {
            Framing::Sse => {
                if how.comments() {
                    body.extend(format!(": keep-alive{end}{end}").bytes());
                }
                if is_left_out(document) {
                    continue;
                }
                body.extend(b"data: ");
                body.extend(document);
                body.extend(format!("{end}{end}").bytes());
            }
            Framing::Ndjson => {
                body.extend(document);
                body.push(b'\n');
            }
            Framing::JsonArray => {
                body.extend(if number == 0 { b"[" } else { b"," });
                body.extend(document);
            }
            // One that is too long for a frame is left out; what is forged is never that long.
            Framing::EventStream => body.extend(writer::event(kind, document).unwrap_or_default()),
            Framing::Json | Framing::Opaque => body.extend(document),
        }
    }
    if template.framing == Framing::JsonArray {
        body.push(b']');
    }
    body.into()
}
