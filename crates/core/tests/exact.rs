//! The price function against a naive model in exact rationals, and the codec against damage.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on stops there"
)]

use num_bigint::BigInt;
use num_rational::BigRational;
use proptest::prelude::*;
use tollgate_core::{
    decimal::Decimal,
    entry::{Admission, Entry, Line, Outcome, UsageSource},
    id::{AttemptId, CustomerId, KeyId, RequestId},
    money::NanoUsd,
    price::{BookRule, CostBasis, PriceError, PriceTable, Rates, Tier, TierApplies, charge, price, price_line},
    record::{Progress, Record, decode_entry, encode_entry},
    usage::{Bucket, Usage},
    worker_cost::{DeviceRate, WorkerTime},
};

fn ratio(n: u64) -> BigRational {
    BigRational::from_integer(BigInt::from(n))
}

fn of_decimal(decimal: Decimal) -> BigRational {
    ratio(decimal.digits()) / BigRational::from_integer(BigInt::from(10).pow(decimal.scale()))
}

/// Half to even, by the definition.
fn round(amount: &BigRational) -> BigInt {
    let floor = amount.floor().to_integer();
    let rest = amount - BigRational::from_integer(floor.clone());
    let half = BigRational::new(BigInt::from(1), BigInt::from(2));
    let odd = (&floor % BigInt::from(2)) != BigInt::from(0);
    if rest > half || (rest == half && odd) { floor + 1 } else { floor }
}

/// USD per million of everything, one token at a time in thought: nothing shared with the function under test.
fn naive(usage: &Usage, table: &PriceTable) -> Option<BigRational> {
    let prompt = [
        usage.input_uncached,
        usage.cache_read,
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.cache_write_unspecified,
    ];
    let total: u64 = prompt.iter().sum();
    let tier =
        table.tiers.iter().filter(|tier| total > tier.above_input_tokens).max_by_key(|tier| tier.above_input_tokens);
    let mut excess = tier.map_or(0, |tier| total - tier.above_input_tokens);
    let mut sum = table.usd_per_request.map_or(ratio(0), |usd| of_decimal(usd) * ratio(1_000_000_000));
    for bucket in Bucket::ALL {
        let tokens = usage.bucket(bucket);
        let base = table.usd_per_mtok.of(bucket);
        let tiered = tier.and_then(|tier| tier.usd_per_mtok.of(bucket)).or(base);
        let in_tier = match tier {
            None => 0,
            Some(tier) if tier.applies == TierApplies::Whole => tokens,
            Some(_) if bucket == Bucket::Output => 0,
            Some(_) => tokens.min(excess),
        };
        if tier.is_some_and(|tier| tier.applies == TierApplies::Excess) && bucket != Bucket::Output {
            excess -= in_tier;
        }
        for (count, rate) in [(tokens - in_tier, base), (in_tier, tiered)] {
            if count > 0 {
                sum += ratio(count) * of_decimal(rate?) * ratio(1000);
            }
        }
    }
    Some(sum)
}

fn decimal() -> impl Strategy<Value = Decimal> {
    prop_oneof![
        (0_u64..700, 0_u64..1_000_000).prop_map(|(whole, part)| format!("{whole}.{part:06}").parse().unwrap()),
        (0_u64..1_000_000_000_000).prop_map(|part| format!("0.{part:018}").parse().unwrap()),
        Just(Decimal::ZERO),
    ]
}

/// As a price book may write it: at most four decimals.
fn margin() -> impl Strategy<Value = Decimal> {
    (0_u64..10, 0_u64..10_000).prop_map(|(whole, part)| format!("{whole}.{part:04}").parse().unwrap())
}

fn rates() -> impl Strategy<Value = Rates> {
    let some = || prop::option::weighted(0.85, decimal());
    (some(), some(), some(), some(), some(), some()).prop_map(
        |(input, cache_read, cache_write_5m, cache_write_1h, cache_write, output)| Rates {
            input,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            cache_write,
            output,
        },
    )
}

fn table() -> impl Strategy<Value = PriceTable> {
    let tier = (1_u64..400_000, any::<bool>(), rates()).prop_map(|(above_input_tokens, whole, usd_per_mtok)| Tier {
        above_input_tokens,
        applies: if whole { TierApplies::Whole } else { TierApplies::Excess },
        usd_per_mtok,
    });
    (rates(), prop::collection::vec(tier, 0..3), prop::option::of(decimal())).prop_map(
        |(usd_per_mtok, mut tiers, usd_per_request)| {
            tiers.sort_by_key(|tier| tier.above_input_tokens);
            tiers.dedup_by_key(|tier| tier.above_input_tokens);
            PriceTable { usd_per_mtok, tiers, usd_per_request }
        },
    )
}

fn usage() -> impl Strategy<Value = Usage> {
    let tokens = || prop_oneof![Just(0_u64), 1_u64..500, 100_000_u64..300_000, 1_u64..20_000_000];
    (tokens(), tokens(), tokens(), tokens(), tokens(), tokens()).prop_map(|(a, b, c, d, e, f)| Usage {
        input_uncached: a,
        cache_read: b,
        cache_write_5m: c,
        cache_write_1h: d,
        cache_write_unspecified: e,
        output: f,
        ..Usage::default()
    })
}

fn big(amount: NanoUsd) -> BigInt {
    BigInt::from(amount.get())
}

fn entry(usage: Usage, flags: Vec<String>, stream: bool) -> Entry {
    Entry {
        admission: Admission {
            id: AttemptId { request_id: RequestId::new(7, &[1; 10]), attempt: 3 },
            customer_id: CustomerId::new(1, &[2; 10]),
            key_id: KeyId::new(1, &[3; 10]),
            dialect: "openai".into(),
            endpoint: "/v1/embeddings".into(),
            model: "m".into(),
            target: "p/m".into(),
            stream,
            admitted_at_us: -5,
            cost_price_version: Some("v".into()),
            charge_price_version: None,
            input_estimate: 9,
            end_user: None,
            tags: Some(vec![("a".into(), "b".into())]),
        },
        outcome: Outcome::ClientDisconnect,
        usage_source: UsageSource::ProviderPartial,
        flags,
        lines: vec![Line {
            billed_model: "m".into(),
            usage,
            cost: Some(NanoUsd::new(-1)),
            charge: None,
            worker: Some(WorkerTime { queue_us: 1, prefill_busy_us: u64::MAX, decode_busy_us: 3, engine_threads: 4 }),
        }],
        ended_at_us: i64::MAX,
        elapsed_us: u64::MAX,
        first_byte_us: None,
        status: Some(200),
        raw_usage: Some("{}".into()),
        reported_total: None,
        reported_cost_usd: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_price_equals_the_exact_rational_rounded_once(usage in usage(), table in table()) {
        match (price(&usage, &table), naive(&usage, &table)) {
            (Ok(charge), Some(exact)) => prop_assert_eq!(big(charge.amount), round(&exact)),
            (Err(PriceError::Unpriced(buckets)), None) => {
                prop_assert!(!buckets.is_empty());
                prop_assert!(buckets.iter().all(|bucket| usage.bucket(*bucket) > 0));
            }
            (got, expected) => prop_assert!(false, "{got:?} but {expected:?}"),
        }
    }

    #[test]
    fn a_margin_is_taken_from_the_unrounded_cost(usage in usage(), table in table(), margin in margin()) {
        if let (Ok(cost), Some(exact)) = (price(&usage, &table), naive(&usage, &table)) {
            let owed = charge(&usage, &cost, &BookRule::MarginOverCost(margin)).unwrap();
            prop_assert_eq!(big(owed), round(&(exact * (of_decimal(margin) + ratio(1)))));
        }
    }

    #[test]
    fn more_tokens_never_cost_less_at_base_prices(usage in usage(), rates in rates(), more in 1_u64..1000) {
        let table = PriceTable { usd_per_mtok: rates, ..PriceTable::default() };
        let larger = Usage { output: usage.output + more, ..usage };
        if let (Ok(less), Ok(more)) = (price(&usage, &table), price(&larger, &table)) {
            prop_assert!(less.amount <= more.amount);
        }
    }

    #[test]
    fn huge_usage_is_an_error_and_never_a_panic_or_a_wrap(tokens in any::<u64>(), table in table()) {
        let usage = Usage { input_uncached: tokens, output: tokens, ..Usage::default() };
        if let (Ok(charge), Some(exact)) = (price(&usage, &table), tokens.checked_mul(2).and_then(|_| naive(&usage, &table))) {
            prop_assert_eq!(big(charge.amount), round(&exact));
        }
    }

    #[test]
    fn an_entry_reads_back_as_it_was_written(usage in usage(), flags in prop::collection::vec("[a-z_]{1,12}", 0..3), stream in any::<bool>()) {
        let entry = entry(usage, flags, stream);
        prop_assert_eq!(decode_entry(&encode_entry(&entry)).unwrap(), entry);
    }

    #[test]
    fn damaged_bytes_are_an_error_or_another_record_and_never_a_panic(at in 0_usize..400, bit in 0_u8..8, cut in 0_usize..400) {
        let entry = entry(Usage::default(), vec!["f".into()], true);
        for record in [Record::Ended(Box::new(entry.clone())), Record::Opened(Box::new(entry.admission.clone())), Record::Sent(entry.admission.id),
            Record::Progress(Progress { id: entry.admission.id, reported: None, delivered_bytes: 3, worker: None })] {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            let _truncated = Record::decode(record.kind().code(), 1, &bytes[..cut.min(bytes.len())]);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
            let _flipped = Record::decode(record.kind().code(), 1, &bytes);
        }
    }
}

#[test]
fn what_a_newer_build_wrote_is_named_and_its_added_fields_are_skipped() {
    assert!(Record::decode(99, 1, &[]).unwrap_err().to_string().contains("kind 99"));
    assert!(Record::decode(1, 99, &[]).unwrap_err().to_string().contains("version 99"));
    let entry = entry(Usage::default(), Vec::new(), false);
    let mut bytes = encode_entry(&entry);
    // The entry is an array of twelve; a newer build adds a thirteenth field.
    assert_eq!(bytes[1], 0x80 + 10, "trailing none fields are left out");
    bytes[1] = 0x80 + 13;
    bytes.extend_from_slice(&[0xf6, 0xf6, 0x07]);
    assert_eq!(decode_entry(&bytes).unwrap(), entry);
}

#[test]
fn ties_go_to_the_even_nano_dollar() {
    let table = |price: &str| PriceTable {
        usd_per_mtok: Rates { output: Some(price.parse().unwrap()), ..Rates::default() },
        ..PriceTable::default()
    };
    for (price_text, tokens, nanousd) in
        [("0.0005", 1, 0), ("0.0005", 3, 2), ("0.0005", 5, 2), ("0.0005", 7, 4), ("0.000500000000000001", 1, 1)]
    {
        let usage = Usage { output: tokens, ..Usage::default() };
        assert_eq!(price(&usage, &table(price_text)).unwrap().amount, NanoUsd::new(nanousd), "{tokens} x {price_text}");
    }
}

#[test]
fn a_one_hour_cache_write_is_never_guessed_from_the_five_minute_price() {
    let rates = Rates { input: Some(Decimal::ONE), cache_write_5m: Some(Decimal::ONE), ..Rates::default() };
    let usage = Usage { cache_write_1h: 1, ..Usage::default() };
    let unpriced = price(&usage, &PriceTable { usd_per_mtok: rates, ..PriceTable::default() });
    assert_eq!(unpriced.unwrap_err(), PriceError::Unpriced(vec![Bucket::CacheWrite1h]));
}

fn decimal_of(digits: u64, scale: u32) -> Decimal {
    let unit = 10_u64.pow(scale);
    format!("{}.{:0width$}", digits / unit, digits % unit, width = usize::try_from(scale).unwrap()).parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn busy_time_costs_its_share_of_the_device_and_its_energy_exactly(
        device in 0_u64..1_000_000, watts in 0_u64..10_000, kwh in 0_u64..1000, pue in 100_u64..300,
        prefill in 0_u64..10_000_000_000, decode in 0_u64..10_000_000_000, threads in 1_u32..256,
    ) {
        let rate = DeviceRate {
            device_usd_per_hour: decimal_of(device, 4), device_watts: decimal_of(watts, 1), device_idle_watts: decimal_of(0, 1),
            usd_per_kwh: decimal_of(kwh, 3), pue: decimal_of(pue, 2),
        };
        let time = WorkerTime { queue_us: 5, prefill_busy_us: prefill, decode_busy_us: decode, engine_threads: threads };
        let per_hour = of_decimal(rate.device_usd_per_hour)
            + of_decimal(rate.device_watts) / ratio(1000) * of_decimal(rate.pue) * of_decimal(rate.usd_per_kwh);
        let hours = ratio(prefill + decode) / ratio(3_600_000_000) / ratio(u64::from(threads));
        let exact = per_hour * hours * ratio(1_000_000_000);
        let margin = decimal_of(25, 2);
        let basis = Some(CostBasis::Device(&rate));
        let (cost, owed) = price_line(&Usage::default(), Some(&time), basis, Some(&BookRule::MarginOverCost(margin)));
        prop_assert_eq!(big(cost.unwrap()), round(&exact));
        prop_assert_eq!(big(owed.unwrap()), round(&(exact * (of_decimal(margin) + ratio(1)))));
    }
}

/// Written by the build before workers had times.
const OLD_ENTRY: &str = "018b8c8250000000000001770787070707070707070250000000000001710181010101010101015000000000000172028202020202020202666f70656e6169742f76312f636861742f636f6d706c6574696f6e73616d63702f6df5056163f60300008161668184616d8c010000000002000000000000030406070818c8f603";
const OLD_PROGRESS: &str = "83825000000000000177078707070707070707028c0000000000090000000000001829";

#[test]
fn what_an_older_build_wrote_is_read_with_no_worker_time() {
    let entry = decode_entry(&hex(OLD_ENTRY)).unwrap();
    assert_eq!((entry.lines[0].cost, entry.lines[0].worker), (Some(NanoUsd::new(3)), None));
    let Record::Progress(progress) = Record::decode(3, 1, &hex(OLD_PROGRESS)).unwrap() else { panic!("progress") };
    assert_eq!((progress.delivered_bytes, progress.worker), (41, None));
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}
