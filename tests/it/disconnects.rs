//! Clients that leave: what was started is read to its end, within bounds, and booked once.

use std::{collections::HashMap, sync::atomic::Ordering, time::Duration};

use futures_util::StreamExt;
use serde_json::{Value, json};
use tollgate::store::Store;
use tollgate_core::entry::{Entry, Outcome, UsageSource};
use tollgate_fakes::log::SeenRequest;

use crate::harness::{Harness, chat};

/// A small generator, so that a failure can be played again.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// 1,000 streams, in waves, each left at a random moment or read to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_with_random_disconnects_are_all_booked_once_and_exactly() {
    let harness = Harness::start().await;
    let mut dice = Dice(7);
    let (mut left, mut started) = (0, 0);
    for _wave in 0..10 {
        let streams: Vec<_> = (0..100)
            .map(|_| {
                started += 1;
                let body = chat(
                    json!({ "stream": true, "user": format!("u{started}"), "x_fake": { "chunks": 5 + dice.throw(20), "gap_ms": dice.throw(6) } }),
                );
                // Before the head, within the stream, or not at all.
                let leave_after = (dice.throw(4) > 0).then(|| (dice.throw(30), dice.throw(60)));
                left += u64::from(leave_after.is_some());
                let request = harness.request("/v1/chat/completions", &body);
                tokio::spawn(async move {
                    let Some((chunks, ms)) = leave_after else {
                        let text = request.send().await.unwrap().text().await.unwrap();
                        assert!(text.ends_with("data: [DONE]\n\n"));
                        return;
                    };
                    let reading = async {
                        let mut stream = request.send().await.unwrap().bytes_stream();
                        for _ in 0..chunks {
                            stream.next().await;
                        }
                    };
                    // Leaves when either is reached, whatever is under way then.
                    let _left = tokio::time::timeout(Duration::from_millis(ms), reading).await;
                })
            })
            .collect();
        for stream in streams {
            stream.await.unwrap();
        }
    }
    let totals = harness.totals().await;
    let reached = harness.upstream.count();
    assert!(left > 600 && reached > 300, "{left} left, {reached} reached the upstream");
    assert_eq!(totals["attempts"].as_u64(), Some(reached), "one entry for each attempt that reached the upstream");

    // What the upstream told of each request is what the books hold of it, unless it is marked.
    let seen = harness.upstream.requests();
    let told: HashMap<&str, &Value> =
        seen.iter().filter_map(|seen| Some((seen.user.as_deref()?, seen.usage_told.as_ref()?))).collect();
    let mut estimated = 0;
    for entry in entries(&harness).await {
        let usage = entry.lines[0].usage;
        if entry.usage_source == UsageSource::ProviderFinal {
            let told = told[entry.admission.end_user.as_deref().unwrap()];
            assert_eq!(json!(usage.input_uncached), told["prompt_tokens"], "{entry:?}");
            assert_eq!(json!(usage.output), told["completion_tokens"], "{entry:?}");
        } else {
            estimated += 1;
            assert!(usage.input_uncached > 0, "{entry:?}");
        }
    }
    assert_eq!(totals["estimated"].as_u64(), Some(estimated));
    assert!(estimated * 100 <= reached, "with draining at least 99 % are exact: {estimated} of {reached} are not");
    eprintln!(
        "streams 1000, left {left}, reached the upstream {reached}, entries {}, estimated {estimated}",
        totals["attempts"]
    );
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_is_billed_for_what_was_used() {
    let harness = Harness::start().await;
    let body = chat(json!({ "stream": true, "x_fake": { "chunks": 20, "gap_ms": 10 } }));
    let response = harness.request("/v1/chat/completions", &body).send().await.unwrap();
    let request_id = response.headers()["x-tollgate-request-id"].to_str().unwrap().to_owned();
    let mut stream = response.bytes_stream();
    stream.next().await;
    drop(stream);
    let view = harness.booked(&request_id).await;
    assert_eq!((&view["outcome"], &view["usage_source"]), (&json!("client_disconnect"), &json!("provider_final")));
    assert_eq!(view["lines"][0]["usage"]["output"], 20);
}

#[tokio::test]
async fn where_reading_on_is_switched_off_what_was_delivered_is_estimated_and_marked() {
    let harness = Harness::start_with("on_disconnect = \"cancel\"\n").await;
    let body = chat(json!({ "stream": true, "x_fake": { "chunks": 200, "gap_ms": 10 } }));
    let response = harness.request("/v1/chat/completions", &body).send().await.unwrap();
    let request_id = response.headers()["x-tollgate-request-id"].to_str().unwrap().to_owned();
    let mut stream = response.bytes_stream();
    for _ in 0..3 {
        stream.next().await;
    }
    drop(stream);
    let view = harness.booked(&request_id).await;
    assert_eq!((&view["outcome"], &view["usage_source"]), (&json!("client_disconnect"), &json!("estimated")));
    let output = view["lines"][0]["usage"]["output"].as_u64().unwrap();
    assert!((1..100).contains(&output), "{output}");
    let seen = harness.upstream.wait_for_end(1, Duration::from_secs(5)).await.unwrap();
    assert!(seen.client_gone, "the upstream was told to stop");
}

#[tokio::test]
async fn reading_on_is_bounded_in_time() {
    let harness = Harness::start_with("drain_ms_max = 100\n").await;
    let body = chat(json!({ "stream": true, "x_fake": { "chunks": 10, "fault": "stall", "at": 2 } }));
    let response = harness.request("/v1/chat/completions", &body).send().await.unwrap();
    let request_id = response.headers()["x-tollgate-request-id"].to_str().unwrap().to_owned();
    let mut stream = response.bytes_stream();
    stream.next().await;
    drop(stream);
    let view = harness.booked(&request_id).await;
    assert_eq!((&view["outcome"], &view["usage_source"]), (&json!("client_disconnect"), &json!("estimated")));
}

/// Asks, and leaves before the answer has begun; says how the request ended at the upstream, as its `number`th.
async fn leave_early(harness: &Harness, extra: Value, number: u64) -> SeenRequest {
    let request = harness.request("/v1/chat/completions", &chat(extra)).send();
    assert!(tokio::time::timeout(Duration::from_millis(150), request).await.is_err(), "the answer came too early");
    let seen = harness.upstream.wait_for_end(number, Duration::from_secs(5)).await;
    seen.unwrap_or_else(|| panic!("request {number} goes on at the upstream"))
}

/// All entries: one that is written before its client knows its request's id cannot be asked for.
async fn entries(harness: &Harness) -> Vec<Entry> {
    harness.totals().await;
    let store = Store::open(&harness.dir.path().join("data/tollgate.db")).await.unwrap();
    let entries = store.entries_after(None, 2000).await.unwrap().into_iter().map(|stored| stored.entry).collect();
    store.close().await;
    entries
}

fn assert_left(entry: &Entry, source: UsageSource) {
    assert_eq!((entry.outcome, entry.usage_source), (Outcome::ClientDisconnect, source), "{entry:?}");
    let line = &entry.lines[0];
    assert!(line.usage.input_uncached > 0 && line.charge.unwrap() > tollgate_core::money::NanoUsd::ZERO, "{entry:?}");
}

fn counted(harness: &Harness) -> (u64, u64) {
    let counters = &harness.gateway().proxy.counters;
    (counters.drained.load(Ordering::Relaxed), counters.drain_refused.load(Ordering::Relaxed))
}

/// Answers that nobody would wait for, and that nothing but the policy ends: before the head, and within the body.
fn endless() -> [Value; 3] {
    [
        json!({ "x_fake": { "fault": "never_answer" } }),
        json!({ "x_fake": { "fault": "stall", "first_delay_ms": 300 } }),
        json!({ "stream": true, "x_fake": { "fault": "never_answer" } }),
    ]
}

#[tokio::test]
async fn a_request_that_is_no_stream_or_has_no_head_yet_is_cancelled_where_the_policy_says_so() {
    let harness = Harness::start_with("on_disconnect = \"cancel\"\n").await;
    for (number, extra) in (1..).zip(endless()) {
        assert!(leave_early(&harness, extra, number).await.client_gone, "request {number}");
    }
    let entries = entries(&harness).await;
    assert_eq!((entries.len(), counted(&harness)), (3, (0, 0)));
    for entry in &entries {
        // The upstream has read the prompt, whatever came of it.
        assert_left(entry, UsageSource::Estimated);
    }
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn who_leaves_before_there_is_a_connection_owes_nothing() {
    // It takes connections and never says a word, so that no TLS comes about.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let harness = Harness::start_with(&format!(
        "[[provider]]\nname = \"silent\"\nbase_url = \"https://{address}/v1\"\nallow_private = true\non_disconnect = \"cancel\"\n[[model]]\nname = \"silent\"\ntargets = [{{ provider = \"silent\", model = \"demo-model\" }}]\n[prices]\nunpriced = \"record\"\n"
    ))
    .await;
    let request = harness.request("/v1/chat/completions", &chat(json!({ "model": "silent" })));
    assert!(request.timeout(Duration::from_millis(300)).send().await.unwrap_err().is_timeout());
    let mut booked = None;
    for _ in 0..200 {
        booked = entries(&harness).await.pop();
        if booked.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let entry = booked.unwrap();
    assert_eq!((entry.outcome, entry.usage_source), (Outcome::ClientDisconnect, UsageSource::NotBilled), "{entry:?}");
    assert_eq!((entry.lines.len(), entry.flags.as_slice()), (0, ["not_sent".to_owned()].as_slice()));
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_request_that_is_no_stream_is_read_on_within_its_time_and_counted() {
    let harness = Harness::start_with("drain_ms_max = 700\n").await;
    let seen = leave_early(&harness, json!({ "x_fake": { "chunks": 5, "first_delay_ms": 300 } }), 1).await;
    assert!(seen.usage_delivered && !seen.client_gone);
    let read = entries(&harness).await;
    assert_left(&read[0], UsageSource::ProviderFinal);
    assert_eq!((read[0].lines[0].usage.output, counted(&harness)), (5, (1, 0)));

    for (number, extra) in (2..).zip(endless()) {
        assert!(leave_early(&harness, extra, number).await.client_gone, "request {number}");
    }
    assert_eq!(counted(&harness), (4, 0));
    for entry in entries(&harness).await.iter().skip(1) {
        assert_left(entry, UsageSource::Estimated);
    }
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn reading_on_is_bounded_in_number_for_every_kind_of_answer() {
    let harness = Harness::start_with("[drain]\nstreams_max = 0\n").await;
    for (number, extra) in (1..).zip(endless()) {
        assert!(leave_early(&harness, extra, number).await.client_gone, "request {number}");
    }
    let body = chat(json!({ "stream": true, "x_fake": { "fault": "stall", "at": 2 } }));
    let mut stream = harness.request("/v1/chat/completions", &body).send().await.unwrap().bytes_stream();
    stream.next().await;
    drop(stream);
    assert!(harness.upstream.wait_for_end(4, Duration::from_secs(5)).await.unwrap().client_gone);
    let entries = entries(&harness).await;
    assert_eq!((entries.len(), counted(&harness)), (4, (0, 4)));
    for entry in &entries {
        assert_left(entry, UsageSource::Estimated);
    }
}

#[tokio::test]
async fn reading_on_is_bounded_in_bytes_for_every_kind_of_answer() {
    let harness = Harness::start_with("[drain]\nbytes_max = 5000\n").await;
    // Half of it comes, and then nothing.
    let whole = json!({ "x_fake": { "fault": "stall", "first_delay_ms": 300, "big_bytes": 200_000 } });
    assert!(leave_early(&harness, whole, 1).await.client_gone);
    let body = chat(json!({ "stream": true, "x_fake": { "chunks": 100_000, "gap_ms": 1 } }));
    let mut stream = harness.request("/v1/chat/completions", &body).send().await.unwrap().bytes_stream();
    stream.next().await;
    drop(stream);
    let seen = harness.upstream.wait_for_end(2, Duration::from_secs(5)).await.unwrap();
    assert!(seen.client_gone && seen.chunks_sent > 10, "{seen:?}");
    let entries = entries(&harness).await;
    assert_eq!((entries.len(), counted(&harness)), (2, (2, 0)));
    for entry in &entries {
        assert_left(entry, UsageSource::Estimated);
    }
}
