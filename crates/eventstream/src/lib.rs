//! Frames of `application/vnd.amazon.eventstream`, the wire of Bedrock's streams: a reader that looks on as bytes pass, and a
//! writer. Knows no dialect: what stands in a payload is the caller's.
//!
//! A frame is 4 bytes of its whole length, 4 bytes of its headers' length, the CRC-32 of these 8 bytes, headers, payload, and
//! the CRC-32 of everything before. All numbers are big-endian.
//!
//! A crate of its own because the gateway and the scripted upstream of its tests both speak it, and must not link each other.

pub mod headers;
pub mod reader;
pub mod whole;
pub mod writer;

/// Bytes before the headers: two lengths and their checksum.
const PRELUDE_BYTES: usize = 12;
/// Bytes of a checksum.
const CHECKSUM_BYTES: usize = 4;
/// Longest headers of a frame; what AWS allows.
pub const HEADERS_BYTES_MAX: usize = 128 * 1024;
/// Longest payload of a frame; what AWS allows.
pub const PAYLOAD_BYTES_MAX: usize = 24 * 1024 * 1024;
