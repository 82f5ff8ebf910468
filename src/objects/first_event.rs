//! A response's body that waits at its first event, or at its beginning, until the id in it is bound to its customer.
//!
//! Only the beginning is looked into: when the id is found, or is not where it belongs, all else passes as it comes.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::binder::Binder;
use crate::store::objects::ObjectRow;

/// The id must stand within so many bytes.
const LOOKED_INTO_MAX: usize = 64 * 1024;
/// Longest id.
const ID_BYTES_MAX: usize = 256;
/// A client waits so long for the store; then the id is told first and bound a moment later.
const BIND_MAX: Duration = Duration::from_millis(250);

/// The body.
pub(super) struct Named {
    inner: Body,
    held: VecDeque<Frame<Bytes>>,
    state: State,
}

enum State {
    Looking { row: Box<ObjectRow>, binder: Binder, seen: BytesMut },
    Binding(Pin<Box<dyn Future<Output = ()> + Send>>),
    Passing,
}

impl Named {
    /// A body whose response is written down as `row` when its id is known.
    pub(super) fn new(inner: Body, row: ObjectRow, binder: Binder) -> Self {
        let state = State::Looking { row: Box::new(row), binder, seen: BytesMut::new() };
        Self { inner, held: VecDeque::new(), state }
    }

    /// Looks for the id in what came so far.
    fn look(&mut self, is_end: bool) {
        let State::Looking { seen, .. } = &mut self.state else { return };
        let id = match self.held.back().and_then(Frame::data_ref) {
            // As a rule it is there at once: nothing is copied.
            Some(first) if seen.is_empty() && self.held.len() == 1 => {
                let id = id_within(first);
                if id.is_none() {
                    keep(seen, first);
                }
                id
            }
            Some(next) => {
                keep(seen, next);
                id_within(seen)
            }
            None => None,
        };
        let is_over = is_end || seen.len() >= LOOKED_INTO_MAX;
        if id.is_none() && !is_over {
            return;
        }
        let State::Looking { mut row, binder, .. } = std::mem::replace(&mut self.state, State::Passing) else { return };
        if let Some(id) = id {
            row.upstream_id = Some(id);
            let bound = binder.bind(*row);
            self.state = State::Binding(Box::pin(async move {
                // Out of time, the id is told before it is bound.
                let _in_time = tokio::time::timeout(BIND_MAX, bound).await;
            }));
        }
    }
}

impl HttpBody for Named {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let body = &mut *self;
        loop {
            match &mut body.state {
                State::Passing => {
                    if let Some(frame) = body.held.pop_front() {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    return Pin::new(&mut body.inner).poll_frame(cx);
                }
                State::Binding(waiting) => {
                    ready!(waiting.as_mut().poll(cx));
                    body.state = State::Passing;
                }
                State::Looking { .. } => match ready!(Pin::new(&mut body.inner).poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        body.held.push_back(frame);
                        let is_end = body.inner.is_end_stream();
                        body.look(is_end);
                    }
                    Some(Err(error)) => {
                        // What was held belongs to an answer that is broken; its error is what is left of it.
                        body.state = State::Passing;
                        body.held.clear();
                        return Poll::Ready(Some(Err(error)));
                    }
                    None => body.look(true),
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Passing) && self.held.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.held.is_empty() { self.inner.size_hint() } else { SizeHint::default() }
    }
}

/// Keeps the beginning.
fn keep(seen: &mut BytesMut, bytes: &[u8]) {
    let room = LOOKED_INTO_MAX.saturating_sub(seen.len());
    seen.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
}

/// The id of the response that begins with these bytes: of a JSON document, or of the first event that tells one.
fn id_within(bytes: &[u8]) -> Option<String> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace())?;
    if *first == b'{' {
        return id_of(bytes);
    }
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"data:"));
    lines.into_iter().find_map(id_of)
}

/// The `id` of an object, or of the `response` in it, as far as it has come.
fn id_of(json: &[u8]) -> Option<String> {
    let mut found = None;
    // It ends where the id was found, or where the bytes end.
    let _ended =
        serde_json::Deserializer::from_slice(json).deserialize_map(Search { found: &mut found, is_inner: false });
    found.filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX)
}

struct Search<'a> {
    found: &'a mut Option<String>,
    is_inner: bool,
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "id" => {
                    *self.found = Some(map.next_value::<String>()?);
                    return Err(serde::de::Error::custom("found"));
                }
                "response" if !self.is_inner => {
                    map.next_value_seed(Search { found: &mut *self.found, is_inner: true })?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

impl<'de> serde::de::DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_responses_own_wherever_the_bytes_end() {
        let whole = r#"{"object":"response","metadata":{"id":"forged"},"tools":[{"id":"forged"}],"id":"resp_1","x":1}"#;
        assert_eq!(id_within(whole.as_bytes()).as_deref(), Some("resp_1"));
        let stream = format!(
            "event: response.created\ndata: {{\"type\":\"response.created\",\"item\":{{\"id\":\"forged\"}},\"response\":{whole}}}\n\n"
        );
        assert_eq!(id_within(stream.as_bytes()).as_deref(), Some("resp_1"));
        for text in [whole, stream.as_str()] {
            let end = text.find("resp_1").unwrap() + "resp_1\"".len();
            for at in 0..text.len() {
                let expected = (at >= end).then_some("resp_1");
                assert_eq!(id_within(&text.as_bytes()[..at]).as_deref(), expected, "{at}");
            }
        }
        for text in ["", "[]", "data: [DONE]\n\n", r#"{"id":7}"#, r#"{"response":"id"}"#, ": comment\n\n"] {
            assert_eq!(id_within(text.as_bytes()), None, "{text}");
        }
    }
}
