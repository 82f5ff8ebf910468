//! The operating system's disk, failing when a test says so.

use std::{
    collections::HashMap,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{
    super::{
        Journal, Options,
        disk::{Disk, DiskFile, Listed, Lock, SharedDisk, os::OsDisk, write_whole},
    },
    boot,
};

/// Fails this many times more; for ever.
pub(super) const FOR_EVER: u64 = u64::MAX;

/// What reaches the disk when a write fails.
pub(super) type Torn = fn(&[u8]) -> Vec<u8>;

/// Faults to come, shared by all segments of a journal.
pub(super) struct Script {
    pub(super) create_failures: AtomicU64,
    pub(super) write_failures: AtomicU64,
    pub(super) sync_failures: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) torn: Mutex<Torn>,
    /// Bytes of every file that cannot be read.
    pub(super) unreadable: Mutex<Range<u64>>,
    /// The next write panics.
    pub(super) panics: AtomicU64,
    /// A sync waits while a test holds it.
    pub(super) gate: Mutex<()>,
}

impl Script {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            create_failures: AtomicU64::new(0),
            write_failures: AtomicU64::new(0),
            sync_failures: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            torn: Mutex::new(|_| Vec::new()),
            unreadable: Mutex::new(0..0),
            panics: AtomicU64::new(0),
            gate: Mutex::new(()),
        })
    }

    pub(super) fn open(self: &Arc<Self>, options: Options) -> Journal {
        Journal::open_on(self.disk(), options, boot(1)).unwrap()
    }

    pub(super) fn disk(self: &Arc<Self>) -> SharedDisk {
        Arc::new(Faulty { script: Arc::clone(self), files: Mutex::default() })
    }
}

fn take(failures: &AtomicU64) -> bool {
    let spend = |left: u64| if left == FOR_EVER { Some(left) } else { left.checked_sub(1) };
    failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend).is_ok()
}

fn disk_full() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

/// The operating system's disk, failing as scripted.
struct Faulty {
    script: Arc<Script>,
    /// Files that are filled with zeros under their first name, and whether they are in use.
    files: Mutex<HashMap<PathBuf, Arc<AtomicBool>>>,
}

struct FaultyFile {
    script: Arc<Script>,
    file: Box<dyn DiskFile>,
    /// Nothing fails before: that is what `create_failures` are for.
    is_in_use: Arc<AtomicBool>,
    /// Offset and length of what no sync has covered; a failing sync loses it, as the kernel may.
    unsynced: Mutex<Vec<(u64, usize)>>,
}

impl Disk for Faulty {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        OsDisk.make_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        OsDisk.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        if take(&self.script.create_failures) {
            return Err(disk_full());
        }
        let (script, file, is_in_use) = (Arc::clone(&self.script), OsDisk.create(path)?, Arc::default());
        self.files.lock().unwrap().insert(path.to_owned(), Arc::clone(&is_in_use));
        Ok(Box::new(FaultyFile { script, file, is_in_use, unsynced: Mutex::new(Vec::new()) }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let (script, file) = (Arc::clone(&self.script), OsDisk.open(path)?);
        Ok(Box::new(FaultyFile { script, file, is_in_use: Arc::default(), unsynced: Mutex::default() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if let Some(is_in_use) = self.files.lock().unwrap().get(from) {
            is_in_use.store(true, Ordering::SeqCst);
        }
        OsDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        OsDisk.sync_dir(path)
    }

    fn lock(&self, dir: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        OsDisk.lock(dir)
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let unreadable = self.script.unreadable.lock().unwrap().clone();
        if unreadable.start < offset + into.len() as u64 && offset < unreadable.end {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.file.read_at(into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if self.is_in_use.load(Ordering::SeqCst) {
            assert!(!take(&self.script.panics), "as the test asked for");
            if take(&self.script.write_failures) {
                let torn = self.script.torn.lock().unwrap();
                write_whole(self.file.as_ref(), &torn(bytes), offset)?;
                return Err(disk_full());
            }
            self.unsynced.lock().unwrap().push((offset, bytes.len()));
        }
        self.file.write_at(bytes, offset)
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn reserve(&self, bytes: u64) -> io::Result<bool> {
        self.file.reserve(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        if self.is_in_use.load(Ordering::SeqCst) {
            drop(self.script.gate.lock().unwrap());
            self.script.syncs.fetch_add(1, Ordering::SeqCst);
            let unsynced = std::mem::take(&mut *self.unsynced.lock().unwrap());
            if take(&self.script.sync_failures) {
                for (offset, length) in unsynced {
                    write_whole(self.file.as_ref(), &vec![0; length], offset)?;
                }
                return Err(io::Error::from_raw_os_error(5));
            }
        }
        self.file.sync()
    }
}
