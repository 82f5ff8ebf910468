//! What arrived and what was told: one row for every request.
//!
//! A row is written once under a lock when its request arrives; afterwards only its atomics change, so a stream costs
//! no locking per chunk.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

/// Rows kept; older ones are forgotten, the count goes on.
pub const ROWS_MAX: usize = 500_000;

/// One request as the upstream saw it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeenRequest {
    /// Its number, from 1.
    pub n: u64,
    /// The request method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// `model` of the body.
    pub model: Option<String>,
    /// `user` of the body.
    pub user: Option<String>,
    /// Whether the body asked for a stream.
    pub stream: bool,
    /// Whether the body asked for usage in the stream.
    pub include_usage: bool,
    /// Size of the request body in bytes.
    pub body_bytes: u64,
    /// The key, or AWS's signature.
    pub authorized_with: Option<String>,
    /// `x-amz-date`, the time of a signature.
    pub signed_at: Option<String>,
    /// Each `traceparent`, joined by commas; empty when there is none.
    pub traceparent: String,
    /// Each `tracestate`, joined by commas.
    pub tracestate: String,
    /// Request header names in lower case, sorted.
    pub header_names: Vec<String>,
    /// Status of the answer; 0 while there is none.
    pub status: u16,
    /// Content chunks handed to the connection; all of them at once in a plain answer.
    pub chunks_sent: u64,
    /// Body bytes handed to the connection.
    pub bytes_written: u64,
    /// The final usage object of the script, delivered or not; none when the script reports none.
    pub usage_told: Option<Value>,
    /// Whether the final usage was handed to the connection.
    pub usage_delivered: bool,
    /// The scripted body was handed over to its proper end.
    pub finished: bool,
    /// The connection ended before the script did.
    pub client_gone: bool,
    /// The request is over, in whatever way.
    pub over: bool,
}

/// The fixed part of a row.
#[derive(Debug, Default)]
pub(crate) struct Arrival {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) model: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) body_bytes: u64,
    pub(crate) authorized_with: Option<String>,
    pub(crate) signed_at: Option<String>,
    pub(crate) traceparent: String,
    pub(crate) tracestate: String,
    pub(crate) header_names: Vec<String>,
    pub(crate) usage_told: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum End {
    Running = 0,
    Finished = 1,
    Broken = 2,
    ClientGone = 3,
}

/// One row of the log while its request runs. Dropped without an end, it says that the client has gone.
#[derive(Debug)]
pub(crate) struct Row {
    n: u64,
    arrival: Arrival,
    status: AtomicU16,
    chunks_sent: AtomicU64,
    bytes_written: AtomicU64,
    usage_delivered: AtomicBool,
    end: AtomicU8,
}

impl Row {
    pub(crate) fn n(&self) -> u64 {
        self.n
    }

    pub(crate) fn answered(&self, status: u16) {
        self.status.store(status, Relaxed);
    }

    pub(crate) fn wrote(&self, bytes: usize) {
        self.bytes_written.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn sent_chunks(&self, chunks: u64) {
        self.chunks_sent.fetch_add(chunks, Relaxed);
    }

    pub(crate) fn delivered_usage(&self) {
        self.usage_delivered.store(true, Relaxed);
    }

    /// Only the first end counts.
    pub(crate) fn ended(&self, end: End) {
        let _ = self.end.compare_exchange(End::Running as u8, end as u8, Relaxed, Relaxed);
    }

    fn seen(&self) -> SeenRequest {
        let arrival = &self.arrival;
        let end = self.end.load(Relaxed);
        SeenRequest {
            n: self.n,
            method: arrival.method.clone(),
            path: arrival.path.clone(),
            model: arrival.model.clone(),
            user: arrival.user.clone(),
            stream: arrival.stream,
            include_usage: arrival.include_usage,
            body_bytes: arrival.body_bytes,
            authorized_with: arrival.authorized_with.clone(),
            signed_at: arrival.signed_at.clone(),
            traceparent: arrival.traceparent.clone(),
            tracestate: arrival.tracestate.clone(),
            header_names: arrival.header_names.clone(),
            status: self.status.load(Relaxed),
            chunks_sent: self.chunks_sent.load(Relaxed),
            bytes_written: self.bytes_written.load(Relaxed),
            usage_told: arrival
                .usage_told
                .as_ref()
                .map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()))),
            usage_delivered: self.usage_delivered.load(Relaxed),
            finished: end == End::Finished as u8,
            client_gone: end == End::ClientGone as u8,
            over: end != End::Running as u8,
        }
    }
}

/// Every row, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Log {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    count: u64,
    rows: VecDeque<Arc<Row>>,
    last_body: Option<Bytes>,
}

impl Log {
    pub(crate) fn arrived(&self, arrival: Arrival, body: Bytes) -> Arc<Row> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.count += 1;
        let row = Arc::new(Row {
            n: inner.count,
            arrival,
            status: AtomicU16::new(0),
            chunks_sent: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
            usage_delivered: AtomicBool::new(false),
            end: AtomicU8::new(End::Running as u8),
        });
        if inner.rows.len() == ROWS_MAX {
            inner.rows.pop_front();
        }
        inner.rows.push_back(Arc::clone(&row));
        inner.last_body = Some(body);
        row
    }

    pub(crate) fn since(&self, n: u64) -> Vec<SeenRequest> {
        let rows: Vec<_> = {
            let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.rows.iter().skip_while(|row| row.n <= n).cloned().collect()
        };
        rows.iter().map(|row| row.seen()).collect()
    }

    pub(crate) fn count(&self) -> u64 {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    pub(crate) fn last_body(&self) -> Option<Bytes> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).last_body.clone()
    }

    pub(crate) fn reset(&self) {
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = Inner::default();
    }
}

/// Holds a row while its answer is prepared and sent; dropped before an end was noted, the client has gone.
#[derive(Debug)]
pub(crate) struct Guard(pub(crate) Arc<Row>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.ended(End::ClientGone);
    }
}
