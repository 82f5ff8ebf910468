//! A stream that is one JSON array of documents.

use super::{collect::Collector, documents::Documents, frames::Ended};

/// Where in the array the next byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ArrayFrames {
    /// Before it.
    #[default]
    Before,
    /// Between its elements.
    Between,
    /// Within an element, or within what is no array.
    Within { alone: bool },
    /// Behind it.
    Behind,
}

impl ArrayFrames {
    /// Takes bytes of one element, or of what stands between two.
    pub(super) fn take(&mut self, bytes: &[u8], documents: &mut Collector) -> (usize, Option<Ended>) {
        let Some(&byte) = bytes.first() else { return (0, None) };
        match *self {
            Self::Within { alone } => {
                let eaten = documents.feed(bytes);
                if !documents.is_complete() {
                    return (eaten, None);
                }
                documents.end(true);
                *self = if alone { Self::Behind } else { Self::Between };
                (eaten, Some(Ended { is_last: false }))
            }
            Self::Before => {
                match byte {
                    b'[' => *self = Self::Between,
                    b'{' => {
                        *self = Self::Within { alone: true };
                        return self.take(bytes, documents);
                    }
                    _ => {}
                }
                (1, None)
            }
            Self::Between => match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b',' => (1, None),
                b']' => {
                    *self = Self::Behind;
                    (1, Some(Ended { is_last: true }))
                }
                _ => {
                    *self = Self::Within { alone: false };
                    self.take(bytes, documents)
                }
            },
            Self::Behind => (bytes.len(), None),
        }
    }
}
