//! The break-even page: what training cost, what is back, when the rest will be. Rendered on the server, no script.

use askama::Template;
use axum::{
    extract::State,
    http::header,
    response::{Html, IntoResponse, Response},
};
use tollgate_core::money::NanoUsd;

use super::{AdminState, books::basis_word, problem::Problem};
use crate::reports::economics::{BreakEven, DayView, Economics, ModelEconomics, economics};

const CSP: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// Size of the chart's plotting area, and room for its labels.
const WIDTH: i128 = 720;
const HEIGHT: i128 = 240;

#[derive(Template)]
#[template(path = "break_even.html")]
struct Page {
    report: Economics,
    models: Vec<ModelPage>,
}

struct ModelPage {
    model: ModelEconomics,
    by_revenue: String,
    by_margin: String,
    recovered_percent: String,
    chart: Chart,
}

struct Chart {
    revenue: String,
    margin: String,
    first_day: String,
    last_day: String,
    top: String,
}

pub(super) async fn break_even(State(state): State<AdminState>) -> Result<Response, Problem> {
    let today = state.accounts.clock.today();
    let report = economics(&state.accounts.store, &state.workers, today, basis_word(state.basis)).await?;
    let models = report.models.iter().map(|model| model_page(model, report.basis)).collect();
    let html = Page { report, models }.render().map_err(|error| {
        Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "page_failed", error.to_string())
    })?;
    let headers = [
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    Ok((headers, Html(html)).into_response())
}

pub(super) async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css")], include_str!("../../../templates/style.css"))
}

fn model_page(model: &ModelEconomics, basis: &str) -> ModelPage {
    let recovered = if basis == "margin" { model.recovered_by_margin_usd } else { model.recovered_by_revenue_usd };
    ModelPage {
        by_revenue: break_even_text(&model.break_even_by_revenue),
        by_margin: break_even_text(&model.break_even_by_margin),
        recovered_percent: percent(recovered, model.training_cost_usd),
        chart: chart(&model.days, model.training_cost_usd),
        model: model.clone(),
    }
}

fn break_even_text(break_even: &BreakEven) -> String {
    match (break_even.status, break_even.day) {
        ("reached", Some(day)) => format!("reached on {day}"),
        ("projected", Some(day)) => format!("{day}, at the present rate"),
        _ => "never at this rate".to_owned(),
    }
}

/// Per mille without floats, as `12.3 %`.
fn percent(part: NanoUsd, whole: NanoUsd) -> String {
    let per_mille = i128::from(part.get()) * 1000 / i128::from(whole.get()).max(1);
    format!("{}.{} %", per_mille / 10, per_mille % 10)
}

/// Lines of what is back, scaled to what has been recovered so far, so that a small beginning is seen.
fn chart(days: &[DayView], training_cost: NanoUsd) -> Chart {
    let highest = days.iter().map(|day| day.recovered_by_revenue_usd.max(day.recovered_by_margin_usd)).max();
    let highest = highest.filter(|amount| *amount > NanoUsd::ZERO).unwrap_or(training_cost);
    let last = i128::try_from(days.len()).unwrap_or(1).saturating_sub(1).max(1);
    let points = |amount: fn(&DayView) -> NanoUsd| {
        let point = |(index, day): (usize, &DayView)| {
            let x = i128::try_from(index).unwrap_or(0) * WIDTH / last;
            let y = HEIGHT - i128::from(amount(day).get()) * HEIGHT / i128::from(highest.get()).max(1);
            format!("{x},{y}")
        };
        // One day alone is drawn as a level line.
        let mut texts: Vec<String> = days.iter().enumerate().map(point).collect();
        if let (1, Some(only)) = (texts.len(), texts.first().cloned()) {
            texts.push(only.replacen("0,", &format!("{WIDTH},"), 1));
        }
        texts.join(" ")
    };
    Chart {
        revenue: points(|day| day.recovered_by_revenue_usd),
        margin: points(|day| day.recovered_by_margin_usd),
        first_day: days.first().map_or_else(String::new, |day| day.day.to_string()),
        last_day: days.last().map_or_else(String::new, |day| day.day.to_string()),
        top: highest.to_string(),
    }
}
