//! Replays a boot: its records in order, each once, with an exact count of those that are missing.
//!
//! A segment that begins with a sequence that is still awaited replaces the rest of the segment before it: so it is after
//! a failed write, when the writer repeats in a fresh segment all that was not yet durable. Reads only; never truncates.

use std::{
    io,
    path::{Path, PathBuf},
};

use tollgate_core::{id::BootId, record::Record};

use crate::journal::{
    error::JournalError,
    frame::FRAME_VERSION,
    scan::{Found, SegmentScan},
    segment,
};

/// What replay could not find, though it was durable once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Records that are missing, by their sequences.
    pub missing: u64,
    /// Gaps that these records leave.
    pub damaged_regions: u64,
}

/// Reads one boot forward. Blocks on the disk.
pub struct BootReader {
    dir: PathBuf,
    boot_id: BootId,
    current: Option<SegmentScan>,
    offset: u64,
    last_sequence: u64,
    damage: Damage,
    gaps: Vec<Gap>,
}

/// Sequences that were not found and may never have been durable: nothing after them says so yet.
struct Gap {
    first: u64,
    last: u64,
    is_counted: bool,
}

impl BootReader {
    /// Begins after `after_sequence`; 0 for the beginning. Touches no file yet.
    #[must_use]
    pub fn open(boot_dir: &Path, boot_id: BootId, after_sequence: u64) -> Self {
        let dir = boot_dir.to_owned();
        let (damage, gaps) = (Damage::default(), Vec::new());
        Self { dir, boot_id, current: None, offset: 0, last_sequence: after_sequence, damage, gaps }
    }

    /// Begins at the first record that is there: segments before it may have been released.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn from_first(boot_dir: &Path, boot_id: BootId) -> Result<Self, JournalError> {
        let indexes = segment::indexes(boot_dir).map_err(JournalError::io("list", boot_dir))?;
        let mut reader = Self::open(boot_dir, boot_id, 0);
        if indexes.first().is_some_and(|first| *first > 1) {
            reader.begin_where_it_begins()?;
        }
        Ok(reader)
    }

    /// At most `records_max` records, in order, with their sequences; none at the end.
    ///
    /// `up_to_sequence` is the durable watermark for a boot that is being written: nothing above it is given, and what is
    /// not found up to it is missing. For a dead boot it is none: then the end is the last intact record; bytes after it, and
    /// holes in a last group that was never acknowledged, are a torn tail, not damage.
    ///
    /// # Errors
    /// [`JournalError::NewerFrame`] and [`JournalError::Undecodable`] at a record that this build cannot read; nothing
    /// before it is lost, nothing is skipped. [`JournalError::Io`] when a file cannot be read.
    pub fn read_batch(
        &mut self,
        up_to_sequence: Option<u64>,
        records_max: usize,
    ) -> Result<Vec<(u64, Record)>, JournalError> {
        if let Some(current) = &mut self.current {
            current.refresh();
        }
        let mut records = Vec::new();
        while records.len() < records_max {
            let Some(found) = self.next_frame(up_to_sequence)? else {
                break;
            };
            match decode(&found) {
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
        self.damage
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
            } else {
                match found.as_ref().filter(|found| found.header.sequence <= up_to) {
                    Some(found) => {
                        self.gaps.push(Gap { first: expected, last: found.header.sequence - 1, is_counted: false });
                        self.step_past(found);
                    }
                    None => {
                        if let Some(up_to) = up_to_sequence {
                            self.gaps.push(Gap { first: expected, last: up_to, is_counted: false });
                            self.count_gaps(up_to);
                            self.last_sequence = up_to;
                        }
                        return Ok(None);
                    }
                }
            }
            let proven = found.as_ref().map_or(0, |found| found.header.proven_sequence());
            self.count_gaps(up_to_sequence.unwrap_or(proven));
            return Ok(found);
        }
        Ok(None)
    }

    /// Takes the first intact frame's sequence as the beginning, whatever it is: earlier segments were released.
    pub(super) fn begin_where_it_begins(&mut self) -> Result<(), JournalError> {
        if let Some((_, first)) = self.segment_after(0)? {
            self.last_sequence = first.saturating_sub(1);
        }
        Ok(())
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
            match self.segment_after(index)? {
                Some((next, first)) if first <= begins_by => {
                    self.current = Some(next);
                    self.offset = 0;
                    has_entered = true;
                    // And over every segment whose records are all known, or repeated, already.
                    begins_by = self.last_sequence.saturating_add(1);
                }
                _ => return Ok(has_entered),
            }
        }
    }

    /// The next segment above `index` that has an intact frame, and that frame's sequence.
    fn segment_after(&self, index: u64) -> Result<Option<(SegmentScan, u64)>, JournalError> {
        let indexes = segment::indexes(&self.dir).map_err(JournalError::io("list", &self.dir))?;
        for index in indexes.into_iter().filter(|other| *other > index) {
            let mut scan = match SegmentScan::open(&self.dir, index) {
                // Released in between: then all of it was read before.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(JournalError::io("open", &segment::path(&self.dir, index)))?,
            };
            let first = scan.find(0, self.boot_id, 0).map_err(JournalError::io("read", &scan.path))?;
            if let Some(first) = first {
                return Ok(Some((scan, first.header.sequence)));
            }
        }
        Ok(None)
    }

    fn step_past(&mut self, found: &Found) {
        self.last_sequence = found.header.sequence;
        self.offset = found.next_offset;
    }

    fn step_back(&mut self, found: &Found) {
        self.last_sequence = found.header.sequence.saturating_sub(1);
        self.offset = found.offset;
    }

    /// Counts what is missing up to `proven`, which was durable.
    fn count_gaps(&mut self, proven: u64) {
        let damage = &mut self.damage;
        self.gaps.retain_mut(|gap| {
            let last = gap.last.min(proven);
            if gap.first <= last {
                damage.missing += last - gap.first + 1;
                damage.damaged_regions += u64::from(!gap.is_counted);
                gap.is_counted = true;
                gap.first = last + 1;
            }
            gap.first <= gap.last
        });
    }
}

fn decode(found: &Found) -> Result<Record, JournalError> {
    let header = &found.header;
    if header.frame_version != FRAME_VERSION {
        return Err(JournalError::NewerFrame { sequence: header.sequence, version: header.frame_version });
    }
    Record::decode(header.kind, header.codec_version, &found.payload)
        .map_err(|source| JournalError::Undecodable { sequence: header.sequence, source })
}
