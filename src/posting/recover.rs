//! Posts the journals of boots whose processes have died, and resolves the attempts that they left open.
//!
//! Dying half-way and running again changes nothing: entries are unique by attempt, the rule for orphans is
//! deterministic, and a folder is removed only when everything in it is committed and what is damaged of it is copied
//! aside.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tollgate_core::{entry_row::EntryRow, id::BootId, orphan::resolve_orphan};

use super::{live::PostingError, ship::Shipper, state::PostingState, tracker::Tracker};
use crate::{
    catalog::Versions,
    clock::Clock,
    failpoint::{self, Point},
    fleet::lease::NAME_HELD_MAX,
    journal::{
        Journal,
        boot::{DeadBoot, dead_boots, dead_boots_below},
        gaps::Region,
        reader::BootReader,
    },
    store::{
        Store,
        entries::{PostBatch, Stage},
    },
};

/// Records of one transaction at most.
const BATCH_RECORDS_MAX: usize = 2000;
/// A running gateway looks for boots that have died since so often ...
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// ... and after it found one that it could not finish with, so often: it is read as a whole each time.
const LOOK_AGAIN_EVERY: Duration = Duration::from_secs(600);

/// What recovery came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Recovered {
    /// Dead boots that were adopted.
    pub boots: u64,
    /// Entries that had not been posted before.
    pub entries: u64,
    /// Attempts without an end, resolved by the published rule.
    pub orphans: u64,
    /// Sequences that should be in the journals and are not.
    pub missing: u64,
    /// Damaged regions of the journals; what is left of them is in the quarantine.
    pub damaged: u64,
    /// Folders that stay, because the store does not say that it has everything, or damage could not be copied aside.
    pub kept: u64,
}

/// What adopting a folder came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Adopted {
    /// As of any recovery.
    #[serde(flatten)]
    pub recovered: Recovered,
    /// Boots of living processes; they were left alone. A process that was killed counts as living until its name has run out.
    pub living: u64,
}

/// Adopts every dead boot of a replica.
///
/// # Errors
/// [`PostingError`]; what was not finished stands for the next time.
pub async fn recover(store: &Store, journal_dir: &Path, replica: &str) -> Result<Recovered, PostingError> {
    post_all(store, dead_boots(journal_dir, replica)?, After::Remove).await
}

/// Adopts the boots of a folder that was found somewhere: a journal, one replica's folder, or one boot's. `replica` is
/// whose they are, when neither the books nor the folders say so; `keep` leaves the folders where they are.
///
/// A folder's lock says nothing when it is a copy: what counts is whether the boot's process still holds its name. Its
/// open attempts are under way, and an estimate of them would stand where their exact end belongs.
///
/// # Errors
/// As [`recover`].
pub async fn adopt(store: &Store, dir: &Path, replica: Option<&str>, keep: bool) -> Result<Adopted, PostingError> {
    let found = dead_boots_below(dir)?;
    let names = store.replicas().await?;
    let is_living =
        |boot: &DeadBoot| names.iter().any(|name| name.boot_id == boot.boot_id && name.is_live(NAME_HELD_MAX));
    let (copied, mut dead): (Vec<_>, Vec<_>) = found.dead.into_iter().partition(is_living);
    for boot in &copied {
        tracing::warn!(boot = %boot.boot_id, "a copy of a living process's journal is left alone");
    }
    // A boot's cursor stands under the name under which it was posted first.
    let known: HashMap<BootId, String> =
        store.boots().await?.into_iter().map(|known| (known.boot_id, known.replica)).collect();
    for boot in &mut dead {
        if let Some(name) = known.get(&boot.boot_id).map(String::as_str).or(replica) {
            name.clone_into(&mut boot.replica);
        }
    }
    let living = u64::try_from(found.living.len() + copied.len()).unwrap_or(u64::MAX);
    let recovered = post_all(store, dead, if keep { After::Keep } else { After::Remove }).await?;
    Ok(Adopted { recovered, living })
}

/// Adopts boots of this replica that die while this one runs: a process that was still finishing when it started.
pub async fn keep_recovering(
    store: Store,
    journal: Journal,
    journal_dir: &Path,
    replica: &str,
    stop: CancellationToken,
) {
    let mut wait = LOOK_EVERY;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(wait) => {}
        }
        wait = match recover(&store, journal_dir, replica).await {
            Ok(recovered) if recovered.kept > 0 => LOOK_AGAIN_EVERY,
            Ok(_) => LOOK_EVERY,
            Err(error) => {
                tracing::error!(%error, "the journal of an earlier run cannot be posted; it is tried again");
                // A store that was away comes back; a journal that cannot be read stays so.
                if matches!(error, PostingError::Store(_)) { LOOK_EVERY } else { LOOK_AGAIN_EVERY }
            }
        };
        if let Err(error) = journal.count_quarantine() {
            tracing::warn!(%error, "the quarantine cannot be counted");
        }
    }
}

/// What becomes of a folder that is posted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Remove,
    Keep,
}

async fn post_all(store: &Store, dead: Vec<DeadBoot>, after: After) -> Result<Recovered, PostingError> {
    let mut recovered = Recovered::default();
    if dead.is_empty() {
        return Ok(recovered);
    }
    let rows = store.price_versions().await?;
    let versions =
        Versions::from_stored(rows.values().map(|row| (row.id.as_str(), row.kind.as_str(), row.body.as_str())));
    for boot in dead {
        let (reader, through) = post_boot(store, &boot, &versions, &mut recovered).await?;
        let is_kept_aside = keep_damage(&boot, &reader);
        // Nothing is deleted that the store does not say it has.
        let committed = store.cursor(&boot.replica, boot.boot_id).await?;
        if !is_kept_aside || committed < through {
            recovered.kept += 1;
        } else if after == After::Remove {
            failpoint::pass(Point::RecoveryClosed);
            boot.remove()?;
        }
    }
    tracing::info!(
        recovered.boots,
        recovered.entries,
        recovered.orphans,
        recovered.missing,
        recovered.damaged,
        "recovered journals of earlier boots"
    );
    Ok(recovered)
}

/// Posts a boot to its end; gives its reader, and through which sequence it was read.
async fn post_boot(
    store: &Store,
    boot: &DeadBoot,
    versions: &Versions,
    recovered: &mut Recovered,
) -> Result<(BootReader, u64), PostingError> {
    let shipper = Shipper::new(store.clone(), Clock::system(), Arc::new(PostingState::default()));
    let known = store.boot(&boot.replica, boot.boot_id).await?;
    let (committed, missed_before) = known.map_or((0, 0), |known| (known.sequence, known.missing));
    let mut reader = boot.reader(committed)?;
    let mut tracker = Tracker::default();
    let mut through = committed;
    let batch = |after_sequence, through_sequence, missing| PostBatch {
        after_sequence,
        missing,
        ..PostBatch::new(boot.replica.clone(), boot.boot_id, through_sequence, Vec::new())
    };
    loop {
        let records = reader.read_batch(None, BATCH_RECORDS_MAX)?;
        let Some(last) = records.last().map(|(sequence, _)| *sequence) else { break };
        let after = through;
        through = through.max(last);
        let kinds = records.iter().map(|(sequence, record)| (*sequence, record.kind())).collect();
        let entries = tracker.take(records);
        let missing = missed_before + missed_after(&reader, committed);
        recovered.entries +=
            shipper.ship(&PostBatch { entries, records: kinds, ..batch(after, through, missing) }).await?.inserted;
        failpoint::pass(Point::RecoveryCommitted);
    }
    let damage = reader.damage();
    let missing = missed_before + missed_after(&reader, committed);
    let mut orphans: Vec<(u64, Box<EntryRow>)> = tracker
        .orphans()
        .into_iter()
        .map(|open| {
            let cost = versions.cost(open.admission.cost_price_version.as_deref());
            let rule = versions.rule(open.admission.charge_price_version.as_deref());
            let entry = resolve_orphan(open.admission, open.progress.as_ref(), cost, rule);
            if entry.is_unpriced() {
                tracing::error!(
                    attempt = %entry.admission.id,
                    target = entry.admission.target,
                    "an attempt that was cut off has no price; `tollgate rerate` prices it later"
                );
            }
            (open.sequence, Box::new(EntryRow::of(&entry)))
        })
        .collect();
    while orphans.len() > BATCH_RECORDS_MAX {
        let entries = orphans.drain(..BATCH_RECORDS_MAX).collect();
        let resolving = PostBatch { entries, stage: Stage::Resolving, ..batch(through, through, missing) };
        recovered.orphans += shipper.ship(&resolving).await?.inserted;
    }
    // The last orphans and the word that nothing more will come, in one transaction.
    let closing = PostBatch { entries: orphans, stage: Stage::Closing, ..batch(through, through, missing) };
    recovered.orphans += shipper.ship(&closing).await?.inserted;
    recovered.missing += damage.missing;
    recovered.damaged += damage.damaged_regions;
    recovered.boots += 1;
    Ok((reader, through))
}

/// Records that are missing and were never posted. What was posted before it was damaged is not missed.
fn missed_after(reader: &BootReader, committed: u64) -> u64 {
    let missed = |region: &Region| {
        let end = region.first_sequence.saturating_add(region.missing);
        end.saturating_sub(region.first_sequence.max(committed.saturating_add(1)))
    };
    reader.regions().iter().map(missed).sum()
}

/// Copies what is damaged aside; false when the folder must stay, because it could not be.
fn keep_damage(boot: &DeadBoot, reader: &BootReader) -> bool {
    let damage = reader.damage();
    if damage.missing == 0 && damage.damaged_regions == 0 {
        return true;
    }
    tracing::error!(
        boot = %boot.boot_id,
        damage.missing,
        damage.damaged_regions,
        unreadable_pages = reader.unreadable_pages(),
        "a journal is damaged: records that were durable are missing; `tollgate journal verify` counts them"
    );
    match boot.quarantine(reader) {
        // What the disk cannot read is copied by nobody; another disk reader may do better.
        Ok(_) => reader.unreadable_pages() == 0,
        Err(error) => {
            tracing::error!(%error, "what is left of it cannot be copied aside, so its folder is kept");
            false
        }
    }
}
