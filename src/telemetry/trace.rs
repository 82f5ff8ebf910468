//! Which requests are traced, and the spans that they leave. A request that is not sampled costs the decision and nothing else.
//!
//! A span has ids, times, numbers, names of the configuration and words of fixed lists: no prompt, no answer, no secret.

use std::{borrow::Cow, sync::Arc};

use http::HeaderMap;
use tokio::sync::mpsc;

use super::{context::Parent, outlet::Outlets};

/// Spans that wait for the collector at most; beyond, they are given up and counted.
pub const QUEUE_SPANS_MAX: usize = 4096;
/// Random bits of a trace id that decide, its last seven bytes, as the standard's level 2 asks.
const DECIDING_BITS: u32 = 56;

/// A span that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span.
    pub span_id: [u8; 8],
    /// What it is part of.
    pub parent_id: Option<[u8; 8]>,
    /// `tracestate`
    pub state: String,
    /// True for a request of a client, false for an attempt at an upstream.
    pub is_server: bool,
    /// What was done.
    pub name: String,
    /// Microseconds since 1970 UTC.
    pub began_us: i64,
    /// Microseconds since 1970 UTC.
    pub ended_us: i64,
    /// Facts.
    pub attributes: Vec<(&'static str, Value)>,
    /// It failed.
    pub is_error: bool,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(Cow<'static, str>),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Yes or no.
    Flag(bool),
    /// A list of one text.
    Listed(&'static str),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

/// A place in a trace that is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The request's span.
    pub span_id: [u8; 8],
    /// The client's span.
    pub parent_id: Option<[u8; 8]>,
    /// `tracestate`
    pub state: String,
}

/// Decides which requests are traced, and takes their spans.
#[derive(Debug)]
pub struct Tracer {
    /// A trace that begins here is recorded when its deciding bits are below this.
    threshold: u64,
    spans: mpsc::Sender<Span>,
    outlets: Arc<Outlets>,
}

impl Tracer {
    /// A tracer of this share of the traces that begin here, and the end from which its spans are to be taken.
    #[must_use]
    pub fn new(sample_ratio: f64, outlets: Arc<Outlets>) -> (Self, mpsc::Receiver<Span>) {
        let (spans, receiver) = mpsc::channel(QUEUE_SPANS_MAX);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 2^56")]
        let threshold = (sample_ratio.clamp(0.0, 1.0) * (1_u64 << DECIDING_BITS) as f64) as u64;
        (Self { threshold, spans, outlets }, receiver)
    }

    /// The place of a request, if it is to be recorded: when its client records its own part, or, for a trace that begins here,
    /// by the share. A trace that begins here has the request's id, so that it can be found by it.
    #[must_use]
    pub fn begin(&self, request_id: &[u8; 16], headers: &HeaderMap) -> Option<Place> {
        let [_, _, _, _, _, _, _, _, span_id @ ..] = *request_id;
        match Parent::read(headers) {
            Some(parent) if !parent.is_sampled => None,
            Some(parent) => {
                Some(Place { trace_id: parent.trace_id, span_id, parent_id: Some(parent.span_id), state: parent.state })
            }
            None => {
                let deciding = u64::from_be_bytes(span_id) & ((1 << DECIDING_BITS) - 1);
                let place = Place { trace_id: *request_id, span_id, parent_id: None, state: String::new() };
                (deciding < self.threshold).then_some(place)
            }
        }
    }

    /// Takes a span, or gives it up and counts it when too many wait. Never waits.
    pub fn ended(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.outlets.traces.dropped(1);
        }
    }
}

impl Place {
    /// The span of an attempt of the request, counted from 0.
    #[must_use]
    pub fn attempt_span_id(&self, attempt: u16) -> [u8; 8] {
        // The request's own is random; each attempt's differs from it in the last bits.
        (u64::from_be_bytes(self.span_id) ^ (u64::from(attempt) + 1)).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::telemetry::context::TRACEPARENT;

    fn id(low: u64) -> [u8; 16] {
        let mut id = [7; 16];
        id[8..].copy_from_slice(&low.to_be_bytes());
        id
    }

    #[test]
    fn the_share_decides_by_the_last_bits_of_the_trace_id() {
        let none = HeaderMap::new();
        let half = Tracer::new(0.5, Arc::default()).0;
        assert!(half.begin(&id(0), &none).is_some());
        assert!(half.begin(&id(0xff7f_ffff_ffff_ffff), &none).is_some(), "the first byte has no say");
        assert!(half.begin(&id(0x0080_0000_0000_0000), &none).is_none());
        let all = Tracer::new(1.0, Arc::default()).0;
        assert!(all.begin(&id(u64::MAX), &none).is_some());
        let nobody = Tracer::new(0.0, Arc::default()).0;
        assert!(nobody.begin(&id(0), &none).is_none());
    }

    #[test]
    fn a_client_that_records_is_followed_and_one_that_does_not_is_left_alone() {
        let nobody = Tracer::new(0.0, Arc::default()).0;
        let mut headers = HeaderMap::new();
        let value = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        headers.insert(TRACEPARENT, HeaderValue::from_static(value));
        let place = nobody.begin(&id(1), &headers).unwrap();
        assert_eq!((place.trace_id[0], place.parent_id.unwrap()[0]), (0x0a, 0xb7));
        assert_ne!(place.attempt_span_id(0), place.span_id);
        assert_ne!(place.attempt_span_id(0), place.attempt_span_id(1));
        let all = Tracer::new(1.0, Arc::default()).0;
        let value = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        headers.insert(TRACEPARENT, HeaderValue::from_static(value));
        assert!(all.begin(&id(1), &headers).is_none());
    }

    #[test]
    fn a_full_queue_gives_spans_up_and_counts_them() {
        let outlets = Arc::<Outlets>::default();
        let (tracer, _receiver) = Tracer::new(1.0, Arc::clone(&outlets));
        let span = Span {
            trace_id: [1; 16],
            span_id: [1; 8],
            parent_id: None,
            state: String::new(),
            is_server: true,
            name: String::new(),
            began_us: 0,
            ended_us: 0,
            attributes: Vec::new(),
            is_error: false,
        };
        for _ in 0..QUEUE_SPANS_MAX + 3 {
            tracer.ended(span.clone());
        }
        assert_eq!(outlets.traces.counts(), (0, 3));
    }
}
