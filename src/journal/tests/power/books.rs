//! What must be true, and what the books say: a store that never fails, filled by posting and recovery, and that loses at a
//! power cut the last of what was posted since it was synced.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tollgate_core::{
    entry::Entry,
    id::{AttemptId, BootId},
    record::Record,
};

use super::{
    super::{
        super::{boot::DeadBoot, error::JournalError, gaps::Damage},
        simulated::Random,
    },
    Findings,
};

/// What the processes asked for, and what they were told.
#[derive(Default)]
pub(super) struct Truth {
    submitted: HashMap<BootId, Vec<Record>>,
    opened: BTreeSet<AttemptId>,
    ended: BTreeMap<AttemptId, Entry>,
    end_submitted: BTreeSet<AttemptId>,
    void_submitted: BTreeSet<AttemptId>,
}

impl Truth {
    /// A record was handed to the journal.
    pub(super) fn submitted(&mut self, boot_id: BootId, record: Record) {
        match &record {
            Record::Ended(entry) => drop(self.end_submitted.insert(entry.admission.id)),
            Record::Void(id) => drop(self.void_submitted.insert(*id)),
            _ => {}
        }
        self.submitted.entry(boot_id).or_default().push(record);
    }

    /// An OPENED was acknowledged.
    pub(super) fn opened(&mut self, id: AttemptId) {
        self.opened.insert(id);
    }

    /// An ENDED was acknowledged.
    pub(super) fn ended(&mut self, entry: Entry) {
        self.ended.insert(entry.admission.id, entry);
    }

    pub(super) fn acknowledged_ends(&self) -> u64 {
        self.ended.len() as u64
    }

    /// Compares what was read of a boot with what was handed in: the same records, in the same order, each once.
    fn count_wrong(&self, boot_id: BootId, read: &[(u64, Record)]) -> u64 {
        let mut handed_in = self.submitted.get(&boot_id).map_or(&[][..], Vec::as_slice).iter();
        u64::from(!read.iter().all(|(_, record)| handed_in.any(|submitted| submitted == record)))
    }
}

/// One entry of the books; none when its attempt was resolved as an orphan.
type Booked = Option<Entry>;

/// What the store says.
#[derive(Clone, Default)]
struct Tables {
    booked: BTreeMap<AttemptId, Booked>,
    cursors: HashMap<BootId, u64>,
}

/// What was posted of a boot's journal at once: through which sequence, and the entries.
type Batch = (BootId, u64, Vec<Entry>);

impl Tables {
    fn post(&mut self, (boot_id, through, entries): Batch) {
        for entry in entries {
            self.booked.entry(entry.admission.id).or_insert(Some(entry));
        }
        let cursor = self.cursors.entry(boot_id).or_default();
        *cursor = (*cursor).max(through);
    }
}

/// The store.
#[derive(Default)]
pub(super) struct Books {
    tables: Tables,
    /// As a power cut leaves them, with none, some or all of what was posted since, in its order.
    synced: Tables,
    unsynced: Vec<Batch>,
    findings: Findings,
}

impl Books {
    /// Posts entries of a boot's journal, read through `through`.
    pub(super) fn post(&mut self, boot_id: BootId, through: u64, entries: impl IntoIterator<Item = Entry>) {
        let batch = (boot_id, through, entries.into_iter().collect());
        self.tables.post(Batch::clone(&batch));
        self.unsynced.push(batch);
    }

    /// What was posted stays.
    pub(super) fn sync(&mut self) {
        self.unsynced.clear();
        self.synced = self.tables.clone();
    }

    /// Says how many batches are gone.
    pub(super) fn lose_power(&mut self, random: &mut Random) -> u64 {
        let kept = random.below(self.unsynced.len() as u64 + 1) as usize;
        let lost = self.unsynced.len() - kept;
        self.unsynced.drain(..kept).for_each(|batch| self.synced.post(batch));
        self.unsynced.clear();
        self.tables = self.synced.clone();
        lost as u64
    }

    pub(super) fn orphans(&self) -> u64 {
        self.tables.booked.values().filter(|booked| booked.is_none()).count() as u64
    }

    /// Checks records as they were read: sequences rise, nothing is invented.
    pub(super) fn check(&mut self, boot_id: BootId, read: &[(u64, Record)], damage: Damage, truth: &Truth) {
        self.findings.doubled += u64::from(!read.windows(2).all(|pair| pair[0].0 < pair[1].0));
        self.findings.wrong += truth.count_wrong(boot_id, read);
        self.findings.alarms += u64::from(damage != Damage::default());
    }

    /// Does with a dead boot what recovery does.
    pub(super) fn adopt(&mut self, boot: DeadBoot, truth: &Truth) -> Result<(), JournalError> {
        let mut reader = boot.reader(self.tables.cursors.get(&boot.boot_id).copied().unwrap_or(0))?;
        let mut read = Vec::new();
        loop {
            let batch = reader.read_batch(None, 7)?;
            if batch.is_empty() {
                break;
            }
            read.extend(batch);
        }
        self.check(boot.boot_id, &read, reader.damage(), truth);
        let mut open = BTreeSet::new();
        let mut ended = Vec::new();
        for (_, record) in &read {
            match record {
                Record::Opened(admission) => drop(open.insert(admission.id)),
                Record::Void(id) => drop(open.remove(id)),
                Record::Ended(entry) => {
                    open.remove(&entry.admission.id);
                    ended.push(entry.as_ref().clone());
                }
                Record::Sent(_) | Record::Progress(_) => {}
            }
        }
        self.post(boot.boot_id, reader.last_sequence(), ended);
        for orphan in open {
            self.tables.booked.entry(orphan).or_insert(None);
        }
        self.sync();
        boot.remove()
    }

    /// What is not as it must be, when every boot was adopted.
    pub(super) fn findings(mut self, truth: &Truth) -> Findings {
        for (id, entry) in &truth.ended {
            match self.tables.booked.get(id) {
                None | Some(None) => self.findings.lost += 1,
                Some(Some(booked)) => self.findings.wrong += u64::from(booked != entry),
            }
        }
        // Orphans are those that were opened and neither ended nor voided.
        for id in truth.opened.difference(&truth.void_submitted) {
            match self.tables.booked.get(id) {
                None => self.findings.lost += 1,
                Some(Some(_)) if !truth.end_submitted.contains(id) => self.findings.wrong += 1,
                Some(_) => {}
            }
        }
        self.findings
    }
}
