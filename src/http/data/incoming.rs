//! What comes with a request, before anybody understands it: its body, and its customer's tags.

use std::{pin::pin, task::Poll, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, header},
};
use bytes::Bytes;
use futures_util::poll;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use crate::upstream::request::error::RequestError;

const X_TOLLGATE_TAGS: HeaderName = HeaderName::from_static("x-tollgate-tags");
/// A body must be complete within so long.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Tags of one request at most, and bytes of a name or value.
const TAGS_MAX: usize = 16;
const TAG_BYTES_MAX: usize = 64;

/// A body, bounded in bytes and time.
pub(super) async fn body(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Bytes, RequestError> {
    body_within(TIMEOUT, headers, body, bytes_max).await
}

async fn body_within(
    within: Duration,
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<Bytes, RequestError> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(RequestError::Encoded);
    }
    let mut collected = pin!(Limited::new(body, bytes_max).collect());
    // Most bodies have come with their head, and need no timer.
    let collected = match poll!(&mut collected) {
        Poll::Ready(collected) => collected,
        Poll::Pending => timeout(within, collected).await.map_err(|_elapsed| RequestError::TooSlow)?,
    };
    let body = collected.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
        Some(_) => RequestError::TooLarge { bytes_max },
        None => RequestError::Incomplete,
    })?;
    Ok(body.to_bytes())
}

/// `team=a,feature=b`, sorted.
pub(super) fn tags(headers: &HeaderMap) -> Result<Vec<(String, String)>, RequestError> {
    let Some(value) = headers.get(X_TOLLGATE_TAGS) else { return Ok(Vec::new()) };
    let text = value.to_str().map_err(|_| RequestError::BadTags)?;
    let mut tags = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(RequestError::BadTags)?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.len() > TAG_BYTES_MAX || value.len() > TAG_BYTES_MAX || tags.len() == TAGS_MAX {
            return Err(RequestError::BadTags);
        }
        tags.push((name.to_owned(), value.to_owned()));
    }
    tags.sort();
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::{
        StreamExt,
        stream::{self, BoxStream},
    };

    use super::*;

    type Pieces = BoxStream<'static, Result<&'static str, io::Error>>;

    async fn read(pieces: Pieces, within: Duration) -> Result<Bytes, RequestError> {
        body_within(within, &HeaderMap::new(), Body::from_stream(pieces), 8).await
    }

    /// Each comes a while after the one before.
    fn slow(pieces: &'static [&'static str]) -> Pieces {
        let piece = |piece: &&'static str| {
            let piece = *piece;
            async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok(piece)
            }
        };
        stream::iter(pieces).then(piece).boxed()
    }

    #[tokio::test]
    async fn a_body_is_whole_however_it_comes_and_within_its_bounds_or_refused() {
        let long = Duration::from_secs(10);
        assert_eq!(read(stream::iter([Ok("{"), Ok("}")]).boxed(), long).await.unwrap(), "{}");
        assert_eq!(read(slow(&["{", "12", "}"]), long).await.unwrap(), "{12}");
        let error = read(slow(&["1234", "56789"]), long).await.unwrap_err();
        assert!(matches!(error, RequestError::TooLarge { bytes_max: 8 }), "{error}");
        let broken = stream::iter([Ok("{"), Err(io::Error::other("gone"))]).boxed();
        assert!(matches!(read(broken, long).await.unwrap_err(), RequestError::Incomplete));
        // What has come counts for nothing when the rest does not come in time.
        let silent = stream::iter([Ok("{")]).chain(stream::pending()).boxed();
        assert!(matches!(read(silent, Duration::from_millis(50)).await.unwrap_err(), RequestError::TooSlow));
        assert!(matches!(read(slow(&["1"; 8]), Duration::from_millis(50)).await.unwrap_err(), RequestError::TooSlow));
    }
}
