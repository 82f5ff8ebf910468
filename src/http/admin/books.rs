//! What the books say: prices, usage, requests, statements, training, economics, audit.

use std::path::PathBuf;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_core::{
    id::{CustomerId, RequestId, TrainingRunId},
    money::NanoUsd,
    price::{BookRule, PriceTable},
    worker_cost::DeviceRate,
};
use utoipa::{IntoParams, ToSchema};

use super::{
    AdminState,
    lists::{List, NoFilter, Page, PageParams},
    problem::{Body, Id, Params, Problem},
};
use crate::{
    accounts::{NewTraining, receipts::ReceiptTraining},
    billing::{self, statement::Month},
    config::RecoveryBasis,
    http::usage_query::{groups, hour},
    reports,
    store::{
        rollups::{By, Span},
        training::{Place, TrainingRow},
    },
};

/// Microseconds since 1970 as RFC 3339 UTC.
pub(super) fn time(at_us: i64) -> String {
    Timestamp::from_microsecond(at_us).unwrap_or_default().to_string()
}

/// The word for what pays back training.
pub(super) const fn basis_word(basis: RecoveryBasis) -> &'static str {
    match basis {
        RecoveryBasis::Revenue => "revenue",
        RecoveryBasis::Margin => "margin",
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageParams {
    /// Any of `key`, `customer`, `model`, `target`, `day`, with commas between; none: `model`.
    by: Option<String>,
    /// A day, or a time at a full hour, UTC.
    from: Option<String>,
    /// A day, or a time at a full hour, UTC; not in it.
    to: Option<String>,
}

/// Usage, cost and charge, summed by group, in the order of the groups.
#[utoipa::path(get, path = "/usage", tag = "books", params(UsageParams, PageParams), responses((status = OK, body = Page<reports::usage::UsageRow>)))]
pub(super) async fn usage(
    State(state): State<AdminState>,
    List(params, asked): List<UsageParams, Vec<String>>,
) -> Result<Json<Page<reports::usage::UsageRow>>, Problem> {
    let by = groups(params.by.as_deref(), &GROUPS).map_err(invalid_query)?;
    let (from, to) = (hour(params.from.as_deref(), "from"), hour(params.to.as_deref(), "to"));
    let span = Span { from_us: from.map_err(invalid_query)?, to_us: to.map_err(invalid_query)?, customer_id: None };
    let data = reports::usage::usage(&state.accounts.store, &by, span).await?;
    Ok(asked.page_of_all(data, |row| row.group(&by), |row| row))
}

const GROUPS: [(&str, By); 5] =
    [("key", By::Key), ("customer", By::Customer), ("model", By::Model), ("target", By::Target), ("day", By::Day)];

fn invalid_query(what: String) -> Problem {
    Problem::bad_request("invalid_query", what)
}

/// The books' word on one request.
#[utoipa::path(
    get, path = "/requests/{id}", tag = "books", params(("id" = RequestId, Path, description = "As `x-tollgate-request-id` says")),
    responses((status = OK, body = reports::request::RequestView))
)]
pub(super) async fn request(
    State(state): State<AdminState>,
    Id(id): Id<RequestId>,
) -> Result<Json<reports::request::RequestView>, Problem> {
    let view = reports::request::request_view(&state.accounts.store, id).await?;
    view.map(Json).ok_or_else(|| {
        Problem::missing(format!("request {id} in the books; entries appear within a second of the end"))
    })
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct StatementParams {
    /// Whose.
    customer: CustomerId,
    /// `2026-11`, UTC.
    month: String,
    /// `json` (default) or `csv`.
    format: Option<String>,
}

/// What a customer owes for a month.
#[utoipa::path(
    get, path = "/statements", tag = "books", params(StatementParams),
    responses((status = OK, content((billing::statement::Statement = "application/json"), (String = "text/csv"))))
)]
pub(super) async fn statement(
    State(state): State<AdminState>,
    Params(params): Params<StatementParams>,
) -> Result<Response, Problem> {
    let month = Month::parse(&params.month)?;
    let statement = billing::statement::statement(&state.accounts.store, params.customer, month).await?;
    match params.format.as_deref() {
        None | Some("json") => Ok(Json(statement).into_response()),
        Some("csv") => Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], statement.to_csv()?).into_response()),
        Some(other) => Err(Problem::bad_request("invalid_query", format!("format: `{other}` is not json or csv"))),
    }
}

/// A training run: a fixed cost to be earned back.
#[derive(Serialize, ToSchema)]
#[schema(as = TrainingRun)]
pub(super) struct TrainingView {
    /// Its id.
    id: TrainingRunId,
    /// Public model.
    model: String,
    /// Name of the run; one per model.
    name: String,
    /// What it cost.
    cost_usd: NanoUsd,
    /// First day on which revenue counts.
    #[schema(format = Date)]
    in_service: String,
    /// `config`, `added`, or the receipt that it was added from.
    source: String,
}

/// All training runs, by model, day and name.
#[utoipa::path(get, path = "/training-runs", tag = "economics", params(PageParams), responses((status = OK, body = Page<TrainingView>)))]
pub(super) async fn training_runs(
    State(state): State<AdminState>,
    List(NoFilter {}, asked): List<NoFilter, Place>,
) -> Result<Json<Page<TrainingView>>, Problem> {
    let runs = state.accounts.store.trainings_after(asked.after.as_ref(), asked.rows_max()).await?;
    Ok(asked.page(runs, TrainingRow::place, TrainingView::from))
}

/// Adds a training run.
#[utoipa::path(
    post, path = "/training-runs", tag = "economics", request_body = NewTraining, responses((status = CREATED, body = TrainingView))
)]
pub(super) async fn add_training(
    State(state): State<AdminState>,
    Body(new): Body<NewTraining>,
) -> Result<(StatusCode, Json<TrainingView>), Problem> {
    let run = state.accounts.add_training(new).await?;
    Ok((StatusCode::CREATED, Json(run.into())))
}

/// Adds a training run at the cost that its receipt proves.
#[utoipa::path(
    post, path = "/training-runs/from-receipt", tag = "economics", request_body = ReceiptTraining,
    responses((status = CREATED, body = TrainingView))
)]
pub(super) async fn add_training_from_receipt(
    State(state): State<AdminState>,
    Body(new): Body<ReceiptTraining>,
) -> Result<(StatusCode, Json<TrainingView>), Problem> {
    let run = state.accounts.add_training_from_receipt(new).await?;
    Ok((StatusCode::CREATED, Json(run.into())))
}

impl From<TrainingRow> for TrainingView {
    fn from(run: TrainingRow) -> Self {
        Self {
            id: run.id,
            model: run.model,
            name: run.name,
            cost_usd: run.cost,
            in_service: run.in_service.to_string(),
            source: run.source,
        }
    }
}

/// Per model: training cost, what is back, and when the rest will be.
#[utoipa::path(get, path = "/economics", tag = "economics", responses((status = OK, body = reports::economics::Economics)))]
pub(super) async fn economics(State(state): State<AdminState>) -> Result<Json<reports::economics::Economics>, Problem> {
    let today = state.accounts.clock.today();
    let basis = basis_word(state.basis);
    Ok(Json(reports::economics::economics(&state.accounts.store, &state.workers, today, basis).await?))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditParams {
    /// Files on the gateway's machine, one a line: what a query cannot repeat.
    #[serde(default)]
    archives: String,
}

/// Recomputes the books from their entries.
#[utoipa::path(get, path = "/audit", tag = "books", params(AuditParams), responses((status = OK, body = billing::audit::AuditReport)))]
pub(super) async fn audit(
    State(state): State<AdminState>,
    Params(params): Params<AuditParams>,
) -> Result<Json<billing::audit::AuditReport>, Problem> {
    let archives: Vec<PathBuf> = params.archives.lines().map(PathBuf::from).collect();
    let report = billing::audit::audit_with(&state.accounts.store, &archives).await?;
    if let Some(running) = &state.running {
        running.remembered.audited(&report, state.accounts.clock.unix_us());
    }
    Ok(Json(report))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PricesParams {
    /// Part of what a price is for; none: all.
    #[serde(default)]
    r#for: String,
}

/// What a version is of; lists have them in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum PriceKind {
    /// What we pay for a model.
    Cost,
    /// What a worker costs.
    Worker,
    /// What a customer owes.
    Book,
}

/// A price, device rate or rule in force.
#[derive(Serialize, ToSchema)]
#[schema(as = Price)]
pub(super) struct PriceView {
    /// The version, as entries name it.
    id: String,
    /// What it is of.
    kind: PriceKind,
    /// `provider/model`, a worker, or `book: model`.
    r#for: String,
    /// RFC 3339 UTC.
    #[schema(format = DateTime)]
    valid_from: String,
    /// Where it was read; of a `cost`.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// Where tiers and parts were read that the first source does not have; of a `cost`.
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_from: Option<String>,
    /// Of a `cost`.
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<PriceTable>,
    /// Of a `worker`.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<DeviceRate>,
    /// Of a `book`.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<BookRule>,
    /// In a line.
    summary: String,
}

/// Prices, device rates and rules in force, by kind and version.
#[utoipa::path(get, path = "/prices", tag = "prices", params(PricesParams, PageParams), responses((status = OK, body = Page<PriceView>)))]
pub(super) async fn prices(
    State(state): State<AdminState>,
    List(params, asked): List<PricesParams, (PriceKind, String)>,
) -> Json<Page<PriceView>> {
    let catalog = state.catalog.load();
    let costs = catalog.cost_versions().into_iter().map(|version| PriceView {
        id: version.id.clone(),
        kind: PriceKind::Cost,
        r#for: format!("{}/{}", version.provider, version.model),
        valid_from: time(version.valid_from_us),
        source: Some(version.source.clone()),
        completed_from: Some(version.completed_from.clone()).filter(|text| !text.is_empty()),
        table: Some(version.table.clone()),
        rate: None,
        rule: None,
        summary: summary(&version.table),
    });
    let rates = catalog.rate_versions().into_iter().map(|version| PriceView {
        id: version.id.clone(),
        kind: PriceKind::Worker,
        r#for: version.worker.clone(),
        valid_from: time(version.valid_from_us),
        source: None,
        completed_from: None,
        table: None,
        rate: Some(version.rate),
        rule: None,
        summary: rate_summary(&version.rate),
    });
    let rules = catalog.book_versions().into_iter().map(|version| PriceView {
        id: version.id.clone(),
        kind: PriceKind::Book,
        r#for: format!("{}: {}", version.book, version.model),
        valid_from: time(version.valid_from_us),
        source: None,
        completed_from: None,
        table: None,
        rate: None,
        rule: Some(version.rule.clone()),
        summary: rule_summary(&version.rule),
    });
    let rows = costs.chain(rates).chain(rules).filter(|row| row.r#for.contains(&params.r#for));
    asked.page_of_all(rows.collect(), |row| (row.kind, row.id.clone()), |row| row)
}

fn rate_summary(rate: &DeviceRate) -> String {
    let DeviceRate { device_usd_per_hour, device_watts, device_idle_watts, usd_per_kwh, pue } = rate;
    format!(
        "{device_usd_per_hour} an hour, {device_watts} W ({device_idle_watts} W idle) x {pue} at {usd_per_kwh} a kWh"
    )
}

fn rule_summary(rule: &BookRule) -> String {
    match rule {
        BookRule::MarginOverCost(margin) => format!("cost + {margin} x cost"),
        BookRule::Multiplier(factor) => format!("{factor} x cost"),
        BookRule::Absolute(table) => summary(table),
        BookRule::AtLeast { usd_per_request, rule } => {
            format!("{}, at least {usd_per_request} a request", rule_summary(rule))
        }
    }
}

fn summary(table: &PriceTable) -> String {
    let prices = table.usd_per_mtok.iter().map(|(rate, price)| format!("{} {price}", rate.name()));
    let units = table.usd_per_unit.iter().map(|(unit, price)| format!("{} {price} each", unit.name()));
    let request = table.usd_per_request.map(|price| format!("request {price}"));
    let tiers = table.tiers.iter().map(|tier| format!("other prices above {} tokens", tier.above_input_tokens));
    let variants = table.variants.iter().map(|variant| format!("other prices when {}", variant.when));
    prices.chain(units).chain(request).chain(tiers).chain(variants).collect::<Vec<_>>().join(", ")
}
