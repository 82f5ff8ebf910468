//! Finds intact frames in one segment file, past whatever damage lies between them.
//!
//! Trusts nothing but magic, boot id, sequence and checksum together. Never writes.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use memchr::memmem;
use tollgate_core::id::BootId;

use crate::journal::{
    frame::{self, ALIGN_BYTES, HEADER_BYTES, Header, MAGIC},
    segment,
};

/// Bytes read at once.
const WINDOW_BYTES: usize = 256 << 10;

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
    file: File,
    window: Vec<u8>,
    window_offset: u64,
}

impl SegmentScan {
    /// Opens segment `index`.
    pub(super) fn open(dir: &Path, index: u64) -> io::Result<Self> {
        let path = segment::path(dir, index);
        Ok(Self { index, file: File::open(&path)?, path, window: Vec::new(), window_offset: 0 })
    }

    /// Forgets what was read ahead: the writer may have written there since.
    pub(super) fn refresh(&mut self) {
        self.window.clear();
    }

    /// The first intact frame of the boot at or after `from` whose sequence is above `above`.
    pub(super) fn find(&mut self, from: u64, boot_id: BootId, above: u64) -> io::Result<Option<Found>> {
        let mut offset = from;
        loop {
            match self.frame_at(offset)? {
                Some(found) if found.header.boot_id == boot_id => {
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

    fn frame_at(&mut self, offset: u64) -> io::Result<Option<Found>> {
        let Some(header) = frame::header(self.bytes(offset, HEADER_BYTES)?) else {
            return Ok(None);
        };
        let bytes = self.bytes(offset, header.checked_bytes())?;
        let Some(payload) = frame::payload(bytes, &header).map(<[u8]>::to_vec) else {
            return Ok(None);
        };
        let frame_bytes = u64::try_from(header.frame_bytes()).unwrap_or(u64::MAX);
        Ok(Some(Found { header, payload, offset, next_offset: offset.saturating_add(frame_bytes) }))
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
            .filter(|skip| skip.checked_add(length).is_some_and(|end| end <= self.window.len()));
        let skip = match cached {
            Some(skip) => skip,
            None => {
                self.fill(offset, length.max(WINDOW_BYTES))?;
                0
            }
        };
        let end = skip.saturating_add(length).min(self.window.len());
        Ok(self.window.get(skip..end).unwrap_or_default())
    }

    fn fill(&mut self, offset: u64, length: usize) -> io::Result<()> {
        self.window.resize(length, 0);
        self.window_offset = offset;
        let mut filled = 0;
        while let Some(rest) = self.window.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset.saturating_add(to_u64(filled))) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.window.clear();
                    return Err(error);
                }
            }
        }
        self.window.truncate(filled);
        Ok(())
    }
}

fn to_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
