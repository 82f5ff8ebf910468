//! Tries a route's targets in order until one answers; each attempt is opened, and ended or voided.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, Method, Response, header, response::Parts},
};
use tokio::time::timeout;
use tollgate_core::{
    entry::{Admission, Outcome},
    id::AttemptId,
};

use super::{
    Inbound, Proxy,
    attempt::{Attempt, Prices},
    detach::ClientGone,
    error::ProxyError,
    live::{Live, Silence, durable_in_time},
    stream::MeteredBody,
    upstream_error, whole,
    worker::{NoHead, WorkerCall, head},
};
use crate::{
    admission::gate::Admitted,
    failpoint::{self, Point},
    journal::attempt::Permit,
    metering::{Asked, End, Metered, conclude_left},
    routing::{DrainPolicy, Route, Target},
    upstream::{
        client::{Call, Connected},
        dialect::{Dialect, Framing},
        headers::{is_compressed, pass_response_headers, request_headers, shown, with_room},
        sniff::{Sniffed, Sniffer},
        worker::X_REQUEST_ID,
    },
};

/// A target of a route and the prices in force for it.
pub(crate) struct PlannedTarget {
    pub(crate) index: usize,
    pub(crate) prices: Prices,
}

/// One admitted request and everything that its attempts need.
pub(super) struct Exchange {
    pub(super) proxy: Arc<Proxy>,
    pub(super) route: Arc<Route>,
    pub(super) plan: Vec<PlannedTarget>,
    pub(super) inbound: Box<Inbound>,
    pub(super) admitted_at_us: i64,
    pub(super) started: Duration,
    pub(super) input_estimate: u64,
}

/// How one attempt came out.
enum Tried {
    /// With the index of the target that did.
    Answered(Response<Body>, usize),
    Failed {
        error: ProxyError,
        retryable: bool,
    },
}

impl Exchange {
    /// Runs attempts until one answers or none is left. Says which target answered.
    pub(super) async fn run(
        self,
        admitted: Admitted,
        permit: Permit,
        gone: ClientGone,
    ) -> Result<(Response<Body>, usize), ProxyError> {
        let mut admitted = Some(admitted);
        let mut permit = Some(permit);
        let mut number: u16 = 0;
        loop {
            let permit = match permit.take() {
                Some(permit) => permit,
                None => self.proxy.journal.try_permit()?,
            };
            let last = usize::from(number) + 1 >= self.route.attempts_max;
            match self.attempt(number, permit, &mut admitted, &gone).await? {
                Tried::Answered(response, index) => return Ok((response, index)),
                Tried::Failed { error, retryable } if last || !retryable || gone.get() => return Err(error),
                Tried::Failed { .. } => number += 1,
            }
        }
    }

    async fn attempt(
        &self,
        number: u16,
        permit: Permit,
        admitted: &mut Option<Admitted>,
        gone: &ClientGone,
    ) -> Result<Tried, ProxyError> {
        let Some(planned) = self.plan.get(usize::from(number) % self.plan.len().max(1)) else {
            return Err(ProxyError::UnknownModel(self.route.model.clone()));
        };
        let Some((target, holder)) = self.route.targets.get(planned.index).zip(admitted.as_ref()) else {
            return Err(ProxyError::UnknownModel(self.route.model.clone()));
        };
        let admission = self.admission(number, target, &planned.prices, holder);
        let id = admission.id;
        let open = permit.open(admission).await?;
        let observer = self.proxy.observers.attempt(holder.shared_key(), self.inbound.trace.as_ref());
        let mut attempt = Attempt::new(open, planned.prices.clone(), self.proxy.clock.clone(), self.started, observer);
        if gone.get() {
            attempt.void();
            return Err(ProxyError::Unreachable);
        }
        let endpoint = self.inbound.request.endpoint;
        let Ok(uri) = target.uri(endpoint, self.inbound.variant) else {
            attempt.void();
            return Err(ProxyError::Unreachable);
        };
        failpoint::pass(Point::BeforeSend);
        attempt.sent();
        let provider = &target.provider;
        let mut call = WorkerCall::new(provider, id);
        let mut headers = self.upstream_headers(call.is_some().then_some(id));
        if let Some(trace) = &self.inbound.trace {
            trace.tell_upstream(number, &mut headers);
        }
        let (body, injected) = self.inbound.request.upstream_body(&target.model, provider.stream_options);
        let client = &self.proxy.client;
        let (credentials, now_us) = (provider.credentials.as_ref(), self.proxy.clock.unix_us());
        let connected = Connected::default();
        // Asked only where a client that leaves ends the request at once.
        let watched = Some(&connected).filter(|_| provider.drain == DrainPolicy::Cancel);
        let answered = {
            // What is large stays where it is made, and goes when it is done.
            let mut sent = Call { method: Method::POST, uri: &uri, headers, body, connected: watched };
            let sent = pin!(client.call(&mut sent, credentials, provider.allow_private, now_us));
            let sent = pin!(timeout(self.route.timeout, sent));
            head(&self.proxy, sent, call.as_mut(), provider.drain, gone).await
        };
        let (response, draining) = match answered {
            Ok(answered) => answered,
            Err(no_head) => {
                // A worker that died a moment ago, before its keeper has seen it, is no broken upstream.
                let model = self.route.model.clone();
                let unreached =
                    if call.is_some() { ProxyError::WorkerUnavailable(model) } else { ProxyError::Unreachable };
                let left = call.filter(|_| gone.get());
                let is_unsent = watched.is_some_and(|connected| !connected.is_made());
                let no_head = if is_unsent && matches!(no_head, NoHead::Left) { NoHead::LeftUnsent } else { no_head };
                // Set aside, as what is read of a refusal is: what is rare must not make the way of all wider.
                return Ok(Box::pin(self.unanswered(attempt, no_head, unreached, left, admitted)).await);
            }
        };
        failpoint::pass(Point::Sent);
        let status = response.status();
        if !status.is_success() {
            let (error, outcome) = Box::pin(upstream_error::read(response, self.proxy.clock.unix_us())).await;
            let error = if self.is_worker(target) { self.worker_error(error) } else { error };
            let retryable = matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504 | 529);
            drop(attempt.end(Metered::nothing(outcome, None), Some(status.as_u16())));
            return Ok(Tried::Failed { error, retryable });
        }
        let Some(holder) = admitted.take() else { return Err(ProxyError::Unreachable) };
        let (parts, upstream) = response.into_parts();
        // On the heap from here on: an answer passes through several hands.
        let live = Box::new(Live {
            proxy: Arc::clone(&self.proxy),
            attempt: Some(attempt),
            admitted: Some(holder),
            upstream: Some(upstream),
            status: parts.status.as_u16(),
            asked: self.asked(),
            drain: provider.drain,
            draining,
            is_left: false,
            worker: call,
            silence: Silence::new(self.route.timeout),
        });
        let response = answer(live, parts, endpoint.answers(), injected, self.inbound.request.stream, gone).await?;
        Ok(Tried::Answered(response, planned.index))
    }

    fn asked(&self) -> Asked {
        Asked {
            input_estimate: self.input_estimate,
            choices: self.inbound.request.choices,
            output_max: self.inbound.request.output_tokens_max(),
            by_unit: self.inbound.request.hosted.needs.iter().any(|need| need.field.is_none()),
            characters: self.inbound.request.characters,
            image_size: self.inbound.request.image_size.clone(),
            image_quality: self.inbound.request.image_quality.clone(),
        }
    }

    /// `name` is what a worker is to call the request.
    fn upstream_headers(&self, name: Option<AttemptId>) -> HeaderMap {
        let mut headers = request_headers(self.inbound.request.endpoint.dialect(), &self.inbound.headers);
        let name = name.and_then(shown);
        headers.extend(name.map(|name| (X_REQUEST_ID, name)));
        headers
    }

    /// Ends an attempt without an answer. `left` is the request at a worker whose client has left: what it computed until
    /// then is booked, if it can be told. A provider that was left is taken to have read its input.
    async fn unanswered(
        &self,
        attempt: Attempt,
        no_head: NoHead,
        unreached: ProxyError,
        left: Option<WorkerCall>,
        admitted: &mut Option<Admitted>,
    ) -> Tried {
        let (is_left, is_unsent) = (matches!(no_head, NoHead::Left), matches!(no_head, NoHead::LeftUnsent));
        let (flag, error) = match no_head {
            NoHead::Send(error) => {
                tracing::warn!(target = attempt.target(), %error, "an upstream was not reached");
                if error.before_any_byte() { ("not_sent", unreached) } else { ("unanswered", ProxyError::Unreachable) }
            }
            NoHead::Timeout => ("timeout", ProxyError::UpstreamTimeout),
            NoHead::Left => ("unanswered", ProxyError::Unreachable),
            NoHead::LeftUnsent => ("not_sent", ProxyError::Unreachable),
        };
        let (end, left_by) = if self.proxy.is_stopping() {
            (End::Shutdown, Outcome::Shutdown)
        } else {
            (End::ClientLeft, Outcome::ClientDisconnect)
        };
        let metered = match left {
            None if is_left => {
                let nothing_yet = Sniffed { dialect: self.inbound.request.endpoint.answers(), ..Sniffed::default() };
                conclude_left(&nothing_yet, end, &self.asked())
            }
            None if is_unsent => Metered::nothing(left_by, Some(flag)),
            None => Metered::nothing(Outcome::UpstreamError, Some(flag)),
            Some(call) => {
                let nothing = Metered::nothing(left_by, Some(flag));
                match call.final_usage(&self.proxy.client).await {
                    Some(usage_raw) => nothing.told_by_record(usage_raw),
                    None => nothing,
                }
            }
        };
        let ended = attempt.end(metered, None);
        if let Some(ended) = ended.filter(|ended| ended.tokens > 0)
            && let Some(admitted) = admitted.take()
        {
            admitted.settle(ended.tokens);
        }
        Tried::Failed { error, retryable: true }
    }

    fn is_worker(&self, target: &Target) -> bool {
        self.proxy.workers.place(&target.provider.name).is_some()
    }

    /// A worker is ours: its full queue is no rate limit of an account, and what it says while it loads or drains is that
    /// another time is better.
    fn worker_error(&self, error: ProxyError) -> ProxyError {
        let model = self.route.model.clone();
        match error {
            ProxyError::Upstream { status: 429, retry_after, .. } => ProxyError::WorkerBusy { model, retry_after },
            ProxyError::Upstream { status: 503, .. } => ProxyError::WorkerUnavailable(model),
            error => error,
        }
    }

    fn admission(&self, number: u16, target: &Target, prices: &Prices, admitted: &Admitted) -> Admission {
        let key = &admitted.key().record;
        Admission {
            id: AttemptId { request_id: self.inbound.request_id, attempt: number },
            customer_id: key.customer_id,
            key_id: key.key_id,
            dialect: self.inbound.request.endpoint.dialect().name().to_owned(),
            endpoint: self.inbound.request.endpoint.path().to_owned(),
            model: self.route.model.clone(),
            target: target.label.clone(),
            stream: self.inbound.request.stream,
            admitted_at_us: self.admitted_at_us,
            cost_price_version: prices.cost.as_ref().map(|version| version.id().to_owned()),
            charge_price_version: prices.rule.as_ref().map(|version| version.id.clone()),
            input_estimate: self.input_estimate,
            end_user: self.inbound.request.end_user.clone(),
            tags: Some(self.inbound.tags.clone()).filter(|tags| !tags.is_empty()),
        }
    }
}

/// Passes an answer of status 2xx on.
async fn answer(
    mut live: Box<Live>,
    parts: Parts,
    dialect: Dialect,
    injected: bool,
    stream: bool,
    gone: &ClientGone,
) -> Result<Response<Body>, ProxyError> {
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if is_compressed(&parts.headers) {
        // It was asked not to be. What cannot be read cannot be metered, so it is not passed on.
        if let Some(ended) = live.end_as(Metered::nothing(Outcome::InvalidBody, Some("compressed"))) {
            durable_in_time(ended.receipt, &live.proxy).await;
        }
        return Err(ProxyError::InvalidUpstreamBody("compressed"));
    }
    let framing = Framing::of(dialect, content_type, stream);
    let mut sniffer = Box::new(Sniffer::new(dialect, framing, injected));
    sniffer.choices(live.asked.choices);
    sniffer.headers(&parts.headers);
    let mut response = if framing.is_stream() {
        with_room(Body::new(MeteredBody::stream(live, sniffer)))
    } else {
        whole::answer(live, sniffer, content_type, gone).await?
    };
    *response.status_mut() = parts.status;
    pass_response_headers(&parts.headers, response.headers_mut());
    Ok(response)
}
