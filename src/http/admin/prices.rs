//! Prices: what is in force, what an import would change, what usage costs.

use std::collections::HashSet;

use axum::{Json, extract::State, http::StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollgate_core::id::CustomerId;
use utoipa::{IntoParams, ToSchema};

use super::{
    AdminState,
    lists::{List, Page, PageParams},
    problem::{Body, Problem},
};
use crate::{
    billing::rerate::{self, RerateError, Rerating, Scope},
    catalog::{
        BOOK_NAME_EXPECTED,
        import::{self, Format, Manner, Outcome, Row},
        is_book_name,
        quote::{Quote, UsageDialect, quote},
    },
    fleet::prices::{self, Decision, ReloadError},
    store::prices::PriceVersionRow,
};

/// What we pay, and no book.
const COST: &str = "cost";

/// Questions to quote.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Questions {
    /// JSON objects, one a line.
    lines: String,
    /// In whose terms their usage is.
    #[serde(default)]
    usage_dialect: UsageDialect,
}

/// Answers questions, each with one object, in their order.
#[utoipa::path(post, path = "/prices/quote", tag = "prices", request_body = Questions, responses((status = OK, body = Vec<Quote>)))]
pub(super) async fn quotes(State(state): State<AdminState>, Body(asked): Body<Questions>) -> Json<Vec<Quote>> {
    let catalog = state.catalog.load();
    let answers = asked.lines.lines().filter(|line| !line.trim().is_empty());
    Json(answers.map(|line| quote(&catalog, line, asked.usage_dialect)).collect())
}

/// A price file of another project.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportBody {
    /// Whose.
    from: Format,
    /// The file's name, for the source of its prices.
    name: String,
    /// The file.
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
    #[schema(value_type = Option<String>, format = DateTime)]
    valid_from: Option<Timestamp>,
}

/// What became of a file, or would become.
#[derive(Serialize, ToSchema)]
pub(super) struct Imported {
    /// Nothing was changed.
    dry_run: bool,
    /// Models that had no price.
    added: usize,
    /// Models whose price is another one.
    changed: usize,
    /// Models whose price is as the file says.
    unchanged: usize,
    /// Models imported but for something.
    partly: usize,
    /// Rows that were not imported.
    skipped: usize,
    /// Prices a thousand times off the ones before.
    refused: usize,
    /// New versions of prices and rules.
    versions: usize,
    /// What became of each row.
    rows: Vec<Row>,
}

/// Imports a file, or says what an import would change.
#[utoipa::path(post, path = "/prices/import", tag = "prices", request_body = ImportBody, responses((status = OK, body = Imported)))]
pub(super) async fn import(
    State(state): State<AdminState>,
    Body(body): Body<ImportBody>,
) -> Result<Json<Imported>, Problem> {
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
    let answer = Imported {
        dry_run: body.dry_run,
        added: counted(Outcome::Added),
        changed: counted(Outcome::Changed),
        unchanged: counted(Outcome::Unchanged),
        partly: counted(Outcome::Partly),
        skipped: counted(Outcome::Skipped),
        refused: counted(Outcome::Refused),
        versions: plan.costs.len().saturating_add(plan.rules.len()),
        rows: plan.rows,
    };
    let has_versions = !plan.costs.is_empty() || !plan.rules.is_empty();
    if has_versions && !body.dry_run {
        let store = &state.accounts.store;
        let together = prices::add(store, &current, (plan.costs, plan.rules), &state.replica, now_us).await?;
        state.catalog.store(together.into());
    }
    Ok(Json(answer))
}

/// How price files are put into force.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishBody {
    /// Take prices that are a thousand times off the ones before.
    #[serde(default)]
    force: bool,
}

/// Prices that are in force now.
#[derive(Serialize, ToSchema)]
pub(super) struct Published {
    /// How many versions.
    published: usize,
    /// Of all of them; the same prices have the same digest.
    digest: String,
}

/// Reads this gateway's price files anew and puts them into force for all.
#[utoipa::path(post, path = "/prices/publish", tag = "prices", request_body = PublishBody, responses((status = OK, body = Published)))]
pub(super) async fn publish(
    State(state): State<AdminState>,
    Body(body): Body<PublishBody>,
) -> Result<Json<Published>, Problem> {
    let _one_at_a_time = state.prices_lock.lock().await;
    let (current, now_us) = (state.catalog.load_full(), state.accounts.clock.unix_us());
    let dir = state.prices_dir.as_deref();
    let decision = if body.force { Decision::Forced } else { Decision::Decided };
    let together = prices::reload(&state.accounts.store, &current, dir, &state.replica, decision, now_us).await;
    let together = together.map_err(|error| match error {
        ReloadError::Store(error) => Problem::from(error),
        error => Problem::new(StatusCode::CONFLICT, "prices_refused", error.to_string()),
    })?;
    let answer = Published {
        published: together.cost_versions().len().saturating_add(together.book_versions().len()),
        digest: together.digest_of_prices(),
    };
    state.catalog.store(together.into());
    Ok(Json(answer))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryParams {
    /// `provider/model`, or `book:name/model`.
    r#for: String,
}

/// A version of a price or rule.
#[derive(Serialize, ToSchema)]
pub(super) struct KeptVersion {
    /// Its id, as entries name it.
    id: String,
    /// `cost`, `worker` or `book`.
    kind: String,
    /// When it applies, RFC 3339 UTC; null: since ever.
    #[schema(value_type = Option<String>, format = DateTime)]
    valid_from: Option<Timestamp>,
    /// When we knew, RFC 3339 UTC.
    #[schema(value_type = Option<String>, format = DateTime)]
    recorded_at: Option<Timestamp>,
    /// It is among the prices that are in force.
    in_force: bool,
    /// Where it was read.
    source: Option<String>,
    /// The prices, or the rule.
    #[schema(value_type = Object)]
    prices: Value,
}

/// Every version of a model's price or rule that was ever kept, oldest first.
#[utoipa::path(get, path = "/prices/history", tag = "prices", params(HistoryParams, PageParams), responses((status = OK, body = Page<KeptVersion>)))]
pub(super) async fn history(
    State(state): State<AdminState>,
    List(params, asked): List<HistoryParams, (Option<i64>, Option<i64>, String)>,
) -> Result<Json<Page<KeptVersion>>, Problem> {
    let catalog = state.catalog.load();
    let costs = catalog.cost_versions();
    let rules = catalog.book_versions();
    let in_force: HashSet<&str> = costs
        .iter()
        .map(|version| version.id.as_str())
        .chain(rules.iter().map(|version| version.id.as_str()))
        .collect();
    let kept = state.accounts.store.price_versions_of(&params.r#for).await?;
    let view = |row: PriceVersionRow| {
        let body: Value = serde_json::from_str(&row.body).unwrap_or(Value::Null);
        let time =
            |name: &str| body.get(name).and_then(Value::as_i64).and_then(|us| Timestamp::from_microsecond(us).ok());
        KeptVersion {
            valid_from: time("valid_from_us"),
            recorded_at: time("recorded_at_us"),
            in_force: in_force.contains(row.id.as_str()),
            source: body.get("source").and_then(Value::as_str).map(str::to_owned),
            prices: body.get("table").or_else(|| body.get("rule")).cloned().unwrap_or_default(),
            kind: row.kind,
            id: row.id,
        }
    };
    let us = |at: Option<Timestamp>| at.map(Timestamp::as_microsecond);
    let key = |version: &KeptVersion| (us(version.valid_from), us(version.recorded_at), version.id.clone());
    Ok(asked.page_of_all(kept.into_iter().map(view).collect(), key, |version| version))
}

/// Which entries to price again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RerateBody {
    /// Admitted at this time or later.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Admitted before this time.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// Of this customer.
    #[serde(default)]
    customer_id: Option<CustomerId>,
    /// Of this public model.
    #[serde(default)]
    model: Option<String>,
    /// Book the differences.
    #[serde(default)]
    apply: bool,
}

/// What pricing again came to.
#[derive(Serialize, ToSchema)]
pub(super) struct Rerated {
    /// Nothing was booked.
    dry_run: bool,
    #[serde(flatten)]
    rerating: Rerating,
}

/// Prices past entries again, and books the differences if told to.
#[utoipa::path(post, path = "/rerate", tag = "prices", request_body = RerateBody, responses((status = OK, body = Rerated)))]
pub(super) async fn rerate(
    State(state): State<AdminState>,
    Body(body): Body<RerateBody>,
) -> Result<Json<Rerated>, Problem> {
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
    Ok(Json(Rerated { dry_run: !body.apply, rerating }))
}
