//! Turns one scripted answer into stream events, made one at a time so that a waiting stream holds no text.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use crate::{
    answer::{self, CREATED, Endpoint, Turn},
    script::Fault,
};

/// One thing to do with the connection.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send these bytes, which carry so many content chunks and, perhaps, the final usage.
    Send { bytes: Bytes, chunks: u64, usage: bool },
    /// Wait.
    Wait(Duration),
    /// Send nothing more, keep the connection.
    Stall,
    /// Close the connection within the body.
    Cut,
}

/// What comes next in a healthy stream.
#[derive(Debug, Clone, Copy)]
enum Next {
    Role,
    Content(u64),
    Finish,
    Usage,
    Done,
    Over,
}

/// The events of one stream, in order; it ends where the body ends.
#[derive(Debug)]
pub(crate) struct Events {
    turn: Turn,
    usage: Option<String>,
    next: Next,
    ready: VecDeque<Step>,
    head: String,
    eol: &'static str,
}

impl Events {
    pub(crate) fn new(turn: Turn) -> Self {
        let object = if turn.endpoint == Endpoint::Chat { "chat.completion.chunk" } else { "text_completion" };
        let (id, model) = (answer::quoted(&turn.id), answer::quoted(&turn.model));
        Self {
            head: format!(r#"data: {{"id":{id},"object":"{object}","created":{CREATED},"model":{model}"#),
            eol: if turn.script.crlf == Some(true) { "\r\n" } else { "\n" },
            usage: turn.usage_told(),
            next: if turn.endpoint == Endpoint::Chat { Next::Role } else { Next::Content(0) },
            ready: VecDeque::new(),
            turn,
        }
    }

    fn content(&mut self, index: u64) {
        if index == self.turn.fault_at() && self.fault() {
            return;
        }
        if index == self.turn.chunks {
            self.next = Next::Finish;
            return self.advance();
        }
        if index > 0 {
            let gap_ms = self.turn.script.gap_ms.unwrap_or(0);
            if gap_ms > 0 {
                self.ready.push_back(Step::Wait(Duration::from_millis(gap_ms)));
            }
        }
        if self.turn.script.comments == Some(true) {
            self.send(format!(": keep-alive{0}{0}", self.eol), 0, false);
        }
        let text = answer::quoted(&self.turn.text(index));
        let choice = match (self.turn.endpoint, &self.turn.script.tool_call) {
            (Endpoint::Chat, Some(call)) => {
                let named = format!(
                    r#""id":"call_fake","type":"function","function":{{"name":{},"#,
                    answer::quoted(&call.name)
                );
                let head = if index == 0 { &named } else { r#""function":{"# };
                let part = answer::quoted(&self.turn.arguments(call, index));
                format!(
                    r#"{{"index":0,"delta":{{"tool_calls":[{{"index":0,{head}"arguments":{part}}}}}]}},"logprobs":null,"finish_reason":null}}"#
                )
            }
            (Endpoint::Chat, None) => {
                format!(r#"{{"index":0,"delta":{{"content":{text}}},"logprobs":null,"finish_reason":null}}"#)
            }
            _ => format!(r#"{{"text":{text},"index":0,"logprobs":null,"finish_reason":null}}"#),
        };
        let counting = if self.usage.is_some() { self.turn.usage_on_chunk(index) } else { None };
        let event = self.event(&choice, counting.as_deref());
        self.send(event, 1, false);
        self.next = Next::Content(index + 1);
    }

    /// Plays the scripted fault; false when there is none that ends a stream.
    fn fault(&mut self) -> bool {
        match self.turn.script.fault() {
            Some(Fault::Stall) => self.ready.push_back(Step::Stall),
            Some(Fault::Cut) => self.ready.push_back(Step::Cut),
            Some(Fault::CleanCut) => {}
            Some(Fault::ErrorMidStream) => {
                let error = answer::error_for(500, self.turn.script.code.as_deref());
                let event = format!("data: {}{1}{1}", String::from_utf8_lossy(&error), self.eol);
                self.send(event, 0, false);
            }
            _ => return false,
        }
        self.next = Next::Over;
        true
    }

    fn finish(&mut self) {
        let reason = answer::quoted(&self.turn.finish_reason);
        let choice = match self.turn.endpoint {
            Endpoint::Chat => format!(r#"{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":{reason}}}"#),
            _ => format!(r#"{{"text":"","index":0,"logprobs":null,"finish_reason":{reason}}}"#),
        };
        let here = self.turn.script.usage_twice == Some(true) || !self.turn.include_usage;
        let usage = if here { self.usage.clone() } else { None };
        let event = self.event(&choice, usage.as_deref());
        self.send(event, 0, usage.is_some());
        self.next = Next::Usage;
    }

    fn usage(&mut self) {
        self.next = Next::Done;
        match self.usage.clone() {
            Some(usage) if self.turn.include_usage => {
                let event = self.event("", Some(&usage));
                self.send(event, 0, true);
            }
            _ => self.advance(),
        }
    }

    fn advance(&mut self) {
        match self.next {
            Next::Role => {
                let choice = r#"{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}"#;
                let event = self.event(choice, None);
                self.send(event, 0, false);
                self.next = Next::Content(0);
            }
            Next::Content(index) => self.content(index),
            Next::Finish => self.finish(),
            Next::Usage => self.usage(),
            Next::Done => {
                self.send(format!("data: [DONE]{0}{0}", self.eol), 0, false);
                self.next = Next::Over;
            }
            Next::Over => {}
        }
    }

    /// A chunk says `usage: null` when usage was asked for and this is not where it stands.
    fn event(&self, choice: &str, usage: Option<&str>) -> String {
        let usage = match usage {
            Some(usage) => format!(r#","usage":{usage}"#),
            None if self.turn.include_usage => r#","usage":null"#.to_owned(),
            None => String::new(),
        };
        format!(r#"{},"choices":[{choice}]{usage}}}{eol}{eol}"#, self.head, eol = self.eol)
    }

    fn send(&mut self, text: String, chunks: u64, usage: bool) {
        self.ready.push_back(Step::Send { bytes: text.into(), chunks, usage });
    }
}

impl Iterator for Events {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.ready.is_empty() {
            self.advance();
        }
        self.ready.pop_front()
    }
}
