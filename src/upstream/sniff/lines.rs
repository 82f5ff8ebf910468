//! A JSON document a line.

use memchr::memchr;

use super::{collect::Collector, documents::Documents, frames::Ended};

/// Where in a stream of lines the next byte stands.
#[derive(Debug, Default)]
pub(super) struct LineFrames;

impl LineFrames {
    /// Takes bytes of one line.
    pub(super) fn take(&mut self, bytes: &[u8], documents: &mut Collector) -> (usize, Option<Ended>) {
        let Some(len) = memchr(b'\n', bytes) else {
            documents.data(bytes);
            return (bytes.len(), None);
        };
        documents.data(bytes.get(..=len).unwrap_or_default());
        documents.end(true);
        (len + 1, Some(Ended { is_last: false }))
    }
}
