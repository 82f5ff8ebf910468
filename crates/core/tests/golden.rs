//! Golden cases: recovery of training cost, worker cost, and prices computed by another library.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot go on stops there"
)]

use std::{fs, path::PathBuf};

use jiff::civil::Date;
use serde_json::Value;
use tollgate_core::{
    decimal::Decimal,
    money::NanoUsd,
    recovery::{Day, Projection, project, recovery},
    worker_cost::DeviceRate,
};

fn shared(name: &str) -> Option<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(name);
    let Ok(text) = fs::read_to_string(&path) else {
        eprintln!("skipped: {} is not there; the project's own cases still run", path.display());
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn amortization_cases(kind: &str) -> Vec<Value> {
    let own =
        fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/amortization_cases.json"))
            .unwrap();
    let mut all: Vec<Value> = serde_json::from_str(&own).unwrap();
    all.extend(shared("amortization_cases.json").into_iter().flat_map(|cases| cases.as_array().unwrap().clone()));
    all.retain(|case| case["kind"] == kind);
    all
}

fn nanousd(value: &Value) -> NanoUsd {
    NanoUsd::new(value.as_i64().unwrap())
}

#[test]
fn training_cost_is_recovered_as_the_golden_cases_say() {
    let cases = amortization_cases("recovery");
    assert!(!cases.is_empty());
    for case in cases {
        let id = &case["id"];
        let cost = nanousd(&case["input"]["training_cost_nanousd"]);
        let days: Vec<Day> = case["input"]["days"]
            .as_array()
            .unwrap()
            .iter()
            .map(|day| Day {
                day: day["day"].as_str().unwrap().parse().unwrap(),
                revenue: nanousd(&day["revenue_nanousd"]),
                cost: nanousd(&day["cost_nanousd"]),
            })
            .collect();
        let recovered = recovery(cost, &days).unwrap();
        let expected = &case["expected"];
        for (row, wanted) in recovered.rows.iter().zip(expected["rows"].as_array().unwrap()) {
            assert_eq!(row.day.to_string(), wanted["day"], "{id}");
            assert_eq!(row.recovered_by_revenue, nanousd(&wanted["recovered_by_revenue_nanousd"]), "{id} {}", row.day);
            assert_eq!(row.recovered_by_margin, nanousd(&wanted["recovered_by_margin_nanousd"]), "{id} {}", row.day);
        }
        let day = |day: Option<Date>| day.map_or(Value::Null, |day| day.to_string().into());
        assert_eq!(day(recovered.break_even_by_revenue), expected["break_even_by_revenue"], "{id}");
        assert_eq!(day(recovered.break_even_by_margin), expected["break_even_by_margin"], "{id}");
        assert_eq!(recovered.remaining_by_margin(cost), nanousd(&expected["remaining_by_margin_nanousd"]), "{id}");
    }
}

#[test]
fn busy_device_time_costs_what_the_golden_cases_say() {
    let cases = amortization_cases("worker_cost");
    assert!(cases.len() >= 2);
    for case in cases {
        let rate = DeviceRate {
            device_usd_per_hour: case["input"]["device_usd_per_hour"].as_str().unwrap().parse().unwrap(),
            device_watts: Decimal::ZERO,
            device_idle_watts: Decimal::ZERO,
            usd_per_kwh: Decimal::ZERO,
            pue: Decimal::ONE,
        };
        let cost = rate.busy_cost(case["input"]["busy_micros"].as_u64().unwrap(), 1).unwrap();
        assert_eq!(cost.round_half_even(), Ok(nanousd(&case["expected"]["cost_nanousd"])), "{}", case["id"]);
    }
}

#[test]
fn the_break_even_day_is_the_first_on_which_the_rate_has_brought_the_rest() {
    let today: Date = "2026-11-24".parse().unwrap();
    let on = |remaining, earned| project(NanoUsd::new(remaining), NanoUsd::new(earned), 28, today);
    assert_eq!(on(0, 0), Projection::Done);
    assert_eq!(on(10, 0), Projection::NeverAtThisRate);
    assert_eq!(on(10, -5), Projection::NeverAtThisRate);
    assert_eq!(on(28, 28), Projection::On("2026-12-22".parse().unwrap()));
    assert_eq!(on(29, 28), Projection::On("2026-12-23".parse().unwrap()));
    assert_eq!(on(i64::MAX, 1), Projection::NeverAtThisRate);
}
