//! Sets up structured logs, and counts what happens. Prompts, answers, keys and secrets never become a field or a label.

pub mod exposition;
pub mod metrics;
pub mod names;
pub mod outlet;
pub mod series;
pub mod timing;

use std::{fs::File, sync::Arc};

use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging to standard error: JSON lines, or plain text when `json` is false.
/// `filter` is a `tracing` directive such as `info` or `tollgate=debug`.
pub fn init(filter: &str, json: bool) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second call (tests) finds a subscriber in place and changes nothing.
    let _already_set = if json { builder.json().try_init() } else { builder.try_init() };
}

/// Starts logging JSON lines to a file.
pub fn init_file(filter: &str, file: File) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = fmt().with_env_filter(filter).with_writer(Arc::new(file)).with_target(false).with_ansi(false);
    let _already_set = builder.json().try_init();
}
