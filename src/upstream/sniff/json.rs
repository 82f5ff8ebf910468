//! One JSON body of any size, in chunks.

use super::{Sniffed, watch::Watch};

/// Looks on as a plain body passes.
#[derive(Debug)]
pub struct JsonSniffer(Watch);

impl JsonSniffer {
    /// Before the first byte.
    #[expect(clippy::new_without_default, reason = "there is no default answer")]
    #[must_use]
    pub fn new() -> Self {
        Self(Watch::new())
    }

    /// Takes the next bytes.
    pub fn push(&mut self, chunk: &[u8]) {
        self.0.feed(chunk);
    }

    /// What was seen so far.
    #[must_use]
    pub fn summary(&self) -> Sniffed {
        self.0.seen().clone()
    }

    /// What was seen of a body that has ended.
    #[must_use]
    pub fn finish(self) -> Sniffed {
        let mut seen = self.0.seen().clone();
        seen.done = self.0.is_complete() && seen.is_json_object;
        seen
    }
}
