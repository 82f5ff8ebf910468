//! Appends records durably in group commits and replays them in order.
//!
//! Room is reserved at admission, as a value: a [`Permit`] holder's OPENED and ENDED are never refused for want of room.
//! Each boot of a process owns one folder, `<dir>/<replica>/<boot id>/`, under a lock.

mod boots;
mod frame;
mod reader;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tollgate_core::{
    entry::{Admission, Entry},
    id::BootId,
    record::{Progress, Record},
};

use self::{
    boots::BootLock,
    segment::{Disk, RealDisk},
    writer::{Queued, Writer},
};
pub use self::{
    boots::{DeadBoot, Report, dead_boots, verify},
    reader::{BootReader, Damage},
};
use crate::clock::Clock;

/// Records that one permit may have in the queue at once: OPENED, SENT, PROGRESS, and ENDED or VOID.
const RECORDS_PER_PERMIT: usize = 4;
/// Bytes of a segment.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// When an append counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When it is on disk.
    Fsync,
    /// When the operating system has it; synced each second.
    Relaxed,
}

/// Where and how to keep the journal.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of all replicas.
    pub dir: PathBuf,
    /// This gateway's name among them.
    pub replica: String,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// When an append counts as done.
    pub durability: Durability,
    /// Requests under way at once.
    pub in_flight_max: usize,
}

/// Why the journal cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// As many requests are under way as there is room for.
    #[error("no room to record another request")]
    Full,
    /// Writing failed twice; nothing more is accepted.
    #[error("the journal cannot write")]
    Poisoned,
    /// A file cannot be made, read or locked.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record was written by a newer build.
    #[error("{}: {source}; use the build that wrote it, or a newer one", .path.display())]
    Newer {
        /// The boot's folder.
        path: PathBuf,
        /// What is not known.
        source: tollgate_core::record::DecodeError,
    },
}

/// The journal of this process. Cheap to clone.
#[derive(Clone)]
pub struct Journal(Arc<Shared>);

struct Shared {
    queue: Mutex<Option<mpsc::Sender<Queued>>>,
    sender: mpsc::WeakSender<Queued>,
    room: Arc<Semaphore>,
    in_flight_max: usize,
    durable: watch::Receiver<u64>,
    poisoned: Arc<AtomicBool>,
    boot_id: BootId,
    boot_dir: PathBuf,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    _lock: BootLock,
}

impl Journal {
    /// Makes this boot's folder, locks it, and starts its writer.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the folder cannot be made or locked.
    pub fn open(options: &Options, boot_id: BootId, clock: Clock) -> Result<Self, JournalError> {
        Self::open_on(Arc::new(RealDisk), options, boot_id, clock)
    }

    fn open_on(disk: Arc<dyn Disk>, options: &Options, boot_id: BootId, clock: Clock) -> Result<Self, JournalError> {
        let boot_dir = options.dir.join(&options.replica).join(boot_id.to_string());
        let lock = BootLock::create(&boot_dir)?;
        let io_error = |source| JournalError::Io { path: boot_dir.clone(), source };
        let first = disk.create(&boot_dir, 1, options.segment_bytes).map_err(io_error)?;
        let (tx, rx) = mpsc::channel(options.in_flight_max.saturating_mul(RECORDS_PER_PERMIT).max(1));
        let (durable_tx, durable) = watch::channel(0);
        let poisoned = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            dir: boot_dir.clone(),
            boot_id,
            segment_bytes: options.segment_bytes,
            durability: options.durability,
            disk,
            queue: rx,
            durable: durable_tx,
            poisoned: Arc::clone(&poisoned),
            clock,
        };
        let thread = std::thread::Builder::new().name("journal-writer".to_owned()).spawn(move || writer.run(first));
        Ok(Self(Arc::new(Shared {
            sender: tx.downgrade(),
            queue: Mutex::new(Some(tx)),
            room: Arc::new(Semaphore::new(options.in_flight_max)),
            in_flight_max: options.in_flight_max,
            durable,
            poisoned,
            boot_id,
            thread: Mutex::new(Some(thread.map_err(io_error)?)),
            boot_dir,
            _lock: lock,
        })))
    }

    /// Reserves room for one attempt. Waits for nothing.
    ///
    /// # Errors
    /// [`JournalError::Full`] or [`JournalError::Poisoned`].
    pub fn try_permit(&self) -> Result<Permit, JournalError> {
        if self.is_poisoned() {
            return Err(JournalError::Poisoned);
        }
        let sender = self.0.sender.upgrade().ok_or(JournalError::Poisoned)?;
        let room = Arc::clone(&self.0.room).try_acquire_owned().map_err(|_| JournalError::Full)?;
        Ok(Permit { sender, room })
    }

    /// The highest sequence that is durable; changes as groups are committed.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.0.durable.clone()
    }

    /// Attempts that hold room.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.in_flight_max - self.0.room.available_permits()
    }

    /// Whether writing has failed for good.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.0.poisoned.load(Ordering::Acquire)
    }

    /// This boot.
    #[must_use]
    pub fn boot_id(&self) -> BootId {
        self.0.boot_id
    }

    /// This boot's folder.
    #[must_use]
    pub fn boot_dir(&self) -> &Path {
        &self.0.boot_dir
    }

    /// Deletes closed segments all of whose records have a sequence of at most `sequence`.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn release_through(&self, sequence: u64) -> Result<(), JournalError> {
        reader::release_through(&self.0.boot_dir, self.0.boot_id, sequence)
    }

    /// Writes what is queued, syncs, and stops the writer. New permits are refused from now on.
    pub async fn shut_down(&self) {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Ends when the last attempt under way has ended, too: each holds a sender.
            let _joined = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

/// Room for one attempt.
pub struct Permit {
    sender: mpsc::Sender<Queued>,
    room: OwnedSemaphorePermit,
}

impl Permit {
    /// Submits OPENED at once; resolves when it is durable. Run it to its end: dropped, OPENED may stand without an end.
    pub fn open(self, admission: Admission) -> OpenReceipt {
        let receipt = submit(&self.sender, Record::Opened(Box::new(admission.clone())), None);
        OpenReceipt { receipt, open: Some((self, admission)) }
    }
}

/// Resolves to the open attempt when its OPENED is durable.
pub struct OpenReceipt {
    receipt: oneshot::Receiver<Result<(), JournalError>>,
    open: Option<(Permit, Admission)>,
}

impl Future for OpenReceipt {
    type Output = Result<OpenAttempt, JournalError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(acknowledged(&mut self.receipt, cx))?;
        let (permit, admission) = self.open.take().ok_or(JournalError::Poisoned)?;
        Poll::Ready(Ok(OpenAttempt { permit, admission, progress: Arc::default() }))
    }
}

/// An attempt whose OPENED is durable. Dropped without an end it stays an orphan, which recovery resolves: whoever
/// holds it must end or void it.
pub struct OpenAttempt {
    permit: Permit,
    admission: Admission,
    progress: Arc<AtomicBool>,
}

impl OpenAttempt {
    /// As admitted.
    #[must_use]
    pub const fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Marks that bytes go upstream; not waited for.
    pub fn sent(&self) {
        queue(&self.permit.sender, Queued { record: Record::Sent(self.admission.id), ack: None, place: None });
    }

    /// Writes what was counted so far; skipped while the one before is still queued.
    pub fn progress(&self, progress: Progress) {
        if !self.progress.swap(true, Ordering::AcqRel) {
            let place = Some(Arc::clone(&self.progress));
            queue(&self.permit.sender, Queued { record: Record::Progress(progress), ack: None, place });
        }
    }

    /// Submits ENDED at once. Dropping the receipt does not take it back.
    pub fn end(self, entry: Entry) -> EndReceipt {
        let receipt = submit(&self.permit.sender, Record::Ended(Box::new(entry)), None);
        EndReceipt { receipt, _room: self.permit.room }
    }

    /// Submits VOID: no byte went upstream.
    pub fn void(self) {
        queue(&self.permit.sender, Queued { record: Record::Void(self.admission.id), ack: None, place: None });
    }
}

/// Resolves when ENDED is durable; holds the attempt's room until then, or until it is dropped.
#[must_use = "await it before the client gets its last bytes, or drop it knowingly"]
pub struct EndReceipt {
    receipt: oneshot::Receiver<Result<(), JournalError>>,
    _room: OwnedSemaphorePermit,
}

impl Future for EndReceipt {
    type Output = Result<(), JournalError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        acknowledged(&mut self.receipt, cx)
    }
}

fn acknowledged(
    receipt: &mut oneshot::Receiver<Result<(), JournalError>>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), JournalError>> {
    Pin::new(receipt).poll(cx).map(|result| result.unwrap_or(Err(JournalError::Poisoned)))
}

fn submit(
    sender: &mpsc::Sender<Queued>,
    record: Record,
    place: Option<Arc<AtomicBool>>,
) -> oneshot::Receiver<Result<(), JournalError>> {
    let (ack, receipt) = oneshot::channel();
    queue(sender, Queued { record, ack: Some(ack), place });
    receipt
}

/// The queue has room for all that permit holders may submit; it can only be closed, and then the receipt says so.
fn queue(sender: &mpsc::Sender<Queued>, queued: Queued) {
    if sender.try_send(queued).is_err() {
        tracing::error!("a record could not be queued; recovery will resolve its attempt");
    }
}
