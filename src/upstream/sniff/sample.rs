//! The beginning of what was delivered: its tokens are counted if nobody reports them.

use std::{borrow::Cow, fmt};

/// Most bytes that are kept of one answer, some five hundred tokens.
pub const SAMPLE_BYTES_MAX: usize = 2048;

/// Room that is made at first; most of what is watched is short, or never delivers at all.
const ROOM_AT_FIRST: usize = 128;

/// The first text, reasoning and tool arguments of an answer, escapes undone. Lives as long as its request, in memory only,
/// and is shown to nobody.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sample {
    text: Vec<u8>,
}

impl Sample {
    /// A sample of this text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut sample = Self::default();
        sample.push(text.as_bytes());
        sample
    }

    /// Takes what was delivered next, as far as there is room.
    pub(super) fn push(&mut self, text: &[u8]) {
        let (taken, _) = text.split_at(text.len().min(SAMPLE_BYTES_MAX - self.text.len()));
        if self.text.capacity() - self.text.len() < taken.len() {
            // Few steps, and none beyond what is ever kept.
            let wanted = (self.text.capacity() * 4).max(ROOM_AT_FIRST).max(self.text.len() + taken.len());
            self.text.reserve_exact(wanted.min(SAMPLE_BYTES_MAX) - self.text.len());
        }
        self.text.extend_from_slice(taken);
    }

    /// Forgets everything but its room.
    pub(super) fn clear(&mut self) {
        self.text.clear();
    }

    /// Whether nothing more is taken.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.text.len() >= SAMPLE_BYTES_MAX
    }

    /// Bytes that it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether nothing was delivered.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Its bytes as text; a character that is cut off at its end is one that nobody knows.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.text)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.text
    }
}

/// A customer's text is in no log and no error.
impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sample({} bytes)", self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_beginning_and_shows_it_to_no_log() {
        let mut sample = Sample::default();
        for _ in 0..1000 {
            sample.push(b"secret");
        }
        assert_eq!((sample.len(), sample.is_full()), (SAMPLE_BYTES_MAX, true));
        assert!(sample.text().starts_with("secretsecret") && sample.text.capacity() <= SAMPLE_BYTES_MAX);
        assert_eq!(format!("{sample:?}"), "Sample(2048 bytes)");
    }
}
