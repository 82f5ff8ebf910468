//! The time of workers: how much of it was busy, what the idle rest cost, and what a million tokens costs with and without it.
//!
//! Sums are made of differences between the counters of one run, as seen at the ends of hours. A run counts from its start,
//! also the part of it in which nobody looked; what nobody saw is booked to the hour in which it was seen next. Idle cost is
//! never part of a model's inference cost.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Serialize;
use tollgate_core::{
    exact::Exact,
    money::{MoneyOverflow, NanoUsd},
    worker_cost::DeviceRate,
};

use super::{economics::EconomicsError, usage::day_of};
use crate::{
    config::Worker,
    store::{
        Store,
        rollups::{By, Span, Sums},
        worker_hours::WorkerHourRow,
    },
};

/// A worker's time and what it cost, over all its runs. Times are microseconds of engine thread time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct WorkerTimeView {
    /// Name in the configuration.
    pub name: String,
    /// Starts that were seen.
    pub runs: u64,
    /// Uptime times engine threads.
    pub capacity_us: u64,
    /// Prefill and decode, as the worker counts them.
    pub busy_us: u64,
    /// The rest.
    pub idle_us: u64,
    /// Busy time that entries hold.
    pub attributed_us: u64,
    /// Busy time that no entry holds, such as that of requests under way; below zero when a worker died before it could
    /// say what its last requests took.
    pub unattributed_us: i64,
    /// Busy part of the capacity, such as `0.1234`; none without capacity.
    pub utilisation: Option<String>,
    /// Cost of the requests that it served: its busy time, by their entries.
    pub inference_cost_usd: NanoUsd,
    /// Cost of the idle time, apart from inference cost; none when some of it has no rate.
    pub idle_cost_usd: Option<NanoUsd>,
    /// Idle time for which the configuration has no rate.
    pub unpriced_idle_us: u64,
    /// Tokens of those requests.
    pub tokens: u64,
    /// Inference cost of a million tokens (usage basis); none without tokens.
    pub usd_per_mtok_usage: Option<NanoUsd>,
    /// Inference and idle cost of a million tokens (allocation basis); none without tokens or idle cost.
    pub usd_per_mtok_allocation: Option<NanoUsd>,
}

/// Every worker of the configuration, and those that only the books still know.
///
/// # Errors
/// [`EconomicsError`].
pub async fn workers(store: &Store, configured: &[Worker]) -> Result<Vec<WorkerTimeView>, EconomicsError> {
    let mut times: BTreeMap<String, WorkerTimeView> =
        configured.iter().map(|worker| (worker.name.clone(), nothing_yet())).collect();
    for hour in differences(store.worker_hours().await?) {
        let worker = configured.iter().find(|worker| worker.name == hour.counters.worker);
        let rate = worker.and_then(|worker| rate_on(worker, day_of(hour.counters.hour_us)));
        add_hour(times.entry(hour.counters.worker.clone()).or_insert_with(nothing_yet), &hour, rate)?;
    }
    for group in store.usage_by(&[By::Target], Span::default()).await? {
        let target = group.target.unwrap_or_default();
        let name = target.split_once('/').map_or("", |(provider, _)| provider);
        if let Some(time) = times.get_mut(name) {
            add_requests(time, &group.sums)?;
        }
    }
    let order = |name: &str| configured.iter().position(|worker| worker.name == name).unwrap_or(usize::MAX);
    let finished = times.into_iter().map(|(name, time)| finish(name, time));
    let mut finished = finished.collect::<Result<Vec<_>, MoneyOverflow>>()?;
    finished.sort_by_key(|time| order(&time.name));
    Ok(finished)
}

fn nothing_yet() -> WorkerTimeView {
    WorkerTimeView { idle_cost_usd: Some(NanoUsd::ZERO), ..WorkerTimeView::default() }
}

/// What passed in one run between two hours' last counters.
#[derive(Debug)]
struct Difference {
    counters: WorkerHourRow,
    first: bool,
    uptime_us: u64,
    busy_us: u64,
}

/// `rows` ascend by worker, run and hour.
fn differences(rows: Vec<WorkerHourRow>) -> Vec<Difference> {
    let mut before: Option<WorkerHourRow> = None;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let same_run = |before: &&WorkerHourRow| (&before.worker, &before.worker_id) == (&row.worker, &row.worker_id);
        let since = before.as_ref().filter(same_run);
        found.push(Difference {
            first: since.is_none(),
            uptime_us: row.uptime_us.saturating_sub(since.map_or(0, |before| before.uptime_us)),
            busy_us: row.busy_us.saturating_sub(since.map_or(0, |before| before.busy_us)),
            counters: row.clone(),
        });
        before = Some(row);
    }
    found
}

/// The rate of a day; none before the first.
fn rate_on(worker: &Worker, day: Date) -> Option<DeviceRate> {
    worker.rates.iter().rfind(|dated| dated.valid_from.is_none_or(|from| from <= day)).map(|dated| dated.rate)
}

fn add_hour(time: &mut WorkerTimeView, hour: &Difference, rate: Option<DeviceRate>) -> Result<(), MoneyOverflow> {
    let capacity_us = hour.uptime_us.saturating_mul(hour.counters.engine_threads.into());
    // Counters are read one after the other: a busy thread may be ahead of the uptime by a moment.
    let idle_us = capacity_us.saturating_sub(hour.busy_us);
    time.runs += u64::from(hour.first);
    time.capacity_us = time.capacity_us.saturating_add(capacity_us.max(hour.busy_us));
    time.busy_us = time.busy_us.saturating_add(hour.busy_us);
    time.idle_us = time.idle_us.saturating_add(idle_us);
    match rate {
        Some(rate) => {
            let cost = rate.idle_cost(idle_us, hour.counters.engine_threads)?.round_half_even()?;
            time.idle_cost_usd = time.idle_cost_usd.map(|sum| sum.checked_add(cost)).transpose()?;
        }
        None => {
            time.idle_cost_usd = None;
            time.unpriced_idle_us = time.unpriced_idle_us.saturating_add(idle_us);
        }
    }
    Ok(())
}

fn add_requests(time: &mut WorkerTimeView, sums: &Sums) -> Result<(), MoneyOverflow> {
    time.attributed_us = time.attributed_us.saturating_add(sums.worker_busy_us);
    time.tokens = time.tokens.saturating_add(sums.usage.total());
    time.inference_cost_usd = time.inference_cost_usd.checked_add(sums.cost)?;
    Ok(())
}

fn finish(name: String, time: WorkerTimeView) -> Result<WorkerTimeView, MoneyOverflow> {
    let with_idle = time.idle_cost_usd.map(|idle| time.inference_cost_usd.checked_add(idle)).transpose()?;
    let unattributed_us = i128::from(time.busy_us) - i128::from(time.attributed_us);
    Ok(WorkerTimeView {
        name,
        unattributed_us: i64::try_from(unattributed_us).unwrap_or(if unattributed_us < 0 {
            i64::MIN
        } else {
            i64::MAX
        }),
        utilisation: utilisation(time.busy_us, time.capacity_us),
        usd_per_mtok_usage: per_mtok(time.inference_cost_usd, time.tokens),
        usd_per_mtok_allocation: with_idle.and_then(|cost| per_mtok(cost, time.tokens)),
        ..time
    })
}

/// Four decimals, cut, without floats.
fn utilisation(busy_us: u64, capacity_us: u64) -> Option<String> {
    let parts = (u128::from(busy_us) * 10_000).checked_div(capacity_us.into())?;
    Some(format!("{}.{:04}", parts / 10_000, parts % 10_000))
}

fn per_mtok(cost: NanoUsd, tokens: u64) -> Option<NanoUsd> {
    let magnitude = u128::try_from(cost.get()).ok()?.checked_mul(1_000_000)?;
    if tokens == 0 { None } else { Exact::new(magnitude, tokens.into()).round_half_even().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DatedRate;

    fn row(worker_id: &str, hour: i64, uptime_us: u64, busy_us: u64) -> WorkerHourRow {
        WorkerHourRow {
            worker: "w".to_owned(),
            worker_id: worker_id.to_owned(),
            hour_us: hour * crate::store::rollups::HOUR_US,
            model: "m".to_owned(),
            model_sha256: "00".to_owned(),
            engine_threads: 2,
            uptime_us,
            busy_us,
            requests: 1,
        }
    }

    fn rate(usd_per_hour: &str) -> DeviceRate {
        let decimal = |text: &str| text.parse().unwrap();
        DeviceRate {
            device_usd_per_hour: decimal(usd_per_hour),
            device_watts: decimal("100"),
            device_idle_watts: decimal("10"),
            usd_per_kwh: decimal("0.50"),
            pue: decimal("2"),
        }
    }

    fn worker(rates: Vec<DatedRate>) -> Worker {
        Worker {
            name: "w".to_owned(),
            root_url: "http://127.0.0.1:1".to_owned(),
            base_url: "http://127.0.0.1:1/v1".to_owned(),
            models: vec!["m".to_owned()],
            rates,
            spawn: None,
        }
    }

    const HOUR: u64 = 3_600_000_000;

    #[test]
    fn a_new_run_counts_from_its_start_and_the_old_one_keeps_its_hours() {
        let rows =
            vec![row("a", 1, HOUR / 2, 100), row("a", 2, HOUR, 300), row("b", 2, HOUR / 4, 50), row("b", 5, HOUR, 60)];
        let mut time = nothing_yet();
        for hour in differences(rows) {
            add_hour(&mut time, &hour, Some(rate("1"))).unwrap();
        }
        assert_eq!((time.runs, time.capacity_us, time.busy_us), (2, 4 * HOUR, 360));
        assert_eq!(time.capacity_us, time.busy_us + time.idle_us);
        // Two hours of a two-thread device: 1 USD and 10 W x 2 x 0.50 USD a kWh = 0.01 USD each, less 360 us of
        // thread time at 0.14 nano-dollars; each hour of a run is rounded by itself.
        assert_eq!(time.idle_cost_usd, Some("2.019999950".parse().unwrap()));
    }

    #[test]
    fn idle_time_is_priced_by_the_day_and_without_a_rate_it_is_told_and_not_free() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        let dated = |from: &str, usd: &str| DatedRate { valid_from: Some(day(from)), rate: rate(usd) };
        let worker = worker(vec![dated("2026-01-02", "1"), dated("2026-01-03", "2")]);
        let on = |text: &str| rate_on(&worker, day(text)).map(|rate| rate.device_usd_per_hour.to_string());
        assert_eq!(on("2026-01-01"), None);
        assert_eq!(on("2026-01-02").as_deref(), Some("1"));
        assert_eq!(on("2030-01-01").as_deref(), Some("2"));
        let mut time = nothing_yet();
        for hour in differences(vec![row("a", 1, HOUR, 0)]) {
            add_hour(&mut time, &hour, None).unwrap();
        }
        assert_eq!((time.idle_cost_usd, time.unpriced_idle_us), (None, 2 * HOUR));
    }

    #[test]
    fn a_million_tokens_costs_more_with_the_idle_time_than_without() {
        let time = WorkerTimeView {
            capacity_us: 3,
            busy_us: 1,
            tokens: 3,
            inference_cost_usd: NanoUsd::new(6),
            idle_cost_usd: Some(NanoUsd::new(12)),
            ..WorkerTimeView::default()
        };
        let time = finish("w".to_owned(), time).unwrap();
        assert_eq!(time.usd_per_mtok_usage, Some(NanoUsd::new(2_000_000)));
        assert_eq!(time.usd_per_mtok_allocation, Some(NanoUsd::new(6_000_000)));
        assert_eq!(time.utilisation.as_deref(), Some("0.3333"));
        let none = finish("w".to_owned(), nothing_yet()).unwrap();
        assert_eq!((none.utilisation, none.usd_per_mtok_usage), (None, None));
    }
}
