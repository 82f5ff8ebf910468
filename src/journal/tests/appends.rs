//! Appending, permits and reading while the journal is written.

use std::time::Duration;

use super::{super::error::JournalError, *};

#[tokio::test]
async fn what_was_acknowledged_is_replayed_over_rotations() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    run(&journal, 0..100).await;
    journal.shut_down().await;
    assert!(segments(journal.boot_dir()).len() > 5, "the journal rotated");
    let (records, damage) = replay(journal.boot_dir());
    assert_eq!(damage, Damage::default());
    assert_eq!(records.len(), 200);
    assert_whole(&records, 0..100);
    assert_eq!(records[1].1, Record::Ended(Box::new(entry(&admission(0)))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_producers_are_all_acknowledged_and_replayed_in_order() {
    let dir = TempDir::new().unwrap();
    let journal = Journal::open(Options { segment_bytes: 64 << 10, ..options(&dir) }, boot(1)).unwrap();
    let producers: Vec<_> = (0..64)
        .map(|producer| {
            let journal = journal.clone();
            tokio::spawn(async move { run(&journal, producer * 20..producer * 20 + 20).await })
        })
        .collect();
    for producer in producers {
        producer.await.unwrap();
    }
    assert_eq!(*journal.durable().borrow(), 64 * 20 * 2);
    assert_eq!(journal.in_flight(), 0);
    journal.shut_down().await;
    let (records, damage) = replay(journal.boot_dir());
    assert_eq!(damage, Damage::default());
    assert_whole(&records, 0..64 * 20);
}

#[tokio::test]
async fn a_record_larger_than_a_segment_is_kept() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    run(&journal, 0..3).await;
    let mut large = entry(&admission(3));
    large.raw_usage = Some("x".repeat(20_000));
    opened(&journal, 3).await.end(large.clone()).await.unwrap();
    run(&journal, 4..8).await;
    journal.shut_down().await;
    let (records, damage) = replay(journal.boot_dir());
    assert_eq!(damage, Damage::default());
    assert_whole(&records, 0..8);
    assert_eq!(records[7].1, Record::Ended(Box::new(large)));
}

#[tokio::test]
async fn all_kinds_of_record_replay() {
    let dir = TempDir::new().unwrap();
    let script = Script::new();
    let journal = script.open(options(&dir));
    let attempt = opened(&journal, 1).await;
    let end = {
        let _hanging = script.gate.lock().unwrap();
        attempt.sent();
        attempt.sent();
        attempt.progress(progress(1, 10));
        attempt.progress(progress(1, 20));
        attempt.end(entry(&admission(1)))
    };
    end.await.unwrap();
    opened(&journal, 2).await.void();
    journal.shut_down().await;
    let records: Vec<_> = replay(journal.boot_dir()).0.into_iter().map(|(_, record)| record).collect();
    let expected = vec![
        Record::Opened(Box::new(admission(1))),
        Record::Sent(attempt_id(1)),
        Record::Progress(progress(1, 10)),
        Record::Ended(Box::new(entry(&admission(1)))),
        Record::Opened(Box::new(admission(2))),
        Record::Void(attempt_id(2)),
    ];
    assert_eq!(records, expected, "a second SENT and a PROGRESS behind a queued one are skipped");
}

#[tokio::test]
async fn permits_run_out_and_come_back_when_the_end_is_durable() {
    let dir = TempDir::new().unwrap();
    let journal = Journal::open(Options { in_flight_max: 3, ..options(&dir) }, boot(1)).unwrap();
    let attempts = [opened(&journal, 0).await, opened(&journal, 1).await, opened(&journal, 2).await];
    assert!(matches!(journal.try_permit(), Err(JournalError::Full { in_flight_max: 3 })));
    for attempt in attempts {
        let last = entry(attempt.admission());
        attempt.end(last).await.unwrap();
        assert!(journal.try_permit().is_ok(), "the room is back as soon as the end is durable");
    }
    assert_eq!(journal.in_flight(), 0);
    drop(journal.try_permit().unwrap());
    assert_eq!(journal.in_flight(), 0, "an unused permit gives its room back");
}

#[tokio::test]
async fn ends_are_never_refused_when_all_permits_are_out_and_the_disk_hangs() {
    let dir = TempDir::new().unwrap();
    let script = Script::new();
    let journal = script.open(options(&dir));
    let mut attempts = Vec::new();
    for number in 0..256 {
        attempts.push(opened(&journal, number).await);
    }
    let ends: Vec<_> = {
        let _hanging = script.gate.lock().unwrap();
        let end = |attempt: OpenAttempt| {
            attempt.sent();
            for delivered in 0..5 {
                attempt.progress(Progress::delivered(attempt.admission().id, delivered));
            }
            let last = entry(attempt.admission());
            attempt.end(last)
        };
        let ends = attempts.into_iter().map(end).collect();
        assert!(matches!(journal.try_permit(), Err(JournalError::Full { .. })), "the room is not back before");
        ends
    };
    for end in ends {
        end.await.unwrap();
    }
    assert_eq!(journal.in_flight(), 0);
    journal.shut_down().await;
    assert_eq!(replay(journal.boot_dir()).0.len(), 256 * 4);
}

#[tokio::test]
async fn a_client_that_leaves_before_opened_is_durable_leaves_no_orphan() {
    let dir = TempDir::new().unwrap();
    let script = Script::new();
    let journal = script.open(options(&dir));
    {
        let _hanging = script.gate.lock().unwrap();
        for number in 0..256 {
            drop(journal.try_permit().unwrap().open(admission(number)));
        }
        assert!(journal.try_permit().is_err(), "the room is taken while the records are queued");
    }
    journal.shut_down().await;
    assert_eq!(journal.in_flight(), 0);
    let (records, _) = replay(journal.boot_dir());
    let voids = records.iter().filter(|(_, record)| matches!(record, Record::Void(_))).count();
    assert_eq!((records.len(), voids), (512, 256));
}

#[tokio::test]
async fn an_end_whose_receipt_is_dropped_is_written_all_the_same() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    drop(opened(&journal, 1).await.end(entry(&admission(1))));
    journal.shut_down().await;
    assert_whole(&replay(journal.boot_dir()).0, 1..2);
}

#[tokio::test]
async fn an_attempt_dropped_without_an_end_is_an_orphan_and_gives_its_room_back() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    drop(opened(&journal, 1).await);
    assert_eq!(journal.in_flight(), 0);
    journal.shut_down().await;
    let (records, _) = replay(journal.boot_dir());
    assert!(matches!(records.as_slice(), [(1, Record::Opened(_))]));
}

#[tokio::test]
async fn records_that_nobody_waits_for_become_durable_by_themselves() {
    let dir = TempDir::new().unwrap();
    let script = Script::new();
    let journal = script.open(options(&dir));
    let attempt = opened(&journal, 1).await;
    let syncs = script.syncs.load(Ordering::SeqCst);
    let mut durable = journal.durable();
    attempt.sent();
    let waited = tokio::time::timeout(Duration::from_secs(10), durable.wait_for(|durable| *durable == 2));
    assert!(waited.await.is_ok(), "SENT is durable without another record's help");
    assert_eq!(script.syncs.load(Ordering::SeqCst), syncs + 1);
}

#[tokio::test]
async fn a_group_is_synced_once() {
    let dir = TempDir::new().unwrap();
    let script = Script::new();
    let journal = script.open(Options { segment_bytes: 1 << 20, ..options(&dir) });
    let receipts: Vec<_> = {
        let _hanging = script.gate.lock().unwrap();
        (0..200).map(|number| journal.try_permit().unwrap().open(admission(number))).collect()
    };
    for receipt in receipts {
        drop(receipt.await.unwrap());
    }
    // The first group holds whatever had arrived when the writer woke up, the second one all the rest.
    assert!(script.syncs.load(Ordering::SeqCst) <= 2, "{:?}", script.syncs);
}

#[tokio::test]
async fn the_reader_follows_the_durable_watermark_of_a_living_boot() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    let durable = journal.durable();
    let mut reader = reader_of(journal.boot_dir(), 0);
    let mut records = Vec::new();
    for step in 0..40 {
        run(&journal, step * 3..step * 3 + 3).await;
        let up_to = *durable.borrow();
        assert!(reader.read_batch(Some(up_to - 1), 100).unwrap().iter().all(|(sequence, record)| {
            records.push((*sequence, record.clone()));
            *sequence < up_to
        }));
        records.extend(reader.read_batch(Some(up_to), 100).unwrap());
        assert_eq!(reader.last_sequence(), up_to);
        journal.release_through(up_to).unwrap();
    }
    assert_eq!(reader.damage(), Damage::default());
    assert_whole(&records, 0..120);
}

#[tokio::test]
async fn a_reader_begins_after_its_cursor() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    run(&journal, 0..50).await;
    journal.shut_down().await;
    for after in 0..=100 {
        let mut reader = reader_of(journal.boot_dir(), after);
        let batch = reader.read_batch(None, 1000).unwrap();
        assert_eq!(sequences(&batch), (after + 1..=100).collect::<Vec<_>>());
        assert_eq!(reader.damage(), Damage::default());
    }
}

#[tokio::test]
async fn relaxed_acknowledges_before_the_sync_and_loses_nothing_to_a_kill() {
    let dir = TempDir::new().unwrap();
    let script = Script::new();
    let journal = script.open(Options { durability: Durability::Relaxed, segment_bytes: 1 << 20, ..options(&dir) });
    run(&journal, 0..20).await;
    assert!(script.syncs.load(Ordering::SeqCst) < 20);
    let (records, damage) = replay(journal.boot_dir());
    assert_eq!(damage, Damage::default());
    assert_whole(&records, 0..20);
}

#[tokio::test]
async fn release_deletes_only_closed_segments_that_are_committed() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    run(&journal, 0..50).await;
    assert_eq!(journal.release_through(0).unwrap(), 0);
    for committed in (0..=100).chain([u64::MAX]) {
        journal.release_through(committed).unwrap();
        let mut reader = reader_of(journal.boot_dir(), committed.min(100));
        let rest = sequences(&reader.read_batch(None, 1000).unwrap());
        assert_eq!(rest, (committed.min(100) + 1..=100).collect::<Vec<_>>(), "after {committed}");
        assert_eq!(reader.damage(), Damage::default());
    }
    run(&journal, 50..60).await;
    journal.shut_down().await;
    let mut reader = reader_of(journal.boot_dir(), 100);
    assert_eq!(reader.read_batch(None, 1000).unwrap().len(), 20, "the current segment was kept");
}

#[tokio::test]
async fn after_shut_down_everything_is_refused_as_closed() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    let (permit, attempt) = (journal.try_permit().unwrap(), opened(&journal, 1).await);
    journal.shut_down().await;
    journal.shut_down().await;
    assert!(matches!(journal.try_permit(), Err(JournalError::Closed)));
    assert!(matches!(permit.open(admission(2)).await, Err(JournalError::Closed)));
    assert!(matches!(attempt.end(entry(&admission(1))).await, Err(JournalError::Closed)));
    assert_eq!(journal.in_flight(), 0);
    assert!(!journal.is_poisoned());
}

#[test]
fn a_permit_and_an_attempt_can_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Journal>();
    is_send::<super::super::attempt::Permit>();
    is_send::<super::super::attempt::OpenReceipt>();
    is_send::<super::super::attempt::OpenAttempt>();
    is_send::<super::super::attempt::EndReceipt>();
    is_send::<BootReader>();
}
