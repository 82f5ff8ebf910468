//! Follows changes that others make in a shared store: keys, customers and prices, by any replica, any command, any
//! hand.
//!
//! Told by the store at once; looks at its counters all the same, so that a word that is lost costs a moment and no more.

use std::{sync::Arc, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    catalog::{Catalog, fingerprint},
    config::{Config, secret::SecretError},
    fleet::prices::{Decision, ReloadError, follow, reload},
    proxy::{Proxy, keys::follow_changes},
    routing::Routes,
    store::{
        Store, StoreError,
        changes::{Changes, PRICES},
    },
};

/// The counters are looked at this often without a word. A revoked key stops everywhere within a second.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// A look takes at most so long: on a connection that died without a word it would never end.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// Why changes cannot be followed.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Of a provider whose models have prices now.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// Keeps a gateway's keys and prices what the store says.
pub(super) struct Watch {
    store: Store,
    proxy: Arc<Proxy>,
    own_prices: Catalog,
    config: Config,
    /// Counter of the prices that are followed; none: not looked at yet.
    prices_seen: Option<i64>,
    /// What the price files looked like when they were read.
    files_seen: Option<String>,
    prices_lock: Arc<tokio::sync::Mutex<()>>,
}

impl Watch {
    pub(super) fn new(
        store: Store,
        proxy: Arc<Proxy>,
        own_prices: Catalog,
        config: Config,
        prices_lock: Arc<tokio::sync::Mutex<()>>,
    ) -> Self {
        Self { store, proxy, own_prices, config, prices_seen: None, files_seen: None, prices_lock }
    }

    /// Watches until told to stop. While the store is away keys and prices stay as they are.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut listener = self.store.listen();
        let mut is_lost = false;
        // A process that cannot have signals is told by its files alone.
        let mut hangup = signal(SignalKind::hangup()).ok();
        self.files_seen = fingerprint(self.config.prices.dir.as_deref());
        loop {
            let told = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                _ = told => self.files_seen = None,
                () = listener.wait(LOOK_EVERY) => {}
            }
            self.reload_changed_files().await;
            let looked = timeout(LOOK_MAX, self.look()).await;
            match looked.unwrap_or_else(|_| Err(StoreError::TimedOut { seconds: LOOK_MAX.as_secs() }.into())) {
                Ok(()) if is_lost => {
                    is_lost = false;
                    // What was listened on may be as dead as what was asked.
                    listener = self.store.listen();
                    tracing::info!("the store answers again; keys and prices are what it says");
                }
                Ok(()) => {}
                Err(error) if !is_lost => {
                    is_lost = true;
                    tracing::warn!(%error, "changes in the store cannot be followed; keys and prices stay as they are");
                }
                Err(_) => {}
            }
        }
    }

    /// Reads price files anew when they have changed; a bad file keeps the old prices and says so.
    async fn reload_changed_files(&mut self) {
        let dir = self.config.prices.dir.clone();
        let files = fingerprint(dir.as_deref());
        if files == self.files_seen {
            return;
        }
        let _one_at_a_time = self.prices_lock.lock().await;
        let (current, now_us) = (self.proxy.catalog.load_full(), self.proxy.clock.unix_us());
        let replica = &self.config.journal.replica;
        let reloaded = reload(&self.store, &current, dir.as_deref(), replica, Decision::Noticed, now_us);
        let reloaded = timeout(LOOK_MAX, reloaded)
            .await
            .unwrap_or_else(|_| Err(ReloadError::Store(StoreError::TimedOut { seconds: LOOK_MAX.as_secs() })));
        match reloaded {
            Ok(_) => tracing::info!("price files were read anew"),
            Err(ReloadError::Store(error)) => {
                tracing::warn!(%error, "price files cannot be put into force yet; it is tried again");
                return;
            }
            Err(error) => tracing::error!(%error, "price files are not taken; prices stay as they are"),
        }
        self.files_seen = files;
    }

    async fn look(&mut self) -> Result<(), WatchError> {
        let changes = self.store.changes().await?;
        follow_changes(&self.proxy.keyring, &self.store, self.config.limits, &changes).await?;
        self.follow_prices(&changes).await
    }

    async fn follow_prices(&mut self, changes: &Changes) -> Result<(), WatchError> {
        let version = changes.get(PRICES).copied();
        if version == self.prices_seen {
            return Ok(());
        }
        let catalog = follow(&self.store, &self.own_prices).await?;
        // By an admin command of this gateway they may be in force already, but for the routes.
        if self.prices_seen.is_some() || catalog.digest_of_prices() != self.proxy.catalog.load().digest_of_prices() {
            let routes = Routes::build(&self.config, &catalog)?;
            self.proxy.catalog.store(Arc::new(catalog));
            self.proxy.routes.store(Arc::new(routes));
            tracing::info!("other prices are in force");
        }
        self.prices_seen = version;
        Ok(())
    }
}
