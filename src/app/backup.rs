//! Backups: a folder with a file for every table, as of one moment, and a manifest that says what must be in them.
//!
//! The same for both engines, so that a restore may change the engine. The pepper is not in it: it is kept apart from the
//! database on purpose, and belongs into a backup of its own. Sealed files of old days are copied when they lie on this machine;
//! the manifest names all of them.

use std::{
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{AppError, files::DataDir};
use crate::{
    clock::Clock,
    config::Config,
    store::{
        Store,
        archives::ArchiveRow,
        dump::{TableFile, digest, file_of, tables},
    },
};

const MANIFEST: &str = "MANIFEST.json";
/// Sealed files within a backup.
const ARCHIVE: &str = "archive";
/// The form of the files; a restore refuses another one.
const FORMAT: u32 = 1;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Form of the files.
    pub format: u32,
    /// The build that wrote it.
    pub version: String,
    /// When, microseconds since 1970 UTC.
    pub made_at_us: i64,
    /// The files.
    pub tables: Vec<TableFile>,
    /// Every sealed file of the books, also those that are not in this backup.
    #[serde(default)]
    pub archives: Vec<SealedFile>,
}

/// A sealed file of a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedFile {
    /// Its name.
    pub file: String,
    /// Entries in it.
    pub entries: u64,
    /// Of its bytes, hexadecimal, as the store has it.
    pub sha256: String,
    /// It is in this backup. If not, it was not on the machine, or not as it was sealed.
    pub copied: bool,
}

/// Why a backup cannot be made or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The folder holds something.
    #[error("{} is not empty; name a new folder", .0.display())]
    NotEmpty(PathBuf),
    /// A file cannot be made or read.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no manifest in it that this build understands.
    #[error("{} is no backup that this build can read: {reason}", .path.display())]
    NoBackup {
        /// The folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file is not as it was written.
    #[error("{} is damaged: its manifest says {expected}, it has {found}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Rows and digest by the manifest.
        expected: String,
        /// Rows and digest of the file.
        found: String,
    },
}

/// Writes the books into a new folder. A gateway may run meanwhile.
///
/// # Errors
/// [`AppError`].
pub async fn backup(config: &Config, dir: &Path) -> Result<Manifest, AppError> {
    let failed = |source| BackupError::Io { path: dir.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    if std::fs::read_dir(dir).map_err(failed)?.next().is_some() {
        return Err(BackupError::NotEmpty(dir.to_owned()).into());
    }
    let store = Store::connect(&config.store.url).await?;
    let made_at_us = Clock::system().unix_us();
    let tables = store.dump(dir).await?;
    // Read later than the tables, so that none is left out.
    let archives = copy_sealed(store.archives().await?, &config.store.archive_dir, &dir.join(ARCHIVE)).await?;
    store.close().await;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let manifest = Manifest { format: FORMAT, version, made_at_us, tables, archives };
    let text = serde_json::to_vec_pretty(&manifest).map_err(io::Error::other).map_err(failed)?;
    // Last, so that a folder with a manifest is a whole backup.
    let path = dir.join(MANIFEST);
    let written = std::fs::write(&path, text)
        .and_then(|()| std::fs::File::open(&path)?.sync_all())
        .and_then(|()| std::fs::File::open(dir)?.sync_all());
    written.map_err(failed)?;
    Ok(manifest)
}

/// Fills an empty store from a backup. No gateway may run on the data folder.
///
/// # Errors
/// [`AppError`]; then nothing was restored.
pub async fn restore(config: &Config, dir: &Path) -> Result<Manifest, AppError> {
    let manifest = read_manifest(dir)?;
    for table in &manifest.tables {
        let path = file_of(dir, &table.table);
        let found = digest(&path).await?;
        if found != (table.rows, table.sha256.clone()) {
            let shown = |rows: u64, sha256: &str| format!("{rows} rows, sha256 {sha256}");
            let (expected, found) = (shown(table.rows, &table.sha256), shown(found.0, &found.1));
            return Err(BackupError::Damaged { path, expected, found }.into());
        }
    }
    for sealed in manifest.archives.iter().filter(|sealed| sealed.copied) {
        let path = dir.join(ARCHIVE).join(&sealed.file);
        let found = digest(&path).await?.1;
        if found != sealed.sha256 {
            return Err(BackupError::Damaged { path, expected: sealed.sha256.clone(), found }.into());
        }
    }
    let _lock = DataDir::open(&config.server.data_dir)?;
    let store = Store::connect(&config.store.url).await?;
    store.migrate().await?;
    store.load(dir).await?;
    copy_sealed(store.archives().await?, &dir.join(ARCHIVE), &config.store.archive_dir).await?;
    store.close().await;
    Ok(manifest)
}

/// Copies sealed files from one folder to another, those that are there and are what they should be.
async fn copy_sealed(archives: Vec<ArchiveRow>, from: &Path, to: &Path) -> Result<Vec<SealedFile>, AppError> {
    let mut files = Vec::new();
    for ArchiveRow { file, entries, sha256, .. } in archives {
        let copied = copy_one(&from.join(&file), &to.join(&file), &sha256).await?;
        files.push(SealedFile { file, entries, sha256, copied });
    }
    Ok(files)
}

async fn copy_one(from: &Path, to: &Path, sha256: &str) -> Result<bool, AppError> {
    if !from.is_file() || digest(from).await?.1 != sha256 {
        return Ok(false);
    }
    let failed = |source| BackupError::Io { path: to.to_owned(), source };
    if let Some(folder) = to.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    // One that lies there already stays: it is the same, or somebody should look at it.
    if !to.exists() {
        std::fs::copy(from, to).and_then(|_| std::fs::File::open(to)?.sync_all()).map_err(failed)?;
    }
    Ok(digest(to).await?.1 == sha256)
}

fn read_manifest(dir: &Path) -> Result<Manifest, BackupError> {
    let refused = |reason: String| BackupError::NoBackup { path: dir.to_owned(), reason };
    let text = std::fs::read(dir.join(MANIFEST)).map_err(|error| refused(format!("{MANIFEST}: {error}")))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| refused(format!("{MANIFEST}: {error}")))?;
    let found: Vec<&str> = manifest.tables.iter().map(|table| table.table.as_str()).collect();
    if manifest.format != FORMAT || found != tables() {
        return Err(refused(format!("it was written by version {}", manifest.version)));
    }
    Ok(manifest)
}
