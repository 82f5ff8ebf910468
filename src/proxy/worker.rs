//! What waits for an upstream whose client may leave meanwhile. A provider's request is read on or ended, by its policy.
//!
//! One attempt's call at a worker of ours is told to end when the client has left, and asked how it ended.
//! A worker that cannot be told loses its connection, which ends the request too; then its last count stands.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::http::Response;
use bytes::Bytes;
use tokio::time::{Timeout, timeout};
use tollgate_core::id::AttemptId;

use super::{
    Proxy,
    detach::ClientGone,
    drain::Drain,
    live::{CutOff, Live},
};
use crate::{
    routing::{DrainPolicy, Provider},
    upstream::{
        body::UpstreamBody,
        client::{SendError, UpstreamClient},
        worker::{CONTROL_MAX, Control},
    },
};

/// While the gateway stops, a worker gets so long to end a request, so that its entry is written in time.
const STOPPING_MAX: Duration = Duration::from_secs(1);

/// The request at its worker.
pub(super) struct WorkerCall {
    control: Control,
    /// Longest reading after a cancel.
    at_most: Duration,
    /// Whether a cancel was taken; none: none was sent.
    cancelled: Option<bool>,
}

/// Why an attempt has no head of an answer.
pub(super) enum NoHead {
    /// Not sent, or broken off.
    Send(SendError),
    /// Silent for too long.
    Timeout,
    /// The client left: the worker did not end the request, or the provider's was not read on for.
    Left,
    /// The client left before there was a connection.
    LeftUnsent,
}

/// What a worker's final record says was used, when it says so.
pub(super) type Asking = Pin<Box<dyn Future<Output = Option<String>> + Send>>;

impl WorkerCall {
    /// Of an attempt at `provider`; none when that is no worker of ours.
    pub(super) fn new(provider: &Provider, id: AttemptId) -> Option<Self> {
        let root_url = provider.worker_root.as_deref()?;
        let at_most = match provider.drain {
            DrainPolicy::CancelThenDrain(at_most) | DrainPolicy::Drain(at_most) => at_most,
            DrainPolicy::Cancel => Duration::ZERO,
        };
        Some(Self { control: Control::new(root_url, &id.to_string()), at_most, cancelled: None })
    }

    /// Tells the worker to end the request, once. True when it will.
    async fn cancel(&mut self, client: &UpstreamClient) -> bool {
        match self.cancelled {
            Some(taken) => taken,
            None => *self.cancelled.insert(self.control.cancel(client).await),
        }
    }

    /// How long a cancelled request may take to end.
    fn reads_on_for(&self, proxy: &Proxy) -> Duration {
        if proxy.is_stopping() { self.at_most.min(STOPPING_MAX) } else { self.at_most }
    }

    /// The usage of the request's final record.
    pub(super) async fn final_usage(&self, client: &UpstreamClient) -> Option<String> {
        self.control.final_usage(client).await
    }
}

/// Waits for the head of an answer. When the client leaves meanwhile, a worker is told to end; what a provider may take for
/// reading on is then told, too.
pub(super) async fn head(
    proxy: &Proxy,
    mut sent: Pin<&mut Timeout<impl Future<Output = Result<Response<UpstreamBody>, SendError>>>>,
    call: Option<&mut WorkerCall>,
    policy: DrainPolicy,
    gone: &ClientGone,
) -> Result<(Response<UpstreamBody>, Option<Drain>), NoHead> {
    let first = tokio::select! {
        biased;
        in_time = &mut sent => Some(in_time),
        () = gone.left() => None,
    };
    let mut draining = None;
    let in_time = match (first, call) {
        (Some(in_time), _) => in_time,
        (None, Some(call)) => {
            if !Box::pin(call.cancel(&proxy.client)).await {
                return Err(NoHead::Left);
            }
            timeout(call.reads_on_for(proxy), sent).await.map_err(|_elapsed| NoHead::Left)?
        }
        (None, None) => {
            let drain = draining.insert(Drain::of_provider(proxy, policy).ok_or(NoHead::Left)?);
            drain.within(sent).await.ok_or(NoHead::Left)?
        }
    };
    match in_time {
        Ok(answered) => answered.map(|response| (response, draining)).map_err(NoHead::Send),
        Err(_elapsed) => Err(NoHead::Timeout),
    }
}

impl Live {
    /// Tells a worker to end the request, once; true when it will, and for every provider.
    pub(super) async fn cancel_at_worker(&mut self) -> bool {
        match &mut self.worker {
            Some(call) => call.cancel(&self.proxy.client).await,
            None => true,
        }
    }

    /// How long a worker's cancelled request may take to end.
    pub(super) fn worker_reads_on_for(&self) -> Duration {
        self.worker.as_ref().map_or(Duration::ZERO, |call| call.reads_on_for(&self.proxy))
    }

    /// As [`Self::next_chunk`]. When the client leaves meanwhile, a provider is read on within bounds, or left; a worker is told
    /// to end and has only so long for it.
    pub(super) async fn next_chunk_for(&mut self, gone: &ClientGone) -> Option<Result<Bytes, CutOff>> {
        if self.draining.is_none() {
            tokio::select! {
                biased;
                chunk = self.next_chunk() => return chunk,
                () = gone.left() => {}
            }
        }
        // Set aside, so that it does not make the way of all wider.
        Box::pin(self.next_chunk_when_left()).await
    }

    async fn next_chunk_when_left(&mut self) -> Option<Result<Bytes, CutOff>> {
        if self.worker.is_none() {
            return self.next_chunk_for_nobody().await;
        }
        if self.cancel_at_worker().await {
            let at_most = self.worker_reads_on_for();
            if let Ok(chunk) = timeout(at_most, self.next_chunk()).await {
                return chunk;
            }
        }
        self.upstream = None;
        Some(Err(CutOff))
    }

    async fn next_chunk_for_nobody(&mut self) -> Option<Result<Bytes, CutOff>> {
        let begun = self.draining.take().or_else(|| Drain::of_provider(&self.proxy, self.drain));
        if let Some(mut drain) = begun
            && let Some(chunk) = drain.within(self.next_chunk()).await
        {
            if let Some(Ok(chunk)) = &chunk {
                drain.took(chunk);
            }
            self.draining = Some(drain);
            return chunk;
        }
        self.leave_upstream();
        Some(Err(CutOff))
    }

    /// The connection is closed; asks a worker that may live how the request ended. None for a provider.
    pub(super) fn ask_how_it_ended(&mut self) -> Option<Asking> {
        self.upstream = None;
        let control = self.worker.as_ref()?.control.clone();
        let proxy = Arc::clone(&self.proxy);
        Some(Box::pin(async move {
            let asking = async {
                // It notices by itself that its caller is gone; this is sooner, and for a caller that only heard nothing.
                control.cancel(&proxy.client).await;
                control.final_usage(&proxy.client).await
            };
            timeout(CONTROL_MAX, asking).await.ok().flatten()
        }))
    }
}
