//! What happens to an answer whose client has left: read to its end, because its usage comes last, or ended at once.
//!
//! Bounded in number, time and bytes. A worker of ours is told to end the request first, so nothing is computed for nobody.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::timeout;

use super::{live::Live, stream::progress};
use crate::{metering::End, routing::DrainPolicy, upstream::sniff::Sniffer};

/// The client of an answer under way has left, or the gateway cut it off.
pub(super) fn left(mut live: Box<Live>, sniffer: Box<Sniffer>) {
    let end = live.end_without_client();
    let at_most = match (live.drain, end) {
        (DrainPolicy::CancelThenDrain(_), _) => live.worker_reads_on_for(),
        (DrainPolicy::Drain(at_most), End::ClientLeft) => at_most,
        (DrainPolicy::Drain(_) | DrainPolicy::Cancel, _) => return drop(live.end(&sniffer.summary(), end)),
    };
    let place = Arc::clone(&live.proxy.drains).try_acquire_owned();
    match (place, tokio::runtime::Handle::try_current()) {
        (Ok(place), Ok(runtime)) => {
            live.proxy.counters.drained.fetch_add(1, Ordering::Relaxed);
            runtime.spawn(async move {
                read_on(live, sniffer, at_most, end).await;
                drop(place);
            });
        }
        _ => {
            live.proxy.counters.drain_refused.fetch_add(1, Ordering::Relaxed);
            drop(live.end(&sniffer.summary(), end));
        }
    }
}

/// Reads an answer that nobody waits for to its end. Whatever ends the reading, the entry says that the client had left.
async fn read_on(mut live: Box<Live>, mut sniffer: Box<Sniffer>, at_most: Duration, end: End) {
    if !sniffer.is_done() && !live.cancel_at_worker().await {
        live.upstream = None;
    }
    let bytes_max = live.proxy.settings.drain_bytes_max;
    let mut unread = VecDeque::new();
    let reading = async {
        let mut bytes_read: u64 = 0;
        while !sniffer.is_done() && bytes_read <= bytes_max {
            let Some(Ok(chunk)) = live.next_chunk().await else { break };
            bytes_read = bytes_read.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
            sniffer.push(chunk, &mut unread);
            unread.clear();
            progress(&mut live, &sniffer);
        }
    };
    let _elapsed = timeout(at_most, reading).await;
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
