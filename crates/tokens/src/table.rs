//! The ranks of all tokens, as they lie in `data/ranks.bin`. Shared with the example that writes it.
//!
//! [`BUCKETS`] + 1 offsets into what follows them, 3 bytes each: where each bucket starts, and the end of the last. Then the
//! buckets, end to end. A bucket has the tokens of one hash, lowest rank first; a token is its length in bytes (1 byte), its
//! rank (3 bytes) and its bytes. Numbers are little-endian.

/// As many as leave 3 tokens a bucket, which mostly share a line of the processor's cache.
pub(crate) const BUCKETS: usize = 1 << 16;
/// Bytes of an offset and of a rank.
pub(crate) const NUMBER_BYTES: usize = 3;
/// Bytes of the longest token. No longer text is a token.
pub(crate) const TOKEN_BYTES_MAX: usize = 128;

/// The bucket of a token: FNV-1a, folded to 16 bits.
pub(crate) fn bucket(token: &[u8]) -> usize {
    let hash = token.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    let [a, b, c, d] = hash.to_le_bytes();
    usize::from(u16::from_le_bytes([a ^ c, b ^ d]))
}

/// The rank of a token; none when the bytes are no token.
pub(crate) fn rank(table: &[u8], token: &[u8]) -> Option<u32> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let (offsets, tokens) = table.split_at_checked((BUCKETS + 1) * NUMBER_BYTES)?;
    let at = bucket(token) * NUMBER_BYTES;
    let (start, end) = (number(offsets.get(at..)?)?, number(offsets.get(at + NUMBER_BYTES..)?)?);
    let mut bucket = tokens.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)?;
    while let Some((len, rest)) = bucket.split_first() {
        let (rank, rest) = rest.split_at_checked(NUMBER_BYTES)?;
        let (bytes, behind) = rest.split_at_checked(usize::from(*len))?;
        if bytes == token {
            return number(rank);
        }
        bucket = behind;
    }
    None
}

/// The number at the front.
fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|[a, b, c]| u32::from_le_bytes([*a, *b, *c, 0]))
}
