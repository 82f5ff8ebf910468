//! Prices that a fleet agrees on: a set of price versions is in force for all gateways on a store.
//!
//! Each gateway reads price files of its own. Files that nobody had before are published, and all follow them within a
//! second, so that a new price applies everywhere at once though files arrive one after another. Files that were published
//! before and are in force no longer are old ones, as a gateway has that was not updated yet: it follows the others. Alone it
//! decides itself, and `tollgate prices publish` decides for all. What devices of workers cost stays each gateway's own.

use crate::{
    catalog::{Catalog, StoredVersion},
    store::{Store, StoreError, price_sets::PriceSet, prices::PriceVersionRow},
};

/// The set of a catalog's prices.
#[must_use]
pub fn set_of(catalog: &Catalog, published_by: &str, now_us: i64) -> PriceSet {
    let versions: Vec<String> = shared(catalog).map(|version| version.id).collect();
    let digest = catalog.digest_of_prices();
    PriceSet { number: 0, digest, versions, published_by: published_by.to_owned(), published_at_us: now_us }
}

/// Keeps a catalog's versions in the store, so that every gateway can read them there.
///
/// # Errors
/// [`StoreError`].
pub async fn keep_versions(store: &Store, catalog: &Catalog, now_us: i64) -> Result<(), StoreError> {
    let row =
        |version: StoredVersion| PriceVersionRow { id: version.id, kind: version.kind.to_owned(), body: version.body };
    let rows: Vec<PriceVersionRow> = catalog.stored_versions().into_iter().map(row).collect();
    store.save_price_versions(&rows, now_us).await
}

/// The prices that a gateway starts with: its own, published if nobody had them before, or those in force.
///
/// # Errors
/// [`StoreError`].
pub async fn agree(
    store: &Store,
    own: &Catalog,
    replica: &str,
    is_alone: bool,
    now_us: i64,
) -> Result<Catalog, StoreError> {
    let set = set_of(own, replica, now_us);
    let in_force = store.price_set().await?;
    let is_old = !is_alone
        && in_force.is_some_and(|current| current.digest != set.digest)
        && store.was_published(&set.digest).await?;
    if is_old {
        tracing::warn!("this gateway's price files were in force once and are not now; it follows the other gateways");
    } else {
        store.publish_prices(&set).await?;
    }
    follow(store, own).await
}

/// The prices in force, with the rates of `own`; `own` as it is when none were ever published.
///
/// # Errors
/// [`StoreError::Damaged`] when versions of the set are not in the store, or cannot be read.
pub async fn follow(store: &Store, own: &Catalog) -> Result<Catalog, StoreError> {
    let Some(set) = store.price_set().await? else { return Ok(own.clone()) };
    if set.digest == own.digest_of_prices() {
        return Ok(own.clone());
    }
    let stored = store.price_versions().await?;
    let versions: Option<Vec<(&str, &str)>> = set
        .versions
        .iter()
        .map(|id| stored.get(id).map(|version| (version.kind.as_str(), version.body.as_str())))
        .collect();
    let followed = own.with_prices(versions.ok_or(StoreError::Damaged("price set"))?);
    followed.filter(|catalog| catalog.digest_of_prices() == set.digest).ok_or(StoreError::Damaged("price version"))
}

/// The versions that gateways share: not the rates of workers.
fn shared(catalog: &Catalog) -> impl Iterator<Item = StoredVersion> {
    catalog.stored_versions().into_iter().filter(|version| version.kind != "worker")
}
