//! The published rules for what nobody reported: tokens estimated from bytes or from text, always marked.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// UTF-8 bytes counted as one token where no text is at hand: of an input, and of what an attempt delivered before a crash.
pub const BYTES_PER_TOKEN: u64 = 4;

/// Tokens of a text of so many bytes: bytes / 4, rounded up, so that any delivered text is at least one token.
#[must_use]
pub const fn tokens_from_bytes(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN)
}

/// How an output was estimated from the text that was delivered: anyone can do the sum again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TextEstimate {
    /// UTF-8 bytes of text, reasoning and tool arguments that were delivered.
    #[n(0)]
    pub bytes: u64,
    /// Those of them at the beginning whose tokens were counted.
    #[n(1)]
    pub sample_bytes: u64,
    /// Their tokens by o200k_base.
    #[n(2)]
    pub sample_tokens: u64,
    /// Bytes beside these of reasoning that only the provider can read: bytes / 4, as its letters do not tell its tokens.
    #[n(3)]
    #[cbor(with = "crate::nil_default", has_nil)]
    pub sealed_bytes: u64,
}

impl TextEstimate {
    /// The tokens: those of the sample, for the rest as many to a byte, rounded up once, and those of what is sealed. By
    /// bytes / 4 where there is no sample.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.tokens_of_text().saturating_add(tokens_from_bytes(self.sealed_bytes))
    }

    fn tokens_of_text(&self) -> u64 {
        if self.sample_bytes == 0 {
            return tokens_from_bytes(self.bytes);
        }
        let tokens = u128::from(self.bytes).saturating_mul(self.sample_tokens.into());
        let tokens = tokens.div_ceil(self.sample_bytes.into());
        u64::try_from(tokens).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_stands_for_the_rest() {
        let tokens = |bytes, sample_bytes, sample_tokens| {
            TextEstimate { bytes, sample_bytes, sample_tokens, sealed_bytes: 0 }.tokens()
        };
        assert_eq!(tokens(40, 40, 9), 9);
        assert_eq!(tokens(4096, 2048, 500), 1000);
        assert_eq!(tokens(4097, 2048, 500), 1001);
        assert_eq!(tokens(41, 0, 0), 11);
        assert_eq!(tokens(0, 0, 0), 0);
        assert_eq!(tokens(u64::MAX, 1, u64::MAX), u64::MAX);
        let sealed = TextEstimate { bytes: 1, sample_bytes: 1, sample_tokens: 1, sealed_bytes: 10_000 };
        assert_eq!(sealed.tokens(), 2501);
    }
}
