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
    /// Where in the bytes of an element, and of what stands before it, its document begins. None where the next one would be
    /// read in another way.
    pub(super) fn document_from(self, bytes: &[u8]) -> Option<usize> {
        let from = bytes.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b','))?;
        (self == Self::Between && bytes.get(from) == Some(&b'{')).then_some(from)
    }

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
                    // A byte order mark, too.
                    b' ' | b'\t' | b'\n' | b'\r' | 0xef | 0xbb | 0xbf => {}
                    // It is none: nothing in it is looked at.
                    _ => *self = Self::Behind,
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
