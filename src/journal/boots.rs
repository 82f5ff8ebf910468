//! The folders of boots: their locks, the dead ones among them, and a check of all.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use tollgate_core::id::BootId;

use super::{BootReader, JournalError};

/// Records read at once.
const BATCH: usize = 1024;

/// The lock of one boot's folder, held while this lives; the operating system gives it back when a process dies.
#[derive(Debug)]
pub(super) struct BootLock {
    _file: File,
}

impl BootLock {
    pub(super) fn create(boot_dir: &Path) -> Result<Self, JournalError> {
        let io_error = |source| JournalError::Io { path: boot_dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(boot_dir).map_err(io_error)?;
        Self::take(boot_dir)?.ok_or_else(|| io_error(std::io::Error::other("another process holds this boot's folder")))
    }

    /// None when another process holds it.
    fn take(boot_dir: &Path) -> Result<Option<Self>, JournalError> {
        let path = boot_dir.join("lock");
        let io_error = |source| JournalError::Io { path: path.clone(), source };
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(io_error)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(io_error(source)),
        }
    }
}

/// The folder of a boot whose process has died; locked while this lives.
#[derive(Debug)]
pub struct DeadBoot {
    /// Which boot.
    pub boot_id: BootId,
    /// Its folder.
    pub dir: PathBuf,
    _lock: BootLock,
}

impl DeadBoot {
    /// Deletes the folder. Only after the store has committed everything in it.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn remove(self) -> Result<(), JournalError> {
        fs::remove_dir_all(&self.dir).map_err(|source| JournalError::Io { path: self.dir.clone(), source })
    }
}

/// The boots of a replica whose processes have died, oldest first; those of living processes are left alone.
///
/// # Errors
/// [`JournalError::Io`].
pub fn dead_boots(dir: &Path, replica: &str) -> Result<Vec<DeadBoot>, JournalError> {
    let mut dead = Vec::new();
    for (boot_id, dir) in boots(&dir.join(replica))? {
        if let Some(lock) = BootLock::take(&dir)? {
            dead.push(DeadBoot { boot_id, dir, _lock: lock });
        }
    }
    Ok(dead)
}

fn boots(replica_dir: &Path) -> Result<Vec<(BootId, PathBuf)>, JournalError> {
    let io_error = |source| JournalError::Io { path: replica_dir.to_owned(), source };
    if !replica_dir.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(replica_dir).map_err(io_error)? {
        let path = entry.map_err(io_error)?.path();
        let boot_id = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        found.extend(boot_id.map(|boot_id| (boot_id, path)));
    }
    found.sort_unstable();
    Ok(found)
}

/// What reading every record of a journal came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Sound records.
    pub records: u64,
    /// Sequences that should be there and are not.
    pub missing: u64,
    /// Stretches of bytes that are no sound record.
    pub damaged: u64,
}

/// Reads every record of every boot of every replica.
///
/// # Errors
/// [`JournalError`].
pub fn verify(dir: &Path) -> Result<Report, JournalError> {
    let io_error = |source| JournalError::Io { path: dir.to_owned(), source };
    let mut report = Report::default();
    if !dir.exists() {
        return Ok(report);
    }
    for entry in fs::read_dir(dir).map_err(io_error)? {
        for (boot_id, boot_dir) in boots(&entry.map_err(io_error)?.path())? {
            let mut reader = BootReader::from_first(&boot_dir, boot_id)?;
            loop {
                let batch = reader.read_batch(None, BATCH)?;
                if batch.is_empty() {
                    break;
                }
                report.records += u64::try_from(batch.len()).unwrap_or(0);
            }
            report.missing += reader.damage().missing;
            report.damaged += reader.damage().regions;
        }
    }
    Ok(report)
}
