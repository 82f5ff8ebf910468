//! Checks a whole journal folder and counts what is there and what is not. Reads only, and needs no lock.

use std::path::Path;

use crate::journal::{boot::all_boots, error::JournalError, reader::BootReader};

/// What a journal folder holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Intact records.
    pub records: u64,
    /// Records that were durable and are missing.
    pub missing: u64,
    /// Gaps that the missing ones leave.
    pub damaged: u64,
}

/// Reads every boot of every replica below `dir`. Segments that were released at the beginning of a boot are not missing.
///
/// # Errors
/// [`JournalError::Io`] when something cannot be read.
pub fn verify(dir: &Path) -> Result<Report, JournalError> {
    let mut report = Report::default();
    for (boot_dir, boot_id) in all_boots(dir)? {
        let mut reader = BootReader::from_first(&boot_dir, boot_id)?;
        while reader.next_frame(None)?.is_some() {
            report.records += 1;
        }
        report.missing += reader.damage().missing;
        report.damaged += reader.damage().damaged_regions;
    }
    Ok(report)
}
