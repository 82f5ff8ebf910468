//! What a worker of ours says beyond the dialect (docs/worker.md): its time in usage objects, and its control paths.
//!
//! Only for targets that the configuration calls workers: the same words from a provider mean nothing.

use std::time::Duration;

use axum::http::{HeaderName, Method, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{sleep, timeout};
use tollgate_core::worker_cost::WorkerTime;

use super::{
    body::UpstreamBody,
    client::{SendError, UpstreamClient},
};

/// The header that names a request to a worker.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest wait for one word of a worker: that it cancels, or how a request ended.
pub const CONTROL_MAX: Duration = Duration::from_secs(2);
/// A request that was cancelled ends within one step of the model; asked again after so long.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// So often a cancel is sent for a name that the worker does not know.
const CANCEL_TRIES_MAX: u32 = 5;
/// Most bytes of a final record.
const RECORD_BYTES_MAX: usize = 64 * 1024;
/// A longer time is no time of one request: about 35 years.
const TIME_US_MAX: u64 = 1 << 50;
/// More threads are no machine.
const THREADS_MAX: u32 = 1 << 16;

#[derive(Deserialize)]
struct Reported {
    worker: Told,
}

#[derive(Deserialize)]
struct Told {
    queue_us: u64,
    prefill_busy_us: u64,
    decode_busy_us: u64,
    engine_threads: u32,
}

/// The worker's time in a usage object; none when it is not there whole, or cannot be.
#[must_use]
pub fn worker_time(usage_raw: &str) -> Option<WorkerTime> {
    let Told { queue_us, prefill_busy_us, decode_busy_us, engine_threads } =
        serde_json::from_str::<Reported>(usage_raw).ok()?.worker;
    let plausible = [queue_us, prefill_busy_us, decode_busy_us].iter().all(|time| *time <= TIME_US_MAX)
        && (1..=THREADS_MAX).contains(&engine_threads);
    plausible.then_some(WorkerTime { queue_us, prefill_busy_us, decode_busy_us, engine_threads })
}

/// One request at a worker, by the name that the gateway gave it.
#[derive(Clone, Debug)]
pub struct Control {
    request: String,
}

#[derive(Deserialize)]
struct Record<'a> {
    state: &'a str,
    #[serde(borrow)]
    usage: &'a RawValue,
}

enum Asked {
    Finished(String),
    NotYet,
    Unknown,
}

impl Control {
    /// Of the request `id` at the worker of this root.
    #[must_use]
    pub fn new(root_url: &str, id: &str) -> Self {
        Self { request: format!("{root_url}/v1/requests/{id}") }
    }

    /// Asks the worker to end the request at once; true when it will (or has ended it). A request that was only just sent
    /// may overtake it, so an unknown name is tried again, but not long.
    pub async fn cancel(&self, client: &UpstreamClient) -> bool {
        let Ok(uri) = format!("{}/cancel", self.request).parse::<Uri>() else { return false };
        let telling = async {
            let mut tries = 1;
            loop {
                let answer = client.control(Method::POST, &uri).await?;
                let status = answer.status();
                // Read to its end, so that the connection can be used again.
                let _told = body_of(answer).await;
                if status != StatusCode::NOT_FOUND || tries == CANCEL_TRIES_MAX {
                    return Ok::<_, SendError>(status);
                }
                tries += 1;
                sleep(ASK_AGAIN).await;
            }
        };
        match timeout(CONTROL_MAX, telling).await {
            Ok(Ok(status)) if status.is_success() => return true,
            Ok(Ok(status)) => tracing::warn!(status = status.as_u16(), "a worker refused to cancel"),
            Ok(Err(error)) => tracing::warn!(%error, "a worker could not be told to cancel"),
            Err(_elapsed) => tracing::warn!("a worker did not answer a cancel in time"),
        }
        false
    }

    /// The usage object of the request's final record, waited for until it is there, but not long. None when the worker
    /// is gone or does not know the request.
    pub async fn final_usage(&self, client: &UpstreamClient) -> Option<String> {
        let asking = async {
            loop {
                match self.ask(client).await {
                    Asked::Finished(usage) => return Some(usage),
                    Asked::NotYet => sleep(ASK_AGAIN).await,
                    Asked::Unknown => return None,
                }
            }
        };
        timeout(CONTROL_MAX, asking).await.ok().flatten()
    }

    async fn ask(&self, client: &UpstreamClient) -> Asked {
        let Ok(uri) = self.request.parse::<Uri>() else { return Asked::Unknown };
        let Ok(response) = client.control(Method::GET, &uri).await else { return Asked::Unknown };
        if response.status() != StatusCode::OK {
            return Asked::Unknown;
        }
        let Some(body) = body_of(response).await else { return Asked::Unknown };
        match serde_json::from_slice::<Record<'_>>(&body) {
            Ok(record) if record.state == "finished" => Asked::Finished(record.usage.get().to_owned()),
            Ok(_) => Asked::NotYet,
            Err(_) => Asked::Unknown,
        }
    }
}

async fn body_of(response: Response<UpstreamBody>) -> Option<bytes::Bytes> {
    let read = Limited::new(response.into_body(), RECORD_BYTES_MAX).collect().await.ok()?;
    Some(read.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_believed_whole_or_not_at_all() {
        let whole = r#"{"prompt_tokens":1,"worker":{"queue_us":1,"prefill_busy_us":2,"decode_busy_us":3,"engine_threads":2,"x":0}}"#;
        let expected = WorkerTime { queue_us: 1, prefill_busy_us: 2, decode_busy_us: 3, engine_threads: 2 };
        assert_eq!(worker_time(whole), Some(expected));
        for (from, to) in [
            (r#""queue_us":1,"#, ""),
            (r#""engine_threads":2"#, r#""engine_threads":0"#),
            (r#""engine_threads":2"#, r#""engine_threads":99999999"#),
            (r#""decode_busy_us":3"#, r#""decode_busy_us":-3"#),
            (r#""decode_busy_us":3"#, r#""decode_busy_us":3.5"#),
            (r#""decode_busy_us":3"#, r#""decode_busy_us":9999999999999999"#),
            (r#""decode_busy_us":3"#, r#""decode_busy_us":3,"decode_busy_us":4"#),
            (r#""worker""#, r#""worke""#),
        ] {
            let lie = whole.replace(from, to);
            assert_ne!(lie, whole);
            assert_eq!(worker_time(&lie), None, "{lie}");
        }
        assert_eq!(worker_time("7"), None);
    }
}
