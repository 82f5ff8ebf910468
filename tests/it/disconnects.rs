//! Clients that leave: what was started is read to its end, within bounds, and booked once.

use std::{collections::HashMap, time::Duration};

use futures_util::StreamExt;
use serde_json::{Value, json};

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
    let mut left = 0;
    for _wave in 0..10 {
        let streams: Vec<_> = (0..100)
            .map(|_| {
                let body = chat(
                    json!({ "stream": true, "x_fake": { "chunks": 5 + dice.throw(20), "gap_ms": dice.throw(6) } }),
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

    // What the upstream told is what the books hold, in sum.
    let told: HashMap<&str, u64> = harness.upstream.requests().iter().filter_map(|seen| seen.usage_told.clone()).fold(
        HashMap::new(),
        |mut sums, usage: Value| {
            for field in ["prompt_tokens", "completion_tokens"] {
                *sums.entry(field).or_default() += usage[field].as_u64().unwrap();
            }
            sums
        },
    );
    let estimated = totals["estimated"].as_u64().unwrap();
    assert!(estimated * 100 <= reached, "with draining at least 99 % are exact: {estimated} of {reached} are not");
    if estimated == 0 {
        assert_eq!(
            (totals["input_uncached"].as_u64(), totals["output"].as_u64()),
            (told.get("prompt_tokens").copied(), told.get("completion_tokens").copied())
        );
    }
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
