//! Posts the journal of this boot while it grows.

use std::{ops::Range, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{ship::Shipper, state::PostingState, tracker::UnderWay};
use crate::{
    clock::Clock,
    failpoint::{self, Point},
    journal::{Journal, error::JournalError, gaps::Damage, reader::BootReader},
    store::{
        Store, StoreError,
        entries::{PostBatch, Stage},
    },
};

/// Records of one transaction at most.
const BATCH_RECORDS_MAX: usize = 2000;
/// After news, so long is waited for more, so that a transaction has many entries.
const GATHER: Duration = Duration::from_millis(100);
/// Without news the loop looks again after so long.
const IDLE: Duration = Duration::from_secs(1);
/// Waits after a failure, doubling up to the most.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);
/// Closed segments are looked for at most so often.
const RELEASE_EVERY: Duration = Duration::from_secs(5);

/// No record has this sequence.
const NOTHING: u64 = 0;

/// Why posting failed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum PostingError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Posts one boot's journal.
pub struct Poster {
    store: Store,
    shipper: Shipper,
    state: Arc<PostingState>,
    journal: Journal,
    replica: String,
    clock: Clock,
    reader: BootReader,
    under_way: UnderWay,
    /// Read from the journal and not yet committed: kept, so that a failure loses nothing.
    pending: Option<PostBatch>,
    /// More was durable than the batch that was read last took.
    has_more: bool,
    posted_through: u64,
    released_at: Duration,
    /// What is damaged of this boot and copied aside.
    quarantined: Damage,
    /// Sequences that are missing before the place from which the reader reads: it does not look there again.
    missed_before: Vec<Range<u64>>,
}

impl Poster {
    /// A poster at the beginning of this boot's journal. `state` is what it comes to, for health and metrics.
    #[must_use]
    pub fn new(store: Store, journal: Journal, replica: String, clock: Clock, state: Arc<PostingState>) -> Self {
        let reader = journal.reader(0);
        let released_at = clock.monotonic();
        state.begun(released_at);
        Self {
            shipper: Shipper::new(store.clone(), clock.clone(), Arc::clone(&state)),
            state,
            store,
            journal,
            replica,
            clock,
            reader,
            under_way: UnderWay::default(),
            pending: None,
            has_more: false,
            posted_through: 0,
            released_at,
            quarantined: Damage::default(),
            missed_before: Vec::new(),
        }
    }

    /// Posts until told to stop; then posts what is durable by then, and returns.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut durable = self.journal.durable();
        let mut wait = RETRY_FIRST;
        loop {
            let stopping = stop.is_cancelled();
            match self.post_available().await {
                Ok(()) if stopping => break,
                Ok(()) => {
                    self.state.succeeded(self.clock.monotonic());
                    wait = RETRY_FIRST;
                }
                Err(error) => {
                    self.state.failed();
                    tracing::error!(%error, "posting failed; it is tried again and nothing is lost");
                    sleep(wait).await;
                    if stopping && wait == RETRY_MOST {
                        tracing::error!("posting is given up for now; the next start goes on with it");
                        break;
                    }
                    wait = (wait * 2).min(RETRY_MOST);
                    continue;
                }
            }
            if let Err(error) = self.release().await {
                tracing::warn!(%error, "posted journal segments could not be deleted");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                news = timeout(IDLE, durable.changed()) => {
                    if matches!(news, Ok(Ok(()))) {
                        sleep(GATHER).await;
                    }
                }
            }
        }
    }

    /// Posts what was durable when the last batch was read. What came while it was posted waits for more: batch after batch
    /// of the little that came meanwhile would cost a transaction each.
    async fn post_available(&mut self) -> Result<(), PostingError> {
        // One that is left from a failure was read some time ago.
        self.has_more |= self.pending.is_some();
        loop {
            if self.pending.is_none() {
                self.pending = self.read()?;
            }
            let Some(batch) = &self.pending else { return Ok(()) };
            failpoint::pass(Point::PostRead);
            let posted = match self.shipper.ship(batch).await {
                Err(StoreError::Behind { through }) => {
                    self.keep_damage()?;
                    self.go_back_to(through);
                    continue;
                }
                posted => posted?,
            };
            failpoint::pass(Point::PostCommitted);
            tracing::debug!(posted.inserted, posted.already_there, "posted");
            self.posted_through = batch.through_sequence;
            self.pending = None;
            if !self.has_more {
                return Ok(());
            }
        }
    }

    fn read(&mut self) -> Result<Option<PostBatch>, PostingError> {
        let durable = *self.journal.durable().borrow();
        let steps = self.reader.read_steps(Some(durable), BATCH_RECORDS_MAX)?;
        let Some(through_sequence) = steps.last().map(|(sequence, _)| *sequence) else { return Ok(None) };
        self.has_more = through_sequence < durable;
        let kinds = steps.iter().filter_map(|(sequence, step)| Some((*sequence, step.kind()?))).collect();
        let entries = self.under_way.take(steps);
        Ok(Some(PostBatch {
            replica: self.replica.clone(),
            boot_id: self.journal.boot_id(),
            after_sequence: self.posted_through,
            through_sequence,
            entries,
            records: kinds,
            missing: count(&self.missed_before).saturating_add(self.reader.damage().missing),
            stage: Stage::Reading,
        }))
    }

    /// Deletes segments of which the store says that it has everything. What it has is read back from it, not remembered: a
    /// store that lost its last commits (a standby that took over) gets them again from the journal.
    async fn release(&mut self) -> Result<(), PostingError> {
        let now = self.clock.monotonic();
        if now.saturating_sub(self.released_at) < RELEASE_EVERY {
            return Ok(());
        }
        self.released_at = now;
        self.keep_damage()?;
        let boot_id = self.journal.boot_id();
        // A sync is worth it when something can be deleted afterwards.
        let is_due = self.journal.would_release(self.under_way.settled_through(self.posted_through));
        let committed = if is_due {
            self.store.cursor_on_disk(&self.replica, boot_id).await?
        } else {
            self.store.cursor(&self.replica, boot_id).await?
        };
        if committed < self.posted_through {
            self.go_back_to(committed);
        }
        let through = if is_due { self.under_way.settled_through(self.posted_through) } else { NOTHING };
        self.journal.release_through(through)?;
        Ok(())
    }

    /// What the store has lost is read again from the journal.
    fn go_back_to(&mut self, committed: u64) {
        tracing::error!(committed, posted = self.posted_through, "the store has lost commits; they are posted again");
        self.pending = None;
        let regions = self.reader.regions();
        let missed =
            regions.iter().map(|region| region.first_sequence..region.first_sequence.saturating_add(region.missing));
        self.missed_before.extend(missed);
        self.missed_before = before(&self.missed_before, committed.saturating_add(1));
        self.reader = self.journal.reader(committed);
        self.quarantined = Damage::default();
        self.posted_through = committed;
        self.state.rewound(committed);
    }

    /// Copies aside what was found damaged, before its segment can be deleted.
    fn keep_damage(&mut self) -> Result<(), JournalError> {
        let damage = self.reader.damage();
        if damage == self.quarantined {
            return Ok(());
        }
        tracing::error!(
            damage.missing,
            damage.damaged_regions,
            "this gateway's journal is damaged: records that were durable are missing"
        );
        self.journal.quarantine(&self.reader.regions())?;
        self.quarantined = damage;
        Ok(())
    }
}

/// What of these sequences lies before `end`.
fn before(missed: &[Range<u64>], end: u64) -> Vec<Range<u64>> {
    missed.iter().map(|range| range.start..range.end.min(end)).filter(|range| !range.is_empty()).collect()
}

fn count(missed: &[Range<u64>]) -> u64 {
    missed.iter().map(|range| range.end.saturating_sub(range.start)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_counted_on_the_side_of_the_cut_that_is_not_read_again() {
        let missed = [3..5, 8..12, 20..25];
        assert_eq!(before(&missed, 10), [3..5, 8..10]);
        assert_eq!(count(&before(&missed, 10)), 4);
        // Twice back: each time only what is before the place.
        assert_eq!(before(&before(&missed, 10), 9), [3..5, 8..9]);
        assert_eq!(count(&before(&missed, 0)), 0);
    }
}
