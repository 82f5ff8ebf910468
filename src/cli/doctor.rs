//! `tollgate doctor`: the report, for people and for scripts.

use http::Method;

use super::{
    CliError, Output,
    args::Cli,
    connect::{Admin, running},
    local,
};
use crate::{
    app::doctor::{Answer, Level, Report, examine, unreadable},
    config::{
        Config,
        load::{environment, load},
    },
};

/// Examines everything; a finding exits with 1.
pub(super) fn run(cli: &Cli) -> Result<Output, CliError> {
    let report = match load(cli.config.as_deref(), &environment()) {
        Err(mistakes) => unreadable(&mistakes),
        Ok(loaded) => runtime()?.block_on(async {
            let answer = ask(&loaded.config).await?;
            Ok::<_, CliError>(examine(&loaded.config, answer.as_ref()).await)
        })?,
    };
    let text = if cli.json { serde_json::to_string_pretty(&report).unwrap_or_default() } else { for_people(&report) };
    Ok(Output { text, finding: !report.ok })
}

/// Asks the running gateway whether it is ready, and nothing else; one that is not, or is not there, exits with 1.
pub(super) fn is_ready(cli: &Cli) -> Result<Output, CliError> {
    let config = local::load(cli)?.config;
    match runtime()?.block_on(ask(&config))? {
        None => Err(CliError::Failed("no gateway runs on this data folder".to_owned())),
        Some(Answer { status, body }) => Ok(Output { text: body, finding: status != 200 }),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| CliError::Failed(error.to_string()))
}

/// What a gateway on this data folder says of itself; none: none runs.
async fn ask(config: &Config) -> Result<Option<Answer>, CliError> {
    let Some(socket) = running(&config.server.data_dir).await else { return Ok(None) };
    let (status, body) = Admin::Socket(socket).send(Method::GET, "/readyz", None).await?;
    Ok(Some(Answer { status: status.as_u16(), body }))
}

fn for_people(report: &Report) -> String {
    let mut lines = Vec::new();
    for finding in &report.checks {
        let level = match finding.level {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Finding => "FINDING",
        };
        lines.push(format!("{level:<8} {:<13} {}", finding.check, finding.what));
        if !finding.advice.is_empty() {
            lines.push(format!("{:<22} -> {}", "", finding.advice));
        }
    }
    let findings = report.checks.iter().filter(|finding| finding.level == Level::Finding).count();
    lines.push(match findings {
        0 => format!("ok: {} things looked at, nothing to do", report.checks.len()),
        count => format!("{count} finding(s)"),
    });
    lines.join("\n")
}
