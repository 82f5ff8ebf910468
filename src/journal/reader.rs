//! Reads a boot's records in order, over segments, past damage, and counts what is missing.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use tollgate_core::{
    id::BootId,
    record::{DecodeError, Record},
};

use super::{
    JournalError,
    frame::{self, ALIGN, Frame, HEADER_LEN, PAYLOAD_BYTES_MAX},
    segment,
};

/// What could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Sequences that should be there and are not.
    pub missing: u64,
    /// Stretches of bytes that are no sound record.
    pub regions: u64,
}

/// Bytes read at once; more than the largest frame.
const WINDOW_BYTES: usize = 1 << 20;
/// Largest frame, checksum and padding included.
const FRAME_BYTES_MAX: usize = HEADER_LEN + PAYLOAD_BYTES_MAX + 2 * ALIGN;

/// A position in a boot's journal.
#[derive(Debug)]
pub struct BootReader {
    dir: PathBuf,
    boot_id: BootId,
    /// Last sequence that was given out.
    last: u64,
    /// The open segment; none before the first.
    segment: Option<Window>,
    damage: Damage,
}

/// A window on one segment file.
#[derive(Debug)]
struct Window {
    number: u32,
    file: File,
    /// Where in the file the next frame is looked for.
    offset: u64,
    /// What was read of the file, and from where.
    bytes: Vec<u8>,
    from: u64,
    /// What was read reaches the end of the file.
    at_end: bool,
}

impl BootReader {
    /// Starts behind `after_sequence`; 0 for the beginning.
    #[must_use]
    pub fn open(boot_dir: &Path, boot_id: BootId, after_sequence: u64) -> Self {
        let damage = Damage::default();
        Self { dir: boot_dir.to_owned(), boot_id, last: after_sequence, segment: None, damage }
    }

    /// Starts at the first record that is there: earlier segments may have been released.
    ///
    /// # Errors
    /// As [`Self::read_batch`].
    pub fn from_first(boot_dir: &Path, boot_id: BootId) -> Result<Self, JournalError> {
        let first = Self::open(boot_dir, boot_id, 0).read_batch(None, 1)?;
        Ok(Self::open(boot_dir, boot_id, first.first().map_or(0, |(sequence, _)| sequence.saturating_sub(1))))
    }

    /// What could not be read so far.
    #[must_use]
    pub const fn damage(&self) -> Damage {
        self.damage
    }

    /// The next records, at most `records_max` and at most through `up_to_sequence` (a living boot's durable one);
    /// none are left when it gives none.
    ///
    /// # Errors
    /// [`JournalError::Io`], or [`JournalError::Newer`] for a record of a newer build, which is never skipped.
    pub fn read_batch(
        &mut self,
        up_to_sequence: Option<u64>,
        records_max: usize,
    ) -> Result<Vec<(u64, Record)>, JournalError> {
        let mut records = Vec::new();
        let up_to = up_to_sequence.unwrap_or(u64::MAX);
        while records.len() < records_max && self.last < up_to {
            match self.next_in_segment(up_to)? {
                Some(found) => records.push(found),
                None if self.open_next_segment()? => {}
                None => break,
            }
        }
        Ok(records)
    }

    fn next_in_segment(&mut self, up_to: u64) -> Result<Option<(u64, Record)>, JournalError> {
        let Some(window) = self.segment.as_mut() else { return Ok(None) };
        let io_error = |source| JournalError::Io { path: self.dir.clone(), source };
        let begun_at = window.offset;
        let mut skipping = false;
        loop {
            if !window.load().map_err(io_error)? {
                // Nothing sound up to the end: the unused tail. Looked at again from here if more is written.
                window.offset = if skipping { begun_at } else { window.offset };
                return Ok(None);
            }
            let fresh = match window.frame(self.boot_id) {
                Some(_) => false,
                // A living boot may have written since the window was read.
                None if !skipping => true,
                None => false,
            };
            if fresh {
                window.reload().map_err(io_error)?;
            }
            let Some(found) = window.frame(self.boot_id) else {
                skipping = true;
                window.offset = window.offset.saturating_add(ALIGN as u64);
                continue;
            };
            if found.sequence > up_to {
                return Ok(None);
            }
            let (sequence, len) = (found.sequence, found.len);
            let decoded = Record::decode(found.kind, found.version, found.payload);
            window.offset = window.offset.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
            self.damage.regions += u64::from(std::mem::take(&mut skipping));
            // After a failed write the same records stand again in the next segment.
            if sequence <= self.last {
                continue;
            }
            self.damage.missing += sequence - self.last - 1;
            self.last = sequence;
            match decoded {
                Ok(record) => return Ok(Some((sequence, record))),
                Err(DecodeError::Payload(_)) => {
                    self.damage.regions += 1;
                    self.damage.missing += 1;
                }
                Err(source) => return Err(JournalError::Newer { path: self.dir.clone(), source }),
            }
        }
    }

    fn open_next_segment(&mut self) -> Result<bool, JournalError> {
        let io_error = |source| JournalError::Io { path: self.dir.clone(), source };
        let after = self.segment.as_ref().map_or(0, |window| window.number);
        let numbers = segment::list(&self.dir).map_err(io_error)?;
        let Some(number) = numbers.into_iter().find(|number| *number > after) else { return Ok(false) };
        let file = File::open(segment::path(&self.dir, number)).map_err(io_error)?;
        self.segment = Some(Window { number, file, offset: 0, bytes: Vec::new(), from: 0, at_end: false });
        Ok(true)
    }
}

impl Window {
    /// Sees to it that a whole frame fits into what is read from `offset` on; false at the end of the file.
    fn load(&mut self) -> io::Result<bool> {
        if self.rest().len() < FRAME_BYTES_MAX && !self.at_end {
            self.reload()?;
        }
        Ok(!self.rest().is_empty())
    }

    fn reload(&mut self) -> io::Result<()> {
        self.from = self.offset;
        self.bytes.resize(WINDOW_BYTES, 0);
        let mut filled = 0;
        while let Some(rest) = self.bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, self.from.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX)))? {
                0 => break,
                read => filled += read,
            }
        }
        self.bytes.truncate(filled);
        self.at_end = filled < WINDOW_BYTES;
        Ok(())
    }

    fn rest(&self) -> &[u8] {
        let at = usize::try_from(self.offset.saturating_sub(self.from)).unwrap_or(usize::MAX);
        self.bytes.get(at..).unwrap_or_default()
    }

    fn frame(&self, boot_id: BootId) -> Option<Frame<'_>> {
        frame::read(self.rest(), boot_id)
    }
}

/// Deletes all but the last segment whose records have a sequence of at most `sequence`.
pub(super) fn release_through(dir: &Path, boot_id: BootId, sequence: u64) -> Result<(), JournalError> {
    let io_error = |source| JournalError::Io { path: dir.to_owned(), source };
    let numbers = segment::list(dir).map_err(io_error)?;
    for pair in numbers.windows(2) {
        let [number, next] = pair else { break };
        // All of a segment is released when the first record of the next one follows at once on what is released.
        let file = File::open(segment::path(dir, *next)).map_err(io_error)?;
        let mut following = Window { number: *next, file, offset: 0, bytes: Vec::new(), from: 0, at_end: false };
        following.reload().map_err(io_error)?;
        match following.frame(boot_id) {
            Some(first) if first.sequence <= sequence.saturating_add(1) => {
                fs::remove_file(segment::path(dir, *number)).map_err(io_error)?;
            }
            _ => break,
        }
    }
    Ok(())
}
