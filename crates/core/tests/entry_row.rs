//! A row that is read from a journal's record says what the entry says, without the entry being made.

use proptest::prelude::*;
use tollgate_core::{
    entry::{Admission, Correction, Entry, Line, Outcome, UsageSource},
    entry_row::EntryRow,
    id::{AttemptId, CustomerId, KeyId, RequestId},
    money::NanoUsd,
    record::{Record, Step, encode_ended},
    usage::Usage,
    worker_cost::WorkerTime,
};

fn amount() -> impl Strategy<Value = Option<NanoUsd>> {
    prop_oneof![Just(None), any::<i32>().prop_map(|n| Some(NanoUsd::new(n.into()))), Just(Some(NanoUsd::new(i64::MAX)))]
}

fn tokens() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..1_000_000_u64, 1 => Just(u64::MAX)]
}

prop_compose! {
    fn line()(
        usage in (tokens(), tokens(), tokens(), tokens(), tokens(), tokens(), tokens(), tokens()),
        cost in amount(),
        charge in amount(),
        busy in prop::option::of((tokens(), tokens())),
        unpriced_units in 0..3_u32,
        version in prop::option::of("[a-z]{1,8}"),
    ) -> Line {
        let (input_uncached, cache_read, cache_write_5m, cache_write_1h, cache_write_unspecified, output, reasoning, tool_prompt) = usage;
        let usage = Usage {
            input_uncached, cache_read, cache_write_5m, cache_write_1h, cache_write_unspecified, output, reasoning, tool_prompt, ..Usage::default()
        };
        let worker = busy.map(|(prefill_busy_us, decode_busy_us)| WorkerTime { prefill_busy_us, decode_busy_us, ..WorkerTime::default() });
        Line { billed_model: "served".into(), usage, cost, charge, worker, unpriced_units, cost_price_version: version, ..Line::default() }
    }
}

prop_compose! {
    fn entry()(
        model in ".{0,20}",
        target in "[a-z]{1,5}/.{0,20}",
        attempt in any::<u16>(),
        lines in prop::collection::vec(line(), 0..4),
        settles in prop::option::of(any::<bool>()),
        raw_usage in prop::option::of(".{0,40}"),
        flags in prop::collection::vec("[a-z_]{1,12}", 0..3),
        admitted_at_us in any::<i64>(),
    ) -> Entry {
        let id = AttemptId { request_id: RequestId::new(7, &[1; 10]), attempt };
        Entry {
            admission: Admission {
                id,
                customer_id: CustomerId::new(1, &[2; 10]),
                key_id: KeyId::new(1, &[3; 10]),
                dialect: "openai".into(),
                endpoint: "/v1/chat/completions".into(),
                model,
                target,
                stream: true,
                admitted_at_us,
                cost_price_version: Some("v".into()),
                charge_price_version: None,
                input_estimate: 9,
                end_user: Some("somebody".into()),
                tags: Some(vec![("a".into(), "b".into())]),
            },
            outcome: Outcome::Length,
            usage_source: UsageSource::ProviderPartial,
            flags,
            lines,
            ended_at_us: 5,
            elapsed_us: 6,
            first_byte_us: None,
            status: Some(200),
            raw_usage,
            reported_total: None,
            reported_cost_usd: None,
            counters: Default::default(),
            corrects: settles.map(|settles| Correction { of: id, at_us: 3, settles }),
            output_estimate: None,
        }
    }
}

/// Sums that cannot overflow; none when the result does not fit what the books sum in. They add line by line, and each sum on the
/// way must fit, too.
fn summed(parts: impl Iterator<Item = i128>, min: i128, max: i128) -> Option<i128> {
    let mut sum = 0_i128;
    for part in parts {
        sum = sum.checked_add(part)?;
        if !(min..=max).contains(&sum) {
            return None;
        }
    }
    Some(sum)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_row_says_what_the_entry_says(entry in entry()) {
        let mut payload = Vec::new();
        encode_ended(&entry, &mut payload);
        let Step::Ended(row) = Step::decode(4, 1, &payload).unwrap() else { panic!("no end") };
        prop_assert_eq!(row.as_ref(), &EntryRow::of(&entry));
        prop_assert_eq!(Step::Ended(row.clone()), Step::from(Record::Ended(Box::new(entry.clone()))));
        prop_assert_eq!(row.entry().unwrap(), entry.clone());

        let admission = &entry.admission;
        prop_assert_eq!((row.id, row.customer_id, row.key_id), (admission.id, admission.customer_id, admission.key_id));
        prop_assert_eq!((row.model.as_ref(), row.target.as_ref()), (admission.model.as_str(), admission.target.as_str()));
        prop_assert_eq!((row.outcome, row.usage_source), (entry.outcome, entry.usage_source));
        prop_assert_eq!((row.admitted_at_us, row.corrects, row.is_unpriced), (admission.admitted_at_us, entry.corrects, entry.is_unpriced()));

        let count = |of: fn(&Line) -> u64| summed(entry.lines.iter().map(|line| of(line).into()), 0, u64::MAX.into());
        let money = |of: fn(&Line) -> Option<NanoUsd>| {
            summed(entry.lines.iter().map(|line| of(line).unwrap_or_default().get().into()), i64::MIN.into(), i64::MAX.into())
        };
        let counts = [
            count(|line| line.usage.input_uncached),
            count(|line| line.usage.cache_read),
            count(|line| line.usage.cache_write_5m),
            count(|line| line.usage.cache_write_1h),
            count(|line| line.usage.cache_write_unspecified),
            count(|line| line.usage.output),
            count(|line| line.usage.reasoning),
            count(|line| line.worker.map_or(0, |worker| worker.busy_us())),
            money(|line| line.cost),
            money(|line| line.charge),
        ];
        let expected: Option<Vec<i128>> = counts.into_iter().collect();
        let told = row.totals.map(|totals| {
            let usage = totals.usage;
            let counts = [
                usage.input_uncached, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h, usage.cache_write_unspecified,
                usage.output, usage.reasoning, totals.worker_busy_us,
            ];
            counts.map(i128::from).into_iter().chain([totals.cost.get().into(), totals.charge.get().into()]).collect()
        });
        prop_assert_eq!(told, expected);
    }

    #[test]
    fn a_damaged_record_is_an_error_or_another_row_and_never_a_panic(entry in entry(), at in 0_usize..600, bit in 0_u8..8, cut in 0_usize..600) {
        let mut payload = Vec::new();
        encode_ended(&entry, &mut payload);
        let _truncated = Step::decode(4, 1, payload.get(..cut).unwrap_or(&payload));
        if let Some(byte) = payload.get_mut(at) {
            *byte ^= 1 << bit;
        }
        let _flipped = Step::decode(4, 1, &payload);
    }
}
