//! A response body that passes an upstream's bytes on as they come and sees to it that their entry is written.
//!
//! Withheld is only the end: the terminal event, or what tells that the stream broke, waits until ENDED is durable.
//! Dropped early (the client left), the rest is read on in the background within bounds.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::timeout;

use super::{
    detach::DetachOnDrop,
    live::{CutOff, Live, durable_in_time},
    worker_request::WorkerRequest,
};
use crate::{
    metering::End,
    routing::DrainPolicy,
    upstream::{
        sniff::{JsonSniffer, Sniffed, SseSniffer},
        usage::{map_usage, worker_time},
    },
};

/// What a client of the OpenAI dialect is told when its stream broke off. No `[DONE]` follows.
const BROKEN_EVENT: &str = "data: {\"error\":{\"message\":\"The upstream ended the stream early: this is not the whole answer.\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_truncated\"}}\n\n";

/// The body of a streamed answer.
pub(super) struct MeteredBody {
    state: State,
    ready: VecDeque<Bytes>,
}

/// Resolves when an entry is durable.
type Durable = Pin<Box<dyn Future<Output = ()> + Send>>;

enum State {
    Passing {
        live: Box<Live>,
        sniffer: Sniffer,
    },
    /// The entry is submitted; `held` leaves when it is durable.
    Closing {
        durable: Durable,
        held: Option<Bytes>,
        break_off: bool,
    },
    Ended,
}

enum Sniffer {
    Events(Box<SseSniffer>),
    Json(Box<JsonSniffer>),
}

impl Sniffer {
    fn push(&mut self, chunk: Bytes, out: &mut VecDeque<Bytes>) {
        match self {
            Self::Events(sniffer) => sniffer.push(chunk, out),
            Self::Json(sniffer) => {
                sniffer.push(&chunk);
                out.push_back(chunk);
            }
        }
    }

    fn is_done(&self) -> bool {
        matches!(self, Self::Events(sniffer) if sniffer.is_done())
    }

    fn summary(&self) -> Sniffed {
        match self {
            Self::Events(sniffer) => sniffer.summary(),
            Self::Json(sniffer) => sniffer.summary(),
        }
    }

    /// No more bytes come: what was held back of an incomplete event, or the terminal event.
    fn finish(&mut self) -> Option<Bytes> {
        match self {
            Self::Events(sniffer) => sniffer.finish(),
            Self::Json(_) => None,
        }
    }
}

/// How the body goes on after its entry is durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Close {
    Properly,
    TellBroken,
    BreakOff,
}

impl MeteredBody {
    /// Passes on server-sent events; `injected` says that usage was asked for by the gateway, not by the client.
    pub(super) fn events(live: Live, injected: bool) -> Self {
        let sniffer = Sniffer::Events(Box::new(SseSniffer::new(injected)));
        Self { state: State::Passing { live: Box::new(live), sniffer }, ready: VecDeque::new() }
    }

    /// Passes on a JSON body that is too large to hold; `begun` was read already and `sniffer` has seen it.
    pub(super) fn json(live: Live, sniffer: JsonSniffer, begun: Bytes) -> Self {
        let sniffer = Sniffer::Json(Box::new(sniffer));
        Self { state: State::Passing { live: Box::new(live), sniffer }, ready: VecDeque::from([begun]) }
    }

    /// Ends the attempt and goes on to [`State::Closing`].
    fn close(&mut self, end: End) {
        let State::Passing { mut live, mut sniffer } = std::mem::replace(&mut self.state, State::Ended) else { return };
        let seen = sniffer.summary();
        let held = sniffer.finish();
        let close = match (&sniffer, end) {
            (_, End::Terminal) => Close::Properly,
            (Sniffer::Json(_), End::Cut) => Close::BreakOff,
            (Sniffer::Json(_), _) => Close::Properly,
            (Sniffer::Events(_), End::Eof) if seen.finish.is_some() || seen.error_seen => Close::Properly,
            (Sniffer::Events(_), _) => Close::TellBroken,
        };
        let held = match close {
            Close::TellBroken => Some(broken(held)),
            _ => held,
        };
        live.finish_upstream();
        let durable = match (live.worker.clone(), end) {
            (Some(worker), End::Cut | End::Eof) => asked_of_worker(*live, worker, seen, end),
            _ => submitted(&mut live, &seen, end),
        };
        self.state = State::Closing { durable, held, break_off: close == Close::BreakOff };
    }
}

/// Submits the entry; resolves when it is durable.
fn submitted(live: &mut Live, seen: &Sniffed, end: End) -> Durable {
    let ended = live.end(seen, end);
    let proxy = Arc::clone(&live.proxy);
    Box::pin(async move {
        if let Some(ended) = ended {
            durable_in_time(ended.receipt, &proxy).await;
        }
    })
}

/// As [`submitted`], after the worker was asked what it knows of a request whose answer broke off. Goes on by itself when
/// the client leaves.
fn asked_of_worker(mut live: Live, worker: WorkerRequest, mut seen: Sniffed, end: End) -> Durable {
    Box::pin(DetachOnDrop::new(|_gone| async move {
        worker.complete(&mut seen).await;
        submitted(&mut live, &seen, end).await;
    }))
}

/// What is left of an incomplete event is ended first, so that the error is an event of its own.
fn broken(held: Option<Bytes>) -> Bytes {
    let rest = held.unwrap_or_default();
    [rest.as_ref(), b"\n\n", BROKEN_EVENT.as_bytes()].concat().into()
}

/// The upstream broke off in the middle of a body that has no way of saying so.
#[derive(Debug, thiserror::Error)]
#[error("the upstream's answer was cut off")]
pub(super) struct BrokenOff;

impl From<Infallible> for BrokenOff {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Body for MeteredBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let body = &mut *self;
        loop {
            if let Some(bytes) = body.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            match &mut body.state {
                State::Passing { live, sniffer } => {
                    if sniffer.is_done() {
                        body.close(End::Terminal);
                        continue;
                    }
                    match ready!(live.poll_chunk(cx)) {
                        Some(Ok(chunk)) => {
                            sniffer.push(chunk, &mut body.ready);
                            progress(live, sniffer);
                        }
                        Some(Err(CutOff)) => body.close(End::Cut),
                        None => body.close(End::Eof),
                    }
                }
                State::Closing { durable, held, break_off } => {
                    ready!(durable.as_mut().poll(cx));
                    let (held, break_off) = (held.take(), *break_off);
                    body.state = State::Ended;
                    if break_off {
                        return Poll::Ready(Some(Err(BrokenOff)));
                    }
                    body.ready.extend(held);
                }
                State::Ended => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ready.is_empty() && matches!(self.state, State::Ended)
    }
}

fn progress(live: &mut Live, sniffer: &Sniffer) {
    let now = live.proxy.clock.monotonic();
    if let Some(attempt) = &mut live.attempt {
        attempt.progress(now, || {
            let seen = sniffer.summary();
            let raw = seen.usage_raw.as_deref();
            let (reported, time) = (raw.and_then(|raw| map_usage(raw, &seen).usage), raw.and_then(worker_time));
            (seen, reported, time)
        });
    }
}

/// The client left before the end.
impl Drop for MeteredBody {
    fn drop(&mut self) {
        let State::Passing { mut live, sniffer } = std::mem::replace(&mut self.state, State::Ended) else { return };
        if live.proxy.is_stopping() {
            drop(live.end(&sniffer.summary(), End::Shutdown));
            return;
        }
        let (DrainPolicy::Drain(at_most) | DrainPolicy::CancelThenDrain(at_most)) = live.drain else {
            drop(live.end(&sniffer.summary(), End::ClientLeft));
            return;
        };
        let place = Arc::clone(&live.proxy.drains).try_acquire_owned();
        match (place, tokio::runtime::Handle::try_current()) {
            (Ok(place), Ok(runtime)) => {
                live.proxy.counters.drained.fetch_add(1, Ordering::Relaxed);
                runtime.spawn(async move {
                    read_on(*live, sniffer, at_most).await;
                    drop(place);
                });
            }
            _ => {
                live.proxy.counters.drain_refused.fetch_add(1, Ordering::Relaxed);
                drop(live.end(&sniffer.summary(), End::ClientLeft));
            }
        }
    }
}

/// Reads an answer that nobody waits for to its end, because its usage comes last. Bounded in time and bytes.
async fn read_on(mut live: Live, mut sniffer: Sniffer, at_most: std::time::Duration) {
    let bytes_max = live.proxy.settings.drain_bytes_max;
    let mut unread = VecDeque::new();
    let reading = async {
        if let Some(worker) = &live.worker.clone()
            && !worker.cancel().await
        {
            live.upstream = None;
            return;
        }
        let mut bytes_read: u64 = 0;
        while !sniffer.is_done() && bytes_read <= bytes_max {
            let Some(Ok(chunk)) = live.next_chunk().await else { break };
            bytes_read = bytes_read.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
            sniffer.push(chunk, &mut unread);
            unread.clear();
            progress(&mut live, &sniffer);
        }
    };
    // Whatever ended the reading, the entry says that the client had left.
    let _elapsed = timeout(at_most, reading).await;
    if sniffer.is_done() {
        live.finish_upstream();
    }
    let mut seen = sniffer.summary();
    if let (Some(worker), false) = (live.worker.clone(), sniffer.is_done()) {
        live.upstream = None;
        worker.complete(&mut seen).await;
    }
    drop(live.end(&seen, End::ClientLeft));
}
