//! Follows attempts through a boot's records: which are open, what was counted of them, which entries to post.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use tollgate_core::{
    entry::Admission,
    entry_row::EntryRow,
    id::AttemptId,
    record::{Progress, Record, Step},
};

/// The attempts under way of a process that lives, with the sequences at which they were opened.
#[derive(Default)]
pub(super) struct UnderWay(HashMap<AttemptId, u64, RandomState>);

impl UnderWay {
    /// Takes records in order and gives the entries among them.
    pub(super) fn take(&mut self, steps: Vec<(u64, Step)>) -> Vec<(u64, Box<EntryRow>)> {
        let mut entries = Vec::with_capacity(steps.len() / 2);
        for (sequence, step) in steps {
            match step {
                Step::Opened(id) => drop(self.0.insert(id, sequence)),
                Step::Ended(entry) => {
                    self.0.remove(&entry.id);
                    entries.push((sequence, entry));
                }
                Step::Void(id) => drop(self.0.remove(&id)),
                Step::Beside => {}
            }
        }
        entries
    }

    /// The sequence before the oldest open attempt, or `through` when none is open: up to there nothing is needed again.
    pub(super) fn settled_through(&self, through: u64) -> u64 {
        self.0.values().map(|opened_at| opened_at.saturating_sub(1)).min().unwrap_or(through).min(through)
    }
}

/// An attempt that was opened and not ended so far.
pub(super) struct Open {
    pub(super) sequence: u64,
    pub(super) admission: Admission,
    pub(super) progress: Option<Progress>,
}

/// The attempts of a process that has died, with all that is known of those that it left open.
#[derive(Default)]
pub(super) struct Tracker(HashMap<AttemptId, Open>);

impl Tracker {
    /// Takes records in order and gives the entries among them.
    pub(super) fn take(&mut self, records: Vec<(u64, Record)>) -> Vec<(u64, Box<EntryRow>)> {
        let mut entries = Vec::new();
        for (sequence, record) in records {
            match record {
                Record::Opened(admission) => {
                    self.0.insert(admission.id, Open { sequence, admission: *admission, progress: None });
                }
                Record::Sent(_) => {}
                Record::Progress(progress) => {
                    if let Some(open) = self.0.get_mut(&progress.id) {
                        open.progress = Some(progress);
                    }
                }
                Record::Ended(entry) => {
                    self.0.remove(&entry.admission.id);
                    entries.push((sequence, Box::new(EntryRow::of(&entry))));
                }
                Record::Void(id) => drop(self.0.remove(&id)),
            }
        }
        entries
    }

    /// The attempts that never ended, in the order in which they were opened.
    pub(super) fn orphans(self) -> Vec<Open> {
        let mut orphans: Vec<Open> = self.0.into_values().collect();
        orphans.sort_by_key(|open| open.sequence);
        orphans
    }
}
