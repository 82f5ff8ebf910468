//! A secret by reference: `env:NAME` or `file:PATH`. Never shown, never logged, read once at start.

use std::{fmt, path::PathBuf};

/// Where a secret is, or, for a provider found in the environment, the secret itself.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// In an environment variable; its value was taken when the configuration was loaded.
    Env {
        /// Name of the variable.
        name: String,
        /// Its value then.
        value: Option<String>,
    },
    /// In a file.
    File(PathBuf),
}

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    /// The file cannot be read.
    #[error("cannot read the secret file {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Secret {
    /// The secret's text, without white space around it.
    ///
    /// # Errors
    /// When the variable is not set or the file cannot be read.
    pub fn read(&self) -> Result<String, SecretError> {
        match self {
            Self::Env { name, value } => {
                value.as_deref().map(|text| text.trim().to_owned()).ok_or_else(|| SecretError::NotSet(name.clone()))
            }
            Self::File(path) => std::fs::read_to_string(path)
                .map(|text| text.trim().to_owned())
                .map_err(|source| SecretError::Unreadable { path: path.clone(), source }),
        }
    }
}

/// Shows the reference, never the secret.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env { name, .. } => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}
