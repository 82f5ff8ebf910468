//! The one thread that writes: drains the queue, one write, one fdatasync, then acknowledges all.
//!
//! After a write or sync error the segment is abandoned and everything not yet acknowledged is appended again to a new
//! one; a second failure poisons the journal. An fsync that failed once is never trusted to have kept earlier pages.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc as thread_channel,
    },
    time::Duration,
};

use tokio::sync::{mpsc, oneshot, watch};
use tollgate_core::{id::BootId, record::Record};

use super::{
    Durability, JournalError, frame,
    segment::{Disk, Segment},
};
use crate::clock::Clock;

/// Records of one group at most.
const GROUP_RECORDS_MAX: usize = 4096;
/// With [`Durability::Relaxed`], the time between two syncs.
const RELAXED_SYNC_EVERY: Duration = Duration::from_secs(1);

/// A record on its way to disk.
pub(super) struct Queued {
    pub(super) record: Record,
    /// None: not waited for.
    pub(super) ack: Option<oneshot::Sender<Result<(), JournalError>>>,
    /// Cleared when the record leaves the queue: the place of an attempt's one PROGRESS record.
    pub(super) place: Option<Arc<AtomicBool>>,
}

/// Everything that the writer thread owns.
pub(super) struct Writer {
    pub(super) dir: PathBuf,
    pub(super) boot_id: BootId,
    pub(super) segment_bytes: u64,
    pub(super) durability: Durability,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) queue: mpsc::Receiver<Queued>,
    pub(super) durable: watch::Sender<u64>,
    pub(super) poisoned: Arc<AtomicBool>,
    pub(super) clock: Clock,
}

/// The open segment.
struct Current {
    number: u32,
    file: Box<dyn Segment>,
    offset: u64,
}

type Spare = thread_channel::Receiver<io::Result<Box<dyn Segment>>>;

impl Writer {
    /// Runs until every sender is gone; then syncs and returns.
    pub(super) fn run(mut self, first: Box<dyn Segment>) {
        let mut current = Current { number: 1, file: first, offset: 0 };
        let mut spare = self.make_spare(2);
        let mut sequence: u64 = 0;
        let mut group = Vec::with_capacity(GROUP_RECORDS_MAX);
        let mut bytes = Vec::new();
        let mut synced_at = self.clock.monotonic();
        while self.queue.blocking_recv_many(&mut group, GROUP_RECORDS_MAX) > 0 {
            bytes.clear();
            let mut last = sequence;
            for queued in &group {
                last += 1;
                frame::append(&mut bytes, self.boot_id, last, &queued.record);
            }
            // What nobody waits for needs no sync of its own; the next group's covers it.
            let waited_for = group.iter().any(|queued| queued.ack.is_some());
            let due = self.clock.monotonic().saturating_sub(synced_at) >= RELAXED_SYNC_EVERY;
            let sync = if self.durability == Durability::Fsync { waited_for || due } else { due };
            let written = if self.poisoned.load(Ordering::Acquire) {
                Err(io::Error::other("the journal is poisoned"))
            } else {
                self.write(&mut current, &mut spare, &bytes, sync)
            };
            match written {
                Ok(()) => {
                    sequence = last;
                    if sync {
                        synced_at = self.clock.monotonic();
                    }
                    self.durable.send_replace(sequence);
                    acknowledge(&mut group, || Ok(()));
                }
                Err(error) => {
                    if !self.poisoned.swap(true, Ordering::AcqRel) {
                        tracing::error!(%error, "the journal cannot write; new requests are refused");
                    }
                    acknowledge(&mut group, || Err(JournalError::Poisoned));
                }
            }
        }
        if let Err(error) = current.file.sync() {
            tracing::error!(%error, "the last sync of the journal failed");
        }
    }

    /// Writes a group; on an error once more, to a new segment.
    fn write(&self, current: &mut Current, spare: &mut Spare, bytes: &[u8], sync: bool) -> io::Result<()> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if current.offset > 0 && current.offset.saturating_add(len) > self.segment_bytes {
            // The old segment's tail may hold records that nobody waited for.
            let closed = current.file.sync();
            self.rotate(current, spare, len)?;
            if let Err(error) = closed {
                tracing::warn!(%error, "syncing a full journal segment failed");
            }
        }
        match append(current, bytes, sync) {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::error!(%error, segment = current.number, "a journal segment is abandoned after an error");
                self.rotate(current, spare, len)?;
                append(current, bytes, true)
            }
        }
    }

    fn rotate(&self, current: &mut Current, spare: &mut Spare, needed: u64) -> io::Result<()> {
        let number = current.number.checked_add(1).ok_or_else(|| io::Error::other("segment numbers are used up"))?;
        let made = spare.recv().map_err(io::Error::other)?;
        let file = match made {
            Ok(file) if needed <= self.segment_bytes => file,
            // A spare that could not be made, or a group larger than a segment: made to measure now.
            _ => self.disk.create(&self.dir, number, self.segment_bytes.max(needed))?,
        };
        *current = Current { number, file, offset: 0 };
        *spare = self.make_spare(number.saturating_add(1));
        Ok(())
    }

    /// Makes the next segment ahead of its need, on a thread of its own.
    fn make_spare(&self, number: u32) -> Spare {
        let (tx, rx) = thread_channel::sync_channel(1);
        let (disk, dir, bytes) = (Arc::clone(&self.disk), self.dir.clone(), self.segment_bytes);
        let make = move || drop(tx.send(disk.create(&dir, number, bytes)));
        // If no thread can be had the receiver sees a closed channel, and rotation reports it.
        let _thread = std::thread::Builder::new().name("journal-spare".to_owned()).spawn(make);
        rx
    }
}

fn append(current: &mut Current, bytes: &[u8], sync: bool) -> io::Result<()> {
    current.file.write_at(bytes, current.offset)?;
    if sync {
        current.file.sync()?;
    }
    current.offset = current.offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    Ok(())
}

fn acknowledge(group: &mut Vec<Queued>, result: impl Fn() -> Result<(), JournalError>) {
    for queued in group.drain(..) {
        if let Some(place) = queued.place {
            place.store(false, Ordering::Release);
        }
        if let Some(ack) = queued.ack {
            // Whoever asked may have left; the record stands all the same.
            let _gone = ack.send(result());
        }
    }
}
