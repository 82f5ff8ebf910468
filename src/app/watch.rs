//! Follows changes that others make in a shared store: keys, customers and prices, by any replica, any command, any
//! hand.
//!
//! Told by the store at once; looks at its counters all the same, so that a word that is lost costs a moment and no more.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    catalog::Catalog,
    config::{Config, secret::SecretError},
    fleet::prices::follow,
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
}

impl Watch {
    pub(super) fn new(store: Store, proxy: Arc<Proxy>, own_prices: Catalog, config: Config) -> Self {
        Self { store, proxy, own_prices, config, prices_seen: None }
    }

    /// Watches until told to stop. While the store is away keys and prices stay as they are.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut listener = self.store.listen();
        let mut is_lost = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = listener.wait(LOOK_EVERY) => {}
            }
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

    async fn look(&mut self) -> Result<(), WatchError> {
        let changes = self.store.changes().await?;
        follow_changes(&self.proxy.keyring, &self.store, self.config.limits, &changes).await?;
        if self.store.is_shared() {
            self.follow_prices(&changes).await?;
        }
        Ok(())
    }

    async fn follow_prices(&mut self, changes: &Changes) -> Result<(), WatchError> {
        let version = changes.get(PRICES).copied();
        if version == self.prices_seen {
            return Ok(());
        }
        let catalog = follow(&self.store, &self.own_prices).await?;
        if catalog.digest_of_prices() != self.proxy.catalog.load().digest_of_prices() {
            let routes = Routes::build(&self.config, &catalog)?;
            self.proxy.catalog.store(Arc::new(catalog));
            self.proxy.routes.store(Arc::new(routes));
            tracing::info!("other prices are in force");
        }
        self.prices_seen = version;
        Ok(())
    }
}
