//! Appends records durably in group commits and replays them in order.
//!
//! Owns the folder `dir/<replica>/<boot>/` and its segment files. Room is reserved at admission as a [`attempt::Permit`],
//! so that the records of a running attempt are never refused: a permit has room for one OPENED, one SENT, one PROGRESS
//! at a time and one ENDED or VOID.
//!
//! Knows records as bytes with a kind; does not know prices, the store, or what an orphan costs.
//!
//! Architecture invariant: nothing is acknowledged before it is durable (or written, under [`Durability::Relaxed`]), and
//! nothing that was acknowledged is forgotten because of one failed write or fsync.

pub mod attempt;
pub mod boot;
pub mod error;
mod frame;
mod inbox;
pub mod reader;
mod scan;
mod segment;
mod spare;
mod tail;
#[cfg(test)]
mod tests;
pub mod verify;
mod writer;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use tokio::sync::{Semaphore, mpsc, watch};
use tollgate_core::id::BootId;

use crate::{
    clock::Clock,
    journal::{
        attempt::Permit,
        boot::BootFolder,
        error::JournalError,
        inbox::{Command, Inbox},
        segment::{DiskSegments, SegmentFactory},
        spare::Spares,
        tail::{ClosedSegment, Tail},
        writer::{Health, Writer},
    },
};

/// Default size of a segment, bytes.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;
/// Smallest segment, bytes.
pub const SEGMENT_BYTES_MIN: u64 = 4096;
/// Default number of attempts that may run at once.
pub const IN_FLIGHT_MAX_DEFAULT: usize = 16_384;
/// Records of one permit that can wait in the queue at once: OPENED, SENT, PROGRESS, and ENDED or VOID.
const RECORDS_PER_PERMIT_MAX: usize = 4;

/// What "acknowledged" means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On the disk: survives the loss of power.
    Fsync,
    /// With the operating system: survives the death of the process; the loss of power costs at most one second.
    Relaxed,
}

/// Where and how the journal is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of all replicas' journals.
    pub dir: PathBuf,
    /// This replica's name; one folder below `dir`.
    pub replica: String,
    /// Size of a segment in bytes; at least [`SEGMENT_BYTES_MIN`].
    pub segment_bytes: u64,
    /// What "acknowledged" means.
    pub durability: Durability,
    /// Attempts that may run at once; further permits are refused.
    pub in_flight_max: usize,
}

impl Options {
    /// The defaults: 64 MiB segments, fsync, 16,384 attempts in flight.
    #[must_use]
    pub fn new(dir: PathBuf, replica: String) -> Self {
        Self {
            dir,
            replica,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            durability: Durability::Fsync,
            in_flight_max: IN_FLIGHT_MAX_DEFAULT,
        }
    }
}

/// The journal of one boot, open for appending. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

/// What permits and attempts need of the journal. The writer's thread never holds it, so that the queue closes when the
/// last clone, permit and attempt are gone.
struct Inner {
    commands: mpsc::Sender<Command>,
    room: Arc<Semaphore>,
    in_flight_max: usize,
    health: Arc<Health>,
    durable: watch::Receiver<u64>,
    stopped: watch::Receiver<()>,
    closed: Arc<Mutex<Vec<ClosedSegment>>>,
    boot_id: BootId,
    boot_dir: PathBuf,
}

impl Journal {
    /// Makes and locks the boot's folder, makes its first segment, and starts the writer. Blocks on the disk.
    ///
    /// # Errors
    /// [`JournalError::Locked`] and [`JournalError::BootExists`] when the boot id is taken, [`JournalError::Io`] when the
    /// disk refuses, and the variants that name an option out of range.
    pub fn open(options: Options, boot_id: BootId) -> Result<Self, JournalError> {
        Self::open_with(options, boot_id, Arc::new(DiskSegments))
    }

    fn open_with(options: Options, boot_id: BootId, factory: Arc<dyn SegmentFactory>) -> Result<Self, JournalError> {
        check(&options)?;
        let folder = BootFolder::create(&options.dir, &options.replica, boot_id)?;
        let boot_dir = folder.path().to_owned();
        let health = Arc::new(Health::default());
        let first = segment::create(factory.as_ref(), &boot_dir, 1, options.segment_bytes)
            .map_err(JournalError::io("make the first segment in", &boot_dir))?;
        let spares = Spares::start(factory, boot_dir.clone(), options.segment_bytes, 2, Arc::clone(&health))
            .map_err(JournalError::io("start the spare segment thread for", &boot_dir))?;
        let closed = Arc::new(Mutex::new(Vec::new()));
        let tail = Tail::new(boot_id, options.segment_bytes, first, spares, Arc::clone(&closed));

        let queue_records_max = options.in_flight_max * RECORDS_PER_PERMIT_MAX;
        // One place more, for the order to stop.
        let (commands, received) = mpsc::channel(queue_records_max + 1);
        let (durable_tx, durable) = watch::channel(0);
        let (stopped_tx, stopped) = watch::channel(());
        let writer = Writer::new(tail, Arc::clone(&health), durable_tx, options.durability, Clock::system());
        std::thread::Builder::new()
            .name("journal-writer".to_owned())
            .spawn(move || {
                // Dropped in reverse order: the writer and its spares, then the lock, then the word that all is over.
                let _stopped = stopped_tx;
                let _folder = folder;
                writer.run(Inbox::new(received, Clock::system()));
            })
            .map_err(JournalError::io("start the writer thread for", &boot_dir))?;
        let room = Arc::new(Semaphore::new(options.in_flight_max));
        let in_flight_max = options.in_flight_max;
        let inner = Inner { commands, room, in_flight_max, health, durable, stopped, closed, boot_id, boot_dir };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Reserves the room of one attempt, without waiting.
    ///
    /// # Errors
    /// [`JournalError::Full`], [`JournalError::NoSpace`], [`JournalError::Poisoned`] or [`JournalError::Closed`]: refuse
    /// the request as unavailable.
    pub fn try_permit(&self) -> Result<Permit, JournalError> {
        self.inner.health.check()?;
        let room = Arc::clone(&self.inner.room).try_acquire_owned();
        let room = room.map_err(|_| JournalError::Full { in_flight_max: self.inner.in_flight_max })?;
        Ok(Permit::new(Arc::clone(&self.inner), room))
    }

    /// The highest sequence that is durable; every sequence up to it is too.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.inner.durable.clone()
    }

    /// Permits that are out, ends that are not yet durable included.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.inner.in_flight_max.saturating_sub(self.inner.room.available_permits())
    }

    /// True after two failures in a row: nothing more will become durable in this boot.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.inner.health.is_poisoned()
    }

    /// This boot.
    #[must_use]
    pub fn boot_id(&self) -> BootId {
        self.inner.boot_id
    }

    /// The folder of this boot's segments, for [`reader::BootReader`].
    #[must_use]
    pub fn boot_dir(&self) -> &Path {
        &self.inner.boot_dir
    }

    /// Deletes closed segments whose last sequence is at most `sequence`; never the current one. Called after the store
    /// has committed up to `sequence`. Returns how many were deleted. Blocks on the disk.
    ///
    /// # Errors
    /// [`JournalError::Io`] when a file cannot be deleted; it is tried again at the next call.
    pub fn release_through(&self, sequence: u64) -> Result<usize, JournalError> {
        let mut closed = self.inner.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut released = 0;
        while let Some(segment) = closed.first().filter(|segment| segment.last_sequence <= sequence) {
            match fs::remove_file(&segment.path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(JournalError::io("delete", &segment.path)(error));
                }
                Ok(()) | Err(_) => released += 1,
            }
            closed.remove(0);
        }
        Ok(released)
    }

    /// Writes and syncs all that was submitted, stops the writer, releases the folder. Later submissions fail with
    /// [`JournalError::Closed`]; so end every attempt first.
    pub async fn shut_down(&self) {
        if !self.inner.health.stopping.swap(true, Ordering::AcqRel) {
            // Refused only when the writer is gone already.
            let _gone = self.inner.commands.try_send(Command::Stop);
        }
        let mut stopped = self.inner.stopped.clone();
        while stopped.changed().await.is_ok() {}
    }
}

fn check(options: &Options) -> Result<(), JournalError> {
    if options.segment_bytes < SEGMENT_BYTES_MIN {
        return Err(JournalError::SegmentBytes { bytes: options.segment_bytes, bytes_min: SEGMENT_BYTES_MIN });
    }
    let in_flight_max_max = Semaphore::MAX_PERMITS / (RECORDS_PER_PERMIT_MAX * 2);
    if !(1..=in_flight_max_max).contains(&options.in_flight_max) {
        return Err(JournalError::InFlightMax { asked: options.in_flight_max, most: in_flight_max_max });
    }
    Ok(())
}
