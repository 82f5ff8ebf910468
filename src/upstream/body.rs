//! The body of an upstream's answer, whichever way it comes.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

/// The body of an upstream's answer.
#[derive(Debug)]
pub enum UpstreamBody {
    /// In clear, by HTTP/1.1.
    Plain(tollgate_http1::Body),
    /// Over TLS.
    Tls(Incoming),
}

/// It broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// In clear.
    #[error(transparent)]
    Plain(#[from] tollgate_http1::Error),
    /// Over TLS.
    #[error(transparent)]
    Tls(#[from] hyper::Error),
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(match self.get_mut() {
            Self::Plain(body) => ready!(Pin::new(body).poll_frame(cx)).map(|frame| Ok(frame?)),
            Self::Tls(body) => ready!(Pin::new(body).poll_frame(cx)).map(|frame| Ok(frame?)),
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Plain(body) => body.is_end_stream(),
            Self::Tls(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Plain(body) => body.size_hint(),
            Self::Tls(body) => body.size_hint(),
        }
    }
}
