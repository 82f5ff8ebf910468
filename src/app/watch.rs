//! Follows changes that others make in a shared store: keys and customers, by any replica, any command, any hand.
//!
//! Told by the store at once; looks at its counters all the same, so that a word that is lost costs a moment and no more.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    admission::keyring::Keyring,
    config::Limits,
    proxy::keys::follow_changes,
    store::{Store, StoreError},
};

/// The counters are looked at this often without a word. A revoked key stops everywhere within a second.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Keeps a gateway's keys what the store says.
pub(super) struct Watch {
    pub(super) store: Store,
    pub(super) keyring: Arc<Keyring>,
    pub(super) limits: Limits,
}

impl Watch {
    /// Watches until told to stop. While the store is away the keys stay as they are.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut listener = self.store.listen();
        let mut is_lost = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = listener.wait(LOOK_EVERY) => {}
            }
            match self.look().await {
                Ok(()) if is_lost => {
                    is_lost = false;
                    tracing::info!("the store answers again; keys are what it says");
                }
                Ok(()) => {}
                Err(error) if !is_lost => {
                    is_lost = true;
                    tracing::warn!(%error, "the store does not answer; keys stay as they were last known");
                }
                Err(_) => {}
            }
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        let changes = self.store.changes().await?;
        follow_changes(&self.keyring, &self.store, self.limits, &changes).await
    }
}
