//! Recorded answers of all dialects, whole, split at every offset and cut after every event.

use std::{
    collections::VecDeque,
    fs,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use serde_json::{Value, json};
use tollgate::{
    metering::{Asked, End, Metered, Reporter, conclude},
    upstream::{
        dialect::{Dialect, Framing},
        sniff::{SAMPLE_BYTES_MAX, Sniffed, Sniffer},
    },
};
use tollgate_core::entry::UsageSource;
use tollgate_tokens::count;

use crate::{harness::read, raw::RawUpstream, shared};

pub(crate) struct Case {
    pub(crate) meta: Value,
    pub(crate) body: Bytes,
}

impl Case {
    pub(crate) fn id(&self) -> &str {
        self.meta["id"].as_str().unwrap()
    }

    pub(crate) fn dialect(&self) -> Dialect {
        let path = self.meta["endpoint"].as_str().unwrap();
        match self.meta["dialect"].as_str().unwrap() {
            "openai_chat" => Dialect::OpenAiChat,
            "openai_completions" => Dialect::OpenAiCompletions,
            "openai_embeddings" => Dialect::OpenAiEmbeddings,
            "openai_responses" => Dialect::OpenAiResponses,
            "openai_images" => Dialect::OpenAiImages,
            "openai_audio" if self.meta["endpoint"] == "/v1/audio/speech" => Dialect::OpenAiSpeech,
            "openai_audio" => Dialect::OpenAiAudio,
            "openai_moderations" => Dialect::OpenAiModerations,
            "anthropic_messages" => Dialect::AnthropicMessages,
            "anthropic_count_tokens" => Dialect::AnthropicCountTokens,
            "gemini" if path.ends_with(":countTokens") => Dialect::GeminiCountTokens,
            "gemini" if path.ends_with("mbedContent") => Dialect::GeminiEmbed,
            "gemini" if path.ends_with("/interactions") => Dialect::GeminiInteractions,
            "gemini" => Dialect::Gemini,
            "bedrock_converse" => Dialect::BedrockConverse,
            "bedrock_invoke" => Dialect::BedrockInvoke,
            "ollama" => Dialect::Ollama,
            "cohere" => Dialect::Cohere,
            other => panic!("an unknown dialect: {other}"),
        }
    }

    /// As the answer's headers say, which is what the gateway goes by.
    pub(crate) fn framing(&self) -> Framing {
        let stream = self.meta["stream"] == true;
        let framing = Framing::of(self.dialect(), self.meta["content_type"].as_str().unwrap(), stream);
        let told = match self.meta["framing"].as_str().unwrap() {
            "sse" => Framing::Sse,
            "ndjson" => Framing::Ndjson,
            "json_array" => Framing::JsonArray,
            "aws_eventstream" => Framing::EventStream,
            "audio" => Framing::Opaque,
            _ => Framing::Json,
        };
        assert_eq!(framing, told, "{}", self.id());
        framing
    }

    fn is_events(&self) -> bool {
        self.framing() == Framing::Sse
    }

    pub(crate) fn asked(&self) -> Asked {
        let request = &self.meta["request"];
        let word = |name: &str| request[name].as_str().map(str::to_owned);
        let is_speech = self.meta["endpoint"].as_str().unwrap().ends_with("/audio/speech");
        Asked {
            input_estimate: 17,
            choices: 1,
            output_max: 0,
            by_unit: false,
            characters: request["input"].as_str().filter(|_| is_speech).map_or(0, |text| text.chars().count() as u64),
            image_size: word("size"),
            image_quality: word("quality"),
        }
    }

    fn model_asked(&self) -> String {
        let in_path = self.meta["endpoint"].as_str().unwrap().split(['/', '?']).filter_map(|part| {
            let model = part.strip_suffix(":generateContent").or(part.strip_suffix(":streamGenerateContent"));
            model.or(Some(part).filter(|part| part.contains("anthropic.") || part.contains("openai.")))
        });
        self.meta["request"]["model"].as_str().or(in_path.collect::<Vec<_>>().pop()).unwrap_or_default().to_owned()
    }

    /// The gateway asks for usage when the client did not.
    pub(crate) fn injected(&self) -> bool {
        !self.meta["expected"]["relay"].is_null()
    }

    /// Where each document ends.
    fn documents(&self) -> Vec<std::ops::Range<usize>> {
        match self.framing() {
            Framing::Sse => self.data_events(),
            Framing::Ndjson => self.split_after(b"\n"),
            Framing::JsonArray => self.split_after(b"\n,\n"),
            Framing::EventStream => self.frames(),
            Framing::Json | Framing::Opaque => Vec::new(),
        }
    }

    fn split_after(&self, separator: &[u8]) -> Vec<std::ops::Range<usize>> {
        let mut ends: Vec<usize> =
            memchr::memmem::find_iter(&self.body, separator).map(|at| at + separator.len()).collect();
        ends.insert(0, 0);
        ends.windows(2).map(|pair| pair[0]..pair[1]).collect()
    }

    fn frames(&self) -> Vec<std::ops::Range<usize>> {
        let mut frames = Vec::new();
        let mut at = 0;
        while let Some(len) = self.body.get(at..at + 4) {
            let end = at + u32::from_be_bytes(len.try_into().unwrap()) as usize;
            frames.push(at..end);
            at = end;
        }
        frames
    }

    fn data_events(&self) -> Vec<std::ops::Range<usize>> {
        let text = std::str::from_utf8(&self.body).unwrap();
        let separator = if text.contains("\r\n\r\n") { "\r\n\r\n" } else { "\n\n" };
        let mut events = Vec::new();
        let mut start = 0;
        while let Some(len) = text[start..].find(separator) {
            let end = start + len + separator.len();
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
        if drop.is_empty() {
            return relay;
        }
        let events = self.data_events();
        for number in drop.iter().rev() {
            let at = usize::try_from(number.as_u64().unwrap()).unwrap();
            relay.drain(events[at].clone());
        }
        relay
    }
}

/// Recorded answers: those of status 200, or those of another.
fn cases(folder: &Path, is_answer: bool) -> Vec<Case> {
    let mut cases: Vec<Case> = fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let meta: Value = serde_json::from_slice(&fs::read(path.join("meta.json")).ok()?).unwrap();
            let body = fs::read(path.join(meta["body_file"].as_str()?)).unwrap().into();
            ((meta["upstream_status"] == 200) == is_answer).then_some(Case { meta, body })
        })
        .collect();
    cases.sort_by(|a, b| a.id().cmp(b.id()));
    cases
}

pub(crate) fn all_cases() -> Vec<Case> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut all = cases(&own, true);
    assert!(all.len() >= 60, "the project's own cases are gone");
    if let Some(folder) = shared::folder("fixtures") {
        let shared = cases(&folder, true);
        assert!(shared.len() >= 39, "shared cases are gone");
        all.extend(shared);
    }
    all
}

/// Runs a test on every case and names all those that fail.
fn each_case(test: impl Fn(&Case)) {
    let failed: Vec<String> = all_cases()
        .iter()
        .filter(|case| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(case))).is_err())
        .map(|case| case.id().to_owned())
        .collect();
    assert!(failed.is_empty(), "{} cases: {failed:?}", failed.len());
}

/// Feeds pieces; gives what was seen and everything that reached the client.
pub(crate) fn feed(case: &Case, pieces: impl IntoIterator<Item = Bytes>) -> (Sniffed, Vec<u8>) {
    let mut sniffer = Sniffer::new(case.dialect(), case.framing(), case.injected());
    let mut out = VecDeque::new();
    for piece in pieces {
        sniffer.push(piece, &mut out);
    }
    let seen = sniffer.summary();
    out.extend(sniffer.finish());
    assert_eq!(*sniffer.sum_up(), seen, "{}: summed up", case.id());
    (seen, out.iter().flat_map(|piece| piece.iter().copied()).collect())
}

pub(crate) fn end_of(case: &Case, seen: &Sniffed) -> End {
    match (case.framing().is_stream(), seen.done) {
        (true, false) => End::Eof,
        _ => End::Terminal,
    }
}

fn check(case: &Case, seen: &Sniffed, how: &str) {
    let metered = conclude(seen, end_of(case, seen), &case.asked(), Reporter::Provider);
    let expected = &case.meta["expected"];
    let id = case.id();
    assert_eq!(json!(metered.outcome), expected["outcome"], "{id} {how}: outcome of {metered:?}");
    let source = match expected["usage_source"].as_str().unwrap() {
        "none_estimate_required" => "estimated",
        "none_count_units" => "counted_units",
        "none_deferred" => "deferred",
        "none_not_billed" => "not_billed",
        other => other,
    };
    assert_eq!(json!(metered.source), json!(source), "{id} {how}: source of {metered:?}");
    check_lines(case, &metered, seen, how);
    check_context(case, &metered, how);
    let flags: Vec<&String> = metered.flags.iter().filter(|flag| *flag != "output_estimated").collect();
    assert_eq!(json!(flags), expected["flags"], "{id} {how}: flags");
    assert_eq!(serde_json::to_value(metered.counters).unwrap(), expected["counters"], "{id} {how}: counters");
    assert_eq!(json!(metered.reported_total), expected["reported_total"], "{id} {how}: total");
    assert_eq!(json!(metered.reported_cost_usd), expected["reported_cost_usd"], "{id} {how}: cost");
    if let Some(delivered) = expected["estimate"]["delivered_output_bytes"].as_u64() {
        assert_eq!(seen.delivered_bytes, delivered, "{id} {how}: delivered bytes");
    }
}

/// All lines and all their buckets; what the case says is to be estimated follows the published rule.
fn check_lines(case: &Case, metered: &Metered, seen: &Sniffed, how: &str) {
    let expected = &case.meta["expected"];
    let id = case.id();
    let needs: Vec<&str> =
        expected["estimate"]["needs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let lines = expected["lines"].as_array().unwrap();
    if metered.source == UsageSource::Estimated {
        assert!(lines.is_empty() && metered.lines.len() == 1, "{id} {how}: {metered:?}");
        assert_eq!(json!(metered.lines[0].billed_model), expected["estimate"]["model"], "{id} {how}: model");
    } else {
        assert_eq!(metered.lines.len(), lines.len(), "{id} {how}: lines of {metered:?}");
    }
    let model_asked = case.model_asked();
    for (line, expected) in metered.lines.iter().zip(lines) {
        let usage = serde_json::to_value(line.usage).unwrap();
        for (bucket, tokens) in expected["usage"].as_object().unwrap() {
            if !needs.contains(&bucket.as_str()) {
                let told = usage.get(bucket).cloned().unwrap_or(json!(0));
                assert_eq!(told, *tokens, "{id} {how}: {bucket} of {metered:?}");
            }
        }
        let named = usage.as_object().unwrap().iter().filter(|(_, tokens)| **tokens != json!(0));
        for (bucket, tokens) in named {
            assert!(needs.contains(&bucket.as_str()) || expected["usage"][bucket] == *tokens, "{id} {how}: {bucket}");
        }
        let model = line.billed_model.as_deref().unwrap_or(&model_asked);
        assert_eq!(json!(model), expected["model"], "{id} {how}: model");
    }
    for need in needs {
        let usage = metered.lines[0].usage;
        match need {
            "input" => assert_eq!(usage.input_uncached, case.asked().input_estimate, "{id} {how}"),
            "output" => {
                let estimate = metered.output_estimate.unwrap();
                let sampled = seen.output_bytes().min(SAMPLE_BYTES_MAX as u64);
                assert_eq!((estimate.bytes, estimate.sample_bytes), (seen.output_bytes(), sampled), "{id} {how}");
                assert_eq!(estimate.sample_tokens, count(&seen.sample.text()) as u64, "{id} {how}");
                assert!(usage.output == estimate.tokens() && usage.output > 0, "{id} {how}: {metered:?}");
            }
            other => panic!("an unknown need: {other}"),
        }
    }
}

fn check_context(case: &Case, metered: &Metered, how: &str) {
    let expected = case.meta["expected"]["pricing_context"].as_object().unwrap();
    for line in &metered.lines {
        let mut context = serde_json::to_value(&line.context).unwrap();
        if let Some(region) = context.as_object_mut().unwrap().remove("region") {
            context["inference_geo"] = region;
        }
        let mut expected = json!(expected);
        // OpenAI's word for the standard tier.
        if expected["service_tier"] == "default" {
            expected["service_tier"] = json!("standard");
        }
        if expected["service_tier"].is_null() {
            expected.as_object_mut().unwrap().remove("service_tier");
        }
        assert_eq!(context, expected, "{} {how}: context", case.id());
    }
}

#[test]
fn every_recorded_answer_is_metered_and_relayed_as_it_must_be() {
    each_case(|case| {
        let (seen, relayed) = feed(case, [case.body.clone()]);
        check(case, &seen, "whole");
        assert_eq!(relayed, case.expected_relay(), "{}: relayed bytes", case.id());
    });
}

#[tokio::test]
async fn a_recorded_answer_of_an_error_status_is_booked_as_one_and_its_words_about_our_account_stay_here() {
    let mut all = cases(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"), false);
    assert!(!all.is_empty(), "the project's own case is gone");
    all.extend(shared::folder("fixtures").into_iter().flat_map(|folder| cases(&folder, false)));
    let upstream = RawUpstream::start().await;
    for case in &all {
        let mut request = case.meta["request"].clone();
        request["model"] = json!("openai");
        let headers: Vec<String> = case.meta["upstream_headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.as_str().unwrap()))
            .collect();
        let status = case.meta["upstream_status"].as_u64().unwrap();
        upstream.next_reply(&format!("{status} Refused"), &headers.join("\r\n"), &case.body);
        let answer = read(upstream.harness.request(case.meta["endpoint"].as_str().unwrap(), &request)).await;
        assert_eq!(u64::from(answer.status), status, "{}: {}", case.id(), answer.text);
        assert!(!answer.text.contains("quota"), "{}: {}", case.id(), answer.text);
        let view = upstream.harness.booked(&answer.request_id()).await;
        let expected = &case.meta["expected"];
        assert_eq!(view["outcome"], expected["outcome"], "{}", case.id());
        assert_eq!((&view["usage_source"], &view["charge_usd"]), (&json!("not_billed"), &json!("0.000000000")));
        assert_eq!((&view["lines"], &view["flags"]), (&expected["lines"], &expected["flags"]), "{}", case.id());
    }
}

#[test]
fn where_the_bytes_are_split_makes_no_difference() {
    each_case(|case| {
        let bytes = |range: std::ops::Range<usize>| case.body.slice(range);
        let singles = (0..case.body.len()).map(|at| bytes(at..at + 1));
        let (whole, relay) = feed(case, singles);
        check(case, &whole, "byte by byte");
        assert_eq!(relay, case.expected_relay(), "{}: byte by byte", case.id());
        // Every offset. Those of a large body that are so far apart that a few events stand between them, at once.
        let apart = if case.body.len() < 4000 { case.body.len() } else { 1009 };
        for first in 0..apart {
            let mut ends: Vec<usize> = (first..case.body.len()).step_by(apart.max(1)).collect();
            ends.push(case.body.len());
            let begins = std::iter::once(0).chain(ends.clone());
            let (seen, relayed) = feed(case, begins.zip(ends).map(|(from, to)| bytes(from..to)));
            assert_eq!(seen, whole, "{} split at {first}", case.id());
            assert_eq!(relayed, relay, "{} split at {first}", case.id());
        }
    });
}

#[test]
fn a_stream_cut_after_any_document_that_delivered_something_is_never_a_silent_zero() {
    let only_arguments = AtomicU64::new(0);
    each_case(|case| {
        for document in case.documents() {
            let (seen, _) = feed(case, [case.body.slice(0..document.end)]);
            let end = if seen.done { End::Terminal } else { End::Cut };
            let metered = conclude(&seen, end, &case.asked(), Reporter::Provider);
            // Text, or arguments of a tool call and nothing else.
            if seen.output_bytes() > 0 {
                only_arguments.fetch_add(u64::from(seen.delivered_bytes == 0), Ordering::Relaxed);
                let line = metered.lines.first().unwrap_or_else(|| panic!("{}: nothing after {document:?}", case.id()));
                let usage = line.usage;
                assert!(usage.output > 0 && usage.input_total() > 0, "{} cut after {document:?}: {usage:?}", case.id());
                assert_ne!(metered.source, UsageSource::NotBilled, "{}", case.id());
            }
        }
    });
    assert!(only_arguments.load(Ordering::Relaxed) > 0, "no stream was cut behind arguments only");
}

#[test]
fn line_ends_comments_and_field_order_make_no_difference() {
    for case in all_cases().iter().filter(|case| case.is_events()) {
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
