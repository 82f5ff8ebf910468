//! One JSON body of any size, in chunks.

use super::{Sniffed, watch::Watch};

/// Looks on as a plain body passes.
#[derive(Debug)]
pub(super) struct JsonSniffer(Watch);

impl JsonSniffer {
    /// Before the first byte.
    pub(super) fn new() -> Self {
        Self(Watch::new())
    }

    /// Takes the next bytes.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.0.feed(chunk);
    }

    /// What was seen so far.
    pub(super) fn summary(&self) -> Sniffed {
        let mut seen = self.0.seen().clone();
        seen.done = self.0.is_complete() && seen.is_json_object;
        seen
    }
}
