//! Boot folders: `dir/<replica>/<boot>/`, each owned by the process that holds the lock on its `lock` file.
//!
//! A folder gets its name only when it is locked, and loses it before it is deleted, so that nobody ever adopts a boot
//! that is being made or removed.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;
use tollgate_core::id::BootId;

use crate::journal::{error::JournalError, segment::sync_dir};

const LOCK_NAME: &str = "lock";

/// The folder of the running boot; the lock is released on drop.
pub(super) struct BootFolder {
    path: PathBuf,
    _lock: File,
}

impl BootFolder {
    /// Makes and locks the folder of a boot that has none.
    pub(super) fn create(dir: &Path, replica: &str, boot_id: BootId) -> Result<Self, JournalError> {
        let replica_dir = replica_dir(dir, replica)?;
        fs::create_dir_all(&replica_dir).map_err(JournalError::io("make", &replica_dir))?;
        let path = replica_dir.join(boot_id.to_string());
        if path.exists() {
            let is_free = try_lock(&path).map_err(JournalError::io("lock", &path))?.is_some();
            return Err(if is_free {
                JournalError::BootExists { dir: path }
            } else {
                JournalError::Locked { dir: path }
            });
        }
        let unfinished = replica_dir.join(format!("{boot_id}.new"));
        fs::create_dir_all(&unfinished).map_err(JournalError::io("make", &unfinished))?;
        let lock = try_lock(&unfinished).map_err(JournalError::io("lock", &unfinished))?;
        let lock = lock.ok_or_else(|| JournalError::Locked { dir: path.clone() })?;
        fs::rename(&unfinished, &path).map_err(JournalError::io("make", &path))?;
        sync_dir(&replica_dir).map_err(JournalError::io("sync", &replica_dir))?;
        sync_dir(dir).map_err(JournalError::io("sync", dir))?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// A boot whose process is gone; nobody else can take it while this lives.
pub struct DeadBoot {
    /// The boot.
    pub boot_id: BootId,
    /// Its folder, for [`super::reader::BootReader`].
    pub dir: PathBuf,
    _lock: File,
}

impl DeadBoot {
    /// Deletes the folder; call it when the store has everything.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the folder cannot be renamed or deleted; what is left is deleted by a later
    /// [`dead_boots`].
    pub fn remove(self) -> Result<(), JournalError> {
        let gone = self.dir.with_extension("gone");
        fs::rename(&self.dir, &gone).map_err(JournalError::io("rename", &self.dir))?;
        fs::remove_dir_all(&gone).map_err(JournalError::io("delete", &gone))
    }
}

/// The boots of a replica that no living process owns, oldest first. A boot that is locked is left alone.
///
/// # Errors
/// [`JournalError::Io`] when the folders cannot be read.
pub fn dead_boots(dir: &Path, replica: &str) -> Result<Vec<DeadBoot>, JournalError> {
    let replica_dir = replica_dir(dir, replica)?;
    let mut dead = Vec::new();
    for path in folders(&replica_dir)? {
        if path.extension().is_some_and(|extension| extension == "gone") {
            // The rest of a removal that was cut short; tried again at the next start.
            let _kept = fs::remove_dir_all(&path);
        } else if let Some(boot_id) = boot_id_of(&path)
            && let Some(lock) = try_lock(&path).map_err(JournalError::io("lock", &path))?
        {
            dead.push(DeadBoot { boot_id, dir: path, _lock: lock });
        }
    }
    dead.sort_by_key(|boot| boot.boot_id);
    Ok(dead)
}

/// Every boot below `dir`, of every replica, living or dead, as (folder, boot); sorted.
///
/// # Errors
/// [`JournalError::Io`] when the folders cannot be read.
pub fn all_boots(dir: &Path) -> Result<Vec<(PathBuf, BootId)>, JournalError> {
    let mut boots = Vec::new();
    for replica_dir in folders(dir)? {
        let paths = folders(&replica_dir)?.into_iter();
        boots.extend(paths.filter_map(|path| boot_id_of(&path).map(|boot_id| (path, boot_id))));
    }
    boots.sort();
    Ok(boots)
}

fn replica_dir(dir: &Path, replica: &str) -> Result<PathBuf, JournalError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if replica.is_empty() || replica.starts_with('.') || !replica.chars().all(is_plain) {
        return Err(JournalError::ReplicaName { name: replica.to_owned() });
    }
    Ok(dir.join(replica))
}

fn boot_id_of(path: &Path) -> Option<BootId> {
    path.file_name()?.to_str()?.parse().ok()
}

/// The folders in a folder; none when it does not exist.
fn folders(dir: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for file in fs::read_dir(dir)? {
            let file = file?;
            if file.file_type()?.is_dir() {
                paths.push(file.path());
            }
        }
        Ok(paths)
    };
    match list() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(JournalError::io("list", dir)),
    }
}

/// Takes the folder's lock; none when another process has it, or has removed the folder.
fn try_lock(dir: &Path) -> io::Result<Option<File>> {
    let path = dir.join(LOCK_NAME);
    let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let lock = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        locked => locked?,
    }
    // Locked, but perhaps only what is left of a folder that was removed in between.
    let is_same = fs::metadata(&path).is_ok_and(|named| lock.metadata().is_ok_and(|held| named.ino() == held.ino()));
    Ok(is_same.then_some(lock))
}
