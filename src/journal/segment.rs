//! Segment files: their names, how one is made, and the few operations that the writer needs of it.
//!
//! The operations are a trait so that tests can make them fail; nothing else implements it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use rustix::fs::FallocateFlags;

/// Zeros are written and synced in pieces of this many bytes, so that the writer's own fsync never waits for all of them.
const FILL_BYTES: usize = 1 << 20;

/// A segment that is open for writing.
pub(super) trait SegmentFile: Send {
    /// Writes all of `bytes` at `offset`.
    fn write_whole(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync(&self) -> io::Result<()>;
}

/// Makes segment files.
pub(super) trait SegmentFactory: Send + Sync {
    /// Makes a file of `bytes` zeros, durable with its name.
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn SegmentFile>>;
}

/// A segment that nothing was written to yet.
pub(super) struct NewSegment {
    /// Where it is.
    pub(super) path: PathBuf,
    /// For writing.
    pub(super) file: Box<dyn SegmentFile>,
}

/// Makes segment `index` of a boot.
pub(super) fn create(factory: &dyn SegmentFactory, dir: &Path, index: u64, bytes: u64) -> io::Result<NewSegment> {
    let path = path(dir, index);
    let file = factory.create(&path, bytes)?;
    Ok(NewSegment { path, file })
}

/// The file of segment `index`.
pub(super) fn path(dir: &Path, index: u64) -> PathBuf {
    dir.join(format!("{index:08}.seg"))
}

/// The segments in a boot's folder, in order.
pub(super) fn indexes(dir: &Path) -> io::Result<Vec<u64>> {
    let mut indexes = Vec::new();
    for file in fs::read_dir(dir)? {
        let name = file?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(".seg"));
        indexes.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    indexes.sort_unstable();
    Ok(indexes)
}

/// Makes the names in a folder durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Segments as files of the operating system.
pub(super) struct DiskSegments;

impl SegmentFactory for DiskSegments {
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn SegmentFile>> {
        // Filled under another name, so that a segment is whole from the moment it has its own.
        let unfinished = path.with_extension("seg.new");
        let made = fill(&unfinished, bytes).and_then(|file| {
            fs::rename(&unfinished, path)?;
            sync_dir(path.parent().unwrap_or(Path::new(".")))?;
            Ok(file)
        });
        match made {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => {
                // The room matters more than the leftovers: on a full disk they would be in the way.
                let _absent = fs::remove_file(&unfinished);
                Err(error)
            }
        }
    }
}

fn fill(path: &Path, bytes: u64) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
        Err(error) => return Err(error.into()),
    }
    let zeros = vec![0; FILL_BYTES];
    let mut offset = 0;
    while offset < bytes {
        let rest = usize::try_from(bytes - offset).unwrap_or(FILL_BYTES).min(FILL_BYTES);
        FileExt::write_all_at(&file, zeros.get(..rest).unwrap_or_default(), offset)?;
        file.sync_data()?;
        offset += u64::try_from(rest).unwrap_or(u64::MAX);
    }
    file.sync_all()?;
    Ok(file)
}

impl SegmentFile for File {
    fn write_whole(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
