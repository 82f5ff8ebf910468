//! Reports and cuts of which there is no recording.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::json;
use tollgate::{
    metering::{Asked, End, Metered, Reporter, conclude},
    upstream::{
        dialect::{Dialect, Framing},
        sniff::Sniffer,
    },
};
use tollgate_core::{
    entry::{Outcome, UsageSource},
    pricing_context::ServiceTier,
};

fn feed(dialect: Dialect, framing: Framing, withhold: bool, body: &str, end: End) -> (Metered, Vec<u8>) {
    let mut sniffer = Sniffer::new(dialect, framing, withhold);
    let mut out = VecDeque::new();
    sniffer.push(Bytes::copy_from_slice(body.as_bytes()), &mut out);
    let seen = sniffer.summary();
    out.extend(sniffer.finish());
    let asked = Asked { input_estimate: 7, ..Asked::default() };
    (conclude(&seen, end, &asked, Reporter::Provider), out.into_iter().flatten().collect())
}

fn whole(dialect: Dialect, body: &serde_json::Value) -> Metered {
    feed(dialect, Framing::Json, false, &body.to_string(), End::Terminal).0
}

/// Eleven by bytes / 4.
const TEN_TOKENS: &str = "The quick brown fox jumps over the lazy dog.";

fn cut(dialect: Dialect, events: &[serde_json::Value]) -> Metered {
    let events: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    feed(dialect, Framing::Sse, false, &events, End::Cut).0
}

#[test]
fn many_choices_do_not_hide_the_tier_and_the_model_behind_them() {
    let choice =
        |index| json!({ "index": index, "message": { "role": "assistant", "content": "x" }, "finish_reason": "stop" });
    let choices: Vec<_> = (0..128).map(choice).collect();
    let body = json!({
        "choices": choices, "model": "gpt-5-2025-08-07", "service_tier": "priority",
        "usage": { "prompt_tokens": 5, "completion_tokens": 128, "total_tokens": 133 },
    });
    let metered = whole(Dialect::OpenAiChat, &body);
    assert_eq!((metered.source, metered.outcome), (UsageSource::ProviderFinal, Outcome::Complete));
    assert_eq!(metered.lines[0].context.service_tier, Some(ServiceTier::Priority));
    assert_eq!(metered.lines[0].billed_model.as_deref(), Some("gpt-5-2025-08-07"));
}

#[test]
fn a_second_message_that_is_cut_is_not_billed_by_its_placeholder() {
    let start = |output| json!({ "type": "message_start", "message": { "model": "c", "usage": { "input_tokens": 9, "output_tokens": output } } });
    let text = |text: &str| json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } });
    let told =
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 500 } });
    let metered = cut(Dialect::AnthropicMessages, &[start(1), text("a"), told, start(1), text(&"word ".repeat(800))]);
    assert!((800..=805).contains(&metered.lines[0].usage.output), "{metered:?}");
    assert!(metered.flags.iter().any(|flag| flag == "output_estimated"), "{metered:?}");
}

#[test]
fn what_is_delivered_as_sound_custom_tools_or_redacted_thinking_counts_when_its_stream_is_cut() {
    let delta = |delta| json!({ "model": "m", "choices": [{ "index": 0, "delta": delta }] });
    let chat = [
        delta(json!({ "audio": { "id": "a", "transcript": TEN_TOKENS } })),
        delta(
            json!({ "tool_calls": [{ "index": 0, "type": "custom", "custom": { "name": "f", "input": TEN_TOKENS } }] }),
        ),
    ];
    for event in chat {
        let metered = cut(Dialect::OpenAiChat, &[event]);
        assert_eq!((metered.source, metered.lines[0].usage.output), (UsageSource::Estimated, 10), "{metered:?}");
    }
    let begun = json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "redacted_thinking", "data": "x".repeat(40) } });
    let compacted = json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "compaction_delta", "content": TEN_TOKENS } });
    for event in [begun, compacted] {
        let metered = cut(Dialect::AnthropicMessages, &[event]);
        assert_eq!((metered.source, metered.lines[0].usage.output), (UsageSource::Estimated, 10), "{metered:?}");
    }
}

#[test]
fn sealed_reasoning_is_not_measured_by_the_text_beside_it() {
    let sealed = json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "redacted_thinking", "data": "x".repeat(10_000) } });
    let text = json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "text_delta", "text": "I" } });
    for (events, tokens) in [(vec![sealed.clone()], 2500), (vec![sealed.clone(), text.clone()], 2501), (vec![text], 1)]
    {
        let metered = cut(Dialect::AnthropicMessages, &events);
        assert_eq!(metered.lines[0].usage.output, tokens, "{metered:?}");
    }
}

#[test]
fn an_answer_of_a_vendor_that_says_nothing_known_is_an_estimate_and_its_pictures_are_counted() {
    let unknown = whole(Dialect::BedrockInvoke, &json!({ "vectors": [1, 2], "tokens": "?" }));
    assert_eq!((unknown.source, unknown.lines[0].usage.input_uncached), (UsageSource::Estimated, 7), "{unknown:?}");
    let spoken = whole(Dialect::BedrockInvoke, &json!({ "message": TEN_TOKENS, "finishReason": "stop" }));
    assert_eq!((spoken.outcome, spoken.lines[0].usage.output), (Outcome::Complete, 10), "{spoken:?}");
    let pictures = whole(Dialect::BedrockInvoke, &json!({ "images": ["aGk=", "aGk="] }));
    assert_eq!((pictures.source, pictures.counters.image_count), (UsageSource::CountedUnits, 2), "{pictures:?}");
}

#[test]
fn an_error_beside_the_usage_that_is_withheld_reaches_the_client() {
    let events = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n\
                  data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1},\"error\":{\"message\":\"gone\"}}\n\n";
    let (metered, passed) = feed(Dialect::OpenAiChat, Framing::Sse, true, events, End::Eof);
    assert!(String::from_utf8(passed).unwrap().contains("gone"));
    assert_eq!(metered.outcome, Outcome::ErrorMidStream);
    let usage = events.replace(",\"error\":{\"message\":\"gone\"}", "");
    let (_, passed) = feed(Dialect::OpenAiChat, Framing::Sse, true, &usage, End::Eof);
    assert!(!String::from_utf8(passed).unwrap().contains("usage"));
}

#[test]
fn a_report_that_is_too_large_is_told_of_the_estimate_that_stands_for_it() {
    let body = json!({
        "model": "m", "choices": [{ "index": 0, "message": { "content": TEN_TOKENS }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 5, "completion_tokens": 9, "note": "n".repeat(70_000) },
    });
    let metered = whole(Dialect::OpenAiChat, &body);
    assert_eq!((metered.source, metered.lines[0].usage.output), (UsageSource::Estimated, 10));
    assert!(metered.flags.iter().any(|flag| flag == "usage_too_large"), "{metered:?}");
}

#[test]
fn the_searches_of_all_candidates_count() {
    let candidate = |queries: &[&str]| json!({ "content": { "parts": [{ "text": "a" }] }, "finishReason": "STOP", "groundingMetadata": { "webSearchQueries": queries } });
    let body = json!({
        "candidates": [candidate(&["a", "b"]), candidate(&["c"])], "modelVersion": "g",
        "usageMetadata": { "promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5, "serviceTier": "unspecified" },
    });
    let metered = whole(Dialect::Gemini, &body);
    assert_eq!((metered.counters.web_search_requests, metered.source), (3, UsageSource::ProviderFinal), "{metered:?}");
    assert_eq!(metered.lines[0].context.service_tier, Some(ServiceTier::Standard));
}

#[test]
fn an_answer_that_was_optimised_for_latency_has_the_price_of_its_own() {
    let body = |latency: &str| {
        json!({
            "output": { "message": { "role": "assistant", "content": [{ "text": "a" }] } }, "stopReason": "end_turn",
            "usage": { "inputTokens": 3, "outputTokens": 1, "totalTokens": 4 },
            "serviceTier": { "type": "default" }, "performanceConfig": { "latency": latency },
        })
    };
    for (latency, tier) in [("optimized", ServiceTier::Fast), ("standard", ServiceTier::Standard)] {
        let metered = whole(Dialect::BedrockConverse, &body(latency));
        assert_eq!(metered.lines[0].context.service_tier, Some(tier), "{metered:?}");
        assert_eq!((metered.source, metered.flags.len()), (UsageSource::ProviderFinal, 0), "{metered:?}");
    }
}

#[test]
fn a_reranking_by_a_server_of_another_vendor_is_billed_by_its_tokens() {
    for (usage, tokens) in [
        (json!({ "total_tokens": 56 }), 56),
        (json!({ "prompt_tokens": 56, "completion_tokens": 0, "total_tokens": 56 }), 56),
    ] {
        let body = json!({ "model": "reranker", "results": [{ "index": 0, "relevance_score": 0.5 }], "usage": usage });
        let metered = whole(Dialect::Cohere, &body);
        assert_eq!((metered.source, metered.lines[0].usage.input_uncached), (UsageSource::ProviderFinal, tokens));
        assert_eq!((metered.lines[0].billed_model.as_deref(), metered.flags.len()), (Some("reranker"), 0));
    }
}

#[test]
fn more_output_than_was_asked_for_at_most_is_not_the_last_word() {
    let body = |output: u64, reasoning: u64| {
        json!({
            "model": "m", "choices": [{ "index": 0, "message": { "content": "hi" }, "finish_reason": "length" }],
            "usage": {
                "prompt_tokens": 5, "completion_tokens": output, "total_tokens": output + 5,
                "completion_tokens_details": { "reasoning_tokens": reasoning },
            },
        })
        .to_string()
    };
    let metered = |output, reasoning| {
        let mut sniffer = Sniffer::new(Dialect::OpenAiChat, Framing::Json, false);
        sniffer.push(body(output, reasoning).into(), &mut VecDeque::new());
        let asked = Asked { output_max: 16, ..Asked::default() };
        conclude(&sniffer.summary(), End::Terminal, &asked, Reporter::Provider)
    };
    for (output, reasoning, source) in [
        (16, 0, UsageSource::ProviderFinal),
        (1_000, 990, UsageSource::ProviderFinal),
        (1_000_000_000, 0, UsageSource::ProviderFinalSuspect),
    ] {
        let metered = metered(output, reasoning);
        assert_eq!((metered.source, metered.lines[0].usage.output), (source, output), "{metered:?}");
        assert_eq!(
            metered.flags.contains(&"output_beyond_max".to_owned()),
            source == UsageSource::ProviderFinalSuspect
        );
    }
}

#[test]
fn what_was_delivered_is_counted_by_a_tokenizer_and_what_is_beyond_the_sample_in_proportion() {
    let delta = |text: &str| json!({ "model": "m", "choices": [{ "index": 0, "delta": { "content": text } }] });
    let counted = |texts: &[&str]| {
        let metered = cut(Dialect::OpenAiChat, &texts.iter().map(|text| delta(text)).collect::<Vec<_>>());
        assert_eq!(metered.source, UsageSource::Estimated);
        let estimate = metered.output_estimate.unwrap();
        assert_eq!(estimate.tokens(), metered.lines[0].usage.output);
        (estimate.bytes, estimate.sample_bytes, estimate.tokens())
    };
    assert_eq!(counted(&[TEN_TOKENS]), (44, 44, 10));
    // In pieces as models make them, with escapes, with characters that come as pairs of escapes.
    assert_eq!(counted(&["The", " quick", " brown fox", " jumps over the lazy dog."]), (44, 44, 10));
    assert_eq!(counted(&["\"\\\n", "\u{1f980}"]), (7, 7, tollgate_tokens::count("\"\\\n\u{1f980}") as u64));
    let escaped = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\ud83e\\udd80\"}}]}\n\n";
    let (metered, _) = feed(Dialect::OpenAiChat, Framing::Sse, false, escaped, End::Cut);
    let estimate = metered.output_estimate.unwrap();
    assert_eq!((estimate.bytes, estimate.sample_tokens), (4, tollgate_tokens::count("\u{1f980}") as u64));
    // A long answer: the first 2 KiB, and the rest in proportion.
    let long = vec![" word"; 10_000];
    let (bytes, sampled, tokens) = counted(&long);
    assert_eq!((bytes, sampled), (50_000, 2048));
    assert!((9_950..=10_050).contains(&tokens), "{tokens}");
}

#[test]
fn of_two_reports_the_later_counts_and_nothing_of_the_earlier_is_left_in_it() {
    let long = r#""usage":{"prompt_tokens":123456,"completion_tokens":654321}"#;
    let short = r#""usage":{"prompt_tokens":7,"completion_tokens":8}"#;
    let choices = r#""choices":[{"index":0,"message":{"content":"a"},"delta":{"content":"a"},"finish_reason":"stop"}]"#;
    let counts = |metered: &Metered| (metered.lines[0].usage.input_uncached, metered.lines[0].usage.output);
    let body =
        format!(r#"{{{long},"model":"a-longer-name-than-the-report",{choices},{short},"service_tier":"default"}}"#);
    let (metered, _) = feed(Dialect::OpenAiChat, Framing::Json, false, &body, End::Terminal);
    assert_eq!((metered.raw_usage.as_deref(), counts(&metered)), (short.strip_prefix(r#""usage":"#), (7, 8)));
    // The documents of a stream use one document's room again.
    for (first, second) in [(long, short), (short, long)] {
        let expected = if second == short { (7, 8) } else { (123_456, 654_321) };
        for between in ["", "data: {\"model\":\"m\",\"choices\":[]}\n\n"] {
            let events = format!(
                "data: {{{choices},{first}}}\n\n{between}data: {{\"choices\":[],{second}}}\n\ndata: [DONE]\n\n"
            );
            let (metered, _) = feed(Dialect::OpenAiChat, Framing::Sse, false, &events, End::Terminal);
            assert_eq!(counts(&metered), expected, "{events}");
        }
    }
}
