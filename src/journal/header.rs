//! The first bytes of a segment: which format it has, and whose it is.
//!
//! | offset | bytes | field (little-endian) |
//! |---|---|---|
//! | 0 | 8 | magic |
//! | 8 | 4 | format version |
//! | 12 | 4 | where the first frame begins |
//! | 16 | 16 | boot id |
//! | 32 | 8 | number of the segment in the boot |
//! | 40 | 20 | reserved, zeros |
//! | 60 | 4 | crc32c of all before it |
//!
//! Magic, version and checksum stay where they are in every later format, so that every build can tell a newer one.
//! Format 1 had no header: its frames begin at 0.

use tollgate_core::id::BootId;

use crate::journal::frame;

/// The format that this build writes.
pub(super) const FORMAT_VERSION: u32 = 2;
/// Bytes of the header, and where this build puts the first frame.
pub(super) const HEADER_BYTES: usize = 64;
/// As a PNG's: no text begins so, and a transfer that changes line ends destroys it.
const MAGIC: [u8; 8] = [0xF7, b'T', b'G', b'S', 0x0D, 0x0A, 0x1A, 0x0A];
const CRC_AT: usize = 60;

/// What the first bytes of a segment say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// A format that this build reads; the first frame begins here.
    Frames {
        /// Offset of the first frame.
        at: u64,
    },
    /// A format of a later build.
    Newer {
        /// Its version.
        version: u32,
    },
    /// The header is damaged; frames are looked for everywhere.
    Damaged,
}

/// The header of a segment.
pub(super) fn encode(boot_id: BootId, index: u64) -> [u8; HEADER_BYTES] {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(HEADER_BYTES).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(boot_id.bytes());
    bytes.extend_from_slice(&index.to_le_bytes());
    bytes.resize(CRC_AT, 0);
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.first_chunk().copied().unwrap_or([0; HEADER_BYTES])
}

/// Reads the first [`HEADER_BYTES`] bytes of a segment, fewer if it is shorter.
pub(super) fn start(bytes: &[u8]) -> Start {
    let Some(head) = bytes.first_chunk::<HEADER_BYTES>().filter(|head| is_whole(head)) else {
        // Format 1 begins with a frame, or with zeros while it is unused.
        let is_headerless = bytes.starts_with(&frame::MAGIC) || bytes.iter().all(|byte| *byte == 0);
        return if is_headerless { Start::Frames { at: 0 } } else { Start::Damaged };
    };
    let field = |at: usize| head.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(0, u32::from_le_bytes);
    match field(8) {
        FORMAT_VERSION => Start::Frames { at: u64::from(field(12)) },
        version if version > FORMAT_VERSION => Start::Newer { version },
        _ => Start::Damaged,
    }
}

fn is_whole(head: &[u8; HEADER_BYTES]) -> bool {
    let (covered, crc) = head.split_at(CRC_AT);
    head.starts_with(&MAGIC) && crc == crc32c::crc32c(covered).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> [u8; HEADER_BYTES] {
        encode(BootId::new(1, &[2; 10]), 3)
    }

    #[test]
    fn a_header_reads_back() {
        assert_eq!(start(&header()), Start::Frames { at: 64 });
    }

    #[test]
    fn a_segment_without_a_header_is_of_format_one() {
        assert_eq!(start(&[0; 64]), Start::Frames { at: 0 });
        assert_eq!(start(&[]), Start::Frames { at: 0 });
        let mut first_frame = Vec::new();
        frame::append(&mut first_frame, BootId::new(1, &[2; 10]), 1, 0, 1, &[7; 50]);
        assert_eq!(start(&first_frame), Start::Frames { at: 0 });
    }

    #[test]
    fn a_later_version_is_told_and_no_damage_poses_as_one() {
        for at in 0..HEADER_BYTES {
            for bit in 0..8 {
                let mut head = header();
                head[at] ^= 1 << bit;
                assert_eq!(start(&head), Start::Damaged, "byte {at}, bit {bit}");
            }
        }
        let mut later = header();
        later[8] = 3;
        let crc = crc32c::crc32c(&later[..CRC_AT]).to_le_bytes();
        later[CRC_AT..].copy_from_slice(&crc);
        assert_eq!(start(&later), Start::Newer { version: 3 });
    }
}
