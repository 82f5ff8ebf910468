//! A gateway's name among replicas, held while it lives: of two processes that ask for one name, one is refused.
//!
//! A predecessor on the same journal is succeeded at once, gone or still finishing: what it leaves there is adopted. One
//! elsewhere is waited for until its name is given back or was not renewed for too long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    store::{
        Store, StoreError,
        replicas::{Claim, ReplicaRow},
    },
};

/// A name that was not renewed for so long is free.
pub const NAME_HELD_MAX: Duration = Duration::from_secs(10);
const RENEW_EVERY: Duration = Duration::from_secs(2);
/// Renewing takes at most so long; then it is tried again, on another connection. Several tries fit into the time for which a
/// name is held.
const RENEW_MAX: Duration = Duration::from_secs(2);
/// A name that is held is asked for again after so long ...
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// ... so many times: a little longer than a name is held without being renewed.
const ASKED_MAX: u32 = 48;
/// Giving a name back at the end takes at most so long; else it runs out by itself.
const RELEASE_MAX: Duration = Duration::from_secs(1);

/// Why a gateway may not have its name.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another living process has it.
    #[error(
        "the replica `{}` runs already: process {} on {}; give this one another [journal] replica, or stop the other one",
        .0.name, .0.pid, .0.host
    )]
    Held(Box<ReplicaRow>),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether the name is ours: read by health.
#[derive(Debug, Default)]
pub struct LeaseState {
    lost: AtomicBool,
    /// On the monotonic clock, milliseconds.
    renewed_at_ms: AtomicU64,
}

impl LeaseState {
    /// Another process has taken the name, a successor as a rule: this one should end.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// The name was ours a moment ago: renewed, not only not known to be lost. `now` is of the monotonic clock.
    #[must_use]
    pub fn is_fresh(&self, now: Duration) -> bool {
        let renewed_at = Duration::from_millis(self.renewed_at_ms.load(Ordering::Acquire));
        !self.is_lost() && now.saturating_sub(renewed_at) < NAME_HELD_MAX
    }

    fn renewed(&self, now: Duration) {
        self.renewed_at_ms.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Release);
    }
}

/// A name that is held.
#[derive(Debug)]
pub struct Lease {
    store: Store,
    claim: Claim,
    clock: Clock,
    state: Arc<LeaseState>,
}

impl Lease {
    /// Takes a name, waiting for a predecessor to let go of it.
    ///
    /// # Errors
    /// [`LeaseError::Held`] when the other one goes on living.
    pub async fn take(store: Store, claim: Claim, clock: Clock) -> Result<Self, LeaseError> {
        for asked in 0..ASKED_MAX {
            if store.take_name(&claim, true, NAME_HELD_MAX).await? {
                let state = LeaseState::default();
                state.renewed(clock.monotonic());
                return Ok(Self { store, claim, clock, state: Arc::new(state) });
            }
            if asked == 0 {
                tracing::info!(replica = claim.name, "another process holds this name; waiting for it to let go");
            }
            sleep(ASK_AGAIN).await;
        }
        let holder = store.replicas().await?.into_iter().find(|replica| replica.name == claim.name);
        let holder = holder.ok_or_else(|| StoreError::NotFound(format!("replica {}", claim.name)))?;
        Err(LeaseError::Held(Box::new(holder)))
    }

    /// Whether the name is ours.
    #[must_use]
    pub fn state(&self) -> Arc<LeaseState> {
        Arc::clone(&self.state)
    }

    /// Renews the name until told to stop, then gives it back. While the store is away nobody else can take it either.
    pub async fn keep(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(RENEW_EVERY) => {}
            }
            // The time of asking counts, not that of the answer.
            let asked_at = self.clock.monotonic();
            let renewed = tokio::select! {
                () = stop.cancelled() => break,
                renewed = timeout(RENEW_MAX, self.renew()) => renewed,
            };
            let renewed = renewed.unwrap_or_else(|_| Err(StoreError::TimedOut { seconds: RENEW_MAX.as_secs() }));
            match renewed {
                Ok(is_ours) => {
                    self.state.renewed(asked_at);
                    if self.state.lost.swap(!is_ours, Ordering::AcqRel) == is_ours {
                        self.say(is_ours);
                    }
                }
                Err(error) => tracing::debug!(%error, "the replica's name was not renewed; it is tried again"),
            }
        }
        let released = timeout(RELEASE_MAX, self.store.release_name(&self.claim.name, self.claim.boot_id)).await;
        if !matches!(released, Ok(Ok(()))) {
            tracing::warn!("the replica's name was not given back; it runs out by itself");
        }
    }

    /// Takes it anew when whoever had it is gone.
    async fn renew(&self) -> Result<bool, StoreError> {
        if self.store.renew_name(&self.claim.name, self.claim.boot_id).await? {
            return Ok(true);
        }
        self.store.take_name(&self.claim, false, NAME_HELD_MAX).await
    }

    fn say(&self, is_ours: bool) {
        let replica = &self.claim.name;
        if is_ours {
            tracing::info!(replica, "the replica's name is held again");
        } else {
            tracing::error!(
                replica,
                "another process has taken this replica's name; this one is not ready any more and should end"
            );
        }
    }
}
