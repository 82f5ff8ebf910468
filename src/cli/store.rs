//! The commands that work on the database itself: migrate, backup, restore.

use std::path::Path;

use serde_json::json;

use super::{CliError, Output, args::Cli, chain, local};
use crate::{
    app::{
        AppError,
        backup::{self, Manifest},
    },
    config::Config,
    store::Store,
};

/// Brings the schema up to date.
pub(super) fn migrate(cli: &Cli) -> Result<Output, CliError> {
    let config = local::load(cli)?.config;
    let prepared = block_on(async {
        let store = Store::connect(&config.store.url).await?;
        store.migrate().await?;
        let prepared = store.prepare_statements().await?;
        store.close().await;
        Ok(prepared)
    })?;
    let text = json!({ "migrated": true, "statements": prepared }).to_string();
    Ok(Output::ok(if cli.json { text } else { format!("the schema is up to date; {prepared} statements fit it") }))
}

/// Writes the books into a folder.
pub(super) fn make_backup(cli: &Cli, dir: &Path) -> Result<Output, CliError> {
    let config = local::load(cli)?.config;
    let manifest = block_on(backup::backup(&config, dir))?;
    Ok(shown(
        cli,
        &config,
        "written",
        "is not on this machine as it was sealed: fetch it from the gateway that sealed it",
        &manifest,
    ))
}

/// Fills an empty database.
pub(super) fn restore(cli: &Cli, dir: &Path) -> Result<Output, CliError> {
    let config = local::load(cli)?.config;
    let manifest = block_on(backup::restore(&config, dir))?;
    Ok(shown(cli, &config, "restored", "was not in the backup: put it into [store] archive_dir", &manifest))
}

fn shown(cli: &Cli, config: &Config, what: &str, without: &str, manifest: &Manifest) -> Output {
    if cli.json {
        return Output::ok(serde_json::to_string_pretty(manifest).unwrap_or_default());
    }
    let rows = manifest.tables.iter().map(|table| format!("{:>12}  {}", table.rows, table.table));
    let pepper = match &config.pepper {
        Some(secret) => format!("{secret:?}"),
        None => config.server.data_dir.join("pepper").display().to_string(),
    };
    let note = format!("Keys work with the same pepper only, which is not in a backup: keep {pepper}, too.");
    let missing = manifest.archives.iter().filter(|sealed| !sealed.copied);
    let missing = missing.map(|sealed| format!("warning: {} ({} entries) {without}", sealed.file, sealed.entries));
    let what = format!("{what}: {} tables, {} sealed files", manifest.tables.len(), manifest.archives.len());
    Output::ok(rows.chain([what, note]).chain(missing).collect::<Vec<_>>().join("\n"))
}

fn block_on<T>(work: impl Future<Output = Result<T, AppError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::Failed(error.to_string()))?;
    runtime.block_on(work).map_err(|error| CliError::Failed(chain(&error)))
}
