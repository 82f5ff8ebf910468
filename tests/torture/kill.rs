//! kill -9 at random moments under load, for long.

use crate::{
    effort::{pause, rounds},
    load::Scene,
    report,
    setting::SMALL_JOURNAL,
};

const ROUNDS: u64 = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_nine_at_random() {
    let scene = Scene::new(SMALL_JOURNAL).await;
    let mut recovery_ms_max = 0;
    let rounds = rounds(ROUNDS);
    for round in 0..rounds {
        let (process, recovery_ms) = scene.start(&[]).await;
        recovery_ms_max = recovery_ms_max.max(recovery_ms);
        let clients = scene.clients(0);
        // From hardly started to well under way.
        tokio::time::sleep(pause(round, 487)).await;
        process.kill();
        clients.stop().await;
    }
    let verdict = scene.verdict().await;
    assert!(
        verdict.complete > rounds && verdict.orphans > rounds / 10,
        "too little load to mean anything: {verdict:?}"
    );
    report("kill -9 at random under load", rounds, &verdict, recovery_ms_max);
}
