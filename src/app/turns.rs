//! Whose turn it is on a connection: a head that has begun must soon be complete, between two requests the client may be silent for
//! longer, and while it waits for its answer nothing is asked of it.
//!
//! hyper says neither when it is between two requests nor whether it has read more than the one; what it reads, hands over, takes and
//! flushes says so. All but the timer is one word, written by the connection's own task: a request arms no timer and makes none.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the first byte of a head to its last.
    pub(super) head: Duration,
    /// From an answer to the next request.
    pub(super) idle: Duration,
}

/// A head has begun, or the connection is new.
const HEAD: u8 = 0;
/// A request was handed over; its answer is not yet whole.
const ASKED: u8 = 1;
/// The answer is whole, and not all of it is with the client.
const ANSWERED: u8 = 2;
/// The same, and all is with the client; hyper is about to throw away what nobody read of the request.
const UNREAD: u8 = 3;
/// Between two requests.
const IDLE: u8 = 4;
/// HTTP/2: requests come side by side, and pings tell whether the client is there.
const STREAMS: u8 = 5;

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    turn: AtomicU8,
    /// It was somebody else's when the watch looked last.
    is_new: AtomicBool,
    /// Whoever answers has read the request to its end.
    is_whole: AtomicBool,
    /// hyper has used up all that it has read: it reads on within a request only then.
    is_used_up: AtomicBool,
}

impl Turns {
    fn begin(&self, turn: u8) {
        self.turn.store(turn, Relaxed);
        self.is_new.store(true, Relaxed);
    }

    /// A request in HTTP/1.1 is handed over.
    fn asked(&self, has_body: bool) {
        self.turn.store(ASKED, Relaxed);
        self.is_whole.store(!has_body, Relaxed);
        self.is_used_up.store(false, Relaxed);
    }

    /// A request in HTTP/2 is handed over.
    pub(super) fn streams(&self) {
        self.turn.store(STREAMS, Relaxed);
    }

    /// Bytes were read.
    pub(super) fn read(&self) {
        match self.turn.load(Relaxed) {
            ASKED | ANSWERED => self.is_used_up.store(false, Relaxed),
            IDLE => self.begin(HEAD),
            _ => {}
        }
    }

    /// There was nothing to read.
    pub(super) fn read_nothing(&self) {
        match self.turn.load(Relaxed) {
            ASKED | ANSWERED => self.is_used_up.store(true, Relaxed),
            UNREAD => self.begin(IDLE),
            _ => {}
        }
    }

    /// The answer is whole.
    fn answered(&self) {
        if self.turn.load(Relaxed) == ASKED {
            self.turn.store(ANSWERED, Relaxed);
        }
    }

    /// All that was written is with the client.
    pub(super) fn flushed(&self) {
        if self.turn.load(Relaxed) == ANSWERED {
            let next = if self.is_used_up.load(Relaxed) {
                IDLE
            } else if self.is_whole.load(Relaxed) {
                // What is left of what was read is the next head, or a part of it.
                HEAD
            } else {
                UNREAD
            };
            self.begin(next);
        }
    }
}

/// The body of a request.
pub(super) struct Asking {
    body: Incoming,
    /// None: HTTP/2.
    turns: Option<Arc<Turns>>,
}

impl Asking {
    /// Of a request that is handed over.
    pub(super) fn new(body: Incoming, turns: Option<Arc<Turns>>) -> Self {
        if let Some(turns) = &turns {
            turns.asked(!body.is_end_stream());
        }
        Self { body, turns }
    }
}

impl HttpBody for Asking {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(turns) = &self.turns
            && (frame.is_none() || self.body.is_end_stream())
        {
            turns.is_whole.store(true, Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer. It is whole when hyper lets go of it.
pub(super) struct Answer {
    body: Body,
    /// None: HTTP/2.
    turns: Option<Arc<Turns>>,
}

impl Answer {
    /// Of the request that was handed over last.
    pub(super) const fn new(body: Body, turns: Option<Arc<Turns>>) -> Self {
        Self { body, turns }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(turns) = &self.turns {
            turns.answered();
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a client took too long for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// To complete a head.
    Head,
    /// To ask again.
    Request,
}

/// Notices when a client takes too long. To be polled after the connection, in its task.
pub(super) struct Watch {
    turns: Arc<Turns>,
    patience: Patience,
    /// The turn began then.
    since: Instant,
    /// Rather fires early, and is set on, than is set at each turn.
    timer: Pin<Box<Sleep>>,
}

impl Watch {
    /// Of a new connection, whose first byte has come.
    pub(super) fn new(turns: Arc<Turns>, patience: Patience) -> Self {
        Self { turns, patience, since: Instant::now(), timer: Box::pin(sleep(patience.head)) }
    }

    /// Ready when the client has taken too long. An idle one then counts as one that begins a head: it is told to go, and gets no longer for that.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Overdue> {
        let turn = self.turns.turn.load(Relaxed);
        let (limit, overdue) = match turn {
            HEAD => (self.patience.head, Overdue::Head),
            UNREAD | IDLE => (self.patience.idle, Overdue::Request),
            _ => return Poll::Pending,
        };
        if self.turns.is_new.load(Relaxed) {
            self.turns.is_new.store(false, Relaxed);
            self.since = Instant::now();
        }
        let due = self.since + limit;
        if due < self.timer.deadline() {
            self.timer.as_mut().reset(due);
        }
        ready!(self.timer.as_mut().poll(context));
        while self.timer.deadline() < due {
            self.timer.as_mut().reset(due);
            ready!(self.timer.as_mut().poll(context));
        }
        if overdue == Overdue::Request {
            self.turns.begin(HEAD);
        }
        Poll::Ready(overdue)
    }
}
