//! Prices: what is in force, what an import would change, what usage costs.

use axum::{Json, extract::State, http::StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    AdminState,
    problem::{Body, Problem},
};
use crate::{
    catalog::{
        import::{self, Format, Outcome},
        quote::{Quote, UsageDialect, quote},
    },
    fleet::prices,
};

/// Questions to quote.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Questions {
    /// JSON objects, one a line.
    lines: String,
    #[serde(default)]
    usage_dialect: UsageDialect,
}

/// Answers questions, each with one object, in their order.
pub(super) async fn quotes(State(state): State<AdminState>, Body(asked): Body<Questions>) -> Json<Vec<Quote>> {
    let catalog = state.catalog.load();
    let answers = asked.lines.lines().filter(|line| !line.trim().is_empty());
    Json(answers.map(|line| quote(&catalog, line, asked.usage_dialect)).collect())
}

/// A price file of another project.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportBody {
    from: Format,
    /// The file's name, for the source of its prices.
    name: String,
    text: String,
    /// Say what would change, and change nothing.
    #[serde(default)]
    dry_run: bool,
    /// What changes applies from this time on; none: from now on.
    #[serde(default)]
    valid_from: Option<Timestamp>,
}

/// Imports a file, or says what an import would change.
pub(super) async fn import(
    State(state): State<AdminState>,
    Body(body): Body<ImportBody>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let now_us = state.accounts.clock.unix_us();
    let day = Timestamp::from_microsecond(now_us).unwrap_or_default().to_string();
    let source = format!("{} {}, {}", body.from.name(), body.name, day.get(..10).unwrap_or_default());
    let read = import::read(body.from, &body.text, &source, now_us)
        .map_err(|error| Problem::bad_request("not_a_price_file", error.to_string()))?;
    let current = state.catalog.load_full();
    let from_us = body.valid_from.map_or(now_us, Timestamp::as_microsecond);
    let plan = import::plan(&current, read, from_us);
    let counted = |outcome| plan.count(outcome);
    let answer = json!({
        "dry_run": body.dry_run, "added": counted(Outcome::Added), "changed": counted(Outcome::Changed),
        "unchanged": counted(Outcome::Unchanged), "partly": counted(Outcome::Partly),
        "skipped": counted(Outcome::Skipped), "versions": plan.versions.len(), "rows": plan.rows,
    });
    if !body.dry_run && !plan.versions.is_empty() {
        let together =
            prices::add(&state.accounts.store, &current, (plan.versions, Vec::new()), "import", now_us).await?;
        state.catalog.store(together.into());
    }
    Ok((StatusCode::OK, Json(answer)))
}
