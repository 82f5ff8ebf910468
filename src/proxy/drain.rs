//! What happens to an answer whose client has left: read to its end, because its usage comes last, or ended at once.
//!
//! Bounded in number, time and bytes. A worker of ours is told to end the request first, so nothing is computed for nobody.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

use super::{Proxy, live::Live, stream::progress};
use crate::{metering::End, routing::DrainPolicy, upstream::sniff::Sniffer};

/// Leave to read on for one client that has left, and its bounds.
pub(super) struct Drain {
    until: Instant,
    /// None: too many came.
    bytes_left: Option<u64>,
    _place: OwnedSemaphorePermit,
}

impl Drain {
    /// One of a bounded number, for at most so long; counted, as is that there is none.
    fn begin(proxy: &Proxy, at_most: Duration) -> Option<Self> {
        let Ok(place) = Arc::clone(&proxy.drains).try_acquire_owned() else {
            proxy.counters.drain_refused.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        proxy.counters.drained.fetch_add(1, Ordering::Relaxed);
        Some(Self { until: Instant::now() + at_most, bytes_left: Some(proxy.settings.drain_bytes_max), _place: place })
    }

    /// What a provider's policy says now that the client has left; none: the request ends at once.
    pub(super) fn of_provider(proxy: &Proxy, policy: DrainPolicy) -> Option<Self> {
        match policy {
            DrainPolicy::Drain(at_most) if !proxy.is_stopping() => Self::begin(proxy, at_most),
            DrainPolicy::Drain(_) | DrainPolicy::Cancel | DrainPolicy::CancelThenDrain(_) => None,
        }
    }

    /// What comes within the bounds; none when they are reached.
    pub(super) async fn within<T>(&self, coming: impl Future<Output = T>) -> Option<T> {
        self.bytes_left?;
        timeout_at(self.until, coming).await.ok()
    }

    /// These bytes were read.
    pub(super) fn took(&mut self, chunk: &Bytes) {
        let len = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.bytes_left = self.bytes_left.and_then(|left| left.checked_sub(len));
    }
}

/// The client of an answer under way has left, or the gateway cut it off.
pub(super) fn left(mut live: Box<Live>, sniffer: Box<Sniffer>) {
    let end = live.end_without_client();
    let drain = match (live.draining.take(), live.drain) {
        (Some(begun), _) => Some(begun),
        (None, DrainPolicy::CancelThenDrain(_)) => Drain::begin(&live.proxy, live.worker_reads_on_for()),
        (None, policy) => Drain::of_provider(&live.proxy, policy),
    };
    match (drain, tokio::runtime::Handle::try_current()) {
        (Some(drain), Ok(runtime)) => {
            runtime.spawn(read_on(live, sniffer, drain, end));
        }
        _ => {
            live.leave_upstream();
            drop(live.end(&sniffer.summary(), end));
        }
    }
}

/// Reads an answer that nobody waits for to its end. Whatever ends the reading, the entry says that the client had left.
async fn read_on(mut live: Box<Live>, mut sniffer: Box<Sniffer>, mut drain: Drain, end: End) {
    if !sniffer.is_done() && !live.cancel_at_worker().await {
        live.upstream = None;
    }
    let mut unread = VecDeque::new();
    while !sniffer.is_done() {
        match drain.within(live.next_chunk()).await {
            Some(Some(Ok(chunk))) => {
                drain.took(&chunk);
                sniffer.push(chunk, &mut unread);
                unread.clear();
                progress(&mut live, &sniffer);
            }
            Some(_ended) => break,
            None => {
                live.leave_upstream();
                break;
            }
        }
    }
    if sniffer.is_done() {
        live.finish_upstream();
    }
    let seen = sniffer.summary();
    let asking = if seen.says_its_end() { None } else { live.ask_how_it_ended() };
    let record = match asking {
        Some(asking) => asking.await,
        None => None,
    };
    drop(live.end_told(&seen, end, record));
}
