//! The bytes of one record on disk: a header, the payload, a checksum, zeros up to the next multiple of eight.
//!
//! | offset | bytes | field (little-endian) |
//! |---|---|---|
//! | 0 | 4 | magic |
//! | 4 | 4 | payload length |
//! | 8 | 4 | kind, codec version, frame version, reserved |
//! | 12 | 16 | boot id |
//! | 28 | 8 | sequence |
//! | 36 | 4 | how many records just before it were not yet durable when it was written |
//! | 40 | n | payload |
//! | 40+n | 4 | crc32c of all before it |
//!
//! The magic begins with a byte that never stands in UTF-8 text, so that no client's text can pose as a record.
//! The count at 36 tells damage from a torn tail: a group that was never synced may reach the disk in part and in any
//! order, and what is missing of it was never acknowledged.

use tollgate_core::{id::BootId, record::CODEC_VERSION};

/// The first bytes of every frame.
pub(super) const MAGIC: [u8; 4] = [0xF7, b'T', b'G', b'J'];
/// The frame version that this build writes.
pub(super) const FRAME_VERSION: u8 = 1;
/// Bytes before the payload.
pub(super) const HEADER_BYTES: usize = 40;
/// Bytes of the checksum.
pub(super) const CRC_BYTES: usize = 4;
/// Frames begin at multiples of this, bytes.
pub(super) const ALIGN_BYTES: usize = 8;
/// The smallest frame, bytes.
pub(super) const FRAME_BYTES_MIN: usize = (HEADER_BYTES + CRC_BYTES).next_multiple_of(ALIGN_BYTES);
/// The largest payload, bytes; a longer length is damage.
pub(super) const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Length of the payload, bytes.
    pub(super) payload_bytes: usize,
    /// The record's kind, as in [`tollgate_core::record::RecordKind::code`].
    pub(super) kind: u8,
    /// Version of the payload's codec.
    pub(super) codec_version: u8,
    /// Version of this layout.
    pub(super) frame_version: u8,
    /// The boot that wrote it.
    pub(super) boot_id: BootId,
    /// Its place in the boot; from 1.
    pub(super) sequence: u64,
    /// How many records just before it were not yet durable when it was written.
    pub(super) unsynced_before: u32,
}

impl Header {
    /// Every record up to this sequence was durable when this one was written.
    pub(super) fn proven_sequence(&self) -> u64 {
        self.sequence.saturating_sub(1).saturating_sub(u64::from(self.unsynced_before))
    }

    /// Bytes of the frame without its padding.
    pub(super) const fn checked_bytes(&self) -> usize {
        HEADER_BYTES + self.payload_bytes + CRC_BYTES
    }

    /// Bytes of the frame.
    pub(super) const fn frame_bytes(&self) -> usize {
        self.checked_bytes().next_multiple_of(ALIGN_BYTES)
    }
}

/// Appends a frame. The payload is at most [`PAYLOAD_BYTES_MAX`].
pub(super) fn append(
    buffer: &mut Vec<u8>,
    boot_id: BootId,
    sequence: u64,
    unsynced_before: u32,
    kind: u8,
    payload: &[u8],
) {
    let start = buffer.len();
    // Checked where records are submitted; a longer payload would be cut, and its checksum would still be right.
    debug_assert!(payload.len() <= PAYLOAD_BYTES_MAX, "a payload's length is checked before it is queued");
    let payload_bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    buffer.extend_from_slice(&MAGIC);
    buffer.extend_from_slice(&payload_bytes.to_le_bytes());
    buffer.extend_from_slice(&[kind, CODEC_VERSION, FRAME_VERSION, 0]);
    buffer.extend_from_slice(boot_id.bytes());
    buffer.extend_from_slice(&sequence.to_le_bytes());
    buffer.extend_from_slice(&unsynced_before.to_le_bytes());
    buffer.extend_from_slice(payload);
    let crc = crc32c::crc32c(buffer.get(start..).unwrap_or_default());
    buffer.extend_from_slice(&crc.to_le_bytes());
    buffer.resize(start + (buffer.len() - start).next_multiple_of(ALIGN_BYTES), 0);
}

/// Reads a header; none when it is not one. Says nothing about the rest of the frame.
pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    if !bytes.starts_with(&MAGIC) {
        return None;
    }
    let payload_bytes = usize::try_from(u32::from_le_bytes(array(bytes, 4)?)).ok()?;
    let [kind, codec_version, frame_version, _reserved] = array(bytes, 8)?;
    let boot_id = BootId::from_bytes(array(bytes, 12)?);
    let sequence = u64::from_le_bytes(array(bytes, 28)?);
    let unsynced_before = u32::from_le_bytes(array(bytes, 36)?);
    let plausible = payload_bytes <= PAYLOAD_BYTES_MAX && sequence > 0;
    plausible.then_some(Header {
        payload_bytes,
        kind,
        codec_version,
        frame_version,
        boot_id,
        sequence,
        unsynced_before,
    })
}

/// The payload of a frame whose header was read; none when the frame is cut or its checksum is wrong.
pub(super) fn payload<'a>(bytes: &'a [u8], header: &Header) -> Option<&'a [u8]> {
    let checked = HEADER_BYTES + header.payload_bytes;
    let crc = u32::from_le_bytes(array(bytes, checked)?);
    let covered = bytes.get(..checked)?;
    (crc32c::crc32c(covered) == crc).then(|| covered.get(HEADER_BYTES..)).flatten()
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(sequence: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        append(&mut bytes, BootId::new(1, &[2; 10]), sequence, 2, 3, payload);
        bytes
    }

    proptest! {
        #[test]
        fn a_frame_reads_back_and_ends_on_a_multiple_of_eight(sequence in 1..u64::MAX, bytes: Vec<u8>) {
            let frame = frame(sequence, &bytes);
            let header = header(&frame).unwrap();
            prop_assert_eq!((header.sequence, header.kind, header.frame_bytes()), (sequence, 3, frame.len()));
            prop_assert_eq!(frame.len() % ALIGN_BYTES, 0);
            prop_assert_eq!(payload(&frame, &header), Some(bytes.as_slice()));
        }
    }

    #[test]
    fn any_flipped_bit_that_counts_is_noticed() {
        let whole = frame(7, b"what was counted");
        let counts = header(&whole).unwrap().checked_bytes();
        for bit in 0..counts * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let read = header(&bytes).and_then(|header| payload(&bytes, &header).map(<[u8]>::to_vec));
            assert_eq!(read, None, "bit {bit}");
        }
    }

    #[test]
    fn a_cut_frame_is_not_a_frame() {
        let whole = frame(7, b"what was counted");
        let header = header(&whole).unwrap();
        for length in 0..header.checked_bytes() {
            assert_eq!(payload(&whole[..length], &header), None, "{length} bytes");
        }
    }
}
