//! Checks a journal folder and counts what is there and what is not. Reads only, and needs no lock.

use std::{collections::BTreeSet, path::Path};

use crate::journal::{
    boot::{boot_folders, boot_id_of},
    disk::{self, Disk, SharedDisk, os::OsDisk},
    error::JournalError,
    quarantine,
    reader::{BootReader, Released},
};

/// What a journal folder holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[schema(as = JournalReport)]
pub struct Report {
    /// Intact records.
    pub records: u64,
    /// Records that were durable and are missing, those of the quarantine included.
    pub missing: u64,
    /// Gaps that the missing ones leave, and damaged places that no record is missing from.
    pub damaged: u64,
}

/// Reads every boot below `dir`: a journal folder, one replica's or one boot's. Segments that were released at the
/// beginning of a boot are not missing.
///
/// # Errors
/// [`JournalError::Io`] when something cannot be read, [`JournalError::NewerFormat`] when a later build must read it.
pub fn verify(dir: &Path) -> Result<Report, JournalError> {
    verify_on(&OsDisk::shared(), dir)
}

pub(super) fn verify_on(disk: &SharedDisk, dir: &Path) -> Result<Report, JournalError> {
    let mut report = Report::default();
    let mut kept = quarantined(disk.as_ref(), dir)?;
    for (boot_dir, _replica) in boot_folders(disk.as_ref(), dir)? {
        let Some(boot_id) = boot_id_of(&boot_dir) else { continue };
        let mut reader = match BootReader::from_first(disk.clone(), &boot_dir, boot_id, Released::Unknown) {
            // Posted and removed in between.
            Err(error) if error.is_not_found() => continue,
            opened => opened?,
        };
        while reader.next_frame(None)?.is_some() {
            report.records += 1;
        }
        let damage = reader.damage();
        // What is quarantined and still in its folder is one finding.
        let known = kept.iter().position(|report| report.boot_id == boot_id).map(|at| kept.swap_remove(at));
        report.missing += damage.missing.max(known.as_ref().map_or(0, |known| known.missing));
        report.damaged += damage.damaged_regions.max(known.as_ref().map_or(0, |known| known.damaged));
    }
    report.missing += kept.iter().map(|report| report.missing).sum::<u64>();
    report.damaged += kept.iter().map(|report| report.damaged).sum::<u64>();
    Ok(report)
}

/// The reports of every quarantine that belongs to a folder.
fn quarantined(disk: &dyn Disk, dir: &Path) -> Result<Vec<quarantine::Report>, JournalError> {
    if boot_id_of(dir).is_some() {
        return Ok(Vec::new());
    }
    let inner = disk::folders(disk, dir).map_err(JournalError::io("list", dir))?;
    let places: BTreeSet<_> = inner.into_iter().chain([dir.to_owned()]).collect();
    let mut reports = Vec::new();
    for place in places {
        reports.extend(quarantine::reports(disk, &place)?);
    }
    Ok(reports)
}
