//! Replays a boot: its records in order, each once, with an exact count of those that are missing.
//!
//! A segment that begins with a sequence that is still awaited replaces the rest of the segment before it: so it is after
//! a failed write, when the writer repeats in a fresh segment all that was not yet durable. Reads only; never truncates.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use tollgate_core::{
    id::BootId,
    record::{DecodeError, Record, Step},
};

use crate::journal::{
    disk::{SharedDisk, to_u64},
    error::JournalError,
    frame::FRAME_VERSION,
    gaps::{Damage, Gaps, Place, Region},
    header::{HEADER_BYTES, Start},
    scan::{Found, SegmentScan},
    segment,
};

/// What is known of the segments that are not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// Those up to this sequence were released: the store has all of it. What is missing after it is missed.
    Through(u64),
    /// Whatever is not there at the beginning was released, and more may be while it is read.
    Unknown,
}

/// Reads one boot forward. Blocks on the disk.
pub struct BootReader {
    disk: SharedDisk,
    dir: PathBuf,
    boot_id: BootId,
    released: Released,
    current: Option<SegmentScan>,
    offset: u64,
    last_sequence: u64,
    gaps: Gaps,
    /// Places passed over since the last record, in which the next ones should stand.
    passed: Vec<Place>,
    /// The header of the current segment, when it is damaged and nothing says yet what else is.
    damaged_header: Option<Place>,
    /// Segments behind the current one in which no frame was found, by their numbers.
    empty: BTreeMap<u64, Empty>,
    unreadable_pages: u64,
}

/// A segment without a frame: a spare, or what is left of a destroyed one.
struct Empty {
    is_damaged: bool,
    unreadable_pages: u64,
}

impl BootReader {
    /// Begins after `after_sequence`; 0 for the beginning. Touches no file yet.
    pub(super) fn after(disk: SharedDisk, boot_dir: &Path, boot_id: BootId, after_sequence: u64) -> Self {
        Self {
            disk,
            dir: boot_dir.to_owned(),
            boot_id,
            released: Released::Through(after_sequence),
            current: None,
            offset: 0,
            last_sequence: after_sequence,
            gaps: Gaps::default(),
            passed: Vec::new(),
            damaged_header: None,
            empty: BTreeMap::new(),
            unreadable_pages: 0,
        }
    }

    /// Begins at the first record that is there: segments before it may have been released.
    pub(super) fn from_first(
        disk: SharedDisk,
        boot_dir: &Path,
        boot_id: BootId,
        released: Released,
    ) -> Result<Self, JournalError> {
        let indexes = segment::indexes(disk.as_ref(), boot_dir).map_err(JournalError::io("list", boot_dir))?;
        let mut reader = Self { released, ..Self::after(disk, boot_dir, boot_id, 0) };
        if indexes.first().is_some_and(|first| *first > 1)
            && let Some((_, first)) = reader.segment_after(0)?
        {
            let before = first.saturating_sub(1);
            reader.last_sequence = match released {
                Released::Through(through) => before.min(through),
                Released::Unknown => before,
            };
        }
        reader.passed.clear();
        Ok(reader)
    }

    /// At most `records_max` records, in order, with their sequences; none at the end.
    ///
    /// `up_to_sequence` is the durable watermark for a boot that is being written: nothing above it is given, and what is
    /// not found up to it is missing. For a dead boot it is none: then the end is the last intact record; bytes after it, and
    /// holes in a last group that was never acknowledged, are a torn tail, not damage.
    ///
    /// # Errors
    /// [`JournalError::NewerFormat`], [`JournalError::NewerFrame`] and [`JournalError::Undecodable`] at what this build
    /// cannot read; nothing before it is lost, nothing is skipped. [`JournalError::Io`] when a file cannot be read.
    pub fn read_batch(
        &mut self,
        up_to_sequence: Option<u64>,
        records_max: usize,
    ) -> Result<Vec<(u64, Record)>, JournalError> {
        self.read_as(up_to_sequence, records_max, Record::decode)
    }

    /// The same records, each read only as far as it says which attempts are under way and how they ended.
    ///
    /// # Errors
    /// As [`BootReader::read_batch`].
    pub fn read_steps(
        &mut self,
        up_to_sequence: Option<u64>,
        records_max: usize,
    ) -> Result<Vec<(u64, Step)>, JournalError> {
        self.read_as(up_to_sequence, records_max, Step::decode)
    }

    fn read_as<T>(
        &mut self,
        up_to_sequence: Option<u64>,
        records_max: usize,
        decode: fn(u8, u8, &[u8]) -> Result<T, DecodeError>,
    ) -> Result<Vec<(u64, T)>, JournalError> {
        if let Some(current) = &mut self.current {
            current.refresh();
        }
        let mut records = Vec::new();
        while records.len() < records_max {
            let found = match self.next_frame(up_to_sequence) {
                Ok(Some(found)) => found,
                Ok(None) => break,
                Err(error) => return if records.is_empty() { Err(error) } else { Ok(records) },
            };
            match decoded(&found, decode) {
                Ok(record) => records.push((found.header.sequence, record)),
                Err(error) => {
                    self.step_back(&found);
                    return if records.is_empty() { Err(error) } else { Ok(records) };
                }
            }
        }
        Ok(records)
    }

    /// What was missing so far.
    #[must_use]
    pub fn damage(&self) -> Damage {
        let mut damage = self.gaps.damage();
        damage.damaged_regions = damage.damaged_regions.saturating_add(self.unreadable_pages());
        damage
    }

    /// What was missing so far, region by region.
    #[must_use]
    pub fn regions(&self) -> Vec<Region> {
        self.gaps.regions()
    }

    /// Pages that the disk could not read; what stood there is not known, so it cannot be counted.
    #[must_use]
    pub fn unreadable_pages(&self) -> u64 {
        let in_current = self.current.as_ref().map_or(0, |scan| to_u64(scan.unreadable.len()));
        let in_empty: u64 = self.empty.values().map(|empty| empty.unreadable_pages).sum();
        self.unreadable_pages.saturating_add(in_current).saturating_add(in_empty)
    }

    /// The last sequence that was given, or given up.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// The next intact frame, whatever its version.
    pub(super) fn next_frame(&mut self, up_to_sequence: Option<u64>) -> Result<Option<Found>, JournalError> {
        let up_to = up_to_sequence.unwrap_or(u64::MAX);
        while self.last_sequence < up_to {
            let expected = self.last_sequence.saturating_add(1);
            let found = self.find_in_current()?;
            if let Some(found) = found.as_ref().filter(|found| found.header.sequence == expected) {
                self.step_past(found);
            } else if self.enter_next(if found.is_some() { expected } else { u64::MAX })? {
                continue;
            } else if let Some(found) = found.as_ref().filter(|found| found.header.sequence <= up_to) {
                self.pass(found.offset);
                self.add_gap(expected, found.header.sequence - 1);
                self.step_past(found);
            } else {
                self.end(up_to_sequence);
                return Ok(None);
            }
            let proven = found.as_ref().map_or(0, |found| found.header.proven_sequence());
            self.gaps.prove(up_to_sequence.unwrap_or(proven));
            return Ok(found);
        }
        Ok(None)
    }

    fn find_in_current(&mut self) -> Result<Option<Found>, JournalError> {
        let Some(current) = &mut self.current else {
            return Ok(None);
        };
        let found = current.find(self.offset, self.boot_id, self.last_sequence);
        found.map_err(JournalError::io("read", &current.path))
    }

    /// Goes to the next segment that has records, if its first one is at most `begins_by`.
    fn enter_next(&mut self, begins_by: u64) -> Result<bool, JournalError> {
        let mut begins_by = begins_by;
        let mut has_entered = false;
        loop {
            let index = self.current.as_ref().map_or(0, |current| current.index);
            let known = self.passed.len();
            match self.segment_after(index)? {
                Some((next, first)) if first <= begins_by => {
                    let skipped = self.passed.split_off(known);
                    self.enter(next, first, skipped)?;
                    has_entered = true;
                    // And over every segment whose records are all known, or repeated, already.
                    begins_by = self.last_sequence.saturating_add(1);
                }
                _ => {
                    self.passed.truncate(known);
                    return Ok(has_entered);
                }
            }
        }
    }

    fn enter(&mut self, next: SegmentScan, first: u64, skipped: Vec<Place>) -> Result<(), JournalError> {
        if let Some(left) = self.current.take() {
            self.passed.push(Place { segment: left.index, from: self.offset, to: u64::MAX });
            self.unreadable_pages = self.unreadable_pages.saturating_add(to_u64(left.unreadable.len()));
            let is_released = self.released == Released::Unknown && {
                let indexes = segment::indexes(self.disk.as_ref(), &self.dir);
                !indexes.map_err(JournalError::io("list", &self.dir))?.contains(&left.index)
            };
            // It was released while it was read, and with it perhaps others before the next one.
            if is_released {
                self.last_sequence = self.last_sequence.max(first.saturating_sub(1));
            }
        }
        self.passed.extend(skipped);
        let behind = self.empty.split_off(&next.index);
        for empty in std::mem::replace(&mut self.empty, behind).into_values() {
            self.unreadable_pages = self.unreadable_pages.saturating_add(empty.unreadable_pages);
        }
        // It was empty when it was looked at before.
        self.empty.remove(&next.index);
        self.damaged_header =
            (next.start == Start::Damaged).then_some(Place { segment: next.index, from: 0, to: to_u64(HEADER_BYTES) });
        self.offset = next.frames_at();
        self.current = Some(next);
        Ok(())
    }

    /// The next segment above `index` that has an intact frame, and that frame's sequence. Segments in between are
    /// passed over.
    fn segment_after(&mut self, index: u64) -> Result<Option<(SegmentScan, u64)>, JournalError> {
        let indexes = segment::indexes(self.disk.as_ref(), &self.dir).map_err(JournalError::io("list", &self.dir))?;
        for index in indexes.into_iter().filter(|other| *other > index) {
            let Some(mut scan) = self.open(index)? else { continue };
            let first = scan.find(scan.frames_at(), self.boot_id, 0).map_err(JournalError::io("read", &scan.path))?;
            match first {
                Some(first) => return Ok(Some((scan, first.header.sequence))),
                None => {
                    self.passed.push(Place { segment: index, from: scan.frames_at(), to: u64::MAX });
                    let unreadable_pages = to_u64(scan.unreadable.len());
                    self.empty.insert(index, Empty { is_damaged: scan.start == Start::Damaged, unreadable_pages });
                }
            }
        }
        Ok(None)
    }

    /// A segment of a format that this build reads; none when it is not there any more.
    fn open(&self, index: u64) -> Result<Option<SegmentScan>, JournalError> {
        let path = segment::path(&self.dir, index);
        let scan = match SegmentScan::open(self.disk.as_ref(), &self.dir, index) {
            // Released in between: then all of it was read before.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(JournalError::io("open", &path))?,
        };
        match scan.start {
            Start::Newer { version } => Err(JournalError::NewerFormat { path, version }),
            Start::Frames { .. } | Start::Damaged => Ok(Some(scan)),
        }
    }

    /// No further record is found. What should be there up to the watermark is missing; of a dead boot, whatever stood
    /// in a segment of which nothing is left.
    fn end(&mut self, up_to_sequence: Option<u64>) {
        if let Some(up_to) = up_to_sequence {
            self.pass(u64::MAX);
            self.add_gap(self.last_sequence.saturating_add(1), up_to);
            self.gaps.prove(up_to);
            self.last_sequence = up_to;
        } else {
            let next_sequence = self.last_sequence.saturating_add(1);
            for (segment, empty) in self.empty.iter_mut().filter(|(_, empty)| empty.is_damaged) {
                self.gaps.note(next_sequence, Place { segment: *segment, from: 0, to: u64::MAX });
                // Told once.
                empty.is_damaged = false;
            }
        }
    }

    /// Passes over the current segment from where it is read up to `to`.
    fn pass(&mut self, to: u64) {
        if let Some(current) = &self.current {
            self.passed.push(Place { segment: current.index, from: self.offset, to });
        }
    }

    fn add_gap(&mut self, first: u64, last: u64) {
        let mut places = std::mem::take(&mut self.passed);
        places.extend(self.damaged_header.take());
        self.gaps.add(first, last, places);
    }

    fn step_past(&mut self, found: &Found) {
        if let Some(place) = self.damaged_header.take() {
            self.gaps.note(found.header.sequence, place);
        }
        self.passed.clear();
        self.last_sequence = found.header.sequence;
        self.offset = found.next_offset;
    }

    fn step_back(&mut self, found: &Found) {
        self.last_sequence = found.header.sequence.saturating_sub(1);
        self.offset = found.offset;
    }
}

fn decoded<T>(found: &Found, decode: fn(u8, u8, &[u8]) -> Result<T, DecodeError>) -> Result<T, JournalError> {
    let header = &found.header;
    if header.frame_version != FRAME_VERSION {
        return Err(JournalError::NewerFrame { sequence: header.sequence, version: header.frame_version });
    }
    decode(header.kind, header.codec_version, &found.payload)
        .map_err(|source| JournalError::Undecodable { sequence: header.sequence, source })
}
