//! Word of what is durable, on threads of the data plane and when one is gone.

use std::thread;

use tokio::runtime;

use super::*;
use crate::shard;

/// Runs attempts on a thread that is the data plane's first; `is_told` says whether word comes to it once a group.
fn on_a_shard(journal: &Journal, numbers: std::ops::Range<u64>, is_told: bool) {
    let journal = journal.clone();
    let runs = move || {
        shard::begin(0);
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            if is_told {
                tokio::spawn(journal.tell_this_thread());
            }
            let attempts: Vec<_> = numbers
                .map(|number| {
                    let journal = journal.clone();
                    tokio::spawn(async move { run(&journal, number..number + 1).await })
                })
                .collect();
            for attempt in attempts {
                attempt.await.unwrap();
            }
        });
    };
    thread::spawn(runs).join().unwrap();
}

#[tokio::test]
async fn a_thread_of_the_data_plane_is_told_once_a_group_and_all_the_same_when_it_has_ended() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    on_a_shard(&journal, 0..100, true);
    // Nobody takes word there any more: each is told by itself.
    on_a_shard(&journal, 100..130, false);
    run(&journal, 130..132).await;
    assert_eq!(journal.in_flight(), 0);
    journal.shut_down().await;
    let (records, damage) = replay(journal.boot_dir());
    assert_eq!(damage, Damage::default());
    assert_eq!(records.len(), 264);
}
