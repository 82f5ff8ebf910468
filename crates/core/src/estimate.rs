//! The published rule for what nobody reported: tokens estimated from bytes, always marked `estimated`.

/// UTF-8 bytes counted as one token by the rule.
pub const BYTES_PER_TOKEN: u64 = 4;

/// Tokens of a text of so many bytes: bytes / 4, rounded up, so that any delivered text is at least one token.
#[must_use]
pub const fn tokens_from_bytes(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN)
}
