//! Disks that fail once, twice, in part, or for ever.

use std::time::Duration;

use proptest::{bool::weighted, collection, prelude::*};

use super::{super::error::JournalError, *};

#[tokio::test]
async fn a_sync_that_fails_once_loses_nothing() {
    let dir = TempDir::new().unwrap();
    let script = Script::new();
    let journal = script.open(options(&dir));
    for step in 0..20 {
        script.sync_failures.store(1, Ordering::SeqCst);
        run(&journal, step * 5..step * 5 + 5).await;
    }
    assert!(!journal.is_poisoned());
    journal.shut_down().await;
    let (records, damage) = replay(journal.boot_dir());
    assert_eq!(damage, Damage::default());
    assert_whole(&records, 0..100);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    /// Steps of attempts that run together: how many, and whether a write, a sync and a creation fail once.
    #[test]
    fn whatever_fails_what_was_acknowledged_is_replayed(
        steps in collection::vec((1..12_u64, weighted(0.3), weighted(0.3), weighted(0.3)), 1..30),
        has_holes: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = TempDir::new().unwrap();
            let script = Script::new();
            *script.torn.lock().unwrap() = if has_holes { holes } else { half };
            let journal = script.open(options(&dir));
            let (mut number, mut ended) = (0, Vec::new());
            for (attempts, write, sync, create) in steps {
                // A write and a sync that fail in a row poison the journal; then it must not lose what came before.
                script.write_failures.store(u64::from(write), Ordering::SeqCst);
                script.sync_failures.store(u64::from(sync), Ordering::SeqCst);
                script.create_failures.store(u64::from(create), Ordering::SeqCst);
                let mut opening = Vec::new();
                for _ in 0..attempts {
                    if let Ok(permit) = journal.try_permit() {
                        opening.push(permit.open(admission(number)));
                        number += 1;
                    }
                }
                for receipt in opening {
                    if let Ok(attempt) = receipt.await {
                        attempt.sent();
                        let (id, last) = (attempt.admission().id, entry(attempt.admission()));
                        if attempt.end(last).await.is_ok() {
                            ended.push(id);
                        }
                    }
                }
            }
            let durable = *journal.durable().borrow();
            journal.shut_down().await;
            let (records, damage) = replay(journal.boot_dir());
            assert_eq!(damage, Damage::default());
            assert!(records.len() as u64 >= durable);
            let replayed: Vec<_> = records
                .iter()
                .filter(|(_, record)| matches!(record, Record::Ended(_)))
                .map(|(_, record)| record.attempt_id())
                .collect();
            assert!(replayed.starts_with(&ended), "acknowledged: {ended:?}, replayed: {replayed:?}");
            if !journal.is_poisoned() {
                assert_eq!(replayed, ended);
            }
        });
    }
}

fn half(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() / 2].to_vec()
}

fn holes(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().enumerate().map(|(at, byte)| if at % 700 < 50 { 0 } else { *byte }).collect()
}

#[tokio::test]
async fn a_write_that_fails_in_part_loses_nothing_whatever_reached_the_disk() {
    let shapes: [Torn; 5] = [
        |_| Vec::new(),
        |bytes| bytes[..bytes.len() / 2].to_vec(),
        |bytes| bytes[..bytes.len() - 1].to_vec(),
        // A hole in the middle: later records of the group are intact, earlier ones are not.
        |bytes| {
            let mut bytes = bytes.to_vec();
            let third = bytes.len() / 3;
            bytes[third..third * 2].fill(0);
            bytes
        },
        |bytes| bytes.iter().enumerate().map(|(at, byte)| if at < 100 { !byte } else { *byte }).collect(),
    ];
    for torn in shapes {
        let dir = TempDir::new().unwrap();
        let script = Script::new();
        *script.torn.lock().unwrap() = torn;
        let journal = script.open(Options { segment_bytes: 16 << 10, ..options(&dir) });
        run(&journal, 0..5).await;
        let receipts: Vec<_> = {
            // The writer hangs, so that many records fail as one group.
            let _hanging = script.gate.lock().unwrap();
            let receipts = (5..45).map(|number| journal.try_permit().unwrap().open(admission(number))).collect();
            script.write_failures.store(1, Ordering::SeqCst);
            receipts
        };
        for receipt in receipts {
            let attempt = receipt.await.unwrap();
            let last = entry(attempt.admission());
            attempt.end(last).await.unwrap();
        }
        run(&journal, 45..60).await;
        let durable = *journal.durable().borrow();
        let mut living = reader_of(journal.boot_dir(), 0);
        assert_eq!(living.read_batch(Some(durable), 1000).unwrap().len() as u64, durable);
        assert_eq!(living.damage(), Damage::default());
        journal.shut_down().await;
        let (records, damage) = replay(journal.boot_dir());
        assert_eq!(damage, Damage::default());
        assert_whole(&records, 0..60);
    }
}

#[tokio::test]
async fn syncs_that_fail_for_ever_poison_the_journal_and_keep_what_was_acknowledged() {
    let dir = TempDir::new().unwrap();
    let script = Script::new();
    let journal = script.open(options(&dir));
    run(&journal, 0..10).await;
    let (running, permit) = (opened(&journal, 10).await, journal.try_permit().unwrap());
    let durable = *journal.durable().borrow();
    script.sync_failures.store(FOR_EVER, Ordering::SeqCst);
    assert!(matches!(running.end(entry(&admission(10))).await, Err(JournalError::Poisoned)));
    assert!(journal.is_poisoned());
    assert!(matches!(journal.try_permit(), Err(JournalError::Poisoned)));
    assert!(matches!(permit.open(admission(11)).await, Err(JournalError::Poisoned)));
    assert_eq!(*journal.durable().borrow(), durable, "the watermark stays");
    assert_eq!(journal.in_flight(), 0, "failed ends give their room back too");
    script.sync_failures.store(0, Ordering::SeqCst);
    assert!(journal.try_permit().is_err(), "a poisoned journal stays poisoned");
    journal.shut_down().await;
    let (records, damage) = replay(journal.boot_dir());
    assert_eq!(damage, Damage::default());
    assert_whole(&records[..20], 0..10);
}

#[tokio::test]
async fn a_full_disk_refuses_new_attempts_and_still_takes_the_ends_of_the_running_ones() {
    let dir = TempDir::new().unwrap();
    let script = Script::new();
    let journal = script.open(Options { segment_bytes: 64 << 10, ..options(&dir) });
    while segments(journal.boot_dir()).len() < 2 {
        tokio::task::yield_now().await;
    }
    let mut attempts = Vec::new();
    // Uses up the first segment while the disk fills, so that the spare becomes the current one.
    script.create_failures.store(FOR_EVER, Ordering::SeqCst);
    let refusal = loop {
        match journal.try_permit() {
            Ok(permit) => match permit.open(admission(attempts.len() as u64)).await {
                Ok(attempt) if attempts.len() < 50 => attempts.push(attempt),
                Ok(attempt) => attempt.void(),
                Err(error) => break error,
            },
            Err(JournalError::Full { .. }) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(matches!(refusal, JournalError::NoSpace), "{refusal}");
    for attempt in attempts {
        let last = entry(attempt.admission());
        attempt.end(last).await.unwrap();
    }
    script.create_failures.store(0, Ordering::SeqCst);
    let freed = async {
        while journal.try_permit().is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), freed).await.is_ok(), "room that was freed is noticed");
    journal.shut_down().await;
    assert_eq!(replay(journal.boot_dir()).1, Damage::default());
}

#[tokio::test]
async fn a_disk_that_stays_full_poisons_in_the_end_and_acknowledges_nothing_it_did_not_keep() {
    let dir = TempDir::new().unwrap();
    let script = Script::new();
    let journal = script.open(options(&dir));
    let permits: Vec<_> = (0..200).map(|_| journal.try_permit().unwrap()).collect();
    script.create_failures.store(FOR_EVER, Ordering::SeqCst);
    let mut acknowledged = 0;
    for (number, permit) in permits.into_iter().enumerate() {
        match permit.open(admission(number as u64)).await {
            Ok(_orphan) => acknowledged += 1,
            Err(JournalError::Poisoned) => break,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(journal.is_poisoned());
    journal.shut_down().await;
    let (records, damage) = replay(journal.boot_dir());
    assert_eq!(damage, Damage::default());
    assert_eq!(records.len(), acknowledged);
}

#[tokio::test]
async fn a_relaxed_journal_repeats_what_a_failed_sync_may_have_eaten() {
    let dir = TempDir::new().unwrap();
    let script = Script::new();
    let journal = script.open(Options { durability: Durability::Relaxed, segment_bytes: 1 << 20, ..options(&dir) });
    run(&journal, 0..20).await;
    script.sync_failures.store(1, Ordering::SeqCst);
    journal.shut_down().await;
    let (records, damage) = replay(journal.boot_dir());
    assert_eq!(damage, Damage::default());
    assert_whole(&records, 0..20);
}
