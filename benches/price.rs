//! What a price costs: per priced line, per look-up of a model, per start of the gateway.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tollgate::catalog::{Catalog, load_shipped};
use tollgate_core::{
    counters::Counters,
    price::{BookRule, CostBasis, Query, price, price_line},
    pricing_context::PricingContext,
    usage::Usage,
};

const AT_US: i64 = 1_796_000_000_000_000;

fn benches(criterion: &mut Criterion) {
    let catalog = load_shipped().unwrap_or_default();
    lines(criterion, &catalog);
    lookups(criterion, &catalog);
    criterion.bench_function("load the shipped tables", |bencher| bencher.iter(|| black_box(load_shipped().is_ok())));
}

fn lines(criterion: &mut Criterion, catalog: &Catalog) {
    let (counters, context) = (Counters::default(), PricingContext::default());
    let usage =
        Usage { input_uncached: 12_345, cache_read: 100_000, output: 1_234, reasoning: 200, ..Usage::default() };
    let query =
        Query { usage: &usage, counters: Some(&counters), context: &context, at_us: AT_US, is_used_elsewhere: false };
    let Some(version) = catalog.table("openai", "gpt-5", AT_US) else { return };
    let margin = "0.25".parse().map(BookRule::MarginOverCost).ok();
    criterion.bench_function("cost and charge of a line of four parts", |bencher| {
        let basis = Some(CostBasis::Table(&version.table));
        bencher.iter(|| price_line(black_box(&query), None, basis, black_box(margin.as_ref())));
    });
    criterion.bench_function("cost of a line, with its explanation", |bencher| {
        bencher.iter(|| price(black_box(&query), &version.table));
    });
}

fn lookups(criterion: &mut Criterion, catalog: &Catalog) {
    for (what, provider, model) in [
        ("look-up of a name", "openai", "gpt-5"),
        ("look-up of an alias", "openai", "gpt-4.1-2025-04-14"),
        ("look-up of a name with holes", "aws", "us.anthropic.claude-3-7-sonnet-20250219-v1:0"),
        ("look-up of no model", "aws", "nobody.knows-it"),
    ] {
        criterion.bench_function(what, |bencher| {
            bencher.iter(|| black_box(catalog.table(black_box(provider), black_box(model), AT_US)).is_some());
        });
    }
}

criterion_group!(price_benches, benches);
criterion_main!(price_benches);
