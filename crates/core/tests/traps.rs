//! The traps of pricing: caches in and beside the prompt, thresholds, hours, service tiers, what is counted beside tokens.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on stops there")]

use tollgate_core::{
    counters::Counters,
    decimal::Decimal,
    money::NanoUsd,
    price::{
        BookRule, CostBasis, Fallback, PriceTable, Query, Rate, Rates, Terms, Tier, TierApplies, Unit, Variant, When,
        price, price_entry,
    },
    pricing_context::{PricingContext, ServiceTier},
    usage::Usage,
};

fn usd(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn rates(prices: &[(Rate, &str)]) -> Rates {
    prices.iter().map(|(rate, price)| (*rate, usd(price))).collect()
}

/// A table whose prices are powers of ten, so that a sum says which tokens went where.
fn table() -> PriceTable {
    PriceTable { usd_per_mtok: rates(&[(Rate::Input, "1"), (Rate::Output, "10")]), ..PriceTable::default() }
}

/// Nano-dollars, or what has no price.
fn asked(
    table: &PriceTable,
    usage: Usage,
    counters: Counters,
    context: &PricingContext,
    at_us: i64,
) -> Result<i64, String> {
    let query = Query { usage: &usage, counters: Some(&counters), context, at_us, is_used_elsewhere: false };
    price(&query, table).map(|charge| charge.amount.get()).map_err(|error| error.to_string())
}

fn of(table: &PriceTable, usage: Usage) -> Result<i64, String> {
    asked(table, usage, Counters::default(), &PricingContext::default(), 0)
}

#[test]
fn a_cache_beside_the_prompt_costs_its_own_price_and_without_one_nothing_is_guessed() {
    let usage = Usage { input_uncached: 100, cache_read: 10, cache_write_5m: 5, ..Usage::default() };
    assert_eq!(of(&table(), usage), Err("no price for cache_read, cache_write_5m".to_owned()));
    let mut priced = table();
    priced.usd_per_mtok = rates(&[(Rate::Input, "1"), (Rate::CacheRead, "0.1"), (Rate::CacheWrite, "1.25")]);
    // The five-minute write costs the default write price.
    assert_eq!(of(&priced, usage), Ok(100_000 + 1_000 + 6_250));
    assert_eq!(of(&priced, Usage { cache_write_1h: 1, ..usage }), Err("no price for cache_write_1h".to_owned()));
    priced.fallback = Fallback { cache_write_as_input: true, ..Fallback::default() };
    assert_eq!(of(&priced, Usage { cache_write_1h: 1, ..usage }), Err("no price for cache_write_1h".to_owned()));
    let mut declared = table();
    declared.fallback = Fallback { cache_read_as_input: true, cache_write_as_input: true, ..Fallback::default() };
    assert_eq!(of(&declared, usage), Ok(115_000), "because the table says so");
}

#[test]
fn a_tier_is_chosen_by_the_whole_prompt_and_begins_one_token_above_its_threshold() {
    let mut tiered = table();
    tiered.usd_per_mtok = rates(&[(Rate::Input, "1"), (Rate::CacheRead, "0.1"), (Rate::Output, "10")]);
    let tier = |applies| Tier {
        above_input_tokens: 200_000,
        applies,
        usd_per_mtok: rates(&[(Rate::Input, "2"), (Rate::CacheRead, "0.2"), (Rate::Output, "15")]),
    };
    tiered.tiers = vec![tier(TierApplies::Whole)];
    let usage =
        |total: u64| Usage { input_uncached: total - 150_000, cache_read: 150_000, output: 1_000, ..Usage::default() };
    assert_eq!(of(&tiered, usage(199_999)), Ok(49_999_000 + 15_000_000 + 10_000_000));
    assert_eq!(of(&tiered, usage(200_000)), Ok(50_000_000 + 15_000_000 + 10_000_000));
    assert_eq!(of(&tiered, usage(200_001)), Ok(50_001 * 2_000 + 30_000_000 + 15_000_000));
    tiered.tiers = vec![tier(TierApplies::Excess)];
    assert_eq!(of(&tiered, usage(200_000)), Ok(50_000_000 + 15_000_000 + 10_000_000));
    assert_eq!(of(&tiered, usage(200_001)), Ok(50_000_000 + 2_000 + 15_000_000 + 10_000_000), "only the one token");
}

#[test]
fn hours_are_half_open_in_utc_and_may_go_over_midnight() {
    let mut nightly = table();
    nightly.variants = vec![Variant {
        when: When { hours: Some("16:30-00:30".parse().unwrap()), ..When::default() },
        usd_per_mtok: rates(&[(Rate::Input, "0.5")]),
        ..Variant::default()
    }];
    let usage = Usage { input_uncached: 1_000, output: 100, ..Usage::default() };
    let at = |hour: i64, minute: i64, us: i64| {
        let day = 20_000 * 86_400_000_000;
        let at_us = day + (hour * 60 + minute) * 60_000_000 + us;
        asked(&nightly, usage, Counters::default(), &PricingContext::default(), at_us)
    };
    let (full, half) = (Ok(2_000_000), Ok(1_500_000));
    assert_eq!((at(16, 29, 59_999_999), at(16, 30, 0)), (full.clone(), half.clone()));
    assert_eq!((at(0, 0, 0), at(0, 29, 59_999_999), at(0, 30, 0)), (half.clone(), half, full));
    for text in ["16:30", "24:00-01:00", "1:00-2:00", "10:00-10:00", "10:00-11:60", ""] {
        assert!(text.parse::<tollgate_core::price::Hours>().is_err(), "{text}");
    }
}

#[test]
fn a_service_tier_costs_its_own_price_or_has_none() {
    let context = |tier| PricingContext { service_tier: Some(tier), ..PricingContext::default() };
    let usage = Usage { input_uncached: 1_000, output: 100, ..Usage::default() };
    let ask = |table: &PriceTable, tier| asked(table, usage, Counters::default(), &context(tier), 0);
    let mut tiers = table();
    assert_eq!(ask(&tiers, ServiceTier::Standard), Ok(2_000_000));
    assert_eq!(ask(&tiers, ServiceTier::Priority), Err("no price for input_uncached, output".to_owned()));
    assert_eq!(ask(&tiers, ServiceTier::Other), Err("no price for input_uncached, output".to_owned()));
    tiers.variants = vec![Variant {
        when: When { service_tier: Some(ServiceTier::Priority), ..When::default() },
        usd_per_mtok: rates(&[(Rate::Input, "2")]),
        ..Variant::default()
    }];
    // The output has no priority price: the base's stands for it, and that is told.
    assert_eq!(ask(&tiers, ServiceTier::Priority), Ok(3_000_000));
    let query = Query {
        usage: &usage,
        counters: None,
        context: &context(ServiceTier::Priority),
        at_us: 0,
        is_used_elsewhere: false,
    };
    let lines = price(&query, &tiers).unwrap().lines;
    assert_eq!(lines.iter().map(|line| line.is_base).collect::<Vec<_>>(), [false, true]);
    assert_eq!(ask(&tiers, ServiceTier::Flex), Err("no price for input_uncached, output".to_owned()));
    tiers.fallback.standard_for = vec![ServiceTier::Flex];
    assert_eq!(ask(&tiers, ServiceTier::Flex), Ok(2_000_000));
}

#[test]
fn of_two_variants_the_one_that_asks_for_more_applies() {
    let variant = |region: Option<&str>, tier: Option<ServiceTier>, input: &str| Variant {
        when: When { region: region.map(str::to_owned), service_tier: tier, ..When::default() },
        usd_per_mtok: rates(&[(Rate::Input, input)]),
        ..Variant::default()
    };
    let mut regional = table();
    regional.variants = vec![
        variant(Some("eu"), Some(ServiceTier::Batch), "3"),
        variant(Some("eu"), None, "2"),
        variant(None, Some(ServiceTier::Batch), "4"),
    ];
    let usage = Usage { input_uncached: 1_000, ..Usage::default() };
    for (region, tier, nanousd) in [
        (None, None, 1_000_000),
        (Some("EU"), None, 2_000_000),
        (Some("EU"), Some(ServiceTier::Batch), 3_000_000),
        (Some("us"), Some(ServiceTier::Batch), 4_000_000),
    ] {
        let context =
            PricingContext { region: region.map(str::to_owned), service_tier: tier, ..PricingContext::default() };
        assert_eq!(asked(&regional, usage, Counters::default(), &context, 0), Ok(nanousd), "{context:?}");
    }
}

#[test]
fn parts_are_taken_out_of_their_bucket_and_never_counted_twice() {
    let mut parts = table();
    parts.usd_per_mtok = rates(&[
        (Rate::Input, "1"),
        (Rate::InputAudio, "100"),
        (Rate::CacheRead, "0.1"),
        (Rate::CacheReadAudio, "0.01"),
        (Rate::Output, "10"),
        (Rate::Reasoning, "1000"),
    ]);
    let usage = Usage {
        input_uncached: 1_000,
        cache_read: 500,
        input_audio: 300,
        cache_read_audio: 200,
        output: 50,
        reasoning: 20,
        ..Usage::default()
    };
    // 900 fresh, 100 fresh sound, 300 cached, 200 cached sound, 30 said, 20 thought.
    assert_eq!(of(&parts, usage), Ok(900_000 + 10_000_000 + 30_000 + 2_000 + 300_000 + 20_000_000));
    // Sound that does not fit into fresh input must be cached: it is not counted twice.
    assert_eq!(
        of(&parts, Usage { input_audio: 5_000, ..usage }),
        Ok(100_000_000 + 30_000 + 2_000 + 300_000 + 20_000_000)
    );
}

#[test]
fn what_is_counted_beside_tokens_has_a_price_or_is_told_to_have_none() {
    let usage = Usage { input_uncached: 1_000, ..Usage::default() };
    let searched = Counters { web_search_requests: 3, web_fetch_requests: 2, image_count: 1, ..Counters::default() };
    let ask = |table: &PriceTable, usage, counters| asked(table, usage, counters, &PricingContext::default(), 0);
    assert_eq!(ask(&table(), usage, searched), Err("no price for web_search_requests".to_owned()));
    let mut units = table();
    units.usd_per_unit =
        [(Unit::WebSearch, usd("0.01")), (Unit::AudioInputSecond, usd("0.0001"))].into_iter().collect();
    units.usd_per_request = Some(usd("0.005"));
    // A fetched page and a picture are the tokens that they became.
    assert_eq!(ask(&units, usage, searched), Ok(1_000_000 + 30_000_000 + 5_000_000));
    let heard = Counters { audio_input_millis: 1_500, ..Counters::default() };
    assert_eq!(ask(&units, Usage::default(), heard), Ok(150_000 + 5_000_000), "a second and a half");
    let drawn = Counters { image_count: 2, ..Counters::default() };
    assert_eq!(ask(&units, Usage::default(), drawn), Err("no price for image_count".to_owned()), "no tokens, no price");
}

#[test]
fn a_unit_without_a_price_beside_tokens_is_told_and_the_tokens_are_charged() {
    let usage = Usage { input_uncached: 1_000, ..Usage::default() };
    let (costs, context) = (table(), PricingContext::default());
    let (margin, own) = (BookRule::Multiplier(usd("2")), BookRule::Absolute(table()));
    let entry = |usage: &Usage, context: &PricingContext, rule: &BookRule, counters: Counters| {
        let cost = Some(CostBasis::Table(&costs));
        let priced = price_entry(&[Terms { usage, context, worker: None, cost, rule: Some(rule) }], &counters, 0)[0];
        let amounts = (priced.cost.map(NanoUsd::get), priced.charge.map(NanoUsd::get));
        (amounts, Unit::names_of(priced.unpriced_units), priced.is_priced())
    };
    let called = Counters { server_tool_calls: 3, web_search_requests: 1, ..Counters::default() };
    let missing = vec!["web_search_requests", "server_tool_calls"];
    assert_eq!(entry(&usage, &context, &margin, called), ((Some(1_000_000), Some(2_000_000)), missing.clone(), false));
    assert_eq!(entry(&usage, &context, &own, called), ((Some(1_000_000), Some(1_000_000)), missing.clone(), false));
    // Nothing else was used: there is no amount at all.
    let nothing = entry(&Usage::default(), &context, &margin, called);
    assert_eq!((nothing.0, nothing.2), ((None, None), false));
    // The tokens of a picture are its price, but for one that a tool made within an answer of text.
    let drawn = Counters { image_count: 1, ..Counters::default() };
    assert_eq!(entry(&usage, &context, &margin, drawn), ((Some(1_000_000), Some(2_000_000)), vec![], true));
    let by_tool = PricingContext { images_by_tool: true, ..PricingContext::default() };
    assert_eq!(
        entry(&usage, &by_tool, &margin, drawn),
        ((Some(1_000_000), Some(2_000_000)), vec!["image_count"], false)
    );
}

#[test]
fn counters_and_the_request_are_priced_once_and_a_minimum_is_of_the_whole_entry() {
    let mut costs = table();
    costs.usd_per_request = Some(usd("0.001"));
    costs.usd_per_unit = [(Unit::WebSearch, usd("0.01"))].into_iter().collect();
    let rule =
        |least: &str| BookRule::AtLeast { usd_per_request: usd(least), rule: Box::new(BookRule::Multiplier(usd("2"))) };
    let (first, second) =
        (Usage { input_uncached: 1_000, ..Usage::default() }, Usage { output: 1_000, ..Usage::default() });
    let context = PricingContext::default();
    let entry = |rule: &BookRule, counters: Counters| {
        let terms = |usage| Terms {
            usage,
            context: &context,
            worker: None,
            cost: Some(CostBasis::Table(&costs)),
            rule: Some(rule),
        };
        let priced = price_entry(&[terms(&first), terms(&second)], &counters, 0);
        priced.iter().map(|line| (line.cost.unwrap().get(), line.charge.unwrap().get())).collect::<Vec<_>>()
    };
    let searched = Counters { web_search_requests: 1, ..Counters::default() };
    assert_eq!(entry(&rule("0"), searched), [(12_000_000, 24_000_000), (10_000_000, 20_000_000)]);
    assert_eq!(entry(&rule("0.05"), searched), [(12_000_000, 30_000_000), (10_000_000, 20_000_000)], "50 in all");
    assert_eq!(entry(&rule("0.04"), searched), [(12_000_000, 24_000_000), (10_000_000, 20_000_000)], "44 is more");
    let unused = Usage::default();
    let free = table();
    let minimum = rule("0.05");
    let terms = Terms {
        usage: &unused,
        context: &context,
        worker: None,
        cost: Some(CostBasis::Table(&free)),
        rule: Some(&minimum),
    };
    assert_eq!(
        price_entry(&[terms], &Counters::default(), 0)[0].charge.unwrap().get(),
        0,
        "nothing used, nothing owed"
    );
}

#[test]
fn a_variant_without_a_price_for_a_long_prompt_does_not_lend_its_short_one() {
    let mut long = table();
    long.tiers = vec![Tier {
        above_input_tokens: 1_000,
        applies: TierApplies::Whole,
        usd_per_mtok: rates(&[(Rate::Input, "2")]),
    }];
    let flex = |tiers: Vec<Tier>| Variant {
        when: When { service_tier: Some(ServiceTier::Flex), ..When::default() },
        usd_per_mtok: rates(&[(Rate::Input, "0.5"), (Rate::Output, "5")]),
        tiers,
        ..Variant::default()
    };
    let context = PricingContext { service_tier: Some(ServiceTier::Flex), ..PricingContext::default() };
    let ask = |table: &PriceTable, input| {
        let usage = Usage { input_uncached: input, output: 10, ..Usage::default() };
        asked(table, usage, Counters::default(), &context, 0)
    };
    for applies in [TierApplies::Whole, TierApplies::Excess] {
        long.tiers[0].applies = applies;
        long.variants = vec![flex(Vec::new())];
        assert_eq!(ask(&long, 1_000), Ok(500_000 + 50_000));
        assert_eq!(ask(&long, 1_001), Err("no price for input_uncached".to_owned()), "{applies:?}");
    }
    long.tiers[0].applies = TierApplies::Whole;
    long.variants = vec![flex(vec![Tier {
        above_input_tokens: 1_000,
        applies: TierApplies::Whole,
        usd_per_mtok: rates(&[(Rate::Input, "1")]),
    }])];
    assert_eq!(ask(&long, 1_001), Ok(1_001_000 + 50_000), "said of it");
}

#[test]
fn what_used_nothing_costs_no_fee_and_a_fee_is_asked_once_whichever_line_used_something() {
    let mut fee = table();
    fee.usd_per_request = Some(usd("0.005"));
    let (unused, used) = (Usage::default(), Usage { output: 1_000, ..Usage::default() });
    assert_eq!(of(&fee, unused), Ok(0));
    assert_eq!(of(&fee, used), Ok(10_000_000 + 5_000_000));
    let drawn = Counters { web_fetch_requests: 1, ..Counters::default() };
    assert_eq!(asked(&fee, unused, drawn, &PricingContext::default(), 0), Ok(5_000_000));
    let context = PricingContext::default();
    let priced = |lines: &[&Usage]| {
        let terms =
            |usage| Terms { usage, context: &context, worker: None, cost: Some(CostBasis::Table(&fee)), rule: None };
        let terms: Vec<Terms<'_>> = lines.iter().copied().map(terms).collect();
        let lines = price_entry(&terms, &Counters::default(), 0);
        lines.iter().map(|line| line.cost.unwrap().get()).collect::<Vec<_>>()
    };
    assert_eq!(priced(&[&unused, &used]), [5_000_000, 10_000_000]);
    assert_eq!(priced(&[&unused, &unused]), [0, 0]);
}
