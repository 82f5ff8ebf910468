//! Tells a journal's records for people who look into it: what happened to which attempt, in numbers.
//!
//! Left out is all that a client or a provider may have put in: tags, end users, raw usage objects. Prompts, answers and
//! secrets are not in a journal. Reads only, and needs no lock.

use std::{collections::VecDeque, path::Path};

use serde::Serialize;
use tollgate_core::{
    entry::{Admission, Entry},
    id::{AttemptId, BootId, RequestId},
    money::NanoUsd,
    record::Record,
};

use crate::journal::{
    boot::{boot_folders, boot_id_of},
    disk::os::OsDisk,
    error::JournalError,
    reader::{BootReader, Released},
};

/// Records read at once.
const BATCH_RECORDS: usize = 1000;

/// One record, without what is not ours to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspected {
    /// Whose journal.
    pub replica: String,
    /// Which boot's.
    pub boot_id: BootId,
    /// Its place in the boot.
    pub sequence: u64,
    /// `opened`, `sent`, `progress`, `ended` or `void`.
    pub kind: &'static str,
    /// The attempt, as `req_....0`.
    pub attempt: String,
    /// Public model name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// `provider/model`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
    /// Where the numbers come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_source: Option<&'static str>,
    /// Tokens counted; of an OPENED, the input estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// UTF-8 bytes of text delivered so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered_bytes: Option<u64>,
    /// What we pay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<NanoUsd>,
    /// What the customer owes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub charge_usd: Option<NanoUsd>,
}

/// The last `records_max` records below `dir`, in the order of boots and sequences; of one request only, if it is named.
///
/// # Errors
/// [`JournalError`] when something cannot be read, or is newer than this build.
pub fn inspect(dir: &Path, request: Option<RequestId>, records_max: usize) -> Result<Vec<Inspected>, JournalError> {
    let disk = OsDisk::shared();
    let mut last = VecDeque::new();
    for (boot_dir, replica) in boot_folders(disk.as_ref(), dir)? {
        let Some(boot_id) = boot_id_of(&boot_dir) else { continue };
        let mut reader = match BootReader::from_first(disk.clone(), &boot_dir, boot_id, Released::Unknown) {
            // Posted and removed in between.
            Err(error) if error.is_not_found() => continue,
            opened => opened?,
        };
        loop {
            let records = reader.read_batch(None, BATCH_RECORDS)?;
            if records.is_empty() {
                break;
            }
            for (sequence, record) in records {
                let is_asked = request.is_none_or(|request| record.attempt_id().request_id == request);
                if is_asked {
                    last.push_back(tell(&replica, boot_id, sequence, &record));
                }
                if last.len() > records_max {
                    last.pop_front();
                }
            }
        }
    }
    Ok(last.into())
}

fn tell(replica: &str, boot_id: BootId, sequence: u64, record: &Record) -> Inspected {
    let plain = |kind, attempt: AttemptId| Inspected {
        replica: replica.to_owned(),
        boot_id,
        sequence,
        kind,
        attempt: attempt.to_string(),
        model: None,
        target: None,
        outcome: None,
        usage_source: None,
        tokens: None,
        delivered_bytes: None,
        cost_usd: None,
        charge_usd: None,
    };
    let routed = |kind, admission: &Admission| Inspected {
        model: Some(admission.model.clone()),
        target: Some(admission.target.clone()),
        tokens: Some(admission.input_estimate),
        ..plain(kind, admission.id)
    };
    match record {
        Record::Opened(admission) => routed("opened", admission),
        Record::Sent(id) => plain("sent", *id),
        Record::Progress(progress) => Inspected {
            tokens: progress.reported.map(|usage| usage.total()),
            delivered_bytes: Some(progress.delivered_bytes),
            ..plain("progress", progress.id)
        },
        Record::Ended(entry) => Inspected {
            outcome: Some(entry.outcome.name()),
            usage_source: Some(entry.usage_source.name()),
            tokens: Some(tokens(entry)),
            cost_usd: entry.cost(),
            charge_usd: entry.charge(),
            ..routed("ended", &entry.admission)
        },
        Record::Void(id) => plain("void", *id),
    }
}

fn tokens(entry: &Entry) -> u64 {
    entry.lines.iter().map(|line| line.usage.total()).fold(0, u64::saturating_add)
}
