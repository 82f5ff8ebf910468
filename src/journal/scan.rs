//! Finds intact frames in one segment file, past whatever damage lies between them.
//!
//! Trusts nothing but magic, boot id, sequence and checksum together. Never writes. Pages that the disk cannot read any
//! more are taken as zeros, and remembered.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use memchr::memmem;
use tollgate_core::id::BootId;

use crate::journal::{
    disk::{Disk, DiskFile, read_whole, to_u64},
    frame::{self, ALIGN_BYTES, FRAME_BYTES_MIN, HEADER_BYTES, Header, MAGIC},
    header::{self, Start},
    segment,
};

/// Bytes read at once.
const WINDOW_BYTES: usize = 256 << 10;
/// After an unreadable place is met, bytes are read in pieces of this many.
const PAGE_BYTES: usize = 4096;

/// An intact frame.
pub(super) struct Found {
    /// Its header.
    pub(super) header: Header,
    /// Its payload.
    pub(super) payload: Vec<u8>,
    /// Where it begins.
    pub(super) offset: u64,
    /// Where the next frame should begin.
    pub(super) next_offset: u64,
}

/// A segment file that is open for reading.
pub(super) struct SegmentScan {
    /// Its number in the boot.
    pub(super) index: u64,
    /// Where it is.
    pub(super) path: PathBuf,
    /// What its first bytes say.
    pub(super) start: Start,
    /// Offsets of pages that the disk could not read.
    pub(super) unreadable: BTreeSet<u64>,
    file: Box<dyn DiskFile>,
    window: Vec<u8>,
    /// Bytes of the window that were read. The others are of earlier readings: room that need not be zeroed again.
    window_len: usize,
    window_offset: u64,
}

impl SegmentScan {
    /// Opens segment `index`.
    pub(super) fn open(disk: &dyn Disk, dir: &Path, index: u64) -> io::Result<Self> {
        let path = segment::path(dir, index);
        let file = disk.open(&path)?;
        let (start, unreadable, window) = (Start::Damaged, BTreeSet::new(), Vec::new());
        let mut scan = Self { index, path, start, unreadable, file, window, window_len: 0, window_offset: 0 };
        scan.start = header::start(scan.bytes(0, header::HEADER_BYTES)?);
        Ok(scan)
    }

    /// Where frames may begin.
    pub(super) fn frames_at(&self) -> u64 {
        match self.start {
            Start::Frames { at } => at,
            Start::Newer { .. } | Start::Damaged => 0,
        }
    }

    /// Forgets what was read ahead: the writer may have written there since.
    pub(super) fn refresh(&mut self) {
        self.window_len = 0;
    }

    /// The first intact frame of the boot at or after `from` whose sequence is above `above`.
    ///
    /// Records `above` up to that of a frame take room, so a frame with a sequence further away than the bytes passed
    /// over could hold is not one of them; only where a segment begins, any sequence may.
    pub(super) fn find(&mut self, from: u64, boot_id: BootId, above: u64) -> io::Result<Option<Found>> {
        let mut offset = from;
        loop {
            match self.frame_at(offset)? {
                Some(found) if found.header.boot_id == boot_id && self.is_plausible(&found, from, above) => {
                    if found.header.sequence > above {
                        return Ok(Some(found));
                    }
                    offset = found.next_offset;
                }
                _ => match self.magic_after(offset)? {
                    Some(candidate) => offset = candidate,
                    None => return Ok(None),
                },
            }
        }
    }

    /// Bytes from `from` to `to` but for the zeros at their end.
    pub(super) fn copy(&mut self, from: u64, to: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let mut copied = Vec::new();
        while copied.len() < length {
            let rest = (length - copied.len()).min(WINDOW_BYTES);
            let bytes = self.bytes(from.saturating_add(to_u64(copied.len())), rest)?;
            copied.extend_from_slice(bytes);
            if bytes.len() < rest {
                break;
            }
        }
        let used = copied.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        copied.truncate(used);
        Ok(copied)
    }

    fn is_plausible(&self, found: &Found, from: u64, above: u64) -> bool {
        let skipped = found.header.sequence.saturating_sub(above).saturating_sub(1);
        let room = found.offset.saturating_sub(from) / to_u64(FRAME_BYTES_MIN);
        skipped <= room || from <= self.frames_at()
    }

    fn frame_at(&mut self, offset: u64) -> io::Result<Option<Found>> {
        let Some(header) = frame::header(self.bytes(offset, HEADER_BYTES)?) else {
            return Ok(None);
        };
        let bytes = self.bytes(offset, header.checked_bytes())?;
        let Some(payload) = frame::payload(bytes, &header).map(<[u8]>::to_vec) else {
            return Ok(None);
        };
        let next_offset = offset.saturating_add(to_u64(header.frame_bytes()));
        Ok(Some(Found { header, payload, offset, next_offset }))
    }

    /// The next aligned place after `offset` where a frame may begin.
    fn magic_after(&mut self, offset: u64) -> io::Result<Option<u64>> {
        let mut from = offset.saturating_add(to_u64(ALIGN_BYTES));
        loop {
            // Windows begin aligned and have an aligned length, so no aligned magic lies across two of them.
            let bytes = self.bytes(from, WINDOW_BYTES)?;
            let places = memmem::find_iter(bytes, &MAGIC);
            if let Some(place) = places.into_iter().find(|place| place % ALIGN_BYTES == 0) {
                return Ok(Some(from.saturating_add(to_u64(place))));
            }
            if bytes.len() < WINDOW_BYTES {
                return Ok(None);
            }
            from = from.saturating_add(to_u64(WINDOW_BYTES));
        }
    }

    /// `length` bytes at `offset`; fewer at the end of the file.
    fn bytes(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let cached = offset
            .checked_sub(self.window_offset)
            .and_then(|skip| usize::try_from(skip).ok())
            .filter(|skip| skip.checked_add(length).is_some_and(|end| end <= self.window_len));
        let skip = match cached {
            Some(skip) => skip,
            None => {
                let in_page = usize::try_from(offset % to_u64(PAGE_BYTES)).unwrap_or(0);
                self.fill(offset - to_u64(in_page), length.max(WINDOW_BYTES).saturating_add(in_page))?;
                in_page
            }
        };
        let end = skip.saturating_add(length).min(self.window_len);
        Ok(self.window.get(skip..end).unwrap_or_default())
    }

    fn fill(&mut self, offset: u64, length: usize) -> io::Result<()> {
        if self.window.len() < length {
            self.window.resize(length, 0);
        }
        (self.window_offset, self.window_len) = (offset, 0);
        let filled = match read_whole(self.file.as_ref(), self.window.get_mut(..length).unwrap_or_default(), offset) {
            Err(error) if is_unreadable(&error) => self.fill_by_page(offset, length),
            filled => filled,
        };
        self.window_len = *filled.as_ref().unwrap_or(&0);
        filled.map(|_| ())
    }

    fn fill_by_page(&mut self, offset: u64, length: usize) -> io::Result<usize> {
        let end = self.file.length()?;
        let mut filled = 0;
        for page in self.window.get_mut(..length).unwrap_or_default().chunks_mut(PAGE_BYTES) {
            let at = offset.saturating_add(to_u64(filled));
            let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(page.len());
            let page = page.get_mut(..left).unwrap_or_default();
            match read_whole(self.file.as_ref(), page, at) {
                Ok(_) => {}
                Err(error) if is_unreadable(&error) => {
                    tracing::error!(path = %self.path.display(), offset = at, "a page of a journal segment is unreadable");
                    page.fill(0);
                    self.unreadable.insert(at);
                }
                Err(error) => return Err(error),
            }
            filled += left;
        }
        Ok(filled)
    }
}

fn is_unreadable(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}
