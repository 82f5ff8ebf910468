//! A frame that lies whole in one piece of bytes: for readers that want to look before they walk.

use crate::{CHECKSUM_BYTES, HEADERS_BYTES_MAX, PAYLOAD_BYTES_MAX, PRELUDE_BYTES};

/// A frame as it lies in memory. Nothing of it is to be believed unless [`Self::is_intact`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole<'a> {
    /// All of it.
    pub bytes: &'a [u8],
    /// Its headers, encoded.
    pub headers: &'a [u8],
    /// Its payload.
    pub payload: &'a [u8],
}

impl<'a> Whole<'a> {
    /// The frame that `bytes` begin with. None when it is not all there, or its lengths are impossible.
    #[must_use]
    pub fn first_of(bytes: &'a [u8]) -> Option<Self> {
        let total = number(bytes)?;
        let headers_len = number(bytes.get(4..)?)?;
        let payload_len = total.checked_sub(PRELUDE_BYTES + CHECKSUM_BYTES)?.checked_sub(headers_len)?;
        if headers_len > HEADERS_BYTES_MAX || payload_len > PAYLOAD_BYTES_MAX {
            return None;
        }
        let bytes = bytes.get(..total)?;
        let (headers, rest) = bytes.get(PRELUDE_BYTES..)?.split_at_checked(headers_len)?;
        Some(Self { bytes, headers, payload: rest.get(..payload_len)? })
    }

    /// Whether both checksums are right.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        let (prelude, message) = (PRELUDE_BYTES - CHECKSUM_BYTES, self.bytes.len().saturating_sub(CHECKSUM_BYTES));
        // The second sum goes on where the first one ends.
        let mut sum = crc32fast::Hasher::new();
        let mut is_told = |from: usize, to: usize| {
            let Some(covered) = self.bytes.get(from..to) else { return false };
            sum.update(covered);
            let told = self.bytes.get(to..).and_then(<[u8]>::first_chunk);
            told.map(|told| u32::from_be_bytes(*told)) == Some(sum.clone().finalize())
        };
        is_told(0, prelude) && is_told(prelude, message)
    }
}

fn number(bytes: &[u8]) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(*bytes.first_chunk()?)).ok()
}
