//! Commands. Each admin command is one request to the admin API, or one a page of a list: of the running gateway, found by
//! its socket, or, with none running, of the books opened in this process under the same lock.

mod args;
mod connect;
mod doctor;
mod journal;
mod local;
mod prices;
mod remote;
mod store;
mod table;
mod up;
mod workers;

use std::{io::Write, process::ExitCode};

use clap::Parser;

use self::args::{Cli, Command, ConfigCommand, JournalCommand, PricesCommand};

/// Everything went well.
const EXIT_OK: u8 = 0;
/// A finding: an audit difference, a mistake in a configuration, a refused command.
const EXIT_FINDING: u8 = 1;
/// The command line is wrong.
const EXIT_USAGE: u8 = 2;

/// What a command came to: text for standard output and whether it is a finding.
struct Output {
    text: String,
    finding: bool,
}

impl Output {
    fn ok(text: impl Into<String>) -> Self {
        Self { text: text.into(), finding: false }
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// Mistakes in configuration or price tables, one a line.
    #[error("{0}")]
    Mistakes(String),
    /// The admin API refused, in its words.
    #[error("{0}")]
    Refused(String),
    /// The gateway cannot be reached or started.
    #[error("{0}")]
    Failed(String),
    /// The command line is wrong in a way that clap cannot see.
    #[error("{0}")]
    Usage(String),
}

/// An error and its causes; a cause that its error has told already is not told again.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let told = cause.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        source = cause.source();
    }
    text
}

/// Parses the command line and runs the command.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { EXIT_USAGE } else { EXIT_OK };
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    let (text, code, to_stderr) = match run(&cli) {
        Ok(output) => (output.text, if output.finding { EXIT_FINDING } else { EXIT_OK }, false),
        Err(CliError::Usage(what)) => (what, EXIT_USAGE, true),
        Err(error) => (error.to_string(), EXIT_FINDING, true),
    };
    // A reader that has gone (`| head`) is no error of ours.
    let _closed = if to_stderr {
        writeln!(std::io::stderr(), "{}", text.trim_end())
    } else if text.is_empty() {
        Ok(())
    } else {
        writeln!(std::io::stdout(), "{}", text.trim_end())
    };
    ExitCode::from(code)
}

fn run(cli: &Cli) -> Result<Output, CliError> {
    match &cli.command {
        Command::Serve => local::serve(cli),
        Command::Up(args) => up::run(cli, args),
        Command::Check => local::check(cli),
        Command::Doctor { ready: false } => doctor::run(cli),
        Command::Doctor { ready: true } => doctor::is_ready(cli),
        Command::Init { path } => local::init(path),
        Command::Config(ConfigCommand::Show) => local::config_show(cli),
        Command::Config(ConfigCommand::Schema) => local::config_schema(),
        Command::Migrate => store::migrate(cli),
        Command::Prices(PricesCommand::Check { dir }) => prices::check(cli, dir.as_deref()),
        Command::Prices(PricesCommand::Schema) => prices::schema(),
        Command::Prices(PricesCommand::Convert(args)) => prices::convert(args),
        Command::Prices(PricesCommand::Diff(args)) => prices::import(cli, args, true),
        Command::Prices(PricesCommand::Quote(args)) => prices::quote(cli, args),
        Command::Prices(PricesCommand::Import(args)) => prices::import(cli, args, args.dry_run),
        Command::Backup { dir } => store::make_backup(cli, dir),
        Command::Restore { dir } => store::restore(cli, dir),
        Command::Journal(JournalCommand::Verify { dir }) if cli.admin_url.is_none() => {
            journal::verify(cli, dir.as_deref())
        }
        Command::Journal(JournalCommand::Inspect { dir, request, limit }) => {
            journal::inspect(cli, dir.as_deref(), request.as_deref(), *limit)
        }
        command => remote::run(cli, command),
    }
}
