//! Tends the store: partitions are made ahead, ids of old responses are forgotten, and days beyond their time are moved to sealed files.
//!
//! Of several replicas one does it; a file lies with the one that did. A day leaves the store only when its file is on the
//! disk, was read back to its last entry, and holds as many entries as the day.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{ToSpan, civil::Date};
use tokio::fs;
use tokio_util::sync::CancellationToken;
use tollgate_core::id::ObjectId;

use crate::{
    clock::Clock,
    config,
    store::{
        Store, StoreError,
        archives::ArchiveRow,
        dump::{DayFile, EntryFile, digest},
    },
};

/// Upkeep is looked after this often.
const EVERY: Duration = Duration::from_secs(600);
/// Partitions are made for so many days ahead.
const DAYS_AHEAD: i32 = 7;
/// The id of a stored response is kept for so long. OpenAI, unless told otherwise, keeps one for thirty days.
const RESPONSES_KEPT_DAYS: i64 = 90;
/// Ids forgotten in one transaction.
const RESPONSES_AT_ONCE: u32 = 1000;
const DAY_US: i64 = 86_400_000_000;
/// Entries read back at once.
const PAGE: usize = 1000;

/// Why upkeep was not done; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder of the files.
    #[error("{}: {source}", .path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is on the disk is not what was written.
    #[error("{} was written and reads back otherwise: its day stays in the store", .0.display())]
    ReadsBackOtherwise(PathBuf),
}

/// Tends one store.
#[derive(Clone, Debug)]
pub struct Upkeep {
    store: Store,
    clock: Clock,
    keep_days: u32,
    archive_dir: PathBuf,
}

impl Upkeep {
    /// As configured.
    #[must_use]
    pub fn new(store: Store, clock: Clock, config: &config::Store) -> Self {
        Self { store, clock, keep_days: config.entries_keep_days, archive_dir: config.archive_dir.clone() }
    }

    /// Tends until told to stop.
    pub(super) async fn run(self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.tend().await {
                tracing::warn!(%error, "upkeep of the store was not done; it is tried again");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Tends once, unless another process does. Gives the files that were sealed.
    ///
    /// # Errors
    /// [`UpkeepError`]; what was done by then stays done.
    pub async fn tend(&self) -> Result<Vec<ArchiveRow>, UpkeepError> {
        let Some(lock) = self.store.try_upkeep().await? else { return Ok(Vec::new()) };
        let today = i32::try_from(self.clock.unix_us().div_euclid(DAY_US)).unwrap_or(0);
        self.store.tend_partitions(today - 1..today + DAYS_AHEAD).await?;
        self.forget_responses().await?;
        let mut sealed = Vec::new();
        let keep_days = i32::try_from(self.keep_days).unwrap_or(i32::MAX);
        if keep_days > 0 {
            while let Some(day) = self.store.oldest_day().await?.filter(|day| *day < today.saturating_sub(keep_days)) {
                match self.archive(day).await? {
                    Some(archive) => sealed.push(archive),
                    // An entry came late while the file was written: the next round writes it anew.
                    None => break,
                }
            }
        }
        drop(lock);
        Ok(sealed)
    }

    /// Ids of responses that their provider has forgotten long ago.
    async fn forget_responses(&self) -> Result<(), StoreError> {
        let kept_us = RESPONSES_KEPT_DAYS * DAY_US;
        let before_ms = u64::try_from(self.clock.unix_us().saturating_sub(kept_us) / 1000).unwrap_or(0);
        let before = ObjectId::new(before_ms, &[0; 10]);
        while self.store.forget_responses(before, RESPONSES_AT_ONCE).await? == u64::from(RESPONSES_AT_ONCE) {}
        Ok(())
    }

    async fn archive(&self, day: i32) -> Result<Option<ArchiveRow>, UpkeepError> {
        let failed = |source| UpkeepError::Folder { path: self.archive_dir.clone(), source };
        fs::create_dir_all(&self.archive_dir).await.map_err(failed)?;
        let parts = self.store.archives().await?.iter().filter(|archive| archive.day == day).count();
        let part = i32::try_from(parts).unwrap_or(i32::MAX).saturating_add(1);
        let file = format!("entries-{}-{part}.copy", date_of(day));
        let (draft, path) = (self.archive_dir.join(format!("{file}.draft")), self.archive_dir.join(&file));
        let written = self.store.dump_day(day, &draft).await?;
        // What `sha256sum --check` reads.
        let sum = format!("{}  {file}\n", written.sha256);
        let sum_path = self.archive_dir.join(format!("{file}.sha256"));
        fs::write(&sum_path, sum).await.map_err(failed)?;
        fs::File::open(&sum_path).await.map_err(failed)?.sync_all().await.map_err(failed)?;
        fs::rename(&draft, &path).await.map_err(failed)?;
        fs::File::open(&self.archive_dir).await.map_err(failed)?.sync_all().await.map_err(failed)?;
        read_back(&path, &written).await?;
        let archive = ArchiveRow {
            day,
            part,
            entries: written.entries,
            first_hour_us: written.first_hour_us,
            last_hour_us: written.last_hour_us,
            sha256: written.sha256,
            file,
            archived_at_us: self.clock.unix_us(),
        };
        if !self.store.seal_day(&archive).await? {
            return Ok(None);
        }
        tracing::info!(file = archive.file, archive.entries, "a day's entries were moved to a sealed file");
        Ok(Some(archive))
    }
}

/// The file's digest, and every entry in it, as an audit will read them.
async fn read_back(path: &Path, written: &DayFile) -> Result<(), UpkeepError> {
    let is_same = digest(path).await? == (written.entries, written.sha256.clone());
    let mut file = EntryFile::open(path).await?;
    let mut entries = 0;
    loop {
        let page = file.next_page(PAGE).await?.len();
        if page == 0 {
            break;
        }
        entries += u64::try_from(page).unwrap_or(u64::MAX);
    }
    if is_same && entries == written.entries { Ok(()) } else { Err(UpkeepError::ReadsBackOtherwise(path.to_owned())) }
}

fn date_of(day: i32) -> Date {
    jiff::civil::date(1970, 1, 1).checked_add(i64::from(day).days()).unwrap_or_default()
}
