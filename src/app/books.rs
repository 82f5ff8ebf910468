//! The books of a data folder, opened under its lock: what the gateway serves from, and what commands work on when no
//! gateway runs.

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use axum::Router;
use tollgate_core::key::hash_secret;

use super::{AppError, files::DataDir};
use crate::{
    accounts::Accounts,
    catalog::{self, Catalog, CatalogHandle},
    clock::Clock,
    config::{Config, RecoveryBasis, Worker},
    fleet::prices,
    http::admin::{self, Access, AdminState, Running},
    posting::recover::recover,
    store::Store,
};

/// What is hashed to tell peppers apart; no secret of a key looks like it.
const PEPPER_FINGERPRINT: &str = "fingerprint of the pepper";

/// Open books.
pub struct Books {
    pub(super) data_dir: DataDir,
    pub(super) accounts: Accounts,
    pub(super) catalog: Arc<CatalogHandle>,
    /// As this process's files have it; in force for all only if they agree.
    pub(super) own_prices: Catalog,
    basis: RecoveryBasis,
    workers: Arc<[Worker]>,
    journal_dir: PathBuf,
    prices_dir: Option<PathBuf>,
    replica: String,
    pub(super) prices_lock: Arc<tokio::sync::Mutex<()>>,
}

impl Books {
    /// Takes the lock, opens the store, keeps the price versions in force, and posts what earlier runs left in the journal.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn open(config: &Config) -> Result<Self, AppError> {
        let clock = Clock::system();
        let data_dir = DataDir::open(&config.server.data_dir)?;
        let pepper = data_dir.pepper(config)?;
        let own_prices = catalog::load_configured(config.prices.dir.as_deref())?.with_workers(&config.workers);
        let store = Store::open_configured(&config.store).await?;
        // Keys that one replica makes must work at the others, and after a restore.
        let fingerprint = hex::encode(hash_secret(&pepper, PEPPER_FINGERPRINT));
        if store.pin("pepper", &fingerprint).await? != fingerprint {
            return Err(AppError::OtherPepper);
        }
        prices::keep_versions(&store, &own_prices, clock.unix_us()).await?;
        let catalog = if store.is_shared() {
            prices::follow(&store, &own_prices).await?
        } else {
            prices::agree(&store, &own_prices, &config.journal.replica, true, clock.unix_us()).await?
        };
        recover(&store, &config.journal.dir, &config.journal.replica).await?;
        let accounts = Accounts { store, clock, pepper };
        // In a shared store they are those of the gateways, not of whoever runs a command.
        if !accounts.store.is_shared() {
            accounts.set_configured_trainings(&config.trainings).await?;
        }
        Ok(Self {
            data_dir,
            accounts,
            catalog: Arc::new(ArcSwap::from_pointee(catalog)),
            own_prices,
            basis: config.recovery_basis,
            workers: config.workers.clone().into(),
            journal_dir: config.journal.dir.clone(),
            prices_dir: config.prices.dir.clone(),
            replica: config.journal.replica.clone(),
            prices_lock: Arc::default(),
        })
    }

    /// The admin API over these books, for this process only.
    pub fn admin_router(&self) -> Router {
        admin::router(self.admin_state(None), Access::Trusted)
    }

    pub(super) fn admin_state(&self, running: Option<Running>) -> AdminState {
        AdminState {
            accounts: self.accounts.clone(),
            catalog: Arc::clone(&self.catalog),
            basis: self.basis,
            workers: Arc::clone(&self.workers),
            journal_dir: self.journal_dir.clone(),
            prices_dir: self.prices_dir.clone(),
            replica: self.replica.clone(),
            prices_lock: Arc::clone(&self.prices_lock),
            running,
        }
    }

    /// Closes the store and gives the lock back.
    pub async fn close(self) {
        self.accounts.store.close().await;
    }
}
