//! A response body that passes an upstream's bytes on as they come and sees to it that their entry is written.
//!
//! Withheld is only the end: the terminal event, or what tells that the stream broke, waits until ENDED is durable.
//! Dropped early (the client left), [`drain`] sees to the rest.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::{
    attempt::Counted,
    drain,
    live::{CutOff, Live, durable_in_time},
    worker::Asking,
};
use crate::{
    metering::{End, Reporter, SoFar, used_so_far},
    upstream::{
        sniff::{Sniffed, Sniffer},
        worker::worker_time,
    },
};

/// The body of a streamed answer.
pub(super) struct MeteredBody {
    state: State,
    ready: VecDeque<Bytes>,
}

enum State {
    Passing {
        live: Box<Live>,
        sniffer: Box<Sniffer>,
    },
    /// A worker broke off; it is asked what was used.
    Asking {
        live: Box<Live>,
        sniffer: Box<Sniffer>,
        seen: Box<Sniffed>,
        end: End,
        asking: Asking,
    },
    /// The entry is submitted; `held` leaves when it is durable.
    Closing {
        durable: Pin<Box<dyn Future<Output = ()> + Send>>,
        held: Option<Bytes>,
        break_off: bool,
    },
    Ended,
}

impl MeteredBody {
    /// Passes on the documents of a stream as they come.
    pub(super) fn stream(live: Box<Live>, sniffer: Box<Sniffer>) -> Self {
        Self { state: State::Passing { live, sniffer }, ready: VecDeque::new() }
    }

    /// Passes on a body that is too large to hold; `read` was read already and `sniffer` has seen it.
    pub(super) fn large(live: Box<Live>, sniffer: Box<Sniffer>, read: Bytes) -> Self {
        Self { state: State::Passing { live, sniffer }, ready: VecDeque::from([read]) }
    }

    /// Nothing more comes from the upstream. The attempt ends, unless a worker is to be asked how it did.
    fn upstream_ended(&mut self, end: End) {
        let State::Passing { mut live, sniffer } = std::mem::replace(&mut self.state, State::Ended) else { return };
        let seen = sniffer.summary();
        let asking = if seen.says_its_end() { None } else { live.ask_how_it_ended() };
        match asking {
            None => self.close(live, sniffer, &seen, end, None),
            Some(asking) => self.state = State::Asking { live, sniffer, seen: Box::new(seen), end, asking },
        }
    }

    /// Ends the attempt and goes on to [`State::Closing`].
    fn close(
        &mut self,
        mut live: Box<Live>,
        mut sniffer: Box<Sniffer>,
        seen: &Sniffed,
        end: End,
        record: Option<String>,
    ) {
        let is_whole = match end {
            End::Terminal => !seen.damaged,
            End::Eof => !seen.damaged && (seen.says_its_end() || !seen.framing.is_stream()),
            End::Cut | End::ClientLeft | End::Shutdown => false,
        };
        let held = if is_whole { sniffer.finish() } else { sniffer.finish_broken() };
        let break_off = !is_whole && held.is_none();
        live.finish_upstream();
        let ended = live.end_told(seen, end, record);
        let proxy = Arc::clone(&live.proxy);
        let durable = Box::pin(async move {
            if let Some(ended) = ended {
                durable_in_time(ended.receipt, &proxy).await;
            }
        });
        self.state = State::Closing { durable, held, break_off };
    }
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
                        body.upstream_ended(End::Terminal);
                        continue;
                    }
                    match ready!(live.poll_chunk(cx)) {
                        Some(Ok(chunk)) => {
                            sniffer.push(chunk, &mut body.ready);
                            progress(live, sniffer);
                        }
                        Some(Err(CutOff)) => body.upstream_ended(End::Cut),
                        None => body.upstream_ended(End::Eof),
                    }
                }
                State::Asking { asking, .. } => {
                    let record = ready!(asking.as_mut().poll(cx));
                    let State::Asking { live, sniffer, seen, end, .. } =
                        std::mem::replace(&mut body.state, State::Ended)
                    else {
                        continue;
                    };
                    body.close(live, sniffer, &seen, end, record);
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

/// Writes what was counted so far, now and then.
pub(super) fn progress(live: &mut Live, sniffer: &Sniffer) {
    let now = live.proxy.clock.monotonic();
    let reporter = live.reporter();
    if let Some(attempt) = &mut live.attempt {
        attempt.progress(now, || {
            let seen = sniffer.summary();
            let raw = seen.usage_raw.as_deref();
            let worker = raw.filter(|_| reporter == Reporter::Worker).and_then(worker_time);
            let SoFar { usage: reported, context, counters, billed_model } = used_so_far(&seen);
            Counted { reported, worker, delivered_bytes: seen.output_bytes(), context, counters, billed_model }
        });
    }
}

/// The client left before the end.
impl Drop for MeteredBody {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Passing { live, sniffer } => drain::left(live, sniffer),
            State::Asking { mut live, seen, end, asking, .. } => {
                if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                    // Bounded: the worker is not waited for long.
                    runtime.spawn(async move { drop(live.end_told(&seen, end, asking.await)) });
                }
            }
            State::Closing { .. } | State::Ended => {}
        }
    }
}
