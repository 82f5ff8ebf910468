//! The few operations of a file system that the journal uses, as a trait.
//!
//! One implementation is the operating system's ([`os::OsDisk`]); the other one, in the tests, loses power. Every call is
//! about a whole group of records, a whole window or a whole folder, so that the indirection costs nothing that counts.

pub(super) mod os;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A disk that is shared by all parts of a journal.
pub(super) type SharedDisk = Arc<dyn Disk>;

/// A file system.
pub(super) trait Disk: Send + Sync {
    /// Makes one folder, whose parent exists.
    fn make_dir(&self, path: &Path) -> io::Result<()>;
    /// What is in a folder, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>>;
    /// Makes an empty file for writing; an older one of that name is emptied.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file or folder another name in the same folder, replacing a file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Deletes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Deletes an empty folder.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable; says nothing of the files' contents.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Takes the lock of a folder; none when another one has it, or the folder is gone.
    fn lock(&self, dir: &Path) -> io::Result<Option<Box<dyn Lock>>>;
}

/// An open file.
pub(super) trait DiskFile: Send + Sync {
    /// Reads at most so many bytes; 0 at the end of the file.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes at least one of `bytes`, and says how many.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Bytes of the file.
    fn length(&self) -> io::Result<u64>;
    /// Reserves room for `bytes` bytes from the beginning; false where the file system cannot.
    fn reserve(&self, bytes: u64) -> io::Result<bool>;
    /// Makes what was written durable.
    fn sync(&self) -> io::Result<()>;
}

/// A folder's lock; released on drop.
pub(super) trait Lock: Send + Sync {}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// The name.
    pub(super) name: String,
    /// Whether it is a folder.
    pub(super) is_dir: bool,
    /// Length of the file; 0 for a folder.
    pub(super) bytes: u64,
}

/// Writes all of `bytes`, however short single writes are.
pub(super) fn write_whole(file: &dyn DiskFile, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write_at(rest, offset.saturating_add(to_u64(written))) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Fills `into` from `offset`; fewer bytes at the end of the file.
pub(super) fn read_whole(file: &dyn DiskFile, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(to_u64(filled))) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Makes a folder and those above it, and makes their names durable, also when an earlier process made them and died
/// before it could.
pub(super) fn make_dirs(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let made = match disk.make_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_dirs(disk, parent(path))?;
            disk.make_dir(path)
        }
        made => made,
    };
    match (made, disk.sync_dir(parent(path))) {
        (Ok(()), synced) => synced,
        // A folder that was given to us in one that we may not read: whoever gave it has seen to its name.
        (Err(error), Err(denied)) if exists(&error) && denied.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        (Err(error), synced) if exists(&error) => synced,
        (Err(error), _) => Err(error),
    }
}

fn exists(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AlreadyExists
}

/// The folders in a folder; none when it does not exist.
pub(super) fn folders(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<PathBuf>> {
    let listed = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed?,
    };
    Ok(listed.into_iter().filter(|file| file.is_dir).map(|file| dir.join(file.name)).collect())
}

/// Deletes a folder and what is in it; another process may do the same at the same time.
pub(super) fn remove_with_files(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let or_gone = |done: io::Result<()>| match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    };
    let listed = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => listed?,
    };
    for file in listed {
        let path = dir.join(&file.name);
        if file.is_dir { remove_with_files(disk, &path)? } else { or_gone(disk.remove_file(&path))? }
    }
    or_gone(disk.remove_dir(dir))
}

/// Writes a small file that is whole and durable from the moment it has its name.
pub(super) fn write_durably(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let file = disk.create(&unfinished)?;
    write_whole(file.as_ref(), bytes, 0)?;
    file.sync()?;
    disk.rename(&unfinished, path)?;
    disk.sync_dir(parent(path))
}

/// The whole of a small file; none when it does not exist.
pub(super) fn read_small(disk: &dyn Disk, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = vec![0; usize::try_from(file.length()?).unwrap_or(0)];
    let filled = read_whole(file.as_ref(), &mut bytes, 0)?;
    bytes.truncate(filled);
    Ok(Some(bytes))
}

/// Bytes of all files below a folder; 0 when it does not exist.
pub(super) fn bytes_below(disk: &dyn Disk, dir: &Path) -> io::Result<u64> {
    let listed = match disk.list(dir) {
        // Removed in between.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        listed => listed?,
    };
    listed.into_iter().try_fold(0_u64, |sum, file| {
        let bytes = if file.is_dir { bytes_below(disk, &dir.join(file.name))? } else { file.bytes };
        Ok(sum.saturating_add(bytes))
    })
}

/// The folder that a path is in.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A length as an offset.
pub(super) fn to_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
