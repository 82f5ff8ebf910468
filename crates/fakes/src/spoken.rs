//! Turns one scripted answer of a dialect beside OpenAI's first ones into stream steps, made one at a time.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use crate::{
    answer::Turn,
    dialect::{self, Doc, Framing},
    script::Fault,
    stream::Step,
};

/// What comes next in a healthy stream.
#[derive(Debug, Clone, Copy)]
enum Next {
    Open,
    Content(u64),
    Close,
    Over,
}

/// The steps of one stream, in order; it ends where the body ends.
#[derive(Debug)]
pub(crate) struct Spoken {
    turn: Turn,
    framing: Framing,
    written: u64,
    next: Next,
    ready: VecDeque<Step>,
    eol: &'static str,
}

impl Spoken {
    pub(crate) fn new(turn: Turn) -> Self {
        let eol = if turn.script.crlf == Some(true) { "\r\n" } else { "\n" };
        Self { framing: dialect::framing(&turn), turn, written: 0, next: Next::Open, ready: VecDeque::new(), eol }
    }

    fn send(&mut self, doc: &Doc, chunks: u64) {
        let bytes = self.framing.write(doc, self.written, self.eol);
        self.written += 1;
        self.ready.push_back(Step::Send { bytes, chunks, usage: doc.usage });
    }

    fn content(&mut self, index: u64) {
        if index == self.turn.fault_at() && self.fault() {
            return;
        }
        if index == self.turn.chunks {
            self.next = Next::Close;
            return;
        }
        let gap_ms = self.turn.script.gap_ms.unwrap_or(0);
        if index > 0 && gap_ms > 0 {
            self.ready.push_back(Step::Wait(Duration::from_millis(gap_ms)));
        }
        if self.turn.script.comments == Some(true) && self.framing == Framing::Sse {
            let comment = format!(": keep-alive{0}{0}", self.eol);
            self.ready.push_back(Step::Send { bytes: comment.into(), chunks: 0, usage: false });
        }
        let doc = dialect::content(&self.turn, index);
        self.send(&doc, 1);
        if index == self.turn.fault_at() && self.turn.script.fault() == Some(Fault::Damage) {
            self.damage();
        }
        self.next = Next::Content(index + 1);
    }

    /// Flips a bit of the payload of what is sent next.
    fn damage(&mut self) {
        if let Some(Step::Send { bytes, .. }) = self.ready.back_mut() {
            let mut damaged = bytes.to_vec();
            // Before it stand the payload's end and a checksum of four bytes.
            if let Some(byte) = damaged.iter_mut().rev().nth(8) {
                *byte ^= 1;
            }
            *bytes = damaged.into();
        }
    }

    /// Plays the scripted fault; false when there is none that ends a stream.
    fn fault(&mut self) -> bool {
        match self.turn.script.fault() {
            Some(Fault::Stall) => self.ready.push_back(Step::Stall),
            Some(Fault::Cut) => self.ready.push_back(Step::Cut),
            Some(Fault::CleanCut) => {}
            Some(Fault::ErrorMidStream) => {
                let doc = dialect::broken(&self.turn);
                self.send(&doc, 0);
            }
            _ => return false,
        }
        self.next = Next::Over;
        true
    }

    fn close(&mut self) {
        for doc in dialect::close(&self.turn) {
            self.send(&doc, 0);
        }
        let end = self.framing.end();
        if !end.is_empty() {
            self.ready.push_back(Step::Send { bytes: Bytes::from_static(end.as_bytes()), chunks: 0, usage: false });
        }
        self.next = Next::Over;
    }

    fn open(&mut self) {
        for doc in dialect::open(&self.turn) {
            self.send(&doc, 0);
        }
        self.next = Next::Content(0);
    }
}

impl Iterator for Spoken {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        while self.ready.is_empty() {
            match self.next {
                Next::Open => self.open(),
                Next::Content(index) => self.content(index),
                Next::Close => self.close(),
                Next::Over => return None,
            }
        }
        self.ready.pop_front()
    }
}
