//! Segment files: their names, and how one is made, so that the writer has only to overwrite zeros.

use std::{
    io,
    path::{Path, PathBuf},
};

use tollgate_core::id::BootId;

use crate::journal::{
    disk::{Disk, DiskFile, SharedDisk, parent, to_u64, write_whole},
    header::{self, HEADER_BYTES},
};

/// Zeros are written and synced in pieces of this many bytes: the writer's own fsync waits for one of them at most.
const FILL_BYTES: usize = 256 << 10;
const SUFFIX: &str = ".seg";

/// Makes the segments of one boot.
#[derive(Clone)]
pub(super) struct SegmentMaker {
    pub(super) disk: SharedDisk,
    pub(super) dir: PathBuf,
    pub(super) boot_id: BootId,
    /// Size of a segment, bytes.
    pub(super) bytes: u64,
}

/// How far the making of a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Its room on the disk is its own.
    Reserved,
    /// Some more of it is filled with zeros.
    Filled,
}

/// Told each step; may call the whole off.
pub(super) type OnStep<'a> = &'a mut dyn FnMut(Step) -> io::Result<()>;

/// A segment that no record was written to yet.
pub(super) struct NewSegment {
    /// Where it is.
    pub(super) path: PathBuf,
    /// For writing.
    pub(super) file: Box<dyn DiskFile>,
}

impl SegmentMaker {
    /// Makes segment `index`: header and zeros, durable with its name.
    pub(super) fn make(&self, index: u64, on_step: OnStep<'_>) -> io::Result<NewSegment> {
        let path = path(&self.dir, index);
        // Filled under another name, so that a segment is whole from the moment it has its own.
        let unfinished = path.with_extension("seg.new");
        let made = self.fill(&unfinished, index, on_step).and_then(|file| {
            self.disk.rename(&unfinished, &path)?;
            self.disk.sync_dir(parent(&path))?;
            Ok(file)
        });
        match made {
            Ok(file) => Ok(NewSegment { path, file }),
            Err(error) => {
                // The room matters more than the leftovers: on a full disk they would be in the way.
                let _absent = self.disk.remove_file(&unfinished);
                Err(error)
            }
        }
    }

    /// Deletes a segment that was made and not used.
    pub(super) fn discard(&self, segment: &NewSegment) {
        // An empty segment that stays is only room wasted until the boot's folder is removed.
        let _kept = self.disk.remove_file(&segment.path);
    }

    fn fill(&self, path: &Path, index: u64, on_step: OnStep<'_>) -> io::Result<Box<dyn DiskFile>> {
        let file = self.disk.create(path)?;
        if file.reserve(self.bytes)? {
            on_step(Step::Reserved)?;
        }
        write_whole(file.as_ref(), &header::encode(self.boot_id, index), 0)?;
        let zeros = vec![0; FILL_BYTES];
        let mut offset = to_u64(HEADER_BYTES);
        while offset < self.bytes {
            let piece = usize::try_from(self.bytes - offset).unwrap_or(FILL_BYTES).min(FILL_BYTES);
            write_whole(file.as_ref(), zeros.get(..piece).unwrap_or_default(), offset)?;
            file.sync()?;
            offset += to_u64(piece);
            on_step(Step::Filled)?;
        }
        Ok(file)
    }
}

/// The file of segment `index`.
pub(super) fn path(dir: &Path, index: u64) -> PathBuf {
    dir.join(format!("{index:08}{SUFFIX}"))
}

/// The segments in a boot's folder, in order.
pub(super) fn indexes(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<u64>> {
    let listed = disk.list(dir)?;
    let digits = listed.iter().filter_map(|file| file.name.strip_suffix(SUFFIX));
    let mut indexes: Vec<u64> = digits.filter_map(|digits| digits.parse().ok()).collect();
    indexes.sort_unstable();
    Ok(indexes)
}
