//! What the books say: prices, usage, requests, statements, training, economics, audit.

use std::path::PathBuf;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_core::{
    id::{CustomerId, RequestId},
    price::{BookRule, PriceTable},
    worker_cost::DeviceRate,
};

use super::{
    AdminState,
    problem::{Body, Id, Params, Problem},
};
use crate::{
    accounts::{NewTraining, receipts::ReceiptTraining},
    billing::{self, statement::Month},
    config::RecoveryBasis,
    reports,
    store::{
        rollups::{By, HOUR_US, Span},
        training::TrainingRow,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageParams {
    by: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

pub(super) async fn usage(
    State(state): State<AdminState>,
    Params(params): Params<UsageParams>,
) -> Result<Json<Value>, Problem> {
    let mut by: Vec<By> = Vec::new();
    for word in params.by.as_deref().unwrap_or("model").split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let group = match word {
            "key" => By::Key,
            "customer" => By::Customer,
            "model" => By::Model,
            "target" => By::Target,
            "day" => By::Day,
            other => {
                return Err(Problem::bad_request(
                    "invalid_query",
                    format!("by: `{other}` is not one of key, customer, model, target, day"),
                ));
            }
        };
        if !by.contains(&group) {
            by.push(group);
        }
    }
    let span = Span { from_us: hour(params.from, "from")?, to_us: hour(params.to, "to")?, customer_id: None };
    let data = reports::usage::usage(&state.accounts.store, &by, span).await?;
    Ok(Json(json!({ "data": data, "next": null })))
}

/// A time at a full hour: usage is kept by the hour.
fn hour(text: Option<String>, name: &str) -> Result<Option<i64>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let moment = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text };
    let at_us = moment.parse::<Timestamp>().map(Timestamp::as_microsecond);
    match at_us {
        Ok(at_us) if at_us % HOUR_US == 0 => Ok(Some(at_us)),
        Ok(_) => Err(Problem::bad_request(
            "invalid_query",
            format!("{name}: usage is kept by the hour; write a full hour such as 2026-11-24T15:00:00Z"),
        )),
        Err(_) => Err(Problem::bad_request(
            "invalid_query",
            format!("{name}: write a day (2026-11-24) or a time (2026-11-24T15:00:00Z)"),
        )),
    }
}

pub(super) async fn request(
    State(state): State<AdminState>,
    Id(id): Id<RequestId>,
) -> Result<Json<reports::request::RequestView>, Problem> {
    let view = reports::request::request_view(&state.accounts.store, id).await?;
    view.map(Json).ok_or_else(|| {
        Problem::missing(format!("request {id} in the books; entries appear within a second of the end"))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatementParams {
    customer: CustomerId,
    month: String,
    format: Option<String>,
}

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

pub(super) async fn training_runs(State(state): State<AdminState>) -> Result<Json<Value>, Problem> {
    let runs = state.accounts.store.trainings().await?;
    let data: Vec<Value> = runs.iter().map(training_view).collect();
    Ok(Json(json!({ "data": data, "next": null })))
}

pub(super) async fn add_training(
    State(state): State<AdminState>,
    Body(new): Body<NewTraining>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let run = state.accounts.add_training(new).await?;
    Ok((StatusCode::CREATED, Json(training_view(&run))))
}

pub(super) async fn add_training_from_receipt(
    State(state): State<AdminState>,
    Body(new): Body<ReceiptTraining>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let run = state.accounts.add_training_from_receipt(new).await?;
    Ok((StatusCode::CREATED, Json(training_view(&run))))
}

fn training_view(run: &TrainingRow) -> Value {
    json!({ "id": run.id, "model": run.model, "name": run.name, "cost_usd": run.cost, "in_service": run.in_service.to_string(), "source": run.source })
}

pub(super) async fn economics(State(state): State<AdminState>) -> Result<Json<reports::economics::Economics>, Problem> {
    let today = state.accounts.clock.today();
    let basis = basis_word(state.basis);
    Ok(Json(reports::economics::economics(&state.accounts.store, &state.workers, today, basis).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditParams {
    /// Files on the gateway's machine, one a line: what a query cannot repeat.
    #[serde(default)]
    archives: String,
}

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PricesParams {
    /// Part of what a price is for; none: all.
    #[serde(default)]
    r#for: String,
}

pub(super) async fn prices(State(state): State<AdminState>, Params(params): Params<PricesParams>) -> Json<Value> {
    let catalog = state.catalog.load();
    let costs = catalog.cost_versions().into_iter().map(|version| {
        json!({
            "id": version.id, "kind": "cost", "for": format!("{}/{}", version.provider, version.model),
            "valid_from": time(version.valid_from_us), "source": version.source, "table": version.table,
            "summary": summary(&version.table),
        })
    });
    let rates = catalog.rate_versions().into_iter().map(|version| {
        json!({
            "id": version.id, "kind": "worker", "for": version.worker, "valid_from": time(version.valid_from_us),
            "rate": version.rate, "summary": rate_summary(&version.rate),
        })
    });
    let rules = catalog.book_versions().into_iter().map(|version| {
        let summary = rule_summary(&version.rule);
        json!({
            "id": version.id, "kind": "book", "for": format!("{}: {}", version.book, version.model),
            "valid_from": time(version.valid_from_us), "rule": version.rule, "summary": summary,
        })
    });
    let wanted = |row: &Value| row.get("for").and_then(Value::as_str).is_some_and(|own| own.contains(&params.r#for));
    let data: Vec<Value> = costs.chain(rates).chain(rules).filter(wanted).collect();
    Json(json!({ "data": data, "next": null }))
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
    let variants = table.variants.iter().map(|_| "a variant".to_owned());
    prices.chain(units).chain(request).chain(tiers).chain(variants).collect::<Vec<_>>().join(", ")
}
