//! An answer that is no stream: held whole up to 8 MiB, so that its headers can carry the charge; larger ones are
//! passed on as they come, without charge headers.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Response},
};
use bytes::{Bytes, BytesMut};
use tollgate_core::{entry::Outcome, usage::Usage};

use super::{
    detach::ClientGone,
    error::ProxyError,
    live::{CutOff, Live, durable_in_time},
    stream::MeteredBody,
    worker_request::WorkerRequest,
};
use crate::{
    metering::{End, Metered},
    upstream::{
        sniff::{JsonSniffer, Sniffed},
        usage::worker_time,
    },
};

/// Largest answer that is held whole, in bytes.
const WHOLE_BYTES_MAX: usize = 8 * 1024 * 1024;
const X_TOLLGATE_CHARGE_USD: HeaderName = HeaderName::from_static("x-tollgate-charge-usd");

/// Reads, meters and records the answer; the response carries its charge.
pub(super) async fn answer(
    mut live: Live,
    content_type: &str,
    gone: &ClientGone,
) -> Result<Response<Body>, ProxyError> {
    let mut sniffer = JsonSniffer::new();
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    let mut told = gone.get();
    loop {
        match next_chunk(&mut live, gone, &mut told).await {
            Some(Ok(chunk)) => {
                sniffer.push(&chunk);
                if first.is_empty() && more.is_empty() {
                    first = chunk;
                    continue;
                }
                if more.is_empty() {
                    more.extend_from_slice(&first);
                }
                more.extend_from_slice(&chunk);
                if more.len() > WHOLE_BYTES_MAX {
                    return Ok(Response::new(Body::new(MeteredBody::json(live, sniffer, more.freeze()))));
                }
            }
            Some(Err(_cut)) => {
                if let Some(worker) = live.worker.clone() {
                    return Err(broken_off(live, worker, sniffer.summary(), gone).await);
                }
                // The client gets none of it, so it owes nothing for it.
                let outcome = if gone.get() { Outcome::ClientDisconnect } else { Outcome::Truncated };
                if let Some(ended) = live.end_as(Metered::nothing(outcome, Some("not_delivered"))) {
                    durable_in_time(ended.receipt, &live.proxy).await;
                }
                return Err(ProxyError::InvalidUpstreamBody("cut off"));
            }
            None => break,
        }
    }
    let body = if more.is_empty() { first } else { more.freeze() };
    let seen = sniffer.finish();
    let end = if gone.get() { End::ClientLeft } else { End::Terminal };
    let valid = seen.is_json_object;
    let ended = live.end(&seen, end);
    let mut response = Response::new(Body::from(body));
    if let Some(ended) = ended {
        if let Some(charge) = ended.charge.and_then(|charge| HeaderValue::from_str(&charge.to_string()).ok()) {
            response.headers_mut().insert(X_TOLLGATE_CHARGE_USD, charge);
        }
        durable_in_time(ended.receipt, &live.proxy).await;
    }
    if !valid {
        let what = if content_type.starts_with("text/html") { "HTML" } else { "not a JSON object" };
        return Err(ProxyError::InvalidUpstreamBody(what));
    }
    Ok(response)
}

/// The next bytes; a worker whose client leaves meanwhile is told, once, to end its answer.
async fn next_chunk(live: &mut Live, gone: &ClientGone, told: &mut bool) -> Option<Result<Bytes, CutOff>> {
    if let (Some(worker), false) = (live.worker.clone(), *told) {
        tokio::select! {
            chunk = live.next_chunk() => return chunk,
            () = gone.wait() => {}
        }
        *told = true;
        worker.cancel().await;
    }
    live.next_chunk().await
}

/// A worker's answer broke off: the client gets none of it and owes nothing, but its time was ours, and is asked for.
async fn broken_off(mut live: Live, worker: WorkerRequest, mut seen: Sniffed, gone: &ClientGone) -> ProxyError {
    worker.complete(&mut seen).await;
    let outcome = if gone.get() { Outcome::ClientDisconnect } else { Outcome::Truncated };
    let mut metered = Metered::nothing(outcome, Some("not_delivered"));
    if let Some(time) = seen.usage_raw.as_deref().and_then(worker_time) {
        metered.usage = Some(Usage::default());
        metered.worker = Some(time);
        metered.raw_usage = seen.usage_raw;
    }
    if let Some(ended) = live.end_as(metered) {
        durable_in_time(ended.receipt, &live.proxy).await;
    }
    ProxyError::InvalidUpstreamBody("cut off")
}
