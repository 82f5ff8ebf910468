//! What a request has used: the one object of chunks, bodies and final records.

use serde::{Deserialize, Serialize};

/// Cumulative usage of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens sampled, an end-of-sequence token included.
    pub completion_tokens: u64,
    /// Both.
    pub total_tokens: u64,
    /// Of the prompt.
    pub prompt_tokens_details: PromptDetails,
    /// Where the time went.
    pub worker: WorkerTime,
}

/// Of which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptDetails {
    /// Prompt tokens that were not computed again. Always 0: there is no prefix cache.
    pub cached_tokens: u64,
}

/// Time of one request, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerTime {
    /// Wall time in the queue.
    pub queue_us: u64,
    /// Processor time of prefill.
    pub prefill_busy_us: u64,
    /// Processor time of decode.
    pub decode_busy_us: u64,
    /// Engine threads of this worker: its capacity is so many busy microseconds a microsecond.
    pub engine_threads: u32,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended it, or a stop sequence came.
    Stop,
    /// The output maximum or the context was reached.
    Length,
    /// The caller cancelled it, or left.
    Cancelled,
}

impl FinishReason {
    /// As it stands in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Cancelled => "cancelled",
        }
    }
}
