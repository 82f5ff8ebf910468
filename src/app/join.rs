//! Joining the gateways on a store: a name among them, the prices that all charge by, the training runs of the
//! configuration. On a store of one's own this is quickly done.

use tollgate_core::id::BootId;

use super::{AppError, Books, files::journal_instance};
use crate::{
    config::Config,
    fleet::{
        lease::{Lease, NAME_HELD_MAX},
        prices::agree,
    },
    store::replicas::Claim,
};

/// Takes the replica's name and agrees on prices.
pub(super) async fn join(books: &Books, config: &Config, boot_id: BootId) -> Result<Lease, AppError> {
    let store = &books.accounts.store;
    let claim = Claim {
        name: config.journal.replica.clone(),
        boot_id,
        instance: journal_instance(&config.journal.dir)?,
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        pid: std::process::id(),
    };
    let name = claim.name.clone();
    let lease = Lease::take(store.clone(), claim, books.accounts.clock.clone()).await?;
    if store.is_shared() {
        let others = store.replicas().await?;
        let is_alone = !others.iter().any(|other| other.name != name && other.is_live(NAME_HELD_MAX));
        let now_us = books.accounts.clock.unix_us();
        let prices = agree(store, &books.own_prices, &name, is_alone, now_us).await?;
        books.catalog.store(prices.into());
        books.accounts.set_configured_trainings(&config.trainings).await?;
    }
    Ok(lease)
}
