//! Composition root: builds everything, owns tasks, shuts down in reverse order.

mod books;
mod check;
pub mod files;
mod journal;
pub mod listener;
mod serve;

pub use self::{
    books::Books,
    check::check_together,
    serve::{Gateway, run},
};

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
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The operating system.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl From<Vec<Mistake>> for AppError {
    fn from(mistakes: Vec<Mistake>) -> Self {
        Self::Prices(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }
}
