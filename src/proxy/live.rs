//! An answer under way: its upstream, its attempt, and its place among its key's requests.

use std::{
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::Body;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::{
    Proxy,
    attempt::{Attempt, Ended},
    drain::Drain,
    worker::WorkerCall,
};
use crate::{
    admission::gate::Admitted,
    failpoint::{self, Point},
    journal::attempt::EndReceipt,
    metering::{Asked, End, Metered, Reporter, conclude, conclude_left},
    routing::DrainPolicy,
    upstream::{body::UpstreamBody, sniff::Sniffed},
};

/// The last bytes wait so long for their entry to be durable, then leave without it (OPENED is durable), counted.
const WITHHOLD_MAX: Duration = Duration::from_secs(2);
/// After its terminal event an upstream gets so long to end its body, so that the connection can be used again.
const TAIL_MAX: Duration = Duration::from_secs(5);

/// The upstream's body broke off or fell silent.
#[derive(Debug)]
pub(super) struct CutOff;

/// What an answer is made of.
pub(super) struct Live {
    pub(super) proxy: Arc<Proxy>,
    pub(super) attempt: Option<Attempt>,
    pub(super) admitted: Option<Admitted>,
    pub(super) upstream: Option<UpstreamBody>,
    pub(super) status: u16,
    pub(super) asked: Asked,
    pub(super) drain: DrainPolicy,
    /// The client has left, and this is being read on for it.
    pub(super) draining: Option<Drain>,
    /// The client has left, and the upstream was left before its end.
    pub(super) is_left: bool,
    /// The request at its worker, when one of ours serves.
    pub(super) worker: Option<WorkerCall>,
    pub(super) silence: Silence,
}

/// Wakes a reader whose upstream has been silent for too long; re-armed only when it fires, not at each chunk.
pub(super) struct Silence {
    limit: Duration,
    heard_at: Instant,
    alarm: std::pin::Pin<Box<Sleep>>,
}

impl Silence {
    pub(super) fn new(limit: Duration) -> Self {
        let alarm = Box::pin(sleep(limit));
        Self { limit, heard_at: alarm.deadline() - limit, alarm }
    }

    fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            let due = self.heard_at + self.limit;
            if due <= self.alarm.deadline() {
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(due);
        }
    }
}

impl Live {
    /// The next bytes of the upstream; none at its proper end.
    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, CutOff>>> {
        let Some(upstream) = self.upstream.as_mut() else { return Poll::Ready(None) };
        loop {
            match std::pin::Pin::new(&mut *upstream).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers carry nothing that this dialect knows.
                    if let Ok(chunk) = frame.into_data() {
                        self.silence.heard(now());
                        if let Some(attempt) = &mut self.attempt {
                            attempt.first_byte();
                        }
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::warn!(%error, "an upstream's answer was cut off");
                    self.upstream = None;
                    return Poll::Ready(Some(Err(CutOff)));
                }
                Poll::Ready(None) => {
                    self.upstream = None;
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    ready!(self.silence.poll(cx));
                    tracing::warn!("an upstream fell silent inside its answer");
                    self.upstream = None;
                    return Poll::Ready(Some(Err(CutOff)));
                }
            }
        }
    }

    /// As [`Self::poll_chunk`].
    pub(super) async fn next_chunk(&mut self) -> Option<Result<Bytes, CutOff>> {
        std::future::poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Ends the attempt with what was seen and settles the key's tokens. None when it was ended before.
    pub(super) fn end(&mut self, seen: &Sniffed, end: End) -> Option<Ended> {
        self.end_told(seen, end, None)
    }

    /// As [`Self::end`], with the usage of a worker's final record when there is one.
    pub(super) fn end_told(&mut self, seen: &Sniffed, end: End, record: Option<String>) -> Option<Ended> {
        let reporter = self.reporter();
        let metered = if self.is_left && reporter == Reporter::Provider {
            conclude_left(seen, end, &self.asked)
        } else {
            conclude(seen, end, &self.asked, reporter)
        };
        self.end_as(match record {
            Some(usage_raw) => metered.told_by_record(usage_raw),
            None => metered,
        })
    }

    /// Ends the request at a provider, whose connection is closed: nobody waits for it, and nobody reads on.
    pub(super) fn leave_upstream(&mut self) {
        self.upstream = None;
        self.is_left = true;
    }

    /// How an answer ends that nobody waits for.
    pub(super) fn end_without_client(&self) -> End {
        if self.proxy.is_stopping() { End::Shutdown } else { End::ClientLeft }
    }

    /// Whose words the answer is.
    pub(super) const fn reporter(&self) -> Reporter {
        if self.worker.is_some() { Reporter::Worker } else { Reporter::Provider }
    }

    /// As [`Self::end`], with a conclusion of the caller's.
    pub(super) fn end_as(&mut self, metered: Metered) -> Option<Ended> {
        let ended = self.attempt.take()?.end(metered, Some(self.status));
        if let (Some(admitted), Some(ended)) = (self.admitted.take(), &ended) {
            admitted.settle(ended.tokens);
        }
        ended
    }

    /// Lets the upstream's body come to its end in the background, so that its connection can be used again.
    pub(super) fn finish_upstream(&mut self) {
        let Some(mut upstream) = self.upstream.take() else { return };
        if upstream.is_end_stream() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let rest =
                    async { while let Some(Ok(_frame)) = http_body_util::BodyExt::frame(&mut upstream).await {} };
                // An upstream that does not end loses its connection, nothing else.
                let _elapsed = timeout(TAIL_MAX, rest).await;
            });
        }
    }
}

/// Waits until an entry is durable, or counts that it took too long.
pub(super) async fn durable_in_time(receipt: EndReceipt, proxy: &Proxy) {
    match timeout(WITHHOLD_MAX, receipt).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            proxy.counters.released_before_durable.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "an entry could not be made durable; recovery will resolve it from its OPENED record");
        }
        Err(_elapsed) => {
            proxy.counters.released_before_durable.fetch_add(1, Ordering::Relaxed);
            tracing::error!("an entry was not durable within two seconds; its answer was not held back longer");
        }
    }
    failpoint::pass(Point::BeforeLastBytes);
}

/// The runtime's clock, which `tokio::time` pauses and advances in tests.
fn now() -> Instant {
    Instant::now()
}
