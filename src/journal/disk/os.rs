//! The operating system's file system.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    sync::Arc,
};

use rustix::fs::{FallocateFlags, FlockOperation};

use super::{Disk, DiskFile, Listed, Lock, SharedDisk};

const LOCK_NAME: &str = "lock";

/// The operating system's file system.
pub(in crate::journal) struct OsDisk;

impl OsDisk {
    /// To be shared.
    pub(in crate::journal) fn shared() -> SharedDisk {
        Arc::new(Self)
    }
}

impl Disk for OsDisk {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for file in fs::read_dir(dir)? {
            let file = file?;
            let about = match file.metadata() {
                // Deleted in between.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                about => about?,
            };
            // Names that are no text are none of ours.
            if let Ok(name) = file.file_name().into_string() {
                let bytes = if about.is_dir() { 0 } else { about.len() };
                listed.push(Listed { name, is_dir: about.is_dir(), bytes });
            }
        }
        Ok(listed)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().write(true).create(true).truncate(true).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn lock(&self, dir: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let path = dir.join(LOCK_NAME);
        let lock = match OpenOptions::new().write(true).create(true).truncate(false).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // A volume that is mounted for reading only: a lock can be taken on a file that is there.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Box::new(NoLock))),
                opened => opened?,
            },
            opened => opened?,
        };
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            locked => locked?,
        }
        // Locked, but perhaps only what is left of a folder that was removed in between.
        let is_same =
            fs::metadata(&path).is_ok_and(|named| lock.metadata().is_ok_and(|held| named.ino() == held.ino()));
        Ok(if is_same { Some(Box::new(lock)) } else { None })
    }
}

impl DiskFile for File {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn reserve(&self, bytes: u64) -> io::Result<bool> {
        match rustix::fs::fallocate(self, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        // Also makes the length durable, and all else that reading the data needs.
        self.sync_data()
    }
}

impl Lock for File {}

/// Nobody can write on such a volume, and nobody has left a lock file.
struct NoLock;

impl Lock for NoLock {}
