//! One record on disk: header, payload, checksum, padding to eight bytes.
//!
//! ```text
//! magic u32 | payload length u32 | kind u8 | codec version u8 | frame version u8 | 0 | 0 u32 | boot id 16 | sequence u64
//! payload | crc32c u32 of all before | zeros to a multiple of 8
//! ```

use tollgate_core::{
    id::BootId,
    record::{CODEC_VERSION, Record},
};

const MAGIC: u32 = 0x4c47_5254;
const FRAME_VERSION: u8 = 1;
/// Bytes before the payload.
pub(super) const HEADER_LEN: usize = 40;
/// Largest payload; a larger length is damage.
pub(super) const PAYLOAD_BYTES_MAX: usize = 256 << 10;
/// Frames begin at multiples of this.
pub(super) const ALIGN: usize = 8;

/// A frame found in a segment.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) version: u8,
    pub(super) sequence: u64,
    pub(super) payload: &'a [u8],
    /// Bytes that it takes, padding included.
    pub(super) len: usize,
}

/// Appends one record.
pub(super) fn append(buffer: &mut Vec<u8>, boot_id: BootId, sequence: u64, record: &Record) {
    let start = buffer.len();
    buffer.extend_from_slice(&MAGIC.to_le_bytes());
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&[record.kind().code(), CODEC_VERSION, FRAME_VERSION, 0, 0, 0, 0, 0]);
    buffer.extend_from_slice(boot_id.bytes());
    buffer.extend_from_slice(&sequence.to_le_bytes());
    record.encode(buffer);
    let payload_len = buffer.len() - start - HEADER_LEN;
    let length = u32::try_from(payload_len).unwrap_or(u32::MAX).to_le_bytes();
    if let Some(slot) = buffer.get_mut(start + 4..start + 8) {
        slot.copy_from_slice(&length);
    }
    let crc = crc32c::crc32c(buffer.get(start..).unwrap_or_default());
    buffer.extend_from_slice(&crc.to_le_bytes());
    buffer.resize(buffer.len().next_multiple_of(ALIGN), 0);
}

/// The frame that begins at the start of `bytes`, if a sound one of this boot does.
pub(super) fn read(bytes: &[u8], boot_id: BootId) -> Option<Frame<'_>> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    if word(0)? != MAGIC {
        return None;
    }
    let payload_len = usize::try_from(word(4)?).ok().filter(|len| *len <= PAYLOAD_BYTES_MAX)?;
    let crc_at = HEADER_LEN + payload_len;
    let checked = bytes.get(..crc_at)?;
    if word(crc_at)? != crc32c::crc32c(checked) || bytes.get(16..32)? != boot_id.bytes() {
        return None;
    }
    Some(Frame {
        kind: *bytes.get(8)?,
        version: *bytes.get(9)?,
        sequence: u64::from_le_bytes(bytes.get(32..40)?.try_into().ok()?),
        payload: bytes.get(HEADER_LEN..crc_at)?,
        len: (crc_at + 4).next_multiple_of(ALIGN),
    })
}
