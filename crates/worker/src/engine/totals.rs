//! What the worker has done since it started; read by `/health` and `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

use super::usage::{FinishReason, Usage};

/// Counters. The busy ones are the sums of what the requests report.
#[derive(Debug, Default)]
pub struct Totals {
    queue_us: AtomicU64,
    prefill_busy_us: AtomicU64,
    decode_busy_us: AtomicU64,
    prompt_tokens: AtomicU64,
    completion_tokens: AtomicU64,
    stopped: AtomicU64,
    length: AtomicU64,
    cancelled: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Wall time of requests in the queue.
    pub queue_us: u64,
    /// Processor time of prefill.
    pub prefill_busy_us: u64,
    /// Processor time of decode.
    pub decode_busy_us: u64,
    /// Prompt tokens of ended requests.
    pub prompt_tokens: u64,
    /// Completion tokens of ended requests.
    pub completion_tokens: u64,
    /// Ended by the model or a stop sequence.
    pub stopped: u64,
    /// Ended at a maximum.
    pub length: u64,
    /// Ended by their caller.
    pub cancelled: u64,
    /// Failed.
    pub failed: u64,
    /// Refused because the queue was full.
    pub refused: u64,
}

impl Totals {
    pub(super) fn queued(&self, queue_us: u64) {
        self.queue_us.fetch_add(queue_us, Ordering::Relaxed);
    }

    pub(super) fn busy(&self, prefill_us: u64, decode_us: u64) {
        self.prefill_busy_us.fetch_add(prefill_us, Ordering::Relaxed);
        self.decode_busy_us.fetch_add(decode_us, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ended(&self, reason: Option<FinishReason>, usage: &Usage) {
        let counter = match reason {
            Some(FinishReason::Stop) => &self.stopped,
            Some(FinishReason::Length) => &self.length,
            Some(FinishReason::Cancelled) => &self.cancelled,
            None => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.prompt_tokens.fetch_add(usage.prompt_tokens, Ordering::Relaxed);
        self.completion_tokens.fetch_add(usage.completion_tokens, Ordering::Relaxed);
    }

    /// The counters now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            queue_us: read(&self.queue_us),
            prefill_busy_us: read(&self.prefill_busy_us),
            decode_busy_us: read(&self.decode_busy_us),
            prompt_tokens: read(&self.prompt_tokens),
            completion_tokens: read(&self.completion_tokens),
            stopped: read(&self.stopped),
            length: read(&self.length),
            cancelled: read(&self.cancelled),
            failed: read(&self.failed),
            refused: read(&self.refused),
        }
    }
}
