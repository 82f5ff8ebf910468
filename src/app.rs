//! Composition root: builds everything, owns tasks, shuts down in reverse order.

pub mod backup;
mod books;
mod check;
pub mod doctor;
pub mod files;
mod join;
mod journal;
pub mod listener;
mod pumped;
mod serve;
mod shards;
mod stalled;
mod supervise;
mod tls;
mod turns;
pub mod up;
pub mod upkeep;
mod watch;

pub use self::{
    books::Books,
    check::check_together,
    serve::{Gateway, Signals, run},
};

use std::{net::SocketAddr, path::PathBuf};

use crate::{config::Mistake, posting::live::PostingError};

/// Why the gateway or its books cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The data folder.
    #[error(transparent)]
    Files(#[from] files::FilesError),
    /// A secret of the configuration.
    #[error(transparent)]
    Secret(#[from] crate::config::secret::SecretError),
    /// The store.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] crate::journal::error::JournalError),
    /// A backup.
    #[error(transparent)]
    Backup(#[from] backup::BackupError),
    /// The pepper.
    #[error(
        "this gateway's pepper is not the one that the keys in these books were hashed with; give every replica the same [keys] pepper, or restore the one of this data folder"
    )]
    OtherPepper,
    /// The replica's name.
    #[error(transparent)]
    Lease(#[from] crate::fleet::lease::LeaseError),
    /// Recovery of earlier journals.
    #[error("the journals of earlier runs cannot be posted: {0}")]
    Recovery(#[from] PostingError),
    /// Accounts of the configuration.
    #[error(transparent)]
    Accounts(#[from] crate::accounts::AccountError),
    /// Mistakes in price tables, one a line.
    #[error("{0}")]
    Prices(String),
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}; choose another address with `up --{}`, TOLLGATE_SERVER__{}, or {option} of [server]",
        .option.replace('_', "-"), .option.to_ascii_uppercase()
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The key of `[server]` that says it.
        option: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The certificate of the data plane.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The admin socket cannot be made.
    #[error("cannot listen on {}: {source}", .path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Two metrics of one name.
    #[error("metrics cannot be kept: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The collector's address or headers.
    #[error(transparent)]
    Otlp(#[from] crate::otlp::OtlpError),
    /// The shipped model's receipt or worker.
    #[error(transparent)]
    Up(#[from] up::UpError),
    /// The operating system.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl From<Vec<Mistake>> for AppError {
    fn from(mistakes: Vec<Mistake>) -> Self {
        Self::Prices(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }
}
