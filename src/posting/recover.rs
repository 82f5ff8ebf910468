//! Posts the journals of boots whose processes have died, and resolves the attempts that they left open.
//!
//! Dying half-way and running again changes nothing: entries are unique by attempt, the rule for orphans is
//! deterministic, and a folder is removed only when everything in it is committed.

use std::path::Path;

use tollgate_core::{entry::Entry, orphan::resolve_orphan};

use super::{live::PostingError, tracker::Tracker};
use crate::{
    catalog::Versions,
    journal::boot::{DeadBoot, dead_boots},
    store::{Store, entries::PostBatch},
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
    let mut reader = boot.reader(store.cursor(replica, boot.boot_id).await?)?;
    let mut tracker = Tracker::default();
    let mut through = 0;
    let batch = |through_sequence, entries| PostBatch {
        replica: replica.to_owned(),
        boot_id: boot.boot_id,
        through_sequence,
        entries,
    };
    loop {
        let records = reader.read_batch(None, BATCH_RECORDS_MAX)?;
        let Some(last) = records.last().map(|(sequence, _)| *sequence) else { break };
        through = last;
        let entries = tracker.take(records);
        recovered.entries += store.post(&batch(through, entries)).await?.inserted;
    }
    let orphans: Vec<(u64, Entry)> = tracker
        .orphans()
        .into_iter()
        .map(|open| {
            let cost = versions.cost(open.admission.cost_price_version.as_deref());
            let rule = versions.rule(open.admission.charge_price_version.as_deref());
            (open.sequence, resolve_orphan(open.admission, open.progress.as_ref(), cost, rule))
        })
        .collect();
    recovered.orphans += store.post(&batch(through, orphans)).await?.inserted;
    store.close_boot(replica, boot.boot_id, through).await?;
    let damage = reader.damage();
    recovered.missing += damage.missing;
    recovered.boots += 1;
    if damage.missing > 0 || damage.damaged_regions > 0 {
        // Kept for whoever looks into it; posting it again changes nothing.
        tracing::error!(boot = %boot.boot_id, damage.missing, damage.damaged_regions, "a journal is damaged; its folder is kept");
        return Ok(());
    }
    boot.remove()?;
    Ok(())
}
