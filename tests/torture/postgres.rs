//! Postgres is away for a minute, comes and goes, is slow, and loses the word of commits, under load.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{
    cluster::Cluster,
    effort::{lasting, rounds},
    load::Seen,
    replicas::Fleet,
    report,
};

const REPLICAS: usize = 2;
const OUTAGE: Duration = Duration::from_secs(60);
const FLAPS: u64 = 30;
const ACKS: u64 = 60;

/// Records that clients at work leave between journal and books: a part of a second's.
const UNDER_WAY: u64 = 500;

/// Waits until every gateway has posted all but so many records; says how many milliseconds that took.
async fn caught_up_ms(fleet: &Fleet, but: u64) -> u128 {
    let started = Instant::now();
    for number in 0..fleet.replicas.len() {
        fleet.until_behind_by(number, but).await;
    }
    started.elapsed().as_millis()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_stopped_for_a_minute() {
    let cluster = Cluster::start(true);
    let (mut fleet, key) = Fleet::running(REPLICAS, &cluster.database().await).await;
    let seen = Arc::<Seen>::default();
    let clients = fleet.load(&key, &seen, 20);
    sleep(Duration::from_millis(500)).await;
    cluster.order("stop");
    let before = seen.complete();
    sleep(lasting(OUTAGE)).await;
    let served = seen.complete() - before;
    assert!(served > 100, "keys without a hard budget see nothing of it: {served} whole answers in the outage");
    let refused = seen.refused();
    assert_eq!(refused, 0, "nobody was refused");
    cluster.order("start");
    let recovery_ms = caught_up_ms(&fleet, UNDER_WAY).await;
    clients.stop().await;
    println!("whole answers in the outage: {served}");
    report("Postgres stopped for a minute; 2 gateways", 1, &fleet.judge(&seen).await, recovery_ms);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_comes_and_goes() {
    let cluster = Cluster::start(true);
    let (mut fleet, key) = Fleet::running(REPLICAS, &cluster.database().await).await;
    let seen = Arc::<Seen>::default();
    let clients = fleet.load(&key, &seen, 20);
    let flaps = rounds(FLAPS);
    for round in 0..flaps {
        sleep(Duration::from_millis(100 + round * 131 % 700)).await;
        cluster.order("kill");
        sleep(Duration::from_millis(round * 71 % 400)).await;
        cluster.order("start");
    }
    clients.stop().await;
    let recovery_ms = caught_up_ms(&fleet, 0).await;
    report("Postgres crashing under 2 gateways", flaps, &fleet.judge(&seen).await, recovery_ms);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_whose_word_is_lost_on_a_slow_wire() {
    let cluster = Cluster::start(true);
    let (wire, mut fleet, key) = Fleet::behind_a_wire(REPLICAS, &cluster).await;
    let seen = Arc::<Seen>::default();
    let clients = fleet.load(&key, &seen, 20);
    let acks = rounds(ACKS);
    while wire.behaviour.acks_lost.load(Ordering::Relaxed) < acks {
        wire.behaviour.delay_ms.store(wire.behaviour.acks_lost.load(Ordering::Relaxed) % 3 * 20, Ordering::Relaxed);
        wire.behaviour.acks_to_lose.store(1, Ordering::Relaxed);
        sleep(Duration::from_millis(150)).await;
    }
    wire.behaviour.acks_to_lose.store(0, Ordering::Relaxed);
    wire.behaviour.delay_ms.store(0, Ordering::Relaxed);
    clients.stop().await;
    let recovery_ms = caught_up_ms(&fleet, 0).await;
    report("a commit's word lost; slow Postgres; 2 gateways", acks, &fleet.judge(&seen).await, recovery_ms);
}
