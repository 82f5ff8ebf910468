//! Entries and the posting transaction: entries, rollups of those really inserted, and the cursor, all or nothing.

use tollgate_core::{
    entry::Entry,
    entry_row::EntryRow,
    id::{AttemptId, BootId, CustomerId, KeyId, RequestId},
    record::RecordKind,
};

use super::{Store, StoreError};

/// Records of one boot's journal, in its order, and the entries among them.
#[derive(Clone, Debug)]
pub struct PostBatch {
    /// Whose journal.
    pub replica: String,
    /// Which boot's.
    pub boot_id: BootId,
    /// The store must have the journal through this sequence: what it has lost must not be passed over. 0 asks for nothing.
    pub after_sequence: u64,
    /// The journal is read through this sequence.
    pub through_sequence: u64,
    /// Entries and their sequences.
    pub entries: Vec<(u64, Box<EntryRow>)>,
    /// Every beginning and end that was read, so that it can be told later whether each attempt has one end. Other records do
    /// not matter.
    pub records: Vec<(u64, RecordKind)>,
    /// Records of the boot that were durable and are missing, as far as is known by now.
    pub missing: u64,
    /// Where in the boot's journal this is.
    pub stage: Stage,
}

/// Where in a boot's journal a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Entries come from ENDED records. The journal has them until the store's cursor, and that on the disk, is behind them:
    /// see [`Store::cursor_on_disk`].
    Reading,
    /// Entries are orphans, resolved; more may follow.
    Resolving,
    /// Entries are the last orphans; with them the boot is closed.
    Closing,
}

impl PostBatch {
    /// A batch of ENDED records.
    #[must_use]
    pub fn new(replica: String, boot_id: BootId, through_sequence: u64, entries: Vec<(u64, Entry)>) -> Self {
        let records = entries.iter().map(|(sequence, _)| (*sequence, RecordKind::Ended)).collect();
        let entries = entries.iter().map(|(sequence, entry)| (*sequence, Box::new(EntryRow::of(entry)))).collect();
        let stage = Stage::Reading;
        Self { replica, boot_id, after_sequence: 0, through_sequence, entries, records, missing: 0, stage }
    }
}

/// What a batch came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Posted {
    /// Entries that are new.
    pub inserted: u64,
    /// Entries that had been posted before.
    pub already_there: u64,
}

impl Posted {
    pub(super) fn of(batch: &PostBatch, inserted: u64) -> Self {
        let asked = u64::try_from(batch.entries.len()).unwrap_or(u64::MAX);
        Self { inserted, already_there: asked.saturating_sub(inserted) }
    }
}

/// The columns that repeat what an entry says, for queries: the entry itself is the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryColumns {
    /// The request.
    pub request_id: RequestId,
    /// Its attempt.
    pub attempt: i64,
    /// Who pays.
    pub customer_id: CustomerId,
    /// The key.
    pub key_id: KeyId,
    /// Public model.
    pub model: String,
    /// `provider/model`
    pub target: String,
    /// How it ended.
    pub outcome: String,
    /// Where its numbers come from.
    pub usage_source: String,
    /// Admission, microseconds since 1970 UTC.
    pub admitted_at_us: i64,
}

impl EntryColumns {
    /// What the columns of an entry must be.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        let admission = &entry.admission;
        Self {
            request_id: admission.id.request_id,
            attempt: i64::from(admission.id.attempt),
            customer_id: admission.customer_id,
            key_id: admission.key_id,
            model: admission.model.clone(),
            target: admission.target.clone(),
            outcome: entry.outcome.name().to_owned(),
            usage_source: entry.usage_source.name().to_owned(),
            admitted_at_us: admission.admitted_at_us,
        }
    }
}

impl StoredEntry {
    /// The key of its row, by which pages go on: that of the columns, whatever the entry says.
    #[must_use]
    pub fn key(&self) -> AttemptId {
        let attempt = u16::try_from(self.columns.attempt).unwrap_or(u16::MAX);
        AttemptId { request_id: self.columns.request_id, attempt }
    }
}

/// An entry and the columns that were stored beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// The entry.
    pub entry: Entry,
    /// What the columns say of it.
    pub columns: EntryColumns,
    /// Sum of costs as stored.
    pub cost_nanousd: i64,
    /// Sum of charges as stored.
    pub charge_nanousd: i64,
    /// Whether it is unpriced, as stored.
    pub unpriced: bool,
}

impl Store {
    /// Posts a batch in one transaction. Posting it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Behind`] when the store has not what the batch comes after. [`StoreError`] otherwise; then nothing of it was posted, or, when the database went away at the commit, all of it.
    pub async fn post(&self, batch: &PostBatch) -> Result<Posted, StoreError> {
        on_engine!(self, post(batch))
    }

    /// The attempts of a request, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn entries_of_request(&self, request_id: RequestId) -> Result<Vec<Entry>, StoreError> {
        on_engine!(self, entries_of_request(request_id))
    }

    /// Entries behind one, in id order, at most so many: pages for the audit.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn entries_after(&self, after: Option<AttemptId>, rows_max: u32) -> Result<Vec<StoredEntry>, StoreError> {
        on_engine!(self, entries_after(after, rows_max))
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn entry_count(&self) -> Result<u64, StoreError> {
        on_engine!(self, entry_count())
    }
}
