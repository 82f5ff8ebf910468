//! The writer's queue: all that waits is taken at once, with a deadline.
//!
//! Parks the thread itself because the queue's own blocking calls have no deadline, and the writer needs no runtime.

use std::{
    sync::{Arc, atomic::AtomicBool},
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tollgate_core::record::RecordKind;

use crate::{clock::Clock, journal::error::JournalError};

/// Records of one group at most.
const GROUP_RECORDS_MAX: usize = 4096;

/// What the writer is asked to do.
pub(super) enum Command {
    /// Append a record.
    Append(Submission),
    /// Flush and stop.
    Stop,
}

/// A record on its way to the disk.
pub(super) struct Submission {
    /// What it is.
    pub(super) kind: RecordKind,
    /// Encoded by the submitter, so that the writer has less to do.
    pub(super) payload: Vec<u8>,
    /// Keeps the permit out until the record is done.
    pub(super) slot: Arc<Slot>,
    /// Told when it is durable or failed.
    pub(super) ack: Option<Ack>,
    /// The thread of the data plane that waits for it; none: another one.
    pub(super) shard: Option<usize>,
}

/// Who waits for a record.
pub(super) type Ack = oneshot::Sender<Result<(), JournalError>>;

/// The room of one attempt, held by the attempt and by its records in the queue; the last one returns it.
pub(super) struct Slot {
    /// Returned on drop.
    pub(super) _room: OwnedSemaphorePermit,
    /// SENT was submitted.
    pub(super) sent: AtomicBool,
    /// A PROGRESS is on its way; another one must wait.
    pub(super) progress_queued: AtomicBool,
}

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// With commands.
    Commands,
    /// With the deadline.
    TimedOut,
    /// Nothing is queued and nothing will be.
    Closed,
}

/// The writer's end of the queue. Belongs to the thread that made it.
pub(super) struct Inbox {
    commands: mpsc::Receiver<Command>,
    waker: Option<Waker>,
    clock: Clock,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

impl Inbox {
    /// Reads from `commands`.
    pub(super) fn new(commands: mpsc::Receiver<Command>, clock: Clock) -> Self {
        Self { commands, waker: None, clock }
    }

    /// Appends what is queued to `into`; waits for at least one command, for at most `wait`.
    pub(super) fn receive(&mut self, into: &mut Vec<Command>, wait: Option<Duration>) -> Received {
        let deadline = wait.map(|wait| self.clock.monotonic().saturating_add(wait));
        let waker = self.waker.get_or_insert_with(|| Waker::from(Arc::new(Unpark(std::thread::current()))));
        let mut ctx = Context::from_waker(waker);
        loop {
            match self.commands.poll_recv_many(&mut ctx, into, GROUP_RECORDS_MAX) {
                Poll::Ready(0) => return Received::Closed,
                Poll::Ready(_) => return Received::Commands,
                Poll::Pending => {}
            }
            match deadline.map(|deadline| deadline.saturating_sub(self.clock.monotonic())) {
                None => std::thread::park(),
                Some(Duration::ZERO) => return Received::TimedOut,
                Some(left) => std::thread::park_timeout(left),
            }
        }
    }

    /// Waits so long, whatever comes, and appends what is queued then.
    pub(super) fn gather(&mut self, into: &mut Vec<Command>, wait: Duration) -> Received {
        std::thread::sleep(wait);
        match self.commands.poll_recv_many(&mut Context::from_waker(Waker::noop()), into, GROUP_RECORDS_MAX) {
            Poll::Ready(0) => Received::Closed,
            Poll::Ready(_) | Poll::Pending => Received::Commands,
        }
    }

    /// Refuses further commands; those queued are still received.
    pub(super) fn close(&mut self) {
        self.commands.close();
    }
}
