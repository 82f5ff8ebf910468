//! Per model: what training cost, what is back, what a million tokens earns, and when the rest will be back.

use std::collections::BTreeMap;

use jiff::{ToSpan, civil::Date};
use serde::Serialize;
use tollgate_core::{
    exact::Exact,
    money::{MoneyOverflow, NanoUsd},
    recovery::{Day, Projection, RATE_WINDOW_DAYS, Recovery, project, recovery},
};

use super::{
    usage::day_of,
    workers::{WorkerTimeView, workers},
};
use crate::{
    config::Worker,
    store::{
        Store, StoreError,
        rollups::{By, Span, Sums},
        training::TrainingRow,
    },
};

/// Days that a chart shows at most; earlier ones are summed into its first.
const CHART_DAYS_MAX: usize = 3660;

/// Why economics cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum EconomicsError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A sum does not fit.
    #[error(transparent)]
    Overflow(#[from] MoneyOverflow),
}

/// All models.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Economics {
    /// What pays back training: `revenue` or `margin`.
    pub basis: &'static str,
    /// The day of the report, UTC.
    #[schema(value_type = String, format = Date)]
    pub as_of: Date,
    /// Models with training runs.
    pub models: Vec<ModelEconomics>,
    /// Models that earn without one.
    pub without_training: Vec<ModelMargin>,
    /// Local workers: their idle time costs money, too, and is in no figure above.
    pub workers: Vec<WorkerTimeView>,
}

/// One model with training runs.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ModelEconomics {
    /// Public model.
    pub model: String,
    /// Its runs, by name.
    pub runs: Vec<String>,
    /// Where the cost of each comes from: `config`, `added`, or a receipt's hash and the scale of its cost.
    pub sources: Vec<String>,
    /// Day of the first.
    #[schema(value_type = String, format = Date)]
    pub in_service: Date,
    /// Sum of the runs.
    pub training_cost_usd: NanoUsd,
    /// Charges since it is in service.
    pub revenue_usd: NanoUsd,
    /// Inference cost since.
    pub cost_usd: NanoUsd,
    /// Revenue less cost.
    pub margin_usd: NanoUsd,
    /// Input and output tokens since.
    pub tokens: u64,
    /// Margin of a million tokens; none without tokens.
    pub margin_usd_per_mtok: Option<NanoUsd>,
    /// Accumulated revenue, at most the training cost.
    pub recovered_by_revenue_usd: NanoUsd,
    /// Accumulated margin, at least nothing, at most the training cost.
    pub recovered_by_margin_usd: NanoUsd,
    /// Left by revenue.
    pub remaining_by_revenue_usd: NanoUsd,
    /// Left by margin.
    pub remaining_by_margin_usd: NanoUsd,
    /// By revenue.
    pub break_even_by_revenue: BreakEven,
    /// By margin.
    pub break_even_by_margin: BreakEven,
    /// Days whose rate the projections use.
    pub rate_days: i64,
    /// Attempts without a price: not in the sums.
    pub unpriced: u64,
    /// Attempts whose usage is not the provider's last word.
    pub estimated: u64,
    /// For the chart, one a day.
    pub days: Vec<DayView>,
}

/// When training is back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct BreakEven {
    /// `reached`, `projected` or `never_at_this_rate`.
    pub status: &'static str,
    /// The day; none when never.
    #[schema(value_type = Option<String>, format = Date)]
    pub day: Option<Date>,
}

/// One day of a model.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub struct DayView {
    /// The day, UTC.
    #[schema(value_type = String, format = Date)]
    pub day: Date,
    /// Accumulated, at most the training cost.
    pub recovered_by_revenue_usd: NanoUsd,
    /// Accumulated, at most the training cost.
    pub recovered_by_margin_usd: NanoUsd,
}

/// A model without training runs.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ModelMargin {
    /// Public model.
    pub model: String,
    /// Charges.
    pub revenue_usd: NanoUsd,
    /// Inference cost.
    pub cost_usd: NanoUsd,
    /// Revenue less cost.
    pub margin_usd: NanoUsd,
}

/// The report as of `today`.
///
/// # Errors
/// [`EconomicsError`].
pub async fn economics(
    store: &Store,
    configured: &[Worker],
    today: Date,
    basis: &'static str,
) -> Result<Economics, EconomicsError> {
    let mut runs: BTreeMap<String, Vec<TrainingRow>> = BTreeMap::new();
    for run in store.trainings().await? {
        runs.entry(run.model.clone()).or_default().push(run);
    }
    let mut days: BTreeMap<String, BTreeMap<Date, Sums>> = BTreeMap::new();
    for group in store.usage_by(&[By::Model, By::Day], Span::default()).await? {
        let (Some(model), Some(day_us)) = (group.model, group.day_us) else { continue };
        days.entry(model).or_default().insert(day_of(day_us), group.sums);
    }
    let none = BTreeMap::new();
    let models = runs.iter().map(|(model, runs)| of_model(model, runs, days.get(model).unwrap_or(&none), today));
    let models = models.collect::<Result<_, _>>()?;
    let without =
        days.iter().filter(|(model, _)| !runs.contains_key(*model)).map(|(model, days)| margin_of(model, days));
    Ok(Economics {
        basis,
        as_of: today,
        models,
        without_training: without.collect::<Result<_, _>>()?,
        workers: workers(store, configured).await?,
    })
}

fn margin_of(model: &str, days: &BTreeMap<Date, Sums>) -> Result<ModelMargin, EconomicsError> {
    let revenue_usd = NanoUsd::sum(days.values().map(|sums| sums.charge))?;
    let cost_usd = NanoUsd::sum(days.values().map(|sums| sums.cost))?;
    Ok(ModelMargin { model: model.to_owned(), revenue_usd, cost_usd, margin_usd: revenue_usd.checked_sub(cost_usd)? })
}

fn of_model(
    model: &str,
    runs: &[TrainingRow],
    sums: &BTreeMap<Date, Sums>,
    today: Date,
) -> Result<ModelEconomics, EconomicsError> {
    let training_cost = NanoUsd::sum(runs.iter().map(|run| run.cost))?;
    let in_service = runs.iter().map(|run| run.in_service).min().unwrap_or(today);
    let counted: Vec<(Date, Sums)> = sums.range(in_service..).map(|(day, sums)| (*day, *sums)).collect();
    let days = dense(in_service, today, &counted);
    let recovered = recovery(training_cost, &days)?;
    let rate_days = i64::try_from(days.len()).unwrap_or(i64::MAX).clamp(1, RATE_WINDOW_DAYS);
    let window_from = today.checked_sub((rate_days - 1).days()).unwrap_or(in_service);
    let window = || days.iter().filter(|day| day.day >= window_from);
    let revenue_rate = NanoUsd::sum(window().map(|day| day.revenue))?;
    let margin_rate = revenue_rate.checked_sub(NanoUsd::sum(window().map(|day| day.cost))?)?;
    let tokens = counted.iter().map(|(_, sums)| sums.usage.total()).fold(0, u64::saturating_add);
    let margin = recovered.revenue.checked_sub(recovered.cost)?;
    let by_revenue = recovered.remaining_by_revenue(training_cost);
    let by_margin = recovered.remaining_by_margin(training_cost);
    Ok(ModelEconomics {
        model: model.to_owned(),
        runs: runs.iter().map(|run| run.name.clone()).collect(),
        sources: runs.iter().map(|run| run.source.clone()).collect(),
        in_service,
        training_cost_usd: training_cost,
        revenue_usd: recovered.revenue,
        cost_usd: recovered.cost,
        margin_usd: margin,
        tokens,
        margin_usd_per_mtok: per_mtok(margin, tokens),
        recovered_by_revenue_usd: training_cost.checked_sub(by_revenue)?,
        recovered_by_margin_usd: training_cost.checked_sub(by_margin)?,
        remaining_by_revenue_usd: by_revenue,
        remaining_by_margin_usd: by_margin,
        break_even_by_revenue: break_even(
            recovered.break_even_by_revenue,
            project(by_revenue, revenue_rate, rate_days, today),
        ),
        break_even_by_margin: break_even(
            recovered.break_even_by_margin,
            project(by_margin, margin_rate, rate_days, today),
        ),
        rate_days,
        unpriced: counted.iter().map(|(_, sums)| sums.unpriced).sum(),
        estimated: counted.iter().map(|(_, sums)| sums.estimated).sum(),
        days: chart(&recovered),
    })
}

/// One row a day from the first in service to today; days without requests earn nothing.
fn dense(in_service: Date, today: Date, counted: &[(Date, Sums)]) -> Vec<Day> {
    let by_day: BTreeMap<Date, &Sums> = counted.iter().map(|(day, sums)| (*day, sums)).collect();
    let mut days = Vec::new();
    let mut day = in_service;
    while day <= today {
        let sums = by_day.get(&day);
        days.push(Day {
            day,
            revenue: sums.map_or(NanoUsd::ZERO, |sums| sums.charge),
            cost: sums.map_or(NanoUsd::ZERO, |sums| sums.cost),
        });
        match day.tomorrow() {
            Ok(next) => day = next,
            Err(_) => break,
        }
    }
    days
}

fn chart(recovered: &Recovery) -> Vec<DayView> {
    let from = recovered.rows.len().saturating_sub(CHART_DAYS_MAX);
    let rows = recovered.rows.iter().skip(from);
    rows.map(|row| DayView {
        day: row.day,
        recovered_by_revenue_usd: row.recovered_by_revenue,
        recovered_by_margin_usd: row.recovered_by_margin,
    })
    .collect()
}

fn break_even(reached: Option<Date>, projection: Projection) -> BreakEven {
    match (reached, projection) {
        (Some(day), Projection::Done) => BreakEven { status: "reached", day: Some(day) },
        // Reached once and fallen below again since: the projection says when it is back for good.
        (_, Projection::On(day)) => BreakEven { status: "projected", day: Some(day) },
        (reached, Projection::Done) => BreakEven { status: "reached", day: reached },
        (_, Projection::NeverAtThisRate) => BreakEven { status: "never_at_this_rate", day: None },
    }
}

/// Margin of a million tokens, rounded half to even; the sign is kept apart because exact amounts have none.
fn per_mtok(margin: NanoUsd, tokens: u64) -> Option<NanoUsd> {
    let magnitude = u128::from(margin.get().unsigned_abs()).checked_mul(1_000_000)?;
    let rounded = Exact::new(magnitude, u128::from(tokens).max(1)).round_half_even().ok()?;
    let signed = if margin.get() < 0 { rounded.get().checked_neg()? } else { rounded.get() };
    (tokens > 0).then_some(NanoUsd::new(signed))
}
