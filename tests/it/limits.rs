//! Requests and tokens per minute, concurrency: true headers, true Retry-After, places given back.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Harness, chat, read};

#[tokio::test]
async fn the_request_after_the_limit_is_refused_until_the_time_that_was_named() {
    let mut harness = Harness::start().await;
    harness.key = harness.new_key(json!({ "requests_per_minute": 60 })).await;
    let first = harness.chat(json!({})).await;
    assert_eq!(
        (first.header("x-ratelimit-limit-requests"), first.header("x-ratelimit-remaining-requests")),
        (Some("60"), Some("59"))
    );
    let mut refused = None;
    for _ in 0..70 {
        let answer = harness.chat(json!({})).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.error_code(), "rate_limit_exceeded");
    assert_eq!((refused.header("x-should-retry"), refused.header("retry-after")), (Some("true"), Some("1")));
    assert_eq!(
        (refused.header("x-ratelimit-limit-requests"), refused.header("x-ratelimit-remaining-requests")),
        (Some("60"), Some("0"))
    );
    let wait_ms: u64 = refused.header("retry-after-ms").unwrap().parse().unwrap();
    assert!((1..=1000).contains(&wait_ms), "{wait_ms}");
    let upstream_before = harness.upstream.count();
    tokio::time::sleep(Duration::from_millis(wait_ms + 20)).await;
    assert_eq!(harness.chat(json!({})).await.status, 200);
    assert_eq!(harness.upstream.count(), upstream_before + 1, "a refused request must not reach the upstream");
}

#[tokio::test]
async fn tokens_are_reserved_and_corrected_to_what_was_used() {
    let mut harness = Harness::start().await;
    harness.key = harness.new_key(json!({ "tokens_per_minute": 1000 })).await;
    let answer = harness.chat(json!({ "max_tokens": 900, "x_fake": { "chunks": 4 } })).await;
    assert_eq!((answer.status, answer.header("x-ratelimit-limit-tokens")), (200, Some("1000")));
    let remaining: u64 = answer.header("x-ratelimit-remaining-tokens").unwrap().parse().unwrap();
    assert!(remaining <= 100, "{remaining}");
    // 900 were reserved and 6 used, so that the next one fits, too.
    assert_eq!(harness.chat(json!({ "max_tokens": 900 })).await.status, 200);
    let long = "word ".repeat(2000);
    let refused = harness.chat(json!({ "messages": [{ "role": "user", "content": long }] })).await;
    assert_eq!((refused.status, refused.header("x-should-retry")), (429, Some("false")), "{}", refused.text);
    // A long answer that nobody bounded is owed afterwards.
    assert_eq!(harness.chat(json!({ "x_fake": { "chunks": 1200 } })).await.status, 200);
    let refused = harness.chat(json!({})).await;
    assert_eq!((refused.status, refused.header("x-should-retry")), (429, Some("true")), "{}", refused.text);
    assert!(refused.text.contains("tokens"));
}

#[tokio::test]
async fn concurrent_requests_are_bounded_and_places_come_back_also_from_clients_that_left() {
    let mut harness = Harness::start().await;
    harness.key = harness.new_key(json!({ "concurrent_requests": 2 })).await;
    let slow = json!({ "stream": true, "x_fake": { "chunks": 3, "gap_ms": 150 } });
    let open = || async { harness.request("/v1/chat/completions", &chat(slow.clone())).send().await.unwrap() };
    let (one, two) = (open().await, open().await);
    let refused = harness.chat(json!({})).await;
    assert_eq!((refused.status, refused.error_code()), (429, json!("concurrency_limit_exceeded")));
    drop(one);
    drop(two);
    for _ in 0..100 {
        if harness.chat(json!({})).await.status == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    panic!("a place was never given back");
}

#[tokio::test]
async fn a_revoked_key_stops_at_once_and_a_rotated_one_after_its_grace() {
    let mut harness = Harness::start().await;
    let keys = harness.admin("GET", "/keys", None).await.json();
    let id = keys["data"][0]["id"].as_str().unwrap().to_owned();
    let rotated =
        harness.admin("POST", &format!("/keys/{id}/rotate"), Some(json!({ "grace_seconds": 3600 }))).await.json();
    assert_eq!(harness.chat(json!({})).await.status, 200, "the old key works during its grace");
    harness.key = rotated["key"].as_str().unwrap().to_owned();
    assert_eq!(harness.chat(json!({})).await.status, 200);
    harness.admin("POST", &format!("/keys/{}/revoke", rotated["id"].as_str().unwrap()), Some(json!({}))).await;
    let refused = harness.chat(json!({})).await;
    assert_eq!((refused.status, refused.error_code()), (401, json!("invalid_api_key")));
    harness.restart().await;
    assert_eq!(harness.chat(json!({})).await.status, 401, "a revocation outlives a restart");
}

#[tokio::test]
async fn two_keys_do_not_share_a_limit() {
    let mut harness = Harness::start().await;
    let (one, two) = (
        harness.new_key(json!({ "requests_per_minute": 1 })).await,
        harness.new_key(json!({ "requests_per_minute": 1 })).await,
    );
    for (key, expected) in [(&one, 200), (&one, 429), (&two, 200), (&two, 429)] {
        harness.key.clone_from(key);
        assert_eq!(read(harness.request("/v1/chat/completions", &chat(json!({})))).await.status, expected);
    }
}
