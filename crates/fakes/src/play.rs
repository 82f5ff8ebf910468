//! Sends the steps of an answer as a response body, at their pace, and notes in the log how far it came.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep};

use crate::{
    log::{End, Guard},
    spoken::Spoken,
    stream::{Events, Step},
};

/// Time for written bytes to leave before a connection is cut.
const CUT_DELAY: Duration = Duration::from_millis(5);

/// Where the steps come from.
#[derive(Debug)]
pub(crate) enum Steps {
    /// A body known beforehand.
    Known(std::vec::IntoIter<Step>),
    /// A stream, made as it goes.
    Stream(Box<Events>),
    /// A stream of another dialect.
    Spoken(Box<Spoken>),
}

impl Steps {
    fn next(&mut self) -> Option<Step> {
        match self {
            Self::Known(steps) => steps.next(),
            Self::Stream(events) => events.next(),
            Self::Spoken(spoken) => spoken.next(),
        }
    }

    /// A body with a known length is not asked for its end, so its end is seen ahead.
    fn is_known_end(&self) -> bool {
        matches!(self, Self::Known(steps) if steps.as_slice().is_empty())
    }
}

/// A response body that plays steps.
#[derive(Debug)]
pub(crate) struct Play {
    guard: Guard,
    steps: Steps,
    one_byte: bool,
    sending: Option<(Bytes, u64, bool)>,
    breathe: bool,
    wait: Option<Pin<Box<Sleep>>>,
    cutting: bool,
    stalled: bool,
}

impl Play {
    pub(crate) fn new(guard: Guard, steps: Steps, one_byte: bool) -> Self {
        if steps.is_known_end() {
            guard.0.ended(End::Finished);
        }
        let (sending, wait) = (None, None);
        Self { guard, steps, one_byte, sending, breathe: false, wait, cutting: false, stalled: false }
    }

    /// The next piece of what is being sent; the last piece carries the accounts.
    fn piece(&mut self) -> Option<Bytes> {
        let (bytes, chunks, usage) = self.sending.as_mut()?;
        let size = if self.one_byte { 1 } else { bytes.len() };
        let piece = bytes.split_to(size.min(bytes.len()));
        self.guard.0.wrote(piece.len());
        if bytes.is_empty() {
            self.guard.0.sent_chunks(*chunks);
            if *usage {
                self.guard.0.delivered_usage();
            }
            self.sending = None;
            if self.steps.is_known_end() {
                self.guard.0.ended(End::Finished);
            }
        }
        Some(piece)
    }

    /// Gaps follow the schedule rather than the moment, so that a late wake-up does not slow the stream.
    fn sleep(&mut self, duration: Duration) {
        match self.wait.as_mut() {
            None => self.wait = Some(Box::pin(tokio::time::sleep(duration))),
            Some(wait) => {
                let next = (wait.deadline() + duration).max(Instant::now());
                wait.as_mut().reset(next);
            }
        }
    }
}

impl Body for Play {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        loop {
            if this.stalled {
                return Poll::Pending;
            }
            if let Some(wait) = this.wait.as_mut()
                && !wait.is_elapsed()
                && wait.as_mut().poll(ctx).is_pending()
            {
                return Poll::Pending;
            }
            if this.cutting {
                this.guard.0.ended(End::Broken);
                return Poll::Ready(Some(Err(io::Error::other("the script cuts the connection here"))));
            }
            if this.sending.is_some() {
                // A pending body makes the server flush: each byte leaves alone.
                if this.one_byte && !std::mem::replace(&mut this.breathe, false) {
                    this.breathe = true;
                    ctx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                this.breathe = false;
                if let Some(piece) = this.piece() {
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
            }
            match this.steps.next() {
                None => {
                    this.guard.0.ended(End::Finished);
                    return Poll::Ready(None);
                }
                Some(Step::Send { bytes, chunks, usage }) => this.sending = Some((bytes, chunks, usage)),
                Some(Step::Wait(duration)) => this.sleep(duration),
                Some(Step::Stall) => this.stalled = true,
                Some(Step::Cut) => {
                    this.cutting = true;
                    this.sleep(CUT_DELAY);
                }
            }
        }
    }
}
