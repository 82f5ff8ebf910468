//! Sets up structured logs, and counts what happens. Prompts, answers, keys and secrets never become a field or a label.

pub mod context;
pub mod exposition;
pub mod genai;
pub mod metrics;
pub mod names;
pub mod outlet;
pub mod series;
pub mod timing;
pub mod trace;

use std::{fs::File, io::Write};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, fmt};

/// Lines that wait to be written at most; beyond, they are given up and counted. Whoever reads slowly holds up nobody.
const LINES_MAX: usize = 8192;

/// The running log. Dropped, it writes what is left.
#[derive(Debug)]
pub struct Logs {
    _writer: WorkerGuard,
    dropped: ErrorCounter,
}

impl Logs {
    /// Lines that were given up.
    #[must_use]
    pub fn dropped(&self) -> ErrorCounter {
        self.dropped.clone()
    }
}

/// Starts logging to standard error: JSON lines, or plain text when `json` is false.
/// `filter` is a `tracing` directive such as `info` or `tollgate=debug`.
#[must_use]
pub fn init(filter: &str, json: bool) -> Logs {
    let (writer, logs) = behind(std::io::stderr());
    start(filter, json, writer);
    logs
}

/// Starts logging JSON lines to a file.
#[must_use]
pub fn init_file(filter: &str, file: File) -> Logs {
    let (writer, logs) = behind(file);
    start(filter, true, writer);
    logs
}

/// A writer that is done at once, and the thread that does the work.
fn behind(to: impl Write + Send + 'static) -> (NonBlocking, Logs) {
    let (writer, guard) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_MAX).thread_name("log").finish(to);
    let dropped = writer.error_counter();
    (writer, Logs { _writer: guard, dropped })
}

fn start(filter: &str, json: bool, writer: NonBlocking) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = fmt().with_env_filter(filter).with_writer(writer).with_target(false).with_ansi(false);
    // A second call (tests) finds a subscriber in place and changes nothing.
    let _already_set = if json { builder.json().flatten_event(true).try_init() } else { builder.try_init() };
}
