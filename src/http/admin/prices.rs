//! Prices: what is in force, what an import would change, what usage costs.

use std::collections::HashSet;

use axum::{Json, extract::State, http::StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_core::id::CustomerId;

use super::{
    AdminState,
    problem::{Body, Params, Problem},
};
use crate::{
    billing::rerate::{self, RerateError, Scope},
    catalog::{
        BOOK_NAME_EXPECTED,
        import::{self, Format, Manner, Outcome},
        is_book_name,
        quote::{Quote, UsageDialect, quote},
    },
    fleet::prices::{self, Decision, ReloadError},
};

/// What we pay, and no book.
const COST: &str = "cost";

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
    /// `cost`, or a price book; none: `cost`.
    #[serde(default)]
    into: Option<String>,
    /// Say what would change, and change nothing.
    #[serde(default)]
    dry_run: bool,
    /// Take prices that are a thousand times off the ones before.
    #[serde(default)]
    force: bool,
    /// What changes applies from this time on; none: from now on.
    #[serde(default)]
    valid_from: Option<Timestamp>,
}

/// Imports a file, or says what an import would change.
pub(super) async fn import(
    State(state): State<AdminState>,
    Body(body): Body<ImportBody>,
) -> Result<Json<Value>, Problem> {
    if body.into.as_deref().is_some_and(|into| !is_book_name(into)) {
        return Err(Problem::bad_request("invalid_book", BOOK_NAME_EXPECTED.to_owned()));
    }
    let now_us = state.accounts.clock.unix_us();
    let day = Timestamp::from_microsecond(now_us).unwrap_or_default().to_string();
    let source = format!("{} {}, {}", body.from.name(), body.name, day.get(..10).unwrap_or_default());
    let read = import::read(body.from, &body.text, &source, now_us)
        .map_err(|error| Problem::bad_request("not_a_price_file", error.to_string()))?;
    let _one_at_a_time = state.prices_lock.lock().await;
    let current = prices::follow(&state.accounts.store, &state.catalog.load()).await?;
    let manner = Manner {
        book: body.into.as_deref().filter(|into| *into != COST),
        from_us: body.valid_from.map_or(now_us, Timestamp::as_microsecond),
        is_forced: body.force,
    };
    let plan = import::plan(&current, read, manner);
    let counted = |outcome| plan.count(outcome);
    let answer = json!({
        "dry_run": body.dry_run, "added": counted(Outcome::Added), "changed": counted(Outcome::Changed),
        "unchanged": counted(Outcome::Unchanged), "partly": counted(Outcome::Partly),
        "skipped": counted(Outcome::Skipped), "refused": counted(Outcome::Refused),
        "versions": plan.costs.len() + plan.rules.len(), "rows": plan.rows,
    });
    let has_versions = !plan.costs.is_empty() || !plan.rules.is_empty();
    if has_versions && !body.dry_run {
        let store = &state.accounts.store;
        let together = prices::add(store, &current, (plan.costs, plan.rules), &state.replica, now_us).await?;
        state.catalog.store(together.into());
    }
    Ok(Json(answer))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishBody {
    #[serde(default)]
    force: bool,
}

/// Reads this gateway's price files anew and puts them into force for all.
pub(super) async fn publish(
    State(state): State<AdminState>,
    Body(body): Body<PublishBody>,
) -> Result<Json<Value>, Problem> {
    let _one_at_a_time = state.prices_lock.lock().await;
    let (current, now_us) = (state.catalog.load_full(), state.accounts.clock.unix_us());
    let dir = state.prices_dir.as_deref();
    let decision = if body.force { Decision::Forced } else { Decision::Decided };
    let together = prices::reload(&state.accounts.store, &current, dir, &state.replica, decision, now_us).await;
    let together = together.map_err(|error| match error {
        ReloadError::Store(error) => Problem::from(error),
        error => Problem::new(StatusCode::CONFLICT, "prices_refused", error.to_string()),
    })?;
    let answer = json!({
        "published": together.cost_versions().len() + together.book_versions().len(),
        "digest": together.digest_of_prices(),
    });
    state.catalog.store(together.into());
    Ok(Json(answer))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryParams {
    /// `provider/model`, or `book:name/model`.
    r#for: String,
}

/// Every version of a model's price or rule that was ever kept, oldest first.
pub(super) async fn history(
    State(state): State<AdminState>,
    Params(params): Params<HistoryParams>,
) -> Result<Json<Value>, Problem> {
    let catalog = state.catalog.load();
    let costs = catalog.cost_versions();
    let rules = catalog.book_versions();
    let in_force: HashSet<&str> = costs
        .iter()
        .map(|version| version.id.as_str())
        .chain(rules.iter().map(|version| version.id.as_str()))
        .collect();
    let kept = state.accounts.store.price_versions().await?;
    let prefix = format!("{}@", params.r#for);
    let mut versions: Vec<Value> = kept
        .values()
        // `provider/model@2026-01-01#…`: a model's name may have an @ of its own.
        .filter(|row| row.id.strip_prefix(&prefix).is_some_and(|rest| rest.find('#') == Some("2026-01-01".len())))
        .map(|row| {
            let body: Value = serde_json::from_str(&row.body).unwrap_or(Value::Null);
            let time = |name: &str| body.get(name).and_then(Value::as_i64).and_then(|us| Timestamp::from_microsecond(us).ok());
            json!({
                "id": row.id, "kind": row.kind, "valid_from": time("valid_from_us"), "recorded_at": time("recorded_at_us"),
                "in_force": in_force.contains(row.id.as_str()), "source": body.get("source"),
                "prices": body.get("table").or_else(|| body.get("rule")),
            })
        })
        .collect();
    let key = |version: &Value| {
        let text = |name: &str| version.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        (text("valid_from"), text("recorded_at"))
    };
    versions.sort_by_key(key);
    Ok(Json(json!({ "data": versions, "next": null })))
}

/// Which entries to price again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RerateBody {
    #[serde(default)]
    from: Option<Timestamp>,
    #[serde(default)]
    to: Option<Timestamp>,
    #[serde(default)]
    customer_id: Option<CustomerId>,
    #[serde(default)]
    model: Option<String>,
    /// Book the differences.
    #[serde(default)]
    apply: bool,
}

/// Prices past entries again, and books the differences if told to.
pub(super) async fn rerate(
    State(state): State<AdminState>,
    Body(body): Body<RerateBody>,
) -> Result<Json<Value>, Problem> {
    let scope = Scope {
        from_us: body.from.map(Timestamp::as_microsecond),
        to_us: body.to.map(Timestamp::as_microsecond),
        customer_id: body.customer_id,
        model: body.model,
    };
    let _one_at_a_time = state.prices_lock.lock().await;
    let (store, now_us) = (&state.accounts.store, state.accounts.clock.unix_us());
    let catalog = prices::follow(store, &state.catalog.load()).await?;
    let rerating = rerate::rerate(store, &catalog, &scope, now_us, body.apply).await.map_err(|error| match error {
        RerateError::Store(error) => Problem::from(error),
        RerateError::Overflow(error) => Problem::new(StatusCode::CONFLICT, "too_large", error.to_string()),
    })?;
    let mut answer = json!({ "dry_run": !body.apply });
    if let (Some(fields), Ok(Value::Object(rerating))) = (answer.as_object_mut(), serde_json::to_value(&rerating)) {
        fields.extend(rerating);
    }
    Ok(Json(answer))
}
