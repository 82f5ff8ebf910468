//! What is left of damaged regions, copied aside: `dir/<replica>/quarantine/<boot>/`, with a report of what is missing.
//!
//! A finding stays until somebody has looked at it and deletes its folder: `journal verify` and the metrics count it.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};
use tollgate_core::id::BootId;

use crate::journal::{
    boot::boot_id_of,
    disk::{self, Disk},
    error::JournalError,
    gaps::{Place, Region},
    scan::SegmentScan,
};

/// Name of the folder in a replica's folder; no replica may have it.
pub(super) const FOLDER: &str = "quarantine";
const REPORT: &str = "report.json";

/// What one boot's journal has lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The boot.
    pub boot_id: BootId,
    /// Records that are missing.
    pub missing: u64,
    /// Damaged regions.
    pub damaged: u64,
    /// Each of them.
    pub regions: Vec<KeptRegion>,
}

/// One damaged region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRegion {
    /// The first missing record, or the one behind the damage when none is missing.
    pub first_sequence: u64,
    /// How many records are missing.
    pub missing: u64,
    /// Names of the files with what is left of them: `<segment>-<offset>.bytes`.
    pub files: Vec<String>,
}

/// Keeps regions of a boot; those that are kept already stay. Returns all of them.
pub(super) fn keep(
    disk: &dyn Disk,
    boot_dir: &Path,
    boot_id: BootId,
    regions: &[Region],
) -> Result<Report, JournalError> {
    let folder = disk::parent(boot_dir).join(FOLDER).join(boot_id.to_string());
    let failed = || JournalError::io("keep damaged bytes in", &folder);
    disk::make_dirs(disk, &folder).map_err(failed())?;
    let mut kept = read(disk, &folder).map_err(failed())?.map_or_else(Vec::new, |report| report.regions);
    for region in regions {
        let mut files = Vec::new();
        for place in &region.places {
            files.extend(copy(disk, boot_dir, &folder, place).map_err(failed())?);
        }
        let new = KeptRegion { first_sequence: region.first_sequence, missing: region.missing, files };
        // A region that has grown since.
        kept.retain(|old| old.first_sequence != new.first_sequence || old.missing > new.missing);
        if kept.iter().all(|old| old.first_sequence != new.first_sequence) {
            kept.push(new);
        }
    }
    let missing = kept.iter().map(|region| region.missing).sum();
    let damaged = disk::to_u64(kept.len());
    let report = Report { boot_id, missing, damaged, regions: kept };
    let text = serde_json::to_vec_pretty(&report).map_err(io::Error::other).map_err(failed())?;
    disk::write_durably(disk, &folder.join(REPORT), &text).map_err(failed())?;
    Ok(report)
}

/// The reports in a replica's folder, or wherever a quarantine is.
pub(super) fn reports(disk: &dyn Disk, replica_dir: &Path) -> Result<Vec<Report>, JournalError> {
    let mut reports = Vec::new();
    let folder = replica_dir.join(FOLDER);
    for boot in disk::folders(disk, &folder).map_err(JournalError::io("list", &folder))? {
        if boot_id_of(&boot).is_some() {
            reports.extend(read(disk, &boot).map_err(JournalError::io("read the report in", &boot))?);
        }
    }
    Ok(reports)
}

fn read(disk: &dyn Disk, folder: &Path) -> io::Result<Option<Report>> {
    let text = disk::read_small(disk, &folder.join(REPORT))?;
    text.map(|text| serde_json::from_slice(&text).map_err(io::Error::other)).transpose()
}

/// Copies what is left at a place, and gives the copy's name; none when nothing is.
fn copy(disk: &dyn Disk, boot_dir: &Path, folder: &Path, place: &Place) -> io::Result<Option<String>> {
    let mut scan = match SegmentScan::open(disk, boot_dir, place.segment) {
        // A segment that is gone as a whole.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let bytes = scan.copy(place.from, place.to)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let name = format!("{:08}-{}.bytes", place.segment, place.from);
    disk::write_durably(disk, &folder.join(&name), &bytes)?;
    Ok(Some(name))
}
