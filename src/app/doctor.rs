//! `tollgate doctor`: looks at what a gateway of this configuration needs and says of each thing whether it is well, and what to
//! do where it is not. Changes nothing, and works beside a running gateway.

mod books;
mod disk;
mod host;
mod providers;
mod secrets;

use std::path::Path;

use serde::Serialize;

use super::check_together;
use crate::{
    catalog,
    clock::Clock,
    config::{Config, Mistake},
};

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Well.
    Ok,
    /// To be known; nothing is wrong.
    Note,
    /// Something is to be done.
    Finding,
}

/// What was found of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which thing: a word of a fixed list.
    pub check: &'static str,
    /// How it is.
    pub level: Level,
    /// What was seen.
    pub what: String,
    /// What to do; empty when there is nothing to do.
    pub advice: String,
}

impl Finding {
    fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, what: what.into(), advice: String::new() }
    }

    fn note(check: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, level: Level::Note, what: what.into(), advice: advice.into() }
    }

    fn bad(check: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, level: Level::Finding, what: what.into(), advice: advice.into() }
    }
}

/// What an examination came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The build that looked.
    pub version: &'static str,
    /// No finding.
    pub ok: bool,
    /// In the order in which it was looked at.
    pub checks: Vec<Finding>,
}

impl Report {
    fn new(checks: Vec<Finding>) -> Self {
        let ok = checks.iter().all(|finding| finding.level != Level::Finding);
        Self { version: env!("CARGO_PKG_VERSION"), ok, checks }
    }
}

/// What a running gateway says of itself.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status of its `/readyz`.
    pub status: u16,
    /// Its body.
    pub body: String,
}

/// The report on a configuration that cannot be read: nothing else can be looked at.
#[must_use]
pub fn unreadable(mistakes: &[Mistake]) -> Report {
    let bad = |mistake: &Mistake| {
        Finding::bad("config", mistake.to_string(), "correct it; `tollgate config schema` is the schema for editors")
    };
    Report::new(mistakes.iter().map(bad).collect())
}

/// Looks at everything. `running` is what a gateway on this data folder answered; none: none runs.
pub async fn examine(config: &Config, running: Option<&Answer>) -> Report {
    let clock = Clock::system();
    let mut checks = vec![Finding::ok("version", format!("tollgate {}", env!("CARGO_PKG_VERSION")))];
    prices(config, &mut checks);
    secrets::examine(config, &mut checks);
    disk::examine(config, &clock, &mut checks);
    host::examine(config, &clock, running, &mut checks);
    if let Some(files) = &config.server.tls {
        checks.extend(host::certificate(files, &clock));
    }
    books::examine(config, &mut checks).await;
    providers::examine(config, &clock, running.is_some(), &mut checks).await;
    Report::new(checks)
}

/// Configuration and price tables, by themselves and together.
fn prices(config: &Config, checks: &mut Vec<Finding>) {
    let catalog = match catalog::load_configured(config.prices.dir.as_deref()) {
        Ok(catalog) => catalog.with_workers(&config.workers),
        Err(mistakes) => {
            let bad = |mistake: Mistake| {
                Finding::bad(
                    "prices",
                    mistake.to_string(),
                    "correct the price table; `tollgate prices check` lists all",
                )
            };
            return checks.extend(mistakes.into_iter().map(bad));
        }
    };
    let (mistakes, notes) = check_together(config, &catalog);
    let is_price = |text: &String| text.contains("price");
    if !mistakes.iter().any(|mistake| !is_price(mistake)) {
        checks.push(Finding::ok("config", "the configuration is valid"));
    }
    if !mistakes.iter().chain(&notes).any(is_price) {
        checks.push(Finding::ok("prices", "every model of the configuration has a price in force"));
    }
    let named = |text: &String| if is_price(text) { "prices" } else { "config" };
    let advice = "`tollgate check` explains; docs/prices.md has the form of price tables";
    checks.extend(mistakes.iter().map(|text| Finding::bad(named(text), text.clone(), advice)));
    checks.extend(notes.iter().map(|text| Finding::note(named(text), text.clone(), advice)));
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
