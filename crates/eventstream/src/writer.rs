//! Writes one frame.

use crate::{CHECKSUM_BYTES, HEADERS_BYTES_MAX, PAYLOAD_BYTES_MAX, PRELUDE_BYTES, headers::HEADERS_MAX};

const TEXT: u8 = 7;

/// What is to be written does not fit into a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("headers or payload are too long for a frame")]
pub struct TooLong;

/// An event whose payload is JSON.
///
/// # Errors
/// [`TooLong`].
pub fn event(kind: &str, payload: &[u8]) -> Result<Vec<u8>, TooLong> {
    frame(&[(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")], payload)
}

/// An error that the service models, whose payload is JSON.
///
/// # Errors
/// [`TooLong`].
pub fn exception(kind: &str, payload: &[u8]) -> Result<Vec<u8>, TooLong> {
    frame(&[(":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")], payload)
}

/// A frame with headers of text.
///
/// # Errors
/// [`TooLong`].
pub fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Result<Vec<u8>, TooLong> {
    let mut written = Vec::with_capacity(headers.len() * 32);
    for (name, value) in headers {
        written.push(u8::try_from(name.len()).map_err(|_| TooLong)?);
        written.extend_from_slice(name.as_bytes());
        written.push(TEXT);
        written.extend_from_slice(&u16::try_from(value.len()).map_err(|_| TooLong)?.to_be_bytes());
        written.extend_from_slice(value.as_bytes());
    }
    if headers.len() > HEADERS_MAX || written.len() > HEADERS_BYTES_MAX || payload.len() > PAYLOAD_BYTES_MAX {
        return Err(TooLong);
    }
    let total = PRELUDE_BYTES + written.len() + payload.len() + CHECKSUM_BYTES;
    let mut frame = Vec::with_capacity(total);
    for length in [total, written.len()] {
        frame.extend_from_slice(&u32::try_from(length).map_err(|_| TooLong)?.to_be_bytes());
    }
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&written);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    Ok(frame)
}
