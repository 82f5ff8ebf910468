//! The body of an answer: reads its connection when it is polled, and leaves it to the pool at its end.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::uri::Authority;
use http_body::{Frame, SizeHint};

use crate::{
    Connection, Error, Pool,
    chunked::{Chunked, Piece},
    head::Framing,
};

/// The body of an answer. One that is dropped before its end closes its connection.
#[derive(Debug)]
pub struct Body {
    /// None at the end.
    reading: Option<Reading>,
}

#[derive(Debug)]
struct Reading {
    connection: Box<Connection>,
    left: Left,
    /// Where the connection goes behind the answer; none when it cannot be used again.
    home: Option<(Authority, Arc<Pool>)>,
}

/// What of a body is to come.
#[derive(Debug)]
enum Left {
    Bytes(u64),
    Chunks(Chunked),
    UntilClose,
}

impl Body {
    pub(crate) fn new(connection: Box<Connection>, framing: Framing, home: Option<(Authority, Arc<Pool>)>) -> Self {
        let left = match framing {
            Framing::Length(length) => Left::Bytes(length),
            Framing::Chunked => Left::Chunks(Chunked::Size),
            Framing::UntilClose => Left::UntilClose,
        };
        let reading = Reading { connection, left, home };
        let is_over = matches!(reading.left, Left::Bytes(0));
        let mut body = Self { reading: Some(reading) };
        if is_over {
            body.end();
        }
        body
    }

    /// Nothing more of it comes.
    fn end(&mut self) {
        if let Some(Reading { connection, home: Some((key, pool)), .. }) = self.reading.take() {
            pool.put(key, connection);
        }
    }
}

impl Left {
    /// Takes the next piece of what was read.
    fn next(&mut self, connection: &mut Connection) -> Result<Piece, Error> {
        let read = &mut connection.read;
        let max = match self {
            Self::Chunks(chunked) => return chunked.next(read),
            Self::Bytes(0) => return Ok(Piece::End),
            Self::Bytes(left) => usize::try_from(*left).unwrap_or(usize::MAX),
            Self::UntilClose => usize::MAX,
        };
        let taken = read.len().min(max);
        if taken == 0 {
            return Ok(Piece::More);
        }
        if let Self::Bytes(left) = self {
            *left = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
        }
        Ok(Piece::Data(read.split_to(taken).freeze()))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            let Some(Reading { connection, left, .. }) = &mut self.reading else { return Poll::Ready(None) };
            connection.send_more(cx);
            let failed = match left.next(connection) {
                Ok(Piece::Data(data)) => {
                    // The last of so many bytes is the end: who has them all need not ask again.
                    if matches!(left, Left::Bytes(0)) {
                        self.end();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(Piece::End) => {
                    self.end();
                    continue;
                }
                Ok(Piece::More) => match ready!(connection.poll_fill(cx)) {
                    Ok(0) if matches!(left, Left::UntilClose) => {
                        self.reading = None;
                        continue;
                    }
                    Ok(0) => Error::Closed,
                    Ok(_) => continue,
                    Err(error) => error.into(),
                },
                Err(error) => error,
            };
            self.reading = None;
            return Poll::Ready(Some(Err(failed)));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.reading.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.reading {
            None => SizeHint::with_exact(0),
            Some(Reading { left: Left::Bytes(left), .. }) => SizeHint::with_exact(*left),
            Some(_) => SizeHint::default(),
        }
    }
}
