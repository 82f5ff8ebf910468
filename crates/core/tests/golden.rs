//! Golden cases: recovery of training cost, worker cost, and prices computed by another library.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    reason = "a test that cannot go on stops there"
)]

use std::{fs, path::PathBuf};

use jiff::civil::Date;
use serde_json::Value;
use tollgate_core::{
    decimal::Decimal,
    money::NanoUsd,
    price::{PriceTable, Rates, Tier, TierApplies, price},
    recovery::{Day, Projection, project, recovery},
    usage::Usage,
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

/// Keys of the other library's price object that this build has buckets for.
const KEYS: &[&str] = &["input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok"];

fn matches(rule: &Value, model: &str) -> bool {
    let (name, value) = rule.as_object().unwrap().iter().next().unwrap();
    let text = || value.as_str().unwrap();
    match name.as_str() {
        "equals" => model == text(),
        "starts_with" => model.starts_with(text()),
        "ends_with" => model.ends_with(text()),
        "contains" => model.contains(text()),
        "or" => value.as_array().unwrap().iter().any(|rule| matches(rule, model)),
        "and" => value.as_array().unwrap().iter().all(|rule| matches(rule, model)),
        _ => false,
    }
}

/// The table of a model in the other library's file, or why this build cannot express it.
fn table_of(prices: &Value) -> Result<PriceTable, &'static str> {
    let object = prices.as_object().ok_or("dated or time-of-day prices")?;
    let mut base = Rates::default();
    let mut tiers: Vec<Tier> = Vec::new();
    for (key, value) in object {
        if !KEYS.contains(&key.as_str()) {
            return Err("a unit without a bucket");
        }
        let set = |rates: &mut Rates, value: &Value| {
            let price = Some(value.to_string().parse().unwrap());
            match key.as_str() {
                "input_mtok" => rates.input = price,
                "output_mtok" => rates.output = price,
                "cache_read_mtok" => rates.cache_read = price,
                _ => rates.cache_write = price,
            }
        };
        if value.is_number() {
            set(&mut base, value);
            continue;
        }
        set(&mut base, &value["base"]);
        for tier in value["tiers"].as_array().ok_or("an unknown form of tiers")? {
            let above_input_tokens = tier["start"].as_u64().unwrap();
            let index = tiers.iter().position(|known| known.above_input_tokens == above_input_tokens);
            let index = index.unwrap_or_else(|| {
                tiers.push(Tier { above_input_tokens, applies: TierApplies::Whole, usd_per_mtok: Rates::default() });
                tiers.len() - 1
            });
            set(&mut tiers[index].usd_per_mtok, &tier["price"]);
        }
    }
    tiers.sort_by_key(|tier| tier.above_input_tokens);
    Ok(PriceTable { usd_per_mtok: base, tiers, usd_per_request: None })
}

fn run_price_case(providers: &[Value], case: &Value) -> Result<(), &'static str> {
    let provider = providers.iter().find(|provider| provider["id"] == case["provider"]).ok_or("no such provider")?;
    let model_name = case["model"].as_str().unwrap();
    let models = provider["models"].as_array().unwrap();
    let model = models.iter().find(|model| matches(&model["match"], model_name)).ok_or("no such model")?;
    let table = table_of(&model["prices"])?;
    let usage = case["usage"].as_object().unwrap();
    if usage.keys().any(|key| {
        !["input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"].contains(&key.as_str())
    }) {
        return Err("usage of another unit");
    }
    let of = |key: &str| usage.get(key).and_then(Value::as_u64).unwrap_or(0);
    let (read, write) = (of("cache_read_tokens"), of("cache_write_tokens"));
    let mut ours = Usage {
        input_uncached: of("input_tokens") - read - write,
        cache_read: read,
        cache_write_unspecified: write,
        output: of("output_tokens"),
        ..Usage::default()
    };
    // That library bills a cache that has no price as fresh input; ours would say that it has no price.
    if table.usd_per_mtok.cache_read.is_none() {
        ours.input_uncached += std::mem::take(&mut ours.cache_read);
    }
    if table.usd_per_mtok.cache_write.is_none() {
        ours.input_uncached += std::mem::take(&mut ours.cache_write_unspecified);
    }
    let charge = price(&ours, &table).map_err(|_| "a bucket without a price")?;
    assert_eq!(charge.amount, nanousd(&case["expected_nanousd"]), "{} {} {:?}", case["provider"], model_name, usage);
    Ok(())
}

#[test]
fn prices_agree_to_the_nano_dollar_with_another_library() {
    let Some((cases, providers)) = shared("prices/price_cases.json").zip(shared("prices/genai-prices-v2.json")) else {
        return;
    };
    let mut skipped = std::collections::BTreeMap::<&str, u32>::new();
    let mut ran = 0;
    for case in cases.as_array().unwrap() {
        match run_price_case(providers.as_array().unwrap(), case) {
            Ok(()) => ran += 1,
            Err(why) => *skipped.entry(why).or_default() += 1,
        }
    }
    eprintln!("price cases: {ran} agree, skipped {skipped:?}");
    assert!(ran >= 80, "{ran} cases only; skipped {skipped:?}");
}
