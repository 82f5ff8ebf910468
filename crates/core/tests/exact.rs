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
    counters::Counters,
    decimal::Decimal,
    entry::{Admission, Entry, Line, Outcome, UsageSource},
    id::{AttemptId, CustomerId, KeyId, RequestId},
    money::NanoUsd,
    orphan::resolve_orphan,
    price::{
        BookRule, Charge, CostBasis, PriceError, PriceTable, Query, Rate, Rates, Tier, TierApplies, charge,
        price as price_query, price_line as line_of_query,
    },
    pricing_context::{PricingContext, ServiceTier},
    record::{Progress, Record, Step, decode_entry, encode_entry},
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
    // What used nothing costs no fee.
    let fee = table.usd_per_request.filter(|_| total + usage.output > 0);
    let mut sum = fee.map_or(ratio(0), |usd| of_decimal(usd) * ratio(1_000_000_000));
    let is_excess = table.tiers.iter().any(|tier| tier.applies == TierApplies::Excess);
    // Where in the prompt a bucket ends: what was read from a cache stands first, fresh input last.
    let order = [
        Bucket::CacheRead,
        Bucket::CacheWrite1h,
        Bucket::CacheWrite5m,
        Bucket::CacheWriteUnspecified,
        Bucket::InputUncached,
    ];
    let mut start = 0;
    for bucket in order {
        let tokens = usage.bucket(bucket);
        if !is_excess {
            sum += ratio(tokens) * rate_at(table, bucket, total, tokens)?;
        } else {
            // Cut at every threshold; the last token of a piece says which tier it is in.
            let mut cuts: Vec<u64> = table.tiers.iter().map(|tier| tier.above_input_tokens).collect();
            cuts.extend([start, start + tokens]);
            cuts.sort_unstable();
            for pair in cuts.windows(2).filter(|pair| pair[0] >= start && pair[1] <= start + tokens) {
                let count = pair[1] - pair[0];
                sum += ratio(count) * rate_at(table, bucket, pair[1], count)?;
            }
        }
        start += tokens;
    }
    let prompt = if is_excess { 0 } else { total };
    sum += ratio(usage.output) * rate_at(table, Bucket::Output, prompt, usage.output)?;
    Some(sum)
}

/// A query of tokens only.
fn query<'a>(usage: &'a Usage, counters: &'a Counters, context: &'a PricingContext) -> Query<'a> {
    Query { usage, counters: Some(counters), context, at_us: 0, is_used_elsewhere: false }
}

/// Nano-dollars of one token of a bucket at a place in the prompt; zero for none.
fn rate_at(table: &PriceTable, bucket: Bucket, place: u64, tokens: u64) -> Option<BigRational> {
    if tokens == 0 {
        return Some(ratio(0));
    }
    let tier =
        table.tiers.iter().filter(|tier| place > tier.above_input_tokens).max_by_key(|tier| tier.above_input_tokens);
    let of =
        |bucket| tier.and_then(|tier| of_bucket(&tier.usd_per_mtok, bucket)).or(of_bucket(&table.usd_per_mtok, bucket));
    let rate = of(bucket).or_else(|| of(other_write(bucket)?));
    rate.map(|rate| of_decimal(rate) * ratio(1000))
}

fn price(usage: &Usage, table: &PriceTable) -> Result<Charge, PriceError> {
    price_query(&query(usage, &Counters::default(), &PricingContext::default()), table)
}

fn price_line(
    usage: &Usage,
    worker: Option<&WorkerTime>,
    basis: Option<CostBasis<'_>>,
    rule: Option<&BookRule>,
) -> (Option<NanoUsd>, Option<NanoUsd>) {
    line_of_query(&query(usage, &Counters::default(), &PricingContext::default()), worker, basis, rule)
}

/// The rate of a whole bucket, and what may stand for it.
fn of_bucket(rates: &Rates, bucket: Bucket) -> Option<Decimal> {
    match bucket {
        Bucket::InputUncached => rates.get(Rate::Input),
        Bucket::CacheRead => rates.get(Rate::CacheRead),
        Bucket::CacheWrite5m => rates.get(Rate::CacheWrite5m),
        Bucket::CacheWrite1h => rates.get(Rate::CacheWrite1h),
        Bucket::CacheWriteUnspecified => rates.get(Rate::CacheWrite),
        Bucket::Output => rates.get(Rate::Output),
    }
}

/// What may stand for a bucket's missing price.
fn other_write(bucket: Bucket) -> Option<Bucket> {
    match bucket {
        Bucket::CacheWrite5m => Some(Bucket::CacheWriteUnspecified),
        Bucket::CacheWriteUnspecified => Some(Bucket::CacheWrite5m),
        _ => None,
    }
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
    let rates = [Rate::Input, Rate::CacheRead, Rate::CacheWrite5m, Rate::CacheWrite1h, Rate::CacheWrite, Rate::Output];
    (some(), some(), some(), some(), some(), some()).prop_map(move |(a, b, c, d, e, f)| {
        rates.into_iter().zip([a, b, c, d, e, f]).filter_map(|(rate, price)| Some((rate, price?))).collect()
    })
}

fn table() -> impl Strategy<Value = PriceTable> {
    let tier = (1_u64..400_000, rates());
    (rates(), prop::collection::vec(tier, 0..3), any::<bool>(), prop::option::of(decimal())).prop_map(
        |(usd_per_mtok, mut tiers, whole, usd_per_request)| {
            tiers.sort_by_key(|(above_input_tokens, _)| *above_input_tokens);
            tiers.dedup_by_key(|(above_input_tokens, _)| *above_input_tokens);
            let applies = if whole { TierApplies::Whole } else { TierApplies::Excess };
            let tiers = tiers.into_iter().map(|(above_input_tokens, usd_per_mtok)| Tier {
                above_input_tokens,
                applies,
                usd_per_mtok,
            });
            PriceTable { usd_per_mtok, tiers: tiers.collect(), usd_per_request, ..PriceTable::default() }
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

/// Figures as an operator may write them: any of them zero, prices of up to six decimals.
fn rate() -> impl Strategy<Value = DeviceRate> {
    let figure = |most: u64| {
        prop_oneof![
            Just(Decimal::ZERO),
            (0..most, 0_u64..1_000_000).prop_map(|(whole, part)| format!("{whole}.{part:06}").parse().unwrap())
        ]
    };
    let watts = |most: u64| (0..most, 0_u64..10).prop_map(|(whole, part)| format!("{whole}.{part}").parse().unwrap());
    let pue = (1_u64..3, 0_u64..100).prop_map(|(whole, part)| format!("{whole}.{part:02}").parse().unwrap());
    (figure(50), watts(2000), watts(500), figure(2), pue).prop_map(
        |(device_usd_per_hour, device_watts, device_idle_watts, usd_per_kwh, pue)| DeviceRate {
            device_usd_per_hour,
            device_watts,
            device_idle_watts,
            usd_per_kwh,
            pue,
        },
    )
}

fn busy() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0_u64), 1_u64..10_000, 1_u64..60_000_000, 1_u64..4_000_000_000_000]
}

fn any_decimal((digits, scale): (u64, u32)) -> Decimal {
    let text = format!("{digits:0>width$}", width = usize::try_from(scale).unwrap() + 1);
    let (whole, part) = text.split_at(text.len() - usize::try_from(scale).unwrap());
    format!("{whole}.{part:0<1}").parse().unwrap()
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
            ..Line::default()
        }],
        ended_at_us: i64::MAX,
        elapsed_us: u64::MAX,
        first_byte_us: None,
        status: Some(200),
        raw_usage: Some("{}".into()),
        reported_total: None,
        reported_cost_usd: None,
        counters: tollgate_core::counters::Counters::default(),
        corrects: None,
        output_estimate: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_price_equals_the_exact_rational_rounded_once(usage in usage(), table in table()) {
        match (price(&usage, &table), naive(&usage, &table)) {
            (Ok(charge), Some(exact)) => prop_assert_eq!(big(charge.amount), round(&exact)),
            (Err(PriceError::Unpriced(what)), None) => {
                let names = what.names();
                prop_assert!(!names.is_empty());
                let used = |name: &&str| Bucket::ALL.iter().any(|own| own.name() == *name && usage.bucket(*own) > 0);
                prop_assert!(names.iter().all(used));
            }
            (got, expected) => prop_assert!(false, "{got:?} but {expected:?}"),
        }
    }

    #[test]
    fn a_price_without_tiers_is_additive_monotone_and_the_same_however_usage_is_split(
        one in usage(), other in usage(), table in table(), reasoning in any::<u64>(),
    ) {
        let flat = PriceTable { tiers: Vec::new(), usd_per_request: None, ..table };
        let exact = |usage: &Usage| price(usage, &flat).ok().map(|charge| {
            let (numerator, denominator) = charge.exact.ratio();
            BigRational::new(BigInt::from(numerator), BigInt::from(denominator))
        });
        let both = Usage {
            input_uncached: one.input_uncached + other.input_uncached,
            cache_read: one.cache_read + other.cache_read,
            cache_write_5m: one.cache_write_5m + other.cache_write_5m,
            cache_write_1h: one.cache_write_1h + other.cache_write_1h,
            cache_write_unspecified: one.cache_write_unspecified + other.cache_write_unspecified,
            output: one.output + other.output,
            ..Usage::default()
        };
        let (sum, parts) = (exact(&both), exact(&one).zip(exact(&other)));
        prop_assert_eq!(sum.clone(), parts.clone().map(|(one, other)| one + other), "additive");
        if let Some((sum, (one, _))) = sum.zip(parts) {
            prop_assert!(sum >= one, "monotone");
        }
        // Parts without a price of their own cost what their bucket does.
        let thought = Usage { reasoning: reasoning.min(one.output), input_audio: one.input_uncached / 3, ..one };
        prop_assert_eq!(exact(&thought), exact(&one), "split");
    }

    #[test]
    fn a_margin_is_taken_from_the_unrounded_cost(usage in usage(), table in table(), margin in margin()) {
        if let (Ok(cost), Some(exact)) = (price(&usage, &table), naive(&usage, &table)) {
            let owed = charge(
                &query(&usage, &Counters::default(), &PricingContext::default()),
                cost.exact,
                &BookRule::MarginOverCost(margin),
            )
            .unwrap();
            prop_assert_eq!(big(owed), round(&(exact * (of_decimal(margin) + ratio(1)))));
        }
    }

    #[test]
    fn device_time_costs_the_exact_rational_rounded_once_and_a_margin_is_taken_before_rounding(
        rate in rate(), prefill in busy(), decode in busy(), threads in 0_u32..128, margin in margin(),
    ) {
        let hourly = of_decimal(rate.device_usd_per_hour)
            + of_decimal(rate.device_watts) / ratio(1000) * of_decimal(rate.pue) * of_decimal(rate.usd_per_kwh);
        let hours = ratio(prefill) + ratio(decode);
        let hours = hours / ratio(3_600_000_000) / ratio(u64::from(threads.max(1)));
        let exact = hours * hourly * ratio(1_000_000_000);
        let time = WorkerTime { queue_us: 7, prefill_busy_us: prefill, decode_busy_us: decode, engine_threads: threads };
        let rule = BookRule::MarginOverCost(margin);
        let (cost, charge) = price_line(&Usage::default(), Some(&time), Some(CostBasis::Device(&rate)), Some(&rule));
        prop_assert!(rate.is_priceable());
        prop_assert_eq!(big(cost.unwrap()), round(&exact));
        match threads {
            0 => prop_assert_eq!(charge, None, "a margin over a time that is not known"),
            _ => prop_assert_eq!(big(charge.unwrap()), round(&(exact * (of_decimal(margin) + ratio(1))))),
        }
    }

    #[test]
    fn idle_time_costs_what_the_device_and_its_idle_watts_cost(rate in rate(), idle in busy(), threads in 1_u32..128) {
        let hourly = of_decimal(rate.device_usd_per_hour)
            + of_decimal(rate.device_idle_watts) / ratio(1000) * of_decimal(rate.pue) * of_decimal(rate.usd_per_kwh);
        let exact = ratio(idle) * hourly * ratio(1_000_000_000) / ratio(3_600_000_000) / ratio(u64::from(threads));
        prop_assert_eq!(big(rate.idle_cost(idle, threads).unwrap().round_half_even().unwrap()), round(&exact));
    }

    #[test]
    fn any_rate_and_any_time_is_an_exact_cost_or_unpriced_and_never_a_wrap(
        figures in prop::array::uniform5((any::<u64>(), 0_u32..19)), time in any::<u64>(), threads in any::<u32>(),
    ) {
        let [device_usd_per_hour, device_watts, device_idle_watts, usd_per_kwh, pue] = figures.map(any_decimal);
        let rate = DeviceRate { device_usd_per_hour, device_watts, device_idle_watts, usd_per_kwh, pue };
        if let Ok(cost) = rate.busy_cost(time, threads).and_then(tollgate_core::exact::Exact::round_half_even) {
            let hourly = of_decimal(device_usd_per_hour)
                + of_decimal(device_watts) / ratio(1000) * of_decimal(pue) * of_decimal(usd_per_kwh);
            let exact = ratio(time) * hourly * ratio(5) / ratio(18) / ratio(u64::from(threads.max(1)));
            prop_assert_eq!(big(cost), round(&exact));
        } else if rate.is_priceable() {
            prop_assert!(time > 8_640_000_000_000 || threads > 4096, "{rate:?} {time} {threads}");
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
            Record::Progress(Progress { worker: Some(WorkerTime::default()), ..Progress::delivered(entry.admission.id, 3) })] {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            let kind = record.kind().code();
            prop_assert_eq!(Step::decode(kind, 1, &bytes).unwrap(), Step::from(record));
            let cut = &bytes[..cut.min(bytes.len())];
            let _truncated = (Record::decode(kind, 1, cut), Step::decode(kind, 1, cut));
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
            let _flipped = (Record::decode(kind, 1, &bytes), Step::decode(kind, 1, &bytes));
        }
    }
}

#[test]
fn what_a_newer_build_wrote_is_named_and_its_added_fields_are_skipped() {
    assert!(Record::decode(99, 1, &[]).unwrap_err().to_string().contains("kind 99"));
    assert!(Record::decode(1, 99, &[]).unwrap_err().to_string().contains("version 99"));
    for kind in 1..=5 {
        assert!(Step::decode(kind, 99, &[]).unwrap_err().to_string().contains("version 99"));
    }
    assert!(Step::decode(99, 1, &[]).unwrap_err().to_string().contains("kind 99"));
    let entry = entry(Usage::default(), Vec::new(), false);
    let mut bytes = encode_entry(&entry);
    // The entry is an array of fifteen; a newer build adds a sixteenth field.
    assert_eq!(bytes[1], 0x80 + 10, "trailing none fields are left out");
    bytes[1] = 0x80 + 16;
    bytes.extend_from_slice(&[0xf6, 0xf6, 0x80, 0xf6, 0xf6, 0x07]);
    assert_eq!(decode_entry(&bytes).unwrap(), entry);
}

/// As builds wrote them before lines and progress knew a worker's time.
const OLD_ENTRY: &str = "018a8e8250000000000007710181010101010101010350000000000001720282020202020202025000000000000173038303030303030303666f70656e61696e2f76312f656d62656464696e6773616d63702f6df5246176f609f68182616161620702816d70617274735f636c616d7065648183616d8c0c03000000190190010000000000201b7fffffffffffffff1bfffffffffffffffff618c8627b7d";
const OLD_PROGRESS: &str = "83825000000000000771018101010101010101038c0c030000001901900100000000001829";

#[test]
fn journals_of_builds_that_knew_no_worker_time_read_the_same_and_theirs_read_ours() {
    let usage = Usage { input_uncached: 12, cache_read: 3, output: 400, reasoning: 1, ..Usage::default() };
    let mut entry = entry(usage, vec!["parts_clamped".into()], true);
    let old = hex::decode(OLD_ENTRY).unwrap();
    assert_eq!(decode_entry(&old).unwrap(), entry);
    assert_eq!(encode_entry(&entry), old, "without a worker nothing changes on disk");
    let progress = |worker| Progress { reported: Some(usage), worker, ..Progress::delivered(entry.admission.id, 41) };
    let bytes = |record: &Record| {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        bytes
    };
    let old = hex::decode(OLD_PROGRESS).unwrap();
    assert_eq!(Record::decode(3, 1, &old).unwrap(), Record::Progress(progress(None)));
    assert_eq!(bytes(&Record::Progress(progress(None))), old);

    // An older build skips fields that it does not know: what it reads of ours are the fields that it wrote itself.
    let time = WorkerTime { queue_us: 1, prefill_busy_us: 2, decode_busy_us: u64::MAX, engine_threads: u32::MAX };
    let ours = Record::Progress(progress(Some(time)));
    let written = bytes(&ours);
    assert_eq!((written[0], &written[1..old.len()]), (0x84, &old[1..]), "one field more, behind the others");
    assert_eq!(Record::decode(3, 1, &written).unwrap(), ours);
    entry.lines[0].worker = Some(time);
    assert_eq!(decode_entry(&encode_entry(&entry)).unwrap(), entry);
}

#[test]
fn an_orphan_keeps_tier_units_and_model_and_says_when_it_has_no_price() {
    let admission = entry(Usage::default(), Vec::new(), false).admission;
    let target = admission.target.split_once('/').unwrap().1.to_owned();
    let table = PriceTable {
        usd_per_mtok: Rates::from_iter([(Rate::Input, Decimal::ONE), (Rate::Output, Decimal::ONE)]),
        ..PriceTable::default()
    };
    let rule = BookRule::Multiplier(Decimal::ONE);
    let context = PricingContext { service_tier: Some(ServiceTier::Flex), ..PricingContext::default() };
    let counters = Counters { web_search_requests: 2, ..Counters::default() };
    let seen = Progress {
        reported: Some(Usage { input_uncached: 7, output: 5, ..Usage::default() }),
        context: context.clone(),
        counters,
        billed_model: Some("another".to_owned()),
        ..Progress::delivered(admission.id, 41)
    };
    let mut bytes = Vec::new();
    Record::Progress(seen.clone()).encode(&mut bytes);
    assert_eq!(Record::decode(3, 1, &bytes).unwrap(), Record::Progress(seen.clone()));
    let resolve = |progress, cost| resolve_orphan(admission.clone(), progress, cost, Some(&rule));
    let orphan = resolve(Some(&seen), Some(CostBasis::Table(&table)));
    // Neither the tier nor the searches have a price.
    assert_eq!(orphan.flags, ["recovered", "priced_as_target", "unpriced"]);
    let line = &orphan.lines[0];
    assert_eq!((&line.context, orphan.counters, line.billed_model.as_str()), (&context, counters, "another"));
    assert_eq!((line.cost, line.charge), (None, None));
    let orphan = resolve(None, Some(CostBasis::Table(&table)));
    assert_eq!((orphan.flags, orphan.lines[0].billed_model.as_str()), (vec!["recovered".to_owned()], target.as_str()));
    assert_eq!(resolve(None, None).flags, ["recovered", "unpriced"]);
}

#[test]
fn device_time_that_nobody_told_is_unpriced_and_never_free() {
    let rate = DeviceRate {
        device_usd_per_hour: Decimal::ONE,
        device_watts: Decimal::ZERO,
        device_idle_watts: Decimal::ZERO,
        usd_per_kwh: Decimal::ZERO,
        pue: Decimal::ONE,
    };
    let usage = Usage { output: 5, ..Usage::default() };
    assert_eq!(price_line(&usage, None, Some(CostBasis::Device(&rate)), None), (None, None));
}

#[test]
fn ties_go_to_the_even_nano_dollar() {
    let table = |price: &str| PriceTable {
        usd_per_mtok: Rates::from_iter([(Rate::Output, price.parse().unwrap())]),
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
    let rates = Rates::from_iter([(Rate::Input, Decimal::ONE), (Rate::CacheWrite5m, Decimal::ONE)]);
    let usage = Usage { cache_write_1h: 1, ..Usage::default() };
    let unpriced = price(&usage, &PriceTable { usd_per_mtok: rates, ..PriceTable::default() });
    assert_eq!(unpriced.unwrap_err().to_string(), "no price for cache_write_1h");
}
