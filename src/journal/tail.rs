//! The end of the log: numbers records, lays them into segments, and survives one failure to write.
//!
//! Keeps every frame in memory until a sync has covered it, so that after a failure all of it is written again, byte for
//! byte and with the same sequences, into a fresh segment. A failed file is never synced again: the kernel may report
//! success for data that it has dropped.

use std::{
    io, mem,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use tollgate_core::id::BootId;

use crate::journal::{
    disk::{DiskFile, to_u64, write_whole},
    frame,
    header::HEADER_BYTES,
    health::Health,
    segment::NewSegment,
    spare::SpareSource,
};

/// A segment that nothing more is written to.
pub(super) struct ClosedSegment {
    /// Where it is.
    pub(super) path: PathBuf,
    /// The last record that it may hold.
    pub(super) last_sequence: u64,
}

struct Current {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    offset: u64,
}

impl From<NewSegment> for Current {
    fn from(segment: NewSegment) -> Self {
        Self { path: segment.path, file: segment.file, offset: to_u64(HEADER_BYTES) }
    }
}

/// The end of the log.
pub(super) struct Tail {
    boot_id: BootId,
    segment_bytes: u64,
    spares: Box<dyn SpareSource>,
    current: Option<Current>,
    closed: Arc<Mutex<Vec<ClosedSegment>>>,
    health: Arc<Health>,
    /// Frames that no sync has covered yet.
    unsynced: Vec<u8>,
    /// Where each of them ends.
    frame_ends: Vec<usize>,
    /// Bytes of `unsynced` that are in the current segment.
    written: usize,
    /// The last record that a sync has covered.
    synced_sequence: u64,
}

impl Tail {
    /// Begins at sequence 1 in `first`.
    pub(super) fn new(
        boot_id: BootId,
        segment_bytes: u64,
        first: NewSegment,
        spares: Box<dyn SpareSource>,
        closed: Arc<Mutex<Vec<ClosedSegment>>>,
        health: Arc<Health>,
    ) -> Self {
        health.room.set_left_in_current(segment_bytes.saturating_sub(to_u64(HEADER_BYTES)));
        Self {
            boot_id,
            segment_bytes,
            spares,
            current: Some(first.into()),
            closed,
            health,
            unsynced: Vec::new(),
            frame_ends: Vec::new(),
            written: 0,
            synced_sequence: 0,
        }
    }

    /// Numbers a record and keeps it for the next flush.
    pub(super) fn append(&mut self, kind: u8, payload: &[u8]) {
        let sequence = self.last_sequence() + 1;
        let unsynced_before = u32::try_from(self.frame_ends.len()).unwrap_or(u32::MAX);
        frame::append(&mut self.unsynced, self.boot_id, sequence, unsynced_before, kind, payload);
        self.frame_ends.push(self.unsynced.len());
    }

    /// The last record that was appended.
    pub(super) fn last_sequence(&self) -> u64 {
        self.synced_sequence + to_u64(self.frame_ends.len())
    }

    /// Bytes that no sync has covered yet.
    pub(super) fn unsynced_bytes(&self) -> usize {
        self.unsynced.len()
    }

    /// Writes what was appended, and makes it durable when `sync`. Tries once more in a fresh segment. `written` is called
    /// when all of it is written and not yet synced.
    ///
    /// # Errors
    /// The second failure. The tail is of no more use then.
    pub(super) fn flush(&mut self, sync: bool, written: impl Fn()) -> io::Result<()> {
        self.try_flush(sync, &written).or_else(|error| {
            tracing::error!(%error, "cannot write to a journal segment; it is abandoned for a fresh one");
            self.abandon();
            // Synced in any mode: the failure may have eaten what was written before.
            self.try_flush(true, &written)
        })
    }

    fn try_flush(&mut self, sync: bool, written: &impl Fn()) -> io::Result<()> {
        while self.written < self.unsynced.len() {
            let current = match &mut self.current {
                Some(current) => current,
                absent @ None => absent.insert(self.spares.take()?.into()),
            };
            let room = usize::try_from(self.segment_bytes.saturating_sub(current.offset)).unwrap_or(usize::MAX);
            let fits = self.frame_ends.partition_point(|end| end.saturating_sub(self.written) <= room);
            let next = self.frame_ends.partition_point(|end| *end <= self.written);
            let end = match self.frame_ends.get(next.max(fits.saturating_sub(1))) {
                // A frame larger than a segment has a segment of its own, which grows.
                Some(end) if fits > next || current.offset == to_u64(HEADER_BYTES) => *end,
                _ => {
                    self.rotate()?;
                    continue;
                }
            };
            let bytes = self.unsynced.get(self.written..end).unwrap_or_default();
            write_whole(current.file.as_ref(), bytes, current.offset)?;
            current.offset += to_u64(bytes.len());
            self.written = end;
            self.health.room.set_left_in_current(self.segment_bytes.saturating_sub(current.offset));
        }
        written();
        if sync { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.written == 0 {
            return Ok(());
        }
        if let Some(current) = &self.current {
            current.file.sync()?;
        }
        let covered = self.frame_ends.partition_point(|end| *end <= self.written);
        self.synced_sequence += to_u64(covered);
        let written = mem::take(&mut self.written);
        self.unsynced.drain(..written);
        self.frame_ends.drain(..covered);
        for end in &mut self.frame_ends {
            *end -= written;
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.sync()?;
        self.close(self.synced_sequence);
        Ok(())
    }

    fn abandon(&mut self) {
        // Under relaxed durability it may hold records that were acknowledged, so it stays until all are committed.
        self.close(self.last_sequence());
        self.written = 0;
        self.health.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    fn close(&mut self, last_sequence: u64) {
        if let Some(current) = self.current.take() {
            self.health.room.set_left_in_current(0);
            let segment = ClosedSegment { path: current.path, last_sequence };
            self.closed.lock().unwrap_or_else(PoisonError::into_inner).push(segment);
        }
    }
}
