//! Posts the journals of boots whose processes have died, and resolves the attempts that they left open.
//!
//! Dying half-way and running again changes nothing: entries are unique by attempt, the rule for orphans is
//! deterministic, and a folder is removed only when everything in it is committed.

use std::{path::Path, sync::Arc};

use tollgate_core::{entry::Entry, orphan::resolve_orphan};

use super::{live::PostingError, ship::Shipper, state::PostingState, tracker::Tracker};
use crate::{
    catalog::Versions,
    clock::Clock,
    journal::{
        boot::{DeadBoot, dead_boots},
        reader::BootReader,
    },
    store::{
        Store,
        entries::{PostBatch, Stage},
    },
};

/// Records of one transaction at most.
const BATCH_RECORDS_MAX: usize = 2000;

/// What recovery came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Dead boots that were adopted.
    pub boots: u64,
    /// Entries that had not been posted before.
    pub entries: u64,
    /// Attempts without an end, resolved by the published rule.
    pub orphans: u64,
    /// Sequences that should be in the journals and are not.
    pub missing: u64,
}

/// Adopts every dead boot of a replica.
///
/// # Errors
/// [`PostingError`]; what was not finished stands for the next time.
pub async fn recover(store: &Store, journal_dir: &Path, replica: &str) -> Result<Recovered, PostingError> {
    let mut recovered = Recovered::default();
    let dead = dead_boots(journal_dir, replica)?;
    if dead.is_empty() {
        return Ok(recovered);
    }
    let rows = store.price_versions().await?;
    let versions =
        Versions::from_stored(rows.values().map(|row| (row.id.as_str(), row.kind.as_str(), row.body.as_str())));
    for boot in dead {
        adopt(store, replica, boot, &versions, &mut recovered).await?;
    }
    tracing::info!(
        recovered.boots,
        recovered.entries,
        recovered.orphans,
        recovered.missing,
        "recovered journals of earlier boots"
    );
    Ok(recovered)
}

async fn adopt(
    store: &Store,
    replica: &str,
    boot: DeadBoot,
    versions: &Versions,
    recovered: &mut Recovered,
) -> Result<(), PostingError> {
    let shipper = Shipper::new(store.clone(), Clock::system(), Arc::new(PostingState::default()));
    let posted_before = store.cursor(replica, boot.boot_id).await?;
    let mut reader = BootReader::from_first(&boot.dir, boot.boot_id)?;
    // Segments are deleted only when the store has them: if it does not now, it went back behind a backup.
    let forgotten = reader.last_sequence().saturating_sub(posted_before);
    let mut tracker = Tracker::default();
    let mut through = 0;
    let batch = |through_sequence, missing| PostBatch {
        missing,
        ..PostBatch::new(replica.to_owned(), boot.boot_id, through_sequence, Vec::new())
    };
    loop {
        let records = reader.read_batch(None, BATCH_RECORDS_MAX)?;
        let Some(last) = records.last().map(|(sequence, _)| *sequence) else { break };
        through = last;
        let kinds = records.iter().map(|(sequence, record)| (*sequence, record.kind())).collect();
        let entries = tracker.take(records);
        let missing = forgotten + reader.damage().missing;
        recovered.entries +=
            shipper.ship(PostBatch { entries, records: kinds, ..batch(through, missing) }).await?.inserted;
    }
    let damage = reader.damage();
    let missing = forgotten + damage.missing;
    let mut orphans: Vec<(u64, Entry)> = tracker
        .orphans()
        .into_iter()
        .map(|open| {
            let cost = versions.cost(open.admission.cost_price_version.as_deref());
            let rule = versions.rule(open.admission.charge_price_version.as_deref());
            (open.sequence, resolve_orphan(open.admission, open.progress.as_ref(), cost, rule))
        })
        .collect();
    while orphans.len() > BATCH_RECORDS_MAX {
        let entries = orphans.drain(..BATCH_RECORDS_MAX).collect();
        let resolving = PostBatch { entries, stage: Stage::Resolving, ..batch(through, missing) };
        recovered.orphans += shipper.ship(resolving).await?.inserted;
    }
    // The last orphans and the word that nothing more will come, in one transaction.
    let closing = PostBatch { entries: orphans, stage: Stage::Closing, ..batch(through, missing) };
    recovered.orphans += shipper.ship(closing).await?.inserted;
    recovered.missing += missing;
    recovered.boots += 1;
    if damage.missing > 0 || damage.damaged_regions > 0 {
        // Kept for whoever looks into it; posting it again changes nothing.
        tracing::error!(boot = %boot.boot_id, damage.missing, damage.damaged_regions, "a journal is damaged; its folder is kept");
        return Ok(());
    }
    boot.remove()?;
    Ok(())
}
