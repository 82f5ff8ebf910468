//! An answer that is no stream: held whole up to 8 MiB, so that its headers can carry the charge; larger ones are
//! passed on as they come, without charge headers.

use std::collections::VecDeque;

use axum::{
    body::Body,
    http::{HeaderName, Response},
};
use bytes::{Bytes, BytesMut};
use tollgate_core::entry::Outcome;

use super::{
    attempt::Ended,
    detach::ClientGone,
    error::ProxyError,
    live::{Live, durable_in_time},
    stream::MeteredBody,
};
use crate::{
    metering::{End, Metered},
    upstream::{
        dialect::Framing,
        headers::{shown, with_room},
        outcome,
        sniff::{Sniffed, Sniffer},
    },
};

/// Largest answer that is held whole, in bytes.
const WHOLE_BYTES_MAX: usize = 8 * 1024 * 1024;
const X_TOLLGATE_CHARGE_USD: HeaderName = HeaderName::from_static("x-tollgate-charge-usd");

/// Reads, meters and records the answer; the response carries its charge.
pub(super) async fn answer(
    mut live: Box<Live>,
    mut sniffer: Box<Sniffer>,
    content_type: &str,
    gone: &ClientGone,
) -> Result<Response<Body>, ProxyError> {
    let mut passed = VecDeque::new();
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    loop {
        match live.next_chunk_for(gone).await {
            Some(Ok(chunk)) => {
                sniffer.push(chunk.clone(), &mut passed);
                passed.clear();
                if first.is_empty() && more.is_empty() {
                    first = chunk;
                    continue;
                }
                if more.is_empty() {
                    more.extend_from_slice(&first);
                }
                more.extend_from_slice(&chunk);
                if more.len() > WHOLE_BYTES_MAX {
                    return Ok(with_room(Body::new(MeteredBody::large(live, sniffer, more.freeze()))));
                }
            }
            Some(Err(_cut)) => {
                if let Some(ended) = end_cut(&mut live, &sniffer.summary(), gone).await {
                    durable_in_time(ended.receipt, &live.proxy).await;
                }
                return Err(ProxyError::InvalidUpstreamBody("cut off"));
            }
            None => break,
        }
    }
    let body = if more.is_empty() { first } else { more.freeze() };
    let seen = sniffer.sum_up();
    let end = if gone.get() { live.end_without_client() } else { End::Terminal };
    let valid = outcome::is_of_dialect(seen);
    // A client that waits gets none of what is no answer, so it owes nothing for it.
    let ended = if valid || gone.get() {
        live.end(seen, end)
    } else {
        live.end_as(Metered::nothing(Outcome::InvalidBody, Some("not_delivered")))
    };
    let mut response = with_room(Body::from(body));
    if let Some(ended) = ended {
        if let Some(charge) = ended.charge.and_then(shown) {
            response.headers_mut().insert(X_TOLLGATE_CHARGE_USD, charge);
        }
        durable_in_time(ended.receipt, &live.proxy).await;
    }
    if !valid {
        let what = match seen.framing {
            _ if content_type.starts_with("text/html") => "HTML",
            Framing::Opaque => "empty",
            _ if seen.is_json_object => "an object without an answer",
            _ => "not a JSON object",
        };
        return Err(ProxyError::InvalidUpstreamBody(what));
    }
    Ok(response)
}

/// Ends an answer that was cut off. A client that waits for it gets none of it, so it owes nothing for it; one that has
/// left used what a worker computed for it until then, or, where the gateway itself left its provider, what is taken for it.
async fn end_cut(live: &mut Live, seen: &Sniffed, gone: &ClientGone) -> Option<Ended> {
    if !gone.get() {
        return live.end_as(Metered::nothing(Outcome::Truncated, Some("not_delivered")));
    }
    match live.ask_how_it_ended() {
        None if live.is_left => live.end(seen, live.end_without_client()),
        None => live.end_as(Metered::nothing(Outcome::ClientDisconnect, Some("not_delivered"))),
        Some(asking) => {
            let record = asking.await;
            live.end_told(seen, live.end_without_client(), record)
        }
    }
}
