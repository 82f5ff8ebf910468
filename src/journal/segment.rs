//! Segment files: zero-filled ahead, so that a later fdatasync has no metadata to write.
//!
//! Knows files and folders; knows no records.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// One write of zeros when a segment is made.
const FILL_BYTES: usize = 1 << 20;

/// Where segments come from; tests inject faults here.
pub(super) trait Disk: Send + Sync + 'static {
    /// Makes segment `number` in `dir`, of `bytes` zeros, durable with its name.
    fn create(&self, dir: &Path, number: u32, bytes: u64) -> io::Result<Box<dyn Segment>>;
}

/// A segment file that is written to.
pub(super) trait Segment: Send {
    /// Writes all of `bytes` at an offset.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync(&self) -> io::Result<()>;
}

/// The machine's file system.
pub(super) struct RealDisk;

/// Path of a segment.
pub(super) fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}.seg"))
}

/// The numbers of a folder's segments, ascending.
pub(super) fn list(dir: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number: Option<u32> =
            name.to_str().and_then(|name| name.strip_suffix(".seg")).and_then(|stem| stem.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

impl Disk for RealDisk {
    fn create(&self, dir: &Path, number: u32, bytes: u64) -> io::Result<Box<dyn Segment>> {
        // Filled under another name, so that a crash leaves no half-made segment among the real ones.
        let draft = dir.join(format!("{number:08}.new"));
        let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
        let zeros = vec![0; FILL_BYTES];
        let mut offset = 0;
        while offset < bytes {
            let rest = usize::try_from(bytes - offset).unwrap_or(FILL_BYTES).min(FILL_BYTES);
            file.write_all_at(zeros.get(..rest).unwrap_or_default(), offset)?;
            offset += u64::try_from(rest).unwrap_or(0);
        }
        file.sync_all()?;
        fs::rename(&draft, path(dir, number))?;
        File::open(dir)?.sync_all()?;
        Ok(Box::new(file))
    }
}

impl Segment for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
