//! One connection: a request is written and the head of its answer read, by whoever waits for it.

use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Response, Uri};
use tokio::{io::AsyncWrite, net::TcpStream};
use tokio_util::io::poll_read_buf;

use crate::{
    Error, Pool,
    body::Body,
    head::{self, HEAD_BYTES_MAX, Head},
};

/// What is read at once at first.
const READ_BYTES_MIN: usize = 2 * 1024;
/// And at most, once reads come back full.
const READ_BYTES_MAX: usize = 64 * 1024;
/// Less room than this is not read into.
const ROOM_MIN: usize = 512;
/// A head and a body of so many bytes in all, or fewer, are sent as one. To copy the body costs less than to have the kernel gather both.
const TOGETHER_BYTES_MAX: usize = 4096;

/// What is asked.
#[derive(Clone)]
pub struct Request<'a> {
    /// How.
    pub method: &'a Method,
    /// Where: its host is told, its path and query are asked for.
    pub uri: &'a Uri,
    /// With these headers.
    pub headers: &'a HeaderMap,
    /// And this body.
    pub body: Bytes,
}

/// A connection on which no request is under way. In a box, as it goes from the pool to an answer and back with each request.
pub struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) read: BytesMut,
    read_next: usize,
    /// Bytes of what was read in which the end of a head was looked for.
    looked: usize,
    /// It carried a request before.
    was_used: bool,
    /// What is still to be sent of a request whose answer has begun.
    pub(crate) unsent: Option<Outgoing>,
}

/// What was read is somebody's.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({} bytes read)", self.read.len())
    }
}

impl Connection {
    /// One that has just been made.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        let read = BytesMut::new();
        Self { stream, read, read_next: READ_BYTES_MIN, looked: 0, was_used: false, unsent: None }
    }

    /// Sends a request and waits for the head of its answer. When the answer has come to its end the connection goes to the
    /// pool, if it can be used again.
    ///
    /// # Errors
    /// [`Error`]; only [`Error::Unsent`] says that no byte has left.
    pub async fn send(mut self: Box<Self>, request: Request<'_>, pool: &Arc<Pool>) -> Result<Response<Body>, Error> {
        let mut outgoing = Outgoing::new(head::write(&request), request.body.clone());
        let head = std::future::poll_fn(|cx| self.poll_head(cx, &mut outgoing, request.method)).await?;
        // Who answers before all has been sent may still need the rest, or take it for another request.
        let keeps = head.keeps && outgoing.is_written();
        self.unsent = Some(outgoing).filter(|outgoing| !outgoing.is_written());
        let Head { response, framing, .. } = head;
        self.was_used = true;
        let key = keeps.then(|| request.uri.authority().cloned()).flatten();
        Ok(response.map(|()| Body::new(self, framing, key.map(|key| (key, Arc::clone(pool))))))
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        outgoing: &mut Outgoing,
        method: &Method,
    ) -> Poll<Result<Head, Error>> {
        while !outgoing.is_written() {
            match outgoing.poll_write(cx, &mut self.stream) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into())),
                Poll::Ready(Ok(len)) => outgoing.written += len,
                // It was closed while nobody used it.
                Poll::Ready(Err(_)) if self.was_used && outgoing.written == 0 => {
                    return Poll::Ready(Err(Error::Unsent));
                }
                // Who refuses a long request may answer and close before it has come.
                Poll::Ready(Err(error)) => {
                    outgoing.give_up();
                    return match self.poll_fill_head(cx, method) {
                        Poll::Ready(Ok(head)) => Poll::Ready(Ok(Head { keeps: false, ..head })),
                        _ => Poll::Ready(Err(error.into())),
                    };
                }
                Poll::Pending => break,
            }
        }
        self.poll_fill_head(cx, method)
    }

    fn poll_fill_head(&mut self, cx: &mut Context<'_>, method: &Method) -> Poll<Result<Head, Error>> {
        loop {
            match ready!(self.poll_fill(cx)) {
                Ok(0) => return Poll::Ready(Err(Error::Closed)),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
            // One that comes drop by drop is not parsed at each drop.
            if self.looked > 0 && self.read.len() <= HEAD_BYTES_MAX && !head::may_end(&self.read, self.looked) {
                self.looked = self.read.len();
                continue;
            }
            if let Some(head) = head::read(&mut self.read, method).transpose() {
                self.looked = 0;
                return Poll::Ready(head);
            }
            self.looked = self.read.len();
        }
    }

    /// Sends more of a request whose answer has begun, as far as its upstream takes it. One that takes no more has its
    /// reasons, and its answer tells them.
    pub(crate) fn send_more(&mut self, cx: &mut Context<'_>) {
        while let Some(outgoing) = &mut self.unsent {
            match outgoing.poll_write(cx, &mut self.stream) {
                Poll::Ready(Ok(len)) if len > 0 => outgoing.written += len,
                Poll::Ready(_) => self.unsent = None,
                Poll::Pending => return,
            }
            self.unsent = self.unsent.take().filter(|outgoing| !outgoing.is_written());
        }
    }

    /// Reads what has come; zero: the upstream has closed.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.read.capacity() - self.read.len() < ROOM_MIN {
            self.read.reserve(self.read_next);
        }
        let room = self.read.capacity() - self.read.len();
        let len = ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.read))?;
        if len == room {
            self.read_next = (self.read_next * 2).min(READ_BYTES_MAX);
        }
        Poll::Ready(Ok(len))
    }

    /// Gives the room back that only an answer needs. False: something came that no request asked for.
    pub(crate) fn rest(&mut self) -> bool {
        let is_empty = self.read.is_empty();
        self.read = BytesMut::new();
        self.read_next = READ_BYTES_MIN;
        is_empty
    }

    /// Whether nothing has come while it was not used: neither bytes nor its end.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// A request on its way.
pub(crate) struct Outgoing {
    head: Vec<u8>,
    body: Bytes,
    /// Bytes of both that were written.
    written: usize,
}

impl Outgoing {
    fn new(mut head: Vec<u8>, mut body: Bytes) -> Self {
        if head.len() + body.len() <= TOGETHER_BYTES_MAX {
            head.extend_from_slice(&std::mem::take(&mut body));
        }
        Self { head, body, written: 0 }
    }

    /// Nothing more of it is sent.
    fn give_up(&mut self) {
        self.head.clear();
        self.body.clear();
    }

    fn is_written(&self) -> bool {
        self.written >= self.head.len() + self.body.len()
    }

    /// Writes of what is left of both.
    fn poll_write(&self, cx: &mut Context<'_>, stream: &mut TcpStream) -> Poll<io::Result<usize>> {
        let head = self.head.get(self.written..).unwrap_or_default();
        let body = self.body.get(self.written.saturating_sub(self.head.len())..).unwrap_or_default();
        let stream = Pin::new(stream);
        if body.is_empty() {
            stream.poll_write(cx, head)
        } else {
            stream.poll_write_vectored(cx, &[IoSlice::new(head), IoSlice::new(body)])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_body_are_joined_up_to_the_bound_and_nothing_is_lost() {
        for (head, body) in [(100, 0), (100, 1), (100, 3996), (100, 3997), (4096, 0), (4097, 0), (5000, 5000)] {
            let outgoing = Outgoing::new(vec![b'h'; head], Bytes::from(vec![b'b'; body]));
            assert_eq!(outgoing.body.is_empty(), body == 0 || head + body <= TOGETHER_BYTES_MAX, "{head} and {body}");
            assert!(
                [outgoing.head.as_slice(), &outgoing.body].concat() == [vec![b'h'; head], vec![b'b'; body]].concat()
            );
            assert!(!outgoing.is_written());
        }
    }
}
