//! Journal commands that read files and need no gateway: they work beside a running one and on a folder from elsewhere.

use std::path::{Path, PathBuf};

use super::{
    CliError, Output,
    args::Cli,
    chain, local,
    table::{Column, render, render_object},
};
use crate::journal::{error::JournalError, inspect::inspect as inspect_journal, verify::verify as verify_journal};

const COLUMNS: &[Column] = &[
    ("BOOT", "boot_id"),
    ("SEQUENCE", "sequence"),
    ("KIND", "kind"),
    ("ATTEMPT", "attempt"),
    ("MODEL", "model"),
    ("TARGET", "target"),
    ("OUTCOME", "outcome"),
    ("SOURCE", "usage_source"),
    ("TOKENS", "tokens"),
    ("COST USD", "cost_usd"),
    ("CHARGE USD", "charge_usd"),
];

/// Reads every record of a folder; a finding when one is missing or damaged.
pub(super) fn verify(cli: &Cli, dir: Option<&Path>) -> Result<Output, CliError> {
    let report = verify_journal(&folder(cli, dir)?).map_err(failed)?;
    let value = serde_json::to_value(report).unwrap_or_default();
    let text = if cli.json { value.to_string() } else { render_object(&value) };
    Ok(Output { text, finding: report.missing > 0 || report.damaged > 0 })
}

/// Prints the last records of a folder.
pub(super) fn inspect(
    cli: &Cli,
    dir: Option<&Path>,
    request: Option<&str>,
    records_max: usize,
) -> Result<Output, CliError> {
    if cli.admin_url.is_some() {
        return Err(CliError::Usage(
            "inspect reads files: run it where the journal is, without --admin-url".to_owned(),
        ));
    }
    let request = request.map(|id| id.parse().map_err(|error| CliError::Usage(format!("{error}")))).transpose()?;
    let records = inspect_journal(&folder(cli, dir)?, request, records_max).map_err(failed)?;
    if cli.json {
        return Ok(Output::ok(serde_json::to_string_pretty(&records).unwrap_or_default()));
    }
    let rows: Vec<_> = records.iter().filter_map(|record| serde_json::to_value(record).ok()).collect();
    Ok(Output::ok(render(&rows, COLUMNS)))
}

/// The folder that is meant. One that is named must be there.
fn folder(cli: &Cli, dir: Option<&Path>) -> Result<PathBuf, CliError> {
    match dir {
        None => Ok(local::load(cli)?.config.journal.dir),
        Some(dir) => dir.canonicalize().map_err(|error| CliError::Failed(format!("{}: {error}", dir.display()))),
    }
}

fn failed(error: JournalError) -> CliError {
    CliError::Failed(chain(&error))
}
