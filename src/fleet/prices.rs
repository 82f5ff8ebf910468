//! Prices that a fleet agrees on: a set of price versions is in force for all gateways on a store.
//!
//! Each gateway reads price files of its own. Files that nobody had before are published, and all follow them within a
//! second, so that a new price applies everywhere at once though files arrive one after another. Files that were published
//! before and are in force no longer are old ones, as a gateway has that was not updated yet: it follows the others. Alone it
//! decides itself, and `tollgate prices publish` decides for all. What devices of workers cost stays each gateway's own.
//!
//! Prices that came through the admin API are in no file: they stay in force whatever files are published.

use std::path::Path;

use crate::{
    catalog::{BookVersion, Catalog, PriceVersion, StoredVersion, load_configured},
    config::Mistake,
    store::{Store, StoreError, price_sets::PriceSet, prices::PriceVersionRow},
};

/// Under which name the digest of price files is pinned that were in force.
const FILES_PIN: &str = "price_files:";

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

/// The prices that a gateway starts with: its own, published if nobody had them before, or those in force; in each case with
/// those that came through the admin API.
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
    let current = follow(store, own).await?;
    let jumps = current.jumps_to(own);
    if !jumps.is_empty() {
        let jumps = jumps.join("; ");
        tracing::error!(
            jumps,
            "price files are refused: a price is a thousand times off the one before; `tollgate prices publish --force` takes it"
        );
        return Ok(current);
    }
    let (files, files_in_force) = (own.digest_of_prices(), current.of_files().digest_of_prices());
    let is_old = !is_alone && files != files_in_force && are_known(store, &files, replica, now_us).await?;
    if is_old {
        tracing::warn!("this gateway's price files were in force once and are not now; it follows the other gateways");
        return Ok(current);
    }
    let together = own.with_imported_of(&current);
    store.publish_prices(&set_of(&together, replica, now_us)).await?;
    Ok(together)
}

/// Why price files are not put into force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Mistakes in them, one a line.
    #[error("{0}")]
    Mistakes(String),
    /// Prices a thousand times off the ones before.
    #[error("a price is a thousand times off the one before it; say --force if it is meant: {0}")]
    Jump(String),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who wants files to be read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A gateway noticed that its files changed, or was told to look. Old files do not bring old prices back to a fleet.
    Noticed,
    /// Somebody decides for all.
    Decided,
    /// The same, also for prices that look like mistakes.
    Forced,
}

/// Reads price files anew and puts them into force, for all gateways on the store, with what came through the admin API.
/// Nothing changes unless all of it does.
///
/// # Errors
/// [`ReloadError`].
pub async fn reload(
    store: &Store,
    current: &Catalog,
    dir: Option<&Path>,
    replica: &str,
    decision: Decision,
    now_us: i64,
) -> Result<Catalog, ReloadError> {
    let mistakes = |mistakes: Vec<Mistake>| {
        ReloadError::Mistakes(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    };
    let files = load_configured(dir).map_err(mistakes)?.with_rates_of(current);
    let current = follow(store, current).await?;
    let jumps = current.jumps_to(&files);
    if !jumps.is_empty() && decision != Decision::Forced {
        return Err(ReloadError::Jump(jumps.join("; ")));
    }
    keep_versions(store, &files, now_us).await?;
    let digest = files.digest_of_prices();
    let is_known = are_known(store, &digest, replica, now_us).await?;
    let differs = digest != current.of_files().digest_of_prices();
    if decision == Decision::Noticed && store.is_shared() && is_known && differs {
        tracing::warn!(
            "price files that were in force once are not taken again; `tollgate prices publish` decides so for all"
        );
        return Ok(current);
    }
    let together = files.with_imported_of(&current);
    store.publish_prices(&set_of(&together, replica, now_us)).await?;
    Ok(together)
}

/// Whether files of this digest were in force before. From now on they are known.
///
/// # Errors
/// [`StoreError`].
pub async fn are_known(store: &Store, files: &str, replica: &str, now_us: i64) -> Result<bool, StoreError> {
    let ours = format!("{replica} at {now_us}");
    let first = store.pin(&format!("{FILES_PIN}{files}"), &ours).await?;
    Ok(first != ours || store.was_published(files).await?)
}

/// Puts versions that came through the admin API into force beside those that are.
///
/// # Errors
/// [`StoreError`]; then nothing has changed.
pub async fn add(
    store: &Store,
    current: &Catalog,
    versions: (Vec<PriceVersion>, Vec<BookVersion>),
    by: &str,
    now_us: i64,
) -> Result<Catalog, StoreError> {
    let more = Catalog::default().with_more(versions);
    keep_versions(store, &more, now_us).await?;
    let together = current.with_all_of(&more);
    store.publish_prices(&set_of(&together, by, now_us)).await?;
    Ok(together)
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
