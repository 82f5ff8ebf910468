//! The files of the data folder: its lock, the pepper, the admin token, the admin socket's path.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::{
    config::{Config, secret::SecretError},
    entropy,
};

/// Shortest admin token that is accepted from a configuration.
const ADMIN_TOKEN_LEN_MIN: usize = 20;

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// Another process holds the folder.
    #[error("another tollgate process uses {}; stop it, or let it do the work (its admin socket answers the same commands)", .0.display())]
    Locked(PathBuf),
    /// A file cannot be made or read.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A secret's reference leads nowhere.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The pepper is not 64 hexadecimal digits.
    #[error(
        "the pepper must be 64 hexadecimal digits; without the right one no stored key works, so restore it from a backup"
    )]
    BadPepper,
    /// The admin token is too weak.
    #[error(
        "the admin token must have at least {ADMIN_TOKEN_LEN_MIN} characters; leave [admin] token empty to have one made"
    )]
    WeakToken,
}

/// The open data folder. Its lock is held while this lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Path of the admin socket in a data folder.
#[must_use]
pub fn admin_socket(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.sock")
}

impl DataDir {
    /// Makes the folder if it is missing (mode 0700) and takes its lock.
    ///
    /// # Errors
    /// [`FilesError::Locked`] when another process has it.
    pub fn open(path: &Path) -> Result<Self, FilesError> {
        let io_error = |source| FilesError::Io { path: path.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error)?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock_path);
        let lock = lock.map_err(|source| FilesError::Io { path: lock_path, source })?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(FilesError::Locked(path.to_owned())),
            Err(fs::TryLockError::Error(source)) => Err(io_error(source)),
        }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The pepper of the key hashes, made on first start.
    ///
    /// # Errors
    /// When it cannot be read or made, or is not 64 hexadecimal digits.
    pub fn pepper(&self, config: &Config) -> Result<[u8; 32], FilesError> {
        let text = match &config.pepper {
            Some(secret) => secret.read()?,
            None => self.kept("pepper")?,
        };
        let mut pepper = [0; 32];
        hex::decode_to_slice(&text, &mut pepper).map_err(|_| FilesError::BadPepper)?;
        Ok(pepper)
    }

    /// The admin token, made on first start.
    ///
    /// # Errors
    /// When it cannot be read or made, or is weak.
    pub fn admin_token(&self, config: &Config) -> Result<String, FilesError> {
        let token = match &config.admin_token {
            Some(secret) => secret.read()?,
            None => self.kept("admin-token")?,
        };
        if token.len() < ADMIN_TOKEN_LEN_MIN { Err(FilesError::WeakToken) } else { Ok(token) }
    }

    /// A secret of 64 hexadecimal digits in a file of mode 0600, made when it is missing.
    fn kept(&self, name: &str) -> Result<String, FilesError> {
        if let Some(text) = self.read_secret(name)? {
            return Ok(text);
        }
        let path = self.path.join(name);
        let text = hex::encode(entropy::random::<32>().map_err(|source| FilesError::Io { path, source })?);
        self.keep_secret(name, &text)?;
        Ok(text)
    }

    /// A secret that was kept in the folder; none when there is no such file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_secret(&self, name: &str) -> Result<Option<String>, FilesError> {
        let path = self.path.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(FilesError::Io { path, source }),
        }
    }

    /// Keeps a secret in a file of mode 0600.
    ///
    /// # Errors
    /// When the file cannot be written; then it is as it was.
    pub fn keep_secret(&self, name: &str, text: &str) -> Result<(), FilesError> {
        let path = self.path.join(name);
        let io_error = |source| FilesError::Io { path: path.clone(), source };
        // Written aside and renamed, so that a crash leaves no half of a pepper behind.
        let draft = self.path.join(format!("{name}.new"));
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft).map_err(io_error)?;
        writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(io_error)?;
        fs::rename(&draft, &path).map_err(io_error)?;
        File::open(&self.path).and_then(|dir| dir.sync_all()).map_err(io_error)
    }
}

/// What tells a journal folder from every other one, a copy of it included: a word made by the first who asks, and where
/// it stands on its disk.
///
/// # Errors
/// When it cannot be read or made.
pub fn journal_instance(journal_dir: &Path) -> Result<String, FilesError> {
    let path = journal_dir.join("instance");
    let io_error = |source| FilesError::Io { path: path.clone(), source };
    fs::create_dir_all(journal_dir).map_err(io_error)?;
    let word = hex::encode(entropy::random::<16>().map_err(io_error)?);
    // Of two that make it at once one is first, and both read what that one wrote.
    let draft = journal_dir.join(format!("instance.{word}"));
    fs::write(&draft, &word).map_err(io_error)?;
    match fs::hard_link(&draft, &path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io_error(error)),
        Ok(()) | Err(_) => fs::remove_file(&draft).map_err(io_error)?,
    }
    let word = fs::read_to_string(&path).map_err(io_error)?;
    let place = fs::metadata(&path).map_err(io_error)?;
    Ok(format!("{word}-{}-{}", place.dev(), place.ino()))
}
