//! kill -9 under load: nothing lost, nothing doubled, every orphan resolved by the published rule.

use std::time::Duration;

use serde_json::json;

use crate::{
    harness::{SMALL_JOURNAL, chat},
    load::Scene,
    process::cli,
};

const ROUNDS: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_nine_at_random_under_load_loses_nothing_and_doubles_nothing() {
    let scene = Scene::new(SMALL_JOURNAL).await;
    for round in 0..ROUNDS {
        let (process, _) = scene.start(&[]).await;
        let clients = scene.clients(0);
        tokio::time::sleep(Duration::from_millis(60 + round * 37 % 200)).await;
        process.kill();
        clients.stop().await;
    }
    let verdict = scene.verdict().await;
    eprintln!("kill -9 rounds {ROUNDS}: {verdict:?}");
    assert!(verdict.complete > 200, "too little load to mean anything: {}", verdict.complete);
    assert!(verdict.orphans > 0, "no kill hit a request under way");
    assert_eq!((verdict.lost, verdict.doubled, verdict.wrong), (0, 0, 0));
}

#[tokio::test]
async fn sigterm_ends_endless_streams_after_the_grace_and_records_them() {
    let mut harness = crate::harness::Harness::start().await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let body = chat(json!({ "stream": true, "x_fake": { "fault": "stall", "at": 1 } }));
        streams.push(harness.request("/v1/chat/completions", &body).send().await.unwrap());
    }
    let gateway = harness.gateway.take().unwrap();
    tokio::time::timeout(Duration::from_secs(10), gateway.stop()).await.expect("a shutdown must not wait for streams");
    drop(streams);
    let path = harness.dir.path().join("tollgate.toml");
    let audit = cli(&path, &["audit"]);
    assert_eq!((&audit["entries"], &audit["differences"]), (&json!(20), &json!([])));
    let usage = cli(&path, &["usage", "--by", "model"]);
    assert_eq!(usage[0]["estimated"], 20);
}
