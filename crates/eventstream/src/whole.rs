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
        let checked = |covered: usize| {
            let told = self.bytes.get(covered..).and_then(number);
            let counted = self.bytes.get(..covered).map(crc32fast::hash);
            told.is_some() && told == counted.and_then(|sum| usize::try_from(sum).ok())
        };
        checked(PRELUDE_BYTES - CHECKSUM_BYTES) && checked(self.bytes.len() - CHECKSUM_BYTES)
    }
}

fn number(bytes: &[u8]) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(*bytes.first_chunk()?)).ok()
}
