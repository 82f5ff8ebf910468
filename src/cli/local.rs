//! The commands that need no admin API: run the gateway, check and show its configuration.

use std::{fs::OpenOptions, io::Write, path::Path};

use serde_json::json;

use super::{CliError, Output, args::Cli};
use crate::{
    app, catalog,
    config::{
        DEFAULT_TOML,
        load::{Loaded, environment, load as load_config},
        schema::json_schema,
    },
    telemetry,
};

/// Loads the configuration, or says every mistake in it.
pub(super) fn load(cli: &Cli) -> Result<Loaded, CliError> {
    load_config(cli.config.as_deref(), &environment()).map_err(|mistakes| lines(&mistakes))
}

pub(super) fn lines(mistakes: &[impl ToString]) -> CliError {
    CliError::Mistakes(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// Runs the gateway until it is told to stop.
pub(super) fn serve(cli: &Cli) -> Result<Output, CliError> {
    let filter = environment().get("TOLLGATE_LOG").cloned().unwrap_or_else(|| "info".to_owned());
    #[cfg(feature = "failpoints")]
    if let Some(text) = environment().get(crate::failpoint::VARIABLE) {
        crate::failpoint::arm(text).map_err(CliError::Usage)?;
    }
    let config = load(cli)?.config;
    let logs = telemetry::init(&filter, config.telemetry.log_json);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::Failed(error.to_string()))?;
    runtime.block_on(app::run(config, &logs)).map_err(|error| CliError::Failed(super::chain(&error)))?;
    Ok(Output::ok(""))
}

/// Validates configuration and price tables; starts nothing.
pub(super) fn check(cli: &Cli) -> Result<Output, CliError> {
    let loaded = load_config(cli.config.as_deref(), &environment());
    let prices_dir = loaded.as_ref().ok().and_then(|loaded| loaded.config.prices.dir.clone());
    let workers = loaded.as_ref().map_or(&[][..], |loaded| &loaded.config.workers);
    let catalog = catalog::load_configured(prices_dir.as_deref()).map(|catalog| catalog.with_workers(workers));
    let mut mistakes: Vec<String> = loaded.as_ref().err().into_iter().flatten().map(ToString::to_string).collect();
    mistakes.extend(catalog.as_ref().err().into_iter().flatten().map(ToString::to_string));
    let mut notes = Vec::new();
    if let (Ok(loaded), Ok(catalog)) = (&loaded, &catalog) {
        (mistakes, notes) = app::check_together(&loaded.config, catalog);
    }
    let good = mistakes.is_empty();
    let text = if cli.json {
        json!({ "ok": good, "mistakes": mistakes, "notes": notes }).to_string()
    } else {
        let verdict = if good {
            "ok: configuration and price tables are valid".to_owned()
        } else {
            format!("{} mistake(s)", mistakes.len())
        };
        mistakes
            .into_iter()
            .chain(notes.into_iter().map(|note| format!("note: {note}")))
            .chain([verdict])
            .collect::<Vec<_>>()
            .join("\n")
    };
    Ok(Output { text, finding: !good })
}

/// Shows every effective value and where it came from.
pub(super) fn config_show(cli: &Cli) -> Result<Output, CliError> {
    let loaded = load(cli)?;
    if cli.json {
        return Ok(Output::ok(serde_json::to_string_pretty(&loaded.effective).unwrap_or_default()));
    }
    let rows: Vec<_> = loaded.effective.iter().filter_map(|value| serde_json::to_value(value).ok()).collect();
    Ok(Output::ok(super::table::render(&rows, &[("OPTION", "option"), ("VALUE", "value"), ("FROM", "from")])))
}

/// Prints the JSON schema of the configuration.
pub(super) fn config_schema() -> Result<Output, CliError> {
    Ok(Output::ok(serde_json::to_string_pretty(&json_schema()).unwrap_or_default()))
}

/// Writes the commented default configuration; never over an existing file.
pub(super) fn init(path: &Path) -> Result<Output, CliError> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(DEFAULT_TOML.as_bytes()));
    match written {
        Ok(()) => Ok(Output::ok(format!("wrote {}; `tollgate check` validates it", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(CliError::Failed(format!("{} exists already; it was not changed", path.display())))
        }
        Err(error) => Err(CliError::Failed(format!("{}: {error}", path.display()))),
    }
}
