//! Tries a route's targets in order until one answers; each attempt is opened, and ended or voided.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, Response, Uri, header},
};
use hyper::body::Incoming;
use tokio::time::timeout;
use tollgate_core::{
    entry::{Admission, Outcome},
    id::{AttemptId, RequestId},
};

use super::{
    Proxy,
    attempt::{Attempt, Prices},
    detach::ClientGone,
    error::ProxyError,
    live::{Live, Silence},
    stream::MeteredBody,
    upstream_error, whole,
};
use crate::{
    admission::gate::Admitted,
    failpoint::{self, Point},
    journal::attempt::Permit,
    metering::Metered,
    routing::{Route, Target},
    upstream::{
        client::{request_headers, response_headers},
        request::{Endpoint, OpenAiRequest},
    },
};

/// A target of a route and the prices in force for it.
pub(super) struct PlannedTarget {
    pub(super) index: usize,
    pub(super) prices: Prices,
}

/// One admitted request and everything that its attempts need.
pub(super) struct Exchange {
    pub(super) proxy: Arc<Proxy>,
    pub(super) route: Arc<Route>,
    pub(super) plan: Vec<PlannedTarget>,
    pub(super) request_id: RequestId,
    pub(super) endpoint: Endpoint,
    pub(super) headers: HeaderMap,
    pub(super) request: OpenAiRequest,
    pub(super) tags: Vec<(String, String)>,
    pub(super) admitted_at_us: i64,
    pub(super) started: Duration,
    pub(super) input_estimate: u64,
}

/// How one attempt came out.
enum Tried {
    Answered(Response<Body>),
    Failed { error: ProxyError, retryable: bool },
}

impl Exchange {
    /// Runs attempts until one answers or none is left.
    pub(super) async fn run(
        self,
        admitted: Admitted,
        permit: Permit,
        gone: ClientGone,
    ) -> Result<Response<Body>, ProxyError> {
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
                Tried::Answered(response) => return Ok(response),
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
        let open = permit.open(admission).await?;
        let attempt = Attempt::new(open, planned.prices.clone(), self.proxy.clock.clone(), self.started);
        if gone.get() {
            attempt.void();
            return Err(ProxyError::Unreachable);
        }
        let (body, injected) = self.request.upstream_body(&target.model);
        let uri = match endpoint_uri(target, self.endpoint) {
            Ok(uri) => uri,
            Err(error) => {
                attempt.void();
                return Err(error);
            }
        };
        failpoint::pass(Point::BeforeSend);
        attempt.sent();
        let provider = &target.provider;
        let sent = self.proxy.client.send(
            &uri,
            provider.api_key.as_deref(),
            provider.allow_private,
            request_headers(&self.headers),
            body,
        );
        let response = match timeout(self.route.timeout, sent).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                tracing::warn!(target = target.label, %error, "an upstream was not reached");
                let flag = if error.before_any_byte() { "not_sent" } else { "unanswered" };
                end_unanswered(attempt, flag);
                return Ok(Tried::Failed { error: ProxyError::Unreachable, retryable: true });
            }
            Err(_elapsed) => {
                end_unanswered(attempt, "timeout");
                return Ok(Tried::Failed { error: ProxyError::UpstreamTimeout, retryable: true });
            }
        };
        failpoint::pass(Point::Sent);
        let status = response.status();
        if !status.is_success() {
            let (error, outcome) = upstream_error::read(response).await;
            let retryable = matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504);
            drop(attempt.end(Metered::nothing(outcome, None), Some(status.as_u16())));
            return Ok(Tried::Failed { error, retryable });
        }
        let Some(holder) = admitted.take() else { return Err(ProxyError::Unreachable) };
        self.answer(attempt, holder, response, injected, target, gone).await.map(Tried::Answered)
    }

    async fn answer(
        &self,
        attempt: Attempt,
        admitted: Admitted,
        response: Response<Incoming>,
        injected: bool,
        target: &Target,
        gone: &ClientGone,
    ) -> Result<Response<Body>, ProxyError> {
        let (parts, upstream) = response.into_parts();
        let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let is_stream = content_type.starts_with("text/event-stream");
        let headers = response_headers(&parts.headers);
        let live = Live {
            proxy: Arc::clone(&self.proxy),
            attempt: Some(attempt),
            admitted: Some(admitted),
            upstream: Some(upstream),
            status: parts.status.as_u16(),
            input_estimate: self.input_estimate,
            drain: target.provider.drain,
            silence: Silence::new(self.route.timeout),
        };
        let mut response = if is_stream {
            Response::new(Body::new(MeteredBody::events(live, injected)))
        } else {
            whole::answer(live, content_type, gone).await?
        };
        *response.status_mut() = parts.status;
        for (name, value) in &headers {
            response.headers_mut().insert(name, value.clone());
        }
        Ok(response)
    }

    fn admission(&self, number: u16, target: &Target, prices: &Prices, admitted: &Admitted) -> Admission {
        let key = &admitted.key().record;
        Admission {
            id: AttemptId { request_id: self.request_id, attempt: number },
            customer_id: key.customer_id,
            key_id: key.key_id,
            dialect: "openai".to_owned(),
            endpoint: self.endpoint.path().to_owned(),
            model: self.route.model.clone(),
            target: target.label.clone(),
            stream: self.request.stream(),
            admitted_at_us: self.admitted_at_us,
            cost_price_version: prices.cost.as_ref().map(|version| version.id.clone()),
            charge_price_version: prices.rule.as_ref().map(|version| version.id.clone()),
            input_estimate: self.input_estimate,
            end_user: self.request.end_user().map(str::to_owned),
            tags: Some(self.tags.clone()).filter(|tags| !tags.is_empty()),
        }
    }
}

fn end_unanswered(attempt: Attempt, flag: &str) {
    drop(attempt.end(Metered::nothing(Outcome::UpstreamError, Some(flag)), None));
}

fn endpoint_uri(target: &Target, endpoint: Endpoint) -> Result<Uri, ProxyError> {
    let path = endpoint.path().strip_prefix("/v1").unwrap_or(endpoint.path());
    format!("{}{path}", target.provider.base_url).parse().map_err(|_| ProxyError::Unreachable)
}
