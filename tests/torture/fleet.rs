//! kill -9 of one of three gateways on one Postgres, at random and at every named point, and what else goes wrong with three.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tollgate::failpoint::{Point, VARIABLE};

use crate::{
    cluster::Cluster,
    effort::{pause, points, rounds},
    load::Seen,
    points::{PASSES, SLOW_MS, is_in_recovery, until_dead},
    replicas::Fleet,
    report,
};

const REPLICAS: usize = 3;
const ROUNDS: u64 = 1000;
const ROLLS: u64 = 10;

async fn fleet() -> (Fleet, String) {
    Fleet::running(REPLICAS, &Cluster::shared().database().await).await
}

/// Starts one gateway and says how many milliseconds that took, recovery included.
async fn started_ms(fleet: &mut Fleet, number: usize) -> u128 {
    let started = Instant::now();
    fleet.start(number).await;
    started.elapsed().as_millis()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_nine_at_random_on_three_gateways() {
    let (mut fleet, key) = fleet().await;
    let seen = Arc::<Seen>::default();
    let clients = fleet.load(&key, &seen, 20);
    let mut recovery_ms_max = 0;
    let rounds = rounds(ROUNDS);
    for (round, number) in (0..rounds).zip((0..REPLICAS).cycle()) {
        sleep(pause(round, 211)).await;
        fleet.replicas[number].process.take().unwrap().kill();
        recovery_ms_max = recovery_ms_max.max(started_ms(&mut fleet, number).await);
    }
    clients.stop().await;
    let verdict = fleet.judge(&seen).await;
    assert!(
        verdict.complete > rounds && verdict.orphans > rounds / 10,
        "too little load to mean anything: {verdict:?}"
    );
    report("kill -9 at random of 3 gateways on Postgres", rounds, &verdict, recovery_ms_max);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_nine_at_every_named_point_on_three_gateways() {
    for point in points() {
        let (mut fleet, key) = fleet().await;
        let seen = Arc::<Seen>::default();
        let clients = fleet.load(&key, &seen, SLOW_MS);
        let mut recovery_ms_max = 0;
        for (round, passes) in PASSES.into_iter().enumerate() {
            let number = round % REPLICAS;
            sleep(Duration::from_millis(200)).await;
            fleet.replicas[number].process.take().unwrap().kill();
            let passes = match point {
                _ if is_in_recovery(point) => 0,
                // A segment of these gateways lasts for seconds.
                Point::SegmentReleased => passes.min(2),
                _ => passes,
            };
            let armed = format!("{}:{passes}", point.name());
            let env = [(VARIABLE, armed.as_str())];
            let mut process = crate::process::Process::start(&fleet.replicas[number].config, &env);
            until_dead(point, &mut process).await;
            recovery_ms_max = recovery_ms_max.max(started_ms(&mut fleet, number).await);
        }
        clients.stop().await;
        let verdict = fleet.judge(&seen).await;
        let runs = PASSES.len() as u64;
        report(&format!("kill -9 at {} of 3 gateways on Postgres", point.name()), runs, &verdict, recovery_ms_max);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_restarts_of_three_gateways() {
    let (mut fleet, key) = fleet().await;
    let seen = Arc::<Seen>::default();
    let clients = fleet.load(&key, &seen, 20);
    let mut recovery_ms_max = 0;
    let rolls = rounds(ROLLS);
    for _ in 0..rolls {
        for number in 0..REPLICAS {
            sleep(Duration::from_millis(300)).await;
            let waited = fleet.stop(number).await;
            assert!(waited < Duration::from_secs(20), "gateway {number} took {waited:?} to stop");
            recovery_ms_max = recovery_ms_max.max(started_ms(&mut fleet, number).await);
        }
    }
    clients.stop().await;
    let verdict = fleet.judge(&seen).await;
    assert!(verdict.complete > 100, "{verdict:?}");
    report("rolling restart of 3 gateways", rolls, &verdict, recovery_ms_max);
}
