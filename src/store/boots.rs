//! What each boot's journal came to: how far it is posted, and whether every attempt that it opened has one end.

use std::collections::BTreeSet;

use tollgate_core::{
    entry_row::EntryRow,
    id::{AttemptId, BootId},
    record::RecordKind,
};

use super::{
    Store, StoreError,
    archives::{day_of, was_sealed},
    entries::{PostBatch, Stage},
};

/// One boot of one replica. Counts are of records, each counted once however often it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootRow {
    /// Whose journal.
    pub replica: String,
    /// Which boot's.
    pub boot_id: BootId,
    /// The journal is posted through this sequence.
    pub sequence: u64,
    /// Read to its end, orphans resolved: nothing more will come.
    pub closed: bool,
    /// The tallies count records behind this sequence: 0, but for boots that are older than the tallies.
    pub counted_from: u64,
    /// OPENED records.
    pub opened: u64,
    /// ENDED records.
    pub ended: u64,
    /// VOID records.
    pub voided: u64,
    /// Attempts without an end in the journal, resolved by the published rule, or kept by the store at once when the
    /// journal could not.
    pub resolved: u64,
    /// ENDED records whose entry was in the books already.
    pub again: u64,
    /// Entries that this boot put into the books.
    pub entries: u64,
    /// Entries that the store refused and that wait as dead letters.
    pub buried: u64,
    /// Of the entries, those that were moved to an archive file.
    pub archived: u64,
    /// Records that were durable and are missing from the journal.
    pub missing: u64,
}

impl BootRow {
    /// Ends of attempts, whatever way they ended.
    #[must_use]
    pub fn ends(&self) -> u64 {
        self.ended.saturating_sub(self.again).saturating_add(self.voided).saturating_add(self.resolved)
    }

    /// Attempts of which it is not known that they have one end; 0 when all is well. Missing records may have been such
    /// attempts, but for as many as there are ends without an OPENED: those were theirs.
    #[must_use]
    pub fn unaccounted(&self) -> u64 {
        let is_whole = self.closed && self.counted_from == 0;
        match (is_whole, self.missing) {
            (true, 0) => self.opened.abs_diff(self.ends()),
            (true, missing) => missing.saturating_sub(self.ends().saturating_sub(self.opened)),
            (false, missing) => missing,
        }
    }

    /// Ends that are not in the books; 0 when all is well.
    #[must_use]
    pub fn unbooked(&self) -> u64 {
        let ends = self.ended.saturating_sub(self.again).saturating_add(self.resolved);
        ends.abs_diff(self.entries.saturating_add(self.buried))
    }

    /// Events that the books cannot account for. The same sum as [`Store::usage_gap`].
    #[must_use]
    pub fn gap(&self) -> u64 {
        self.unaccounted().saturating_add(self.unbooked())
    }
}

impl Store {
    /// Through which sequence a boot's journal has been posted; 0 when none of it has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn cursor(&self, replica: &str, boot_id: BootId) -> Result<u64, StoreError> {
        on_engine!(self, cursor(replica, boot_id))
    }

    /// The same, when all of it is on the store's disk: what the store would still have after a power cut. What a boot posts
    /// while it reads its journal may not be, until this was asked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn cursor_on_disk(&self, replica: &str, boot_id: BootId) -> Result<u64, StoreError> {
        on_engine!(self, cursor_on_disk(replica, boot_id))
    }

    /// Marks a boot's journal as posted to its end.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close_boot(&self, replica: &str, boot_id: BootId, through_sequence: u64) -> Result<(), StoreError> {
        let batch = PostBatch::new(replica.to_owned(), boot_id, through_sequence, Vec::new());
        self.post(&PostBatch { stage: Stage::Closing, ..batch }).await?;
        Ok(())
    }

    /// One boot; none when nothing of it was posted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn boot(&self, replica: &str, boot_id: BootId) -> Result<Option<BootRow>, StoreError> {
        on_engine!(self, boot(replica, boot_id))
    }

    /// Every boot that was ever posted, by replica and age.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn boots(&self) -> Result<Vec<BootRow>, StoreError> {
        on_engine!(self, boots())
    }

    /// Events that the books cannot account for: records missing from journals, attempts of closed boots without one end,
    /// ends without an entry. Reads one row a boot.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn usage_gap(&self) -> Result<u64, StoreError> {
        on_engine!(self, usage_gap())
    }

    /// Entries that stand in the books, by the boot that put them there. Reads every entry.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn entries_by_boot(&self) -> Result<Vec<(String, BootId, u64)>, StoreError> {
        on_engine!(self, entries_by_boot())
    }
}

/// Where a boot stands before a batch of it is posted.
#[derive(Clone, Debug, Default)]
pub(super) struct Position {
    /// Posted and counted through this sequence.
    pub(super) counted_through: u64,
    /// Read to its end.
    pub(super) closed: bool,
    /// Of the batch's days, those that have been moved to a sealed file.
    pub(super) sealed_days: BTreeSet<i32>,
    /// Of the batch's attempts, those that have an entry on a sealed day which no cursor protects.
    pub(super) sealed_orphans: BTreeSet<AttemptId>,
}

impl Position {
    /// A store may have lost its last commits: then what comes after them is not posted, so that the cursor does not pass over them.
    pub(super) fn must_be_at(&self, batch: &PostBatch) -> Result<(), StoreError> {
        let through = self.counted_through;
        if through < batch.after_sequence { Err(StoreError::Behind { through }) } else { Ok(()) }
    }

    fn is_of_a_sealed_day(&self, entry: &EntryRow) -> bool {
        self.sealed_days.contains(&day_of(entry.id.request_id.bytes()))
    }

    /// The attempts of a batch whose day is sealed.
    pub(super) fn on_sealed_days(&self, batch: &PostBatch) -> Vec<AttemptId> {
        let entries = batch.entries.iter().map(|(_, entry)| entry);
        entries.filter(|entry| self.is_of_a_sealed_day(entry)).map(|entry| entry.id).collect()
    }

    /// The entries of a batch that may have to be posted. What was posted before and sealed since is left out: it cannot be
    /// seen by its key any more.
    pub(super) fn unsealed<'a>(&self, batch: &'a PostBatch) -> Vec<&'a (u64, Box<EntryRow>)> {
        let keep = |(sequence, entry): &&(u64, Box<EntryRow>)| {
            let is_sealed = was_sealed(batch, *sequence, self.counted_through, self.closed)
                || self.sealed_orphans.contains(&entry.id);
            !(is_sealed && self.is_of_a_sealed_day(entry))
        };
        batch.entries.iter().filter(keep).collect()
    }
}

/// The days of a batch's request ids.
pub(super) fn days_of(batch: &PostBatch) -> BTreeSet<i32> {
    batch.entries.iter().map(|(_, entry)| day_of(entry.id.request_id.bytes())).collect()
}

/// What a batch adds to its boot's row, beside the entries.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) opened: u64,
    pub(super) ended: u64,
    pub(super) voided: u64,
    pub(super) resolved: u64,
    pub(super) again: u64,
    pub(super) entries: u64,
    pub(super) buried: u64,
}

impl Tally {
    /// Counts the records of a batch that lie behind what was counted before.
    pub(super) fn of(batch: &PostBatch, counted_through: u64) -> Self {
        let mut tally = Self::default();
        let fresh = batch.records.iter().filter(|(sequence, _)| *sequence > counted_through);
        for (_, kind) in fresh {
            match kind {
                RecordKind::Opened => tally.opened += 1,
                RecordKind::Ended => tally.ended += 1,
                RecordKind::Void => tally.voided += 1,
                RecordKind::Sent | RecordKind::Progress => {}
            }
        }
        tally
    }

    /// Adds what became of the entries.
    pub(super) fn settled(mut self, batch: &PostBatch, inserted: u64, buried: u64) -> Self {
        self.entries = inserted;
        self.buried = buried;
        let settled = inserted.saturating_add(buried);
        if batch.stage == Stage::Reading {
            self.again = self.ended.saturating_sub(settled);
        } else {
            self.resolved = settled;
        }
        self
    }
}
