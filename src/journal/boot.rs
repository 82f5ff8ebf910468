//! Boot folders: `dir/<replica>/<boot>/`, each owned by the process that holds the lock on its `lock` file.
//!
//! A folder gets its name only when it is locked, and loses it before it is deleted, so that nobody ever adopts a boot
//! that is being made or removed.

use std::{
    io,
    path::{Path, PathBuf},
};

use tollgate_core::id::BootId;

use crate::journal::{
    disk::{self, Disk, Lock, SharedDisk, os::OsDisk},
    error::JournalError,
    quarantine::{self, Report},
    reader::{BootReader, Released},
};

/// A folder that is being made; renamed when it is locked.
const UNFINISHED: &str = "new";
/// A folder that is being deleted; what is left of it is deleted later.
const GONE: &str = "gone";
/// Another process may take the lock of a folder for a moment, to see whether it was left behind.
const CREATE_TRIES: usize = 8;

/// The folder of the running boot; the lock is released on drop.
pub(super) struct BootFolder {
    path: PathBuf,
    _lock: Box<dyn Lock>,
}

impl BootFolder {
    /// Makes and locks the folder of a boot that has none.
    pub(super) fn create(disk: &dyn Disk, dir: &Path, replica: &str, boot_id: BootId) -> Result<Self, JournalError> {
        let replica_dir = replica_dir(dir, replica)?;
        disk::make_dirs(disk, dir).map_err(JournalError::io("make", dir))?;
        disk::make_dirs(disk, &replica_dir).map_err(JournalError::io("make", &replica_dir))?;
        let path = replica_dir.join(boot_id.to_string());
        if disk::folders(disk, &replica_dir).map_err(JournalError::io("list", &replica_dir))?.contains(&path) {
            let is_free = disk.lock(&path).map_err(JournalError::io("lock", &path))?.is_some();
            return Err(if is_free {
                JournalError::BootExists { dir: path }
            } else {
                JournalError::Locked { dir: path }
            });
        }
        let unfinished = replica_dir.join(format!("{boot_id}.{UNFINISHED}"));
        let lock = make_locked(disk, &unfinished).map_err(JournalError::io("make", &unfinished))?;
        let lock = lock.ok_or_else(|| JournalError::Locked { dir: path.clone() })?;
        disk.rename(&unfinished, &path).map_err(JournalError::io("make", &path))?;
        disk.sync_dir(&replica_dir).map_err(JournalError::io("sync", &replica_dir))?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn make_locked(disk: &dyn Disk, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
    for _try in 0..CREATE_TRIES {
        match disk.make_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if let Some(lock) = disk.lock(path)? {
            return Ok(Some(lock));
        }
    }
    Ok(None)
}

/// A boot whose process is gone; nobody else can take it while this lives.
pub struct DeadBoot {
    /// The boot.
    pub boot_id: BootId,
    /// Whose it was.
    pub replica: String,
    /// Its folder.
    pub dir: PathBuf,
    disk: SharedDisk,
    _lock: Box<dyn Lock>,
}

impl DeadBoot {
    /// Reads it from the first record that is there. The store has everything through `committed_sequence`: only what is
    /// missing after it is missed.
    ///
    /// # Errors
    /// As [`BootReader::read_batch`].
    pub fn reader(&self, committed_sequence: u64) -> Result<BootReader, JournalError> {
        let released = Released::Through(committed_sequence);
        BootReader::from_first(self.disk.clone(), &self.dir, self.boot_id, released)
    }

    /// Copies what is damaged aside and writes down what is missing; the folder itself may be removed then.
    ///
    /// # Errors
    /// [`JournalError::Io`]: then the folder must stay.
    pub fn quarantine(&self, reader: &BootReader) -> Result<Report, JournalError> {
        quarantine::keep(self.disk.as_ref(), &self.dir, self.boot_id, &reader.regions())
    }

    /// Deletes the folder; call it when the store has everything.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the folder cannot be renamed or deleted; what is left is deleted by a later
    /// [`dead_boots`].
    pub fn remove(self) -> Result<(), JournalError> {
        let gone = self.dir.with_extension(GONE);
        let replica_dir = disk::parent(&self.dir);
        self.disk.rename(&self.dir, &gone).map_err(JournalError::io("rename", &self.dir))?;
        // Before a file of it is deleted: half a boot under its own name would look damaged.
        self.disk.sync_dir(replica_dir).map_err(JournalError::io("sync", replica_dir))?;
        disk::remove_with_files(self.disk.as_ref(), &gone).map_err(JournalError::io("delete", &gone))
    }
}

/// The boots of a replica that no living process owns, oldest first. A boot that is locked is left alone.
///
/// # Errors
/// [`JournalError::Io`] when the folders cannot be read.
pub fn dead_boots(dir: &Path, replica: &str) -> Result<Vec<DeadBoot>, JournalError> {
    dead_boots_on(&OsDisk::shared(), dir, replica)
}

pub(super) fn dead_boots_on(disk: &SharedDisk, dir: &Path, replica: &str) -> Result<Vec<DeadBoot>, JournalError> {
    let replica_dir = replica_dir(dir, replica)?;
    let mut dead = Vec::new();
    for path in disk::folders(disk.as_ref(), &replica_dir).map_err(JournalError::io("list", &replica_dir))? {
        if path.extension().is_some_and(|extension| extension == GONE) {
            // The rest of a removal that was cut short; tried again at the next start.
            let _kept = disk::remove_with_files(disk.as_ref(), &path);
        } else if path.extension().is_some_and(|extension| extension == UNFINISHED) {
            sweep_unfinished(disk.as_ref(), &path);
        } else if let Some(boot) = adopt(disk, &path, replica)? {
            dead.push(boot);
        }
    }
    dead.sort_by_key(|boot| boot.boot_id);
    Ok(dead)
}

/// What [`dead_boots_below`] found.
#[derive(Default)]
pub struct FoundBoots {
    /// Boots that nobody owns, locked for the caller; oldest first.
    pub dead: Vec<DeadBoot>,
    /// Folders of boots that a living process owns.
    pub living: Vec<PathBuf>,
}

/// The boots of a folder that was found somewhere: a journal folder, one replica's folder in it, or one boot's.
///
/// # Errors
/// [`JournalError::Io`] when the folders cannot be read.
pub fn dead_boots_below(dir: &Path) -> Result<FoundBoots, JournalError> {
    let disk = OsDisk::shared();
    let mut found = FoundBoots::default();
    for (path, replica) in boot_folders(disk.as_ref(), dir)? {
        match adopt(&disk, &path, &replica)? {
            Some(boot) => found.dead.push(boot),
            None => found.living.push(path),
        }
    }
    found.dead.sort_by_key(|boot| boot.boot_id);
    Ok(found)
}

/// Every boot below a journal folder, a replica's folder or in a boot's folder, with its replica's name; sorted.
pub(super) fn boot_folders(disk: &dyn Disk, dir: &Path) -> Result<Vec<(PathBuf, String)>, JournalError> {
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let list = |dir: &Path| disk::folders(disk, dir).map_err(JournalError::io("list", dir));
    if boot_id_of(dir).is_some() {
        return Ok(vec![(dir.to_owned(), name(disk::parent(dir)))]);
    }
    let mut boots = Vec::new();
    for path in list(dir)? {
        if boot_id_of(&path).is_some() {
            boots.push((path, name(dir)));
        } else if replica_dir(dir, &name(&path)).is_ok() {
            let inner = list(&path)?.into_iter().filter(|inner| boot_id_of(inner).is_some());
            boots.extend(inner.map(|inner| (inner, name(&path))));
        }
    }
    boots.sort();
    Ok(boots)
}

/// The folder of a replica.
pub(super) fn replica_dir(dir: &Path, replica: &str) -> Result<PathBuf, JournalError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_taken = replica == quarantine::FOLDER;
    if replica.is_empty() || replica.starts_with('.') || is_taken || !replica.chars().all(is_plain) {
        return Err(JournalError::ReplicaName { name: replica.to_owned() });
    }
    Ok(dir.join(replica))
}

/// The boot that a folder is named after.
pub(super) fn boot_id_of(path: &Path) -> Option<BootId> {
    path.file_name()?.to_str()?.parse().ok()
}

fn adopt(disk: &SharedDisk, path: &Path, replica: &str) -> Result<Option<DeadBoot>, JournalError> {
    let Some(boot_id) = boot_id_of(path) else { return Ok(None) };
    let lock = disk.lock(path).map_err(JournalError::io("lock", path))?;
    let (replica, dir, disk) = (replica.to_owned(), path.to_owned(), disk.clone());
    Ok(lock.map(|lock| DeadBoot { boot_id, replica, dir, disk, _lock: lock }))
}

/// Deletes the folder of a boot that died before its folder had its name; there is no record in it.
fn sweep_unfinished(disk: &dyn Disk, path: &Path) {
    if let Ok(Some(_lock)) = disk.lock(path) {
        // Tried again at the next start.
        let _kept = disk::remove_with_files(disk, path);
    }
}
