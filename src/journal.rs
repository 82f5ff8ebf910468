//! Appends records durably in group commits and replays them in order.
//!
//! Owns the folder `dir/<replica>/<boot>/` and its segment files. Room is reserved at admission as a [`attempt::Permit`],
//! so that the records of a running attempt are never refused: a permit has room for one OPENED, one SENT, one PROGRESS
//! at a time and one ENDED or VOID.
//!
//! Knows records as bytes with a kind; does not know prices, the store, or what an orphan costs.
//!
//! Architecture invariant: nothing is acknowledged before it is durable (or written, under [`Durability::Relaxed`]), and
//! nothing that was acknowledged is forgotten because of one failed write or fsync. After a second failure in a row, ends
//! are handed over ([`Journal::rescued`]) to be kept elsewhere.

pub mod attempt;
pub mod boot;
mod couriers;
mod disk;
pub mod error;
mod frame;
pub mod gaps;
mod header;
mod health;
mod inbox;
pub mod inspect;
pub mod options;
pub mod quarantine;
pub mod reader;
pub mod rescue;
mod room;
mod scan;
mod segment;
mod spare;
pub mod status;
mod tail;
#[cfg(test)]
mod tests;
pub mod verify;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use tokio::sync::{Semaphore, mpsc, watch};
use tollgate_core::id::BootId;

pub use self::options::{Durability, Options};
use self::{
    attempt::Permit,
    boot::BootFolder,
    couriers::{Couriers, Done},
    disk::{SharedDisk, os::OsDisk},
    error::JournalError,
    gaps::Region,
    health::Health,
    inbox::{Command, Inbox},
    options::RECORDS_PER_PERMIT_MAX,
    reader::BootReader,
    rescue::RescuedEnd,
    room::Room,
    segment::SegmentMaker,
    spare::{SpareSource, Spares},
    tail::{ClosedSegment, Tail},
    writer::Writer,
};
use crate::{
    clock::Clock,
    failpoint::{self, Point},
};

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
    couriers: Arc<Couriers>,
    durable: watch::Receiver<u64>,
    stopped: watch::Receiver<()>,
    closed: Arc<Mutex<Vec<ClosedSegment>>>,
    disk: SharedDisk,
    boot_id: BootId,
    boot_dir: PathBuf,
}

/// What the writer's thread owns.
struct WriterParts {
    writer: Writer,
    received: mpsc::Receiver<Command>,
    folder: BootFolder,
    stopped: watch::Sender<()>,
}

impl Journal {
    /// Makes and locks the boot's folder, makes its first segment, and starts the writer. Blocks on the disk.
    ///
    /// # Errors
    /// [`JournalError::Locked`] and [`JournalError::BootExists`] when the boot id is taken, [`JournalError::Io`] when the
    /// disk refuses, and the variants that name an option out of range.
    pub fn open(options: Options, boot_id: BootId) -> Result<Self, JournalError> {
        Self::open_on(OsDisk::shared(), options, boot_id)
    }

    fn open_on(disk: SharedDisk, options: Options, boot_id: BootId) -> Result<Self, JournalError> {
        let spares = options.spares();
        let start = |maker, health| Ok(Box::new(Spares::start(maker, 2, spares, health)?) as Box<dyn SpareSource>);
        let (journal, parts) = Self::assemble(disk, options, boot_id, Clock::system(), start)?;
        std::thread::Builder::new()
            .name("journal-writer".to_owned())
            .spawn(move || {
                let WriterParts { writer, received, folder, stopped } = parts;
                writer.run(Inbox::new(received, Clock::system()));
                // In this order: all is written, the lock is free, everyone may know.
                drop(folder);
                drop(stopped);
            })
            .map_err(JournalError::io("start the writer thread for", journal.boot_dir()))?;
        Ok(journal)
    }

    fn assemble(
        disk: SharedDisk,
        options: Options,
        boot_id: BootId,
        clock: Clock,
        start_spares: impl FnOnce(SegmentMaker, Arc<Health>) -> io::Result<Box<dyn SpareSource>>,
    ) -> Result<(Self, WriterParts), JournalError> {
        options.check()?;
        let folder = BootFolder::create(disk.as_ref(), &options.dir, &options.replica, boot_id)?;
        let boot_dir = folder.path().to_owned();
        let health = Arc::new(Health::new(Room::new(options.attempt_bytes_reserved, options.disk_bytes_max)));
        let maker = SegmentMaker { disk: disk.clone(), dir: boot_dir.clone(), boot_id, bytes: options.segment_bytes };
        let first = maker.make(1, &mut |_| Ok(())).map_err(JournalError::io("make the first segment in", &boot_dir))?;
        let closed = Arc::new(Mutex::new(Vec::new()));
        let spares = start_spares(maker, Arc::clone(&health))
            .map_err(JournalError::io("start the spare segment thread for", &boot_dir))?;
        let tail = Tail::new(boot_id, options.segment_bytes, first, spares, Arc::clone(&closed), Arc::clone(&health));
        let queue_records_max = options.in_flight_max * RECORDS_PER_PERMIT_MAX;
        // One place more, for the order to stop.
        let (commands, received) = mpsc::channel(queue_records_max + 1);
        let (durable_tx, durable) = watch::channel(0);
        let (stopped_tx, stopped) = watch::channel(());
        let couriers = Arc::<Couriers>::default();
        let writer =
            Writer::new(tail, Arc::clone(&health), durable_tx, options.durability, clock, Arc::clone(&couriers));
        let room = Arc::new(Semaphore::new(options.in_flight_max));
        let in_flight_max = options.in_flight_max;
        let inner = Inner {
            commands,
            room,
            in_flight_max,
            health,
            couriers,
            durable,
            stopped,
            closed,
            disk,
            boot_id,
            boot_dir,
        };
        let journal = Self { inner: Arc::new(inner) };
        journal.measure()?;
        journal.count_quarantine()?;
        Ok((journal, WriterParts { writer, received, folder, stopped: stopped_tx }))
    }

    /// Reserves the room of one attempt, without waiting.
    ///
    /// # Errors
    /// [`JournalError::Full`], [`JournalError::NoSpace`], [`JournalError::Quota`], [`JournalError::Poisoned`] or
    /// [`JournalError::Closed`]: refuse the request as unavailable.
    pub fn try_permit(&self) -> Result<Permit, JournalError> {
        // First whether there is any sense in it, so that a full house does not hide a broken journal.
        self.inner.health.check(0)?;
        let room = Arc::clone(&self.inner.room).try_acquire_owned();
        let room = room.map_err(|_| JournalError::Full { in_flight_max: self.inner.in_flight_max })?;
        self.inner.health.check(self.in_flight())?;
        Ok(Permit::new(Arc::clone(&self.inner), room))
    }

    /// Whether a new attempt would be let in.
    ///
    /// # Errors
    /// As [`Self::try_permit`].
    pub fn check(&self) -> Result<(), JournalError> {
        self.inner.health.check(self.in_flight().saturating_add(1))
    }

    /// Tells attempts on this thread of the data plane when their records are durable, as long as the journal is open: to be
    /// run there. Without it, and on other threads, the journal's own thread tells each by itself.
    pub fn tell_this_thread(&self) -> impl Future<Output = ()> + Send + 'static {
        let told = self.inner.couriers.begin();
        async move {
            let Some(mut told) = told else { return };
            while let Some(word) = told.recv().await {
                word.into_iter().for_each(Done::tell);
            }
        }
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

    /// The ends that a poisoned journal cannot keep, for the first who asks; whoever does must keep them elsewhere. With
    /// nobody asking, attempts hear that their ends are not durable.
    #[must_use]
    pub fn rescued(&self) -> Option<mpsc::Receiver<RescuedEnd>> {
        self.inner.health.rescue.take(self.inner.in_flight_max)
    }

    /// This boot.
    #[must_use]
    pub fn boot_id(&self) -> BootId {
        self.inner.boot_id
    }

    /// The folder of this boot's segments.
    #[must_use]
    pub fn boot_dir(&self) -> &Path {
        &self.inner.boot_dir
    }

    /// Reads this boot from after `after_sequence`, while it is written: up to [`Self::durable`].
    #[must_use]
    pub fn reader(&self, after_sequence: u64) -> BootReader {
        BootReader::after(self.inner.disk.clone(), &self.inner.boot_dir, self.inner.boot_id, after_sequence)
    }

    /// Copies what is damaged of this boot aside, before its segments are released. Blocks on the disk.
    ///
    /// # Errors
    /// [`JournalError::Io`]: then nothing must be released.
    pub fn quarantine(&self, regions: &[Region]) -> Result<(), JournalError> {
        quarantine::keep(self.inner.disk.as_ref(), &self.inner.boot_dir, self.inner.boot_id, regions)?;
        self.count_quarantine()
    }

    /// Deletes closed segments whose last sequence is at most `sequence`; never the current one. Called after the store
    /// has committed up to `sequence`. Returns how many were deleted. Blocks on the disk.
    ///
    /// # Errors
    /// [`JournalError::Io`] when a file cannot be deleted; it is tried again at the next call.
    pub fn release_through(&self, sequence: u64) -> Result<usize, JournalError> {
        let mut released = 0;
        while self.release_one(sequence)? {
            released += 1;
            failpoint::pass(Point::SegmentReleased);
        }
        self.measure()?;
        Ok(released)
    }

    /// Whether [`Self::release_through`] would delete something.
    #[must_use]
    pub fn would_release(&self, sequence: u64) -> bool {
        let closed = self.inner.closed.lock().unwrap_or_else(PoisonError::into_inner);
        closed.first().is_some_and(|segment| segment.last_sequence <= sequence)
    }

    fn release_one(&self, sequence: u64) -> Result<bool, JournalError> {
        let Inner { disk, boot_dir, closed, .. } = self.inner.as_ref();
        let mut closed = closed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(segment) = closed.first().filter(|segment| segment.last_sequence <= sequence) else {
            return Ok(false);
        };
        match disk.remove_file(&segment.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(JournalError::io("delete", &segment.path)(error));
            }
            Ok(()) | Err(_) => {}
        }
        // Each before the next: a gap between segments would look like damage after the loss of power.
        disk.sync_dir(boot_dir).map_err(JournalError::io("sync", boot_dir))?;
        closed.remove(0);
        Ok(true)
    }

    /// Measures what the replica's files take.
    fn measure(&self) -> Result<(), JournalError> {
        let replica_dir = disk::parent(&self.inner.boot_dir);
        let used = disk::bytes_below(self.inner.disk.as_ref(), replica_dir);
        self.inner.health.room.measured(used.map_err(JournalError::io("measure", replica_dir))?);
        Ok(())
    }

    /// Counts what the replica's quarantine holds, for [`Self::status`].
    ///
    /// # Errors
    /// [`JournalError::Io`] when it cannot be read.
    pub fn count_quarantine(&self) -> Result<(), JournalError> {
        let reports = quarantine::reports(self.inner.disk.as_ref(), disk::parent(&self.inner.boot_dir))?;
        let health = &self.inner.health;
        health.missing.store(reports.iter().map(|report| report.missing).sum(), Ordering::Release);
        health.damaged.store(reports.iter().map(|report| report.damaged).sum(), Ordering::Release);
        Ok(())
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
