//! Looks on as an answer's bytes pass, by JSON path, without parsing a chunk and without changing a byte.
//!
//! Constant memory: what is captured is capped, what is counted is a number. Text that imitates a usage object inside a
//! string, a tool schema or any nested object stands at another path and is never read.

mod events;
mod json;
mod watch;

pub use self::{events::SseSniffer, json::JsonSniffer};

/// What was seen of an answer so far. The last non-null value of each field wins: reported numbers are cumulative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sniffed {
    /// The usage object as it came, at most 16 KiB.
    pub usage_raw: Option<String>,
    /// llama.cpp's `timings` object, which alone tells of cache reads.
    pub timings_raw: Option<String>,
    /// The model that served.
    pub model: Option<String>,
    /// Why the first choice that said so finished.
    pub finish: Option<String>,
    /// An error object stood where the answer should be.
    pub error_seen: bool,
    /// A message or delta carried a refusal.
    pub refusal_seen: bool,
    /// The terminal event came.
    pub done: bool,
    /// A `choices` or `data` array was there.
    pub choices_seen: bool,
    /// UTF-8 bytes of delivered text and reasoning.
    pub delivered_bytes: u64,
    /// UTF-8 bytes of delivered tool arguments.
    pub tool_bytes: u64,
    /// A whole body: it is one complete JSON object. Events: some event was.
    pub is_json_object: bool,
}

impl Sniffed {
    /// Whether the answer told how it ended, so that its usage is the last word.
    #[must_use]
    pub const fn says_its_end(&self) -> bool {
        self.done || self.finish.is_some() || self.error_seen
    }

    /// All delivered bytes, the base of an output estimate.
    #[must_use]
    pub const fn output_bytes(&self) -> u64 {
        self.delivered_bytes.saturating_add(self.tool_bytes)
    }
}
