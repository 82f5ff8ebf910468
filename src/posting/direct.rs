//! The way around a poisoned journal: ends that it could not keep go straight into the store.
//!
//! Their attempts are open in the journal, so the next recovery finds them; it finds them posted, too, and changes nothing.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc::Receiver, time::sleep};
use tollgate_core::{entry::Entry, id::BootId};

use super::{ship::Shipper, state::PostingState};
use crate::{
    clock::Clock,
    journal::rescue::RescuedEnd,
    store::{
        Store,
        entries::{PostBatch, Stage},
    },
};

/// Entries of one transaction at most.
const BATCH_ENTRIES_MAX: usize = 500;
/// Waits after a failure, doubling up to the most.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(2);
/// Where the entry stands in the journal: nowhere.
const NO_SEQUENCE: u64 = 0;

/// Keeps ends until there are no more; each waits until the store has it.
pub async fn keep_rescued(mut rescued: Receiver<RescuedEnd>, store: Store, replica: String, boot_id: BootId) {
    let shipper = Shipper::new(store, Clock::system(), Arc::new(PostingState::default()));
    let mut ends = Vec::new();
    while rescued.recv_many(&mut ends, BATCH_ENTRIES_MAX).await > 0 {
        let mut entries = Vec::new();
        ends.retain(|end| match end.entry() {
            Ok(entry) => {
                entries.push((NO_SEQUENCE, entry));
                true
            }
            Err(error) => {
                tracing::error!(%error, "an end that the journal could not keep cannot be kept elsewhere");
                false
            }
        });
        let batch = batch(&replica, boot_id, entries);
        post(&shipper, &batch).await;
        tracing::error!(entries = ends.len(), "the journal is poisoned; entries went straight into the store");
        ends.drain(..).for_each(RescuedEnd::kept);
    }
}

/// For the journal these attempts have no end, as orphans have none: they are accounted for as resolved.
fn batch(replica: &str, boot_id: BootId, entries: Vec<(u64, Entry)>) -> PostBatch {
    let batch = PostBatch::new(replica.to_owned(), boot_id, NO_SEQUENCE, entries);
    PostBatch { records: Vec::new(), stage: Stage::Resolving, ..batch }
}

async fn post(shipper: &Shipper, batch: &PostBatch) {
    let mut wait = RETRY_FIRST;
    while let Err(error) = shipper.ship(batch).await {
        tracing::error!(%error, "neither journal nor store can keep an entry; it is tried again");
        sleep(wait).await;
        wait = (wait * 2).min(RETRY_MOST);
    }
}
