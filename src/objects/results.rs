//! The results of a batch, a line each, as they come from a provider: read one by one, whatever their number.

use std::{borrow::Cow, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::entries::ResultLine;
use crate::{store::objects::ObjectKind, upstream::body::UpstreamBody};

/// Longest line that is read, in bytes.
const LINE_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Why results cannot be read now.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResultsError {
    /// The connection broke or fell silent.
    #[error("the results were cut off")]
    Cut,
    /// A line is too long.
    #[error("a result is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// A line is no result.
    #[error("a line of the results is none")]
    Damaged,
}

/// Lines of a body.
pub(super) struct ResultLines {
    body: Option<UpstreamBody>,
    buffer: BytesMut,
    /// Of the buffer, so much has no end of a line in it.
    searched: usize,
    silence_max: Duration,
}

impl ResultLines {
    pub(super) fn new(body: UpstreamBody, silence_max: Duration) -> Self {
        Self { body: Some(body), buffer: BytesMut::new(), searched: 0, silence_max }
    }

    /// The next line that is not empty.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ResultsError> {
        loop {
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', rest) {
                let line = self.buffer.split_to(self.searched + at + 1).freeze();
                self.searched = 0;
                if !line.iter().all(u8::is_ascii_whitespace) {
                    return Ok(Some(line));
                }
                continue;
            }
            self.searched = self.buffer.len();
            if self.searched > LINE_BYTES_MAX {
                return Err(ResultsError::TooLong);
            }
            let Some(body) = &mut self.body else {
                let line = self.buffer.split().freeze();
                self.searched = 0;
                return Ok(Some(line).filter(|line| !line.iter().all(u8::is_ascii_whitespace)));
            };
            match timeout(self.silence_max, body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.buffer.extend_from_slice(&bytes);
                    }
                }
                Ok(None) => self.body = None,
                Ok(Some(Err(_))) | Err(_) => return Err(ResultsError::Cut),
            }
        }
    }
}

#[derive(Deserialize)]
struct OfFile<'a> {
    #[serde(borrow)]
    custom_id: Cow<'a, str>,
    #[serde(borrow)]
    response: Option<FileResponse<'a>>,
}

#[derive(Deserialize)]
struct FileResponse<'a> {
    #[serde(default)]
    status_code: u16,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct OfMessages<'a> {
    #[serde(borrow)]
    custom_id: Cow<'a, str>,
    #[serde(borrow)]
    result: MessageResult<'a>,
}

#[derive(Deserialize)]
struct MessageResult<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

/// Reads a line and gives it to `take`, if it used something. Gives the request's name.
pub(super) fn read<T>(
    kind: ObjectKind,
    line: &[u8],
    take: impl FnOnce(&ResultLine<'_>) -> T,
) -> Result<(String, Option<T>), ResultsError> {
    let damaged = |_: serde_json::Error| ResultsError::Damaged;
    if kind == ObjectKind::MessageBatch {
        let read: OfMessages<'_> = serde_json::from_slice(line).map_err(damaged)?;
        let message = read.result.message.filter(|_| read.result.kind == "succeeded");
        let taken =
            message.map(|message| take(&ResultLine { custom_id: &read.custom_id, body: message.get(), status: 200 }));
        return Ok((read.custom_id.into_owned(), taken));
    }
    let read: OfFile<'_> = serde_json::from_slice(line).map_err(damaged)?;
    let answered = read.response.filter(|response| (200..300).contains(&response.status_code));
    let taken = answered.and_then(|response| {
        let body = response.body?.get();
        Some(take(&ResultLine { custom_id: &read.custom_id, body, status: response.status_code }))
    });
    Ok((read.custom_id.into_owned(), taken))
}
