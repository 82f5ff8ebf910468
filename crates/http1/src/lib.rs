//! HTTP/1.1 to an upstream over plain TCP.
//!
//! A [`Connection`] has no task of its own: the future that sends a request polls the socket itself, and so does the body of
//! the answer. Nothing is handed from task to task, a chunk is a slice of what was read, and a stream that waits holds one
//! buffer of 2 KiB. Connections that can be used again are in a [`Pool`].
//!
//! What is read is held against RFC 9112: an answer whose length is not certain, or that goes on behind its end, costs its
//! connection. Knows no name to resolve, no TLS, no redirect and no retry.

mod body;
mod chunked;
mod connection;
mod head;
mod pool;

pub use self::{
    body::Body,
    connection::{Connection, Request},
    pool::Pool,
};

/// Why there is no answer, or no more of one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection had been closed before a byte of the request was written: another one may be tried.
    #[error("the connection was closed before the request")]
    Unsent,
    /// Reading or writing failed; bytes may have left.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The upstream closed the connection before its answer was complete.
    #[error("closed before the answer was complete")]
    Closed,
    /// What came is no answer of HTTP/1.1.
    #[error("no answer of HTTP/1.1: {0}")]
    Invalid(&'static str),
}
