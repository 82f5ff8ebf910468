//! Recorded answers of the OpenAI dialect, whole, split at every offset and cut after every event.

use std::{collections::VecDeque, fs, path::Path};

use bytes::Bytes;
use serde_json::{Value, json};
use tollgate::{
    metering::{Asked, End, Metered, Reporter, conclude},
    upstream::{
        dialect::{Dialect, Framing},
        sniff::{Sniffed, Sniffer},
    },
};
use tollgate_core::entry::UsageSource;

use crate::shared;

const DIALECTS: &[&str] = &["openai_chat", "openai_completions", "openai_embeddings"];
fn asked() -> Asked {
    Asked { input_estimate: 17, ..Asked::default() }
}

struct Case {
    meta: Value,
    body: Bytes,
}

impl Case {
    fn id(&self) -> &str {
        self.meta["id"].as_str().unwrap()
    }

    fn is_stream(&self) -> bool {
        self.meta["framing"] == "sse"
    }

    /// The gateway asks for usage when the client did not.
    fn injected(&self) -> bool {
        !self.meta["expected"]["relay"].is_null()
    }

    fn data_events(&self) -> Vec<std::ops::Range<usize>> {
        let text = std::str::from_utf8(&self.body).unwrap();
        let mut events = Vec::new();
        let mut start = 0;
        while let Some(len) = text[start..].find("\n\n") {
            let end = start + len + 2;
            if text[start..end].lines().any(|line| line.starts_with("data:")) {
                events.push(start..end);
            }
            start = end;
        }
        events
    }

    fn expected_relay(&self) -> Vec<u8> {
        let drop = self.meta["expected"]["relay"]["drop_data_events"].as_array().cloned().unwrap_or_default();
        let mut relay = self.body.to_vec();
        let events = self.data_events();
        for number in drop.iter().rev() {
            let at = usize::try_from(number.as_u64().unwrap()).unwrap();
            relay.drain(events[at].clone());
        }
        relay
    }
}

fn cases(folder: &Path) -> Vec<Case> {
    let mut cases: Vec<Case> = fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let meta: Value = serde_json::from_slice(&fs::read(path.join("meta.json")).ok()?).unwrap();
            let known = DIALECTS.iter().any(|dialect| meta["dialect"] == *dialect) && meta["upstream_status"] == 200;
            let body = fs::read(path.join(meta["body_file"].as_str()?)).unwrap().into();
            known.then_some(Case { meta, body })
        })
        .collect();
    cases.sort_by(|a, b| a.id().cmp(b.id()));
    cases
}

fn all_cases() -> Vec<Case> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut all = cases(&own);
    assert!(all.len() >= 4, "the project's own cases are gone");
    if let Some(folder) = shared::folder("fixtures") {
        all.extend(cases(&folder));
    }
    all
}

/// Feeds pieces; gives what was seen and everything that reached the client.
fn feed(case: &Case, pieces: impl IntoIterator<Item = Bytes>) -> (Sniffed, Vec<u8>) {
    let framing = if case.is_stream() { Framing::Sse } else { Framing::Json };
    let mut sniffer = Sniffer::new(Dialect::OpenAiChat, framing, case.injected());
    let mut out = VecDeque::new();
    for piece in pieces {
        sniffer.push(piece, &mut out);
    }
    let seen = sniffer.summary();
    out.extend(sniffer.finish());
    (seen, out.iter().flat_map(|piece| piece.iter().copied()).collect())
}

fn end_of(case: &Case, seen: &Sniffed) -> End {
    match (case.is_stream(), seen.done) {
        (true, false) => End::Eof,
        _ => End::Terminal,
    }
}

fn check(case: &Case, seen: &Sniffed, how: &str) {
    let metered = conclude(seen, end_of(case, seen), &asked(), Reporter::Provider);
    let expected = &case.meta["expected"];
    let id = case.id();
    assert_eq!(json!(metered.outcome), expected["outcome"], "{id} {how}: outcome");
    check_usage(case, &metered, seen, how);
    let total = expected["reported_total"].as_u64();
    assert_eq!(metered.reported_total, total, "{id} {how}: total");
    if let Some(cost) = expected["reported_cost_usd"].as_str() {
        let told: f64 = metered.reported_cost_usd.as_deref().unwrap().parse().unwrap();
        assert!((told - cost.parse::<f64>().unwrap()).abs() < 1e-12, "{id} {how}: cost {told}");
    }
}

fn check_usage(case: &Case, metered: &Metered, seen: &Sniffed, how: &str) {
    let expected = &case.meta["expected"];
    let id = case.id();
    let source = match expected["usage_source"].as_str().unwrap() {
        "none_estimate_required" => "estimated",
        other => other,
    };
    assert_eq!(json!(metered.source), json!(source), "{id} {how}: source");
    if let Some(line) = expected["lines"].as_array().and_then(|lines| lines.first()) {
        let usage = metered.lines.first().unwrap_or_else(|| panic!("{id} {how}: no usage in {metered:?}"));
        let usage = serde_json::to_value(usage.usage).unwrap();
        for (bucket, tokens) in line["usage"].as_object().unwrap() {
            assert_eq!(usage[bucket], *tokens, "{id} {how}: {bucket}");
        }
        assert_eq!(json!(metered.lines[0].billed_model), line["model"], "{id} {how}: model");
    }
    if let Some(delivered) = expected["estimate"]["delivered_output_bytes"].as_u64() {
        assert_eq!(seen.delivered_bytes, delivered, "{id} {how}: delivered bytes");
        assert!(metered.lines[0].usage.output > 0, "{id} {how}: a silent zero");
    }
}

#[test]
fn every_recorded_answer_is_metered_and_relayed_as_it_must_be() {
    for case in all_cases() {
        let (seen, relayed) = feed(&case, [case.body.clone()]);
        check(&case, &seen, "whole");
        assert_eq!(relayed, case.expected_relay(), "{}: relayed bytes", case.id());
    }
}

#[test]
fn where_the_bytes_are_split_makes_no_difference() {
    for case in all_cases() {
        let bytes = |range: std::ops::Range<usize>| case.body.slice(range);
        let singles = (0..case.body.len()).map(|at| bytes(at..at + 1));
        let (whole, relay) = feed(&case, singles);
        check(&case, &whole, "byte by byte");
        assert_eq!(relay, case.expected_relay(), "{}: byte by byte", case.id());
        // Every offset of small bodies and of the last bytes of large ones; every 13th elsewhere.
        let offsets =
            (0..case.body.len()).filter(|at| at % 13 == 0 || case.body.len() < 4000 || at + 700 > case.body.len());
        for at in offsets {
            let (seen, relayed) = feed(&case, [bytes(0..at), bytes(at..case.body.len())]);
            assert_eq!(seen, whole, "{} split at {at}", case.id());
            assert_eq!(relayed, relay, "{} split at {at}", case.id());
        }
    }
}

#[test]
fn a_stream_cut_after_any_event_that_delivered_something_is_never_a_silent_zero() {
    for case in all_cases().iter().filter(|case| case.is_stream()) {
        for event in case.data_events() {
            let (seen, _) = feed(case, [case.body.slice(0..event.end)]);
            let metered =
                conclude(&seen, if seen.done { End::Terminal } else { End::Cut }, &asked(), Reporter::Provider);
            if seen.delivered_bytes > 0 {
                let usage =
                    metered.lines.first().unwrap_or_else(|| panic!("{}: no usage after {event:?}", case.id())).usage;
                assert!(usage.output > 0 && usage.input_total() > 0, "{} cut after {event:?}: {usage:?}", case.id());
                assert_ne!(metered.source, UsageSource::NotBilled, "{}", case.id());
            }
        }
    }
}

#[test]
fn line_ends_comments_and_field_order_make_no_difference() {
    for case in all_cases().iter().filter(|case| case.is_stream()) {
        let text = std::str::from_utf8(&case.body).unwrap();
        let (plain, _) = feed(case, [case.body.clone()]);
        for (how, changed) in [
            ("crlf", text.replace('\n', "\r\n")),
            ("cr", text.replace('\n', "\r")),
            ("no space", format!("\n{text}").replace("\ndata: ", "\ndata:")),
            ("byte order mark", format!("\u{feff}{text}")),
            ("comments", format!("\n{text}").replace("\ndata: ", "\n: keep-alive\nid: 7\ndata: ")),
        ] {
            let changed = Bytes::from(changed);
            for size in [1, 7, changed.len()] {
                let pieces =
                    (0..changed.len()).step_by(size).map(|at| changed.slice(at..(at + size).min(changed.len())));
                assert_eq!(feed(case, pieces).0, plain, "{} with {how}, {size} bytes at once", case.id());
            }
        }
    }
}

#[test]
fn usage_that_is_quoted_or_nested_elsewhere_is_never_read() {
    let forged = r#""usage":{"prompt_tokens":999999,"completion_tokens":999999}"#;
    let inside = serde_json::to_string(&format!("data: {{{forged}}}\n\ndata: [DONE]\n\n")).unwrap();
    let event = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"content\":{inside},{forged},\"tool_calls\":[{{\"function\":{{\"arguments\":{inside},{forged}}},{forged}}}]}},{forged}}}],\"x\":{{{forged}}},\"usage\":null}}\n\n"
    );
    let mut sniffer = Sniffer::new(Dialect::OpenAiChat, Framing::Sse, true);
    let mut out = VecDeque::new();
    sniffer.push(event.clone().into(), &mut out);
    assert_eq!(out.len(), 1);
    let seen = sniffer.summary();
    assert_eq!((seen.usage_raw, seen.done), (None, false));
    let mut body = Sniffer::new(Dialect::OpenAiChat, Framing::Json, false);
    body.push(event.trim_start_matches("data: ").to_owned().into(), &mut out);
    assert_eq!(body.summary().usage_raw, None);
}

#[test]
fn a_ten_megabyte_event_passes_in_constant_memory() {
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    let mut sniffer = Sniffer::new(Dialect::OpenAiChat, Framing::Sse, true);
    let mut out = VecDeque::new();
    sniffer.push(Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"content\":\""), &mut out);
    for _ in 0..160 {
        sniffer.push(piece.clone(), &mut out);
        assert!(out.len() <= 3, "{} pieces were held back", out.len());
        out.clear();
    }
    sniffer.push(Bytes::from_static(b"\"}}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n"), &mut out);
    let seen = sniffer.summary();
    assert_eq!(seen.delivered_bytes, 160 * 64 * 1024);
    assert!(seen.usage_raw.is_some());
}
