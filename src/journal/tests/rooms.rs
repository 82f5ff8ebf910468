//! Room: what an attempt was promised is there when it ends, whatever the disk and the quota say by then.

use std::time::Duration;

use super::{super::error::JournalError, *};

/// An end takes less than this, an OPENED too.
const RESERVED: u64 = 512;

async fn until(mut condition: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("it must come to this");
}

#[tokio::test]
async fn a_disk_that_is_full_for_ever_takes_the_end_of_every_attempt_that_was_let_in() {
    let dir = TempDir::new().unwrap();
    let script = Script::new();
    let reserving = Options { attempt_bytes_reserved: RESERVED, ..options(&dir) };
    let spares = reserving.spares() as u64;
    let journal = script.open(reserving);
    until(|| segments(journal.boot_dir()).len() as u64 == spares + 1).await;
    script.create_failures.store(FOR_EVER, Ordering::SeqCst);
    let mut attempts = Vec::new();
    let refusal = loop {
        match journal.try_permit() {
            Ok(permit) => attempts.push(permit.open(admission(attempts.len() as u64)).await.unwrap()),
            Err(error) => break error,
        }
    };
    assert!(matches!(refusal, JournalError::NoSpace | JournalError::Full { .. }), "{refusal}");
    assert!(attempts.len() > 10, "{}", attempts.len());
    for attempt in attempts {
        attempt.sent();
        attempt.progress(Progress::delivered(attempt.admission().id, 1));
        let last = entry(attempt.admission());
        attempt.end(last).await.unwrap();
    }
    assert!(!journal.is_poisoned());
    script.create_failures.store(0, Ordering::SeqCst);
    until(|| journal.try_permit().is_ok()).await;
}

#[tokio::test]
async fn while_room_is_scarce_progress_is_not_written() {
    let dir = TempDir::new().unwrap();
    let script = Script::new();
    let journal = script.open(Options { segment_bytes: 64 << 10, ..options(&dir) });
    let attempt = opened(&journal, 1).await;
    until(|| segments(journal.boot_dir()).len() == 3).await;
    script.create_failures.store(FOR_EVER, Ordering::SeqCst);
    // Uses a segment up, so that a spare is wanted and cannot be made.
    let mut number = 2;
    while let Ok(permit) = journal.try_permit() {
        permit.open(admission(number)).await.unwrap().void();
        number += 1;
    }
    for delivered in 0..10 {
        attempt.progress(Progress::delivered(attempt.admission().id, delivered));
    }
    attempt.end(entry(&admission(1))).await.unwrap();
    script.create_failures.store(0, Ordering::SeqCst);
    journal.shut_down().await;
    let (records, damage) = replay(journal.boot_dir());
    assert_eq!(damage, Damage::default());
    assert!(!records.iter().any(|(_, record)| matches!(record, Record::Progress(_))));
    assert!(records.iter().any(|(_, record)| *record == Record::Ended(Box::new(entry(&admission(1))))));
}

#[tokio::test]
async fn a_used_up_quota_refuses_new_attempts_and_records_the_running_ones() {
    let dir = TempDir::new().unwrap();
    let quota = 20 * 4096;
    let journal =
        Journal::open(Options { in_flight_max: 4096, disk_bytes_max: quota, ..options(&dir) }, boot(1)).unwrap();
    let mut running = Vec::new();
    let refusal = loop {
        match journal.try_permit() {
            Ok(permit) => running.push(permit.open(admission(running.len() as u64)).await.unwrap()),
            Err(error) => break error,
        }
    };
    match refusal {
        JournalError::Quota { used_bytes, bytes_max } => {
            assert_eq!(bytes_max, quota);
            assert!(used_bytes >= quota / 100 * 95 && used_bytes <= quota, "{used_bytes}");
        }
        other => panic!("{other}"),
    }
    assert!(!journal.status().is_accepting);
    let count = running.len() as u64;
    for attempt in running {
        let last = entry(attempt.admission());
        attempt.end(last).await.unwrap();
    }
    // All of it is posted.
    assert!(journal.release_through(count * 2).unwrap() > 5);
    assert!(journal.try_permit().is_ok(), "released room is room");
    assert!(journal.status().disk_bytes < quota / 2);
    journal.shut_down().await;
}

#[tokio::test]
async fn journals_of_dead_boots_and_the_quarantine_count_for_the_quota() {
    let dir = TempDir::new().unwrap();
    let kept = dir.path().join("one/quarantine");
    fs::create_dir_all(&kept).unwrap();
    fs::write(kept.join("left"), vec![1; 100_000]).unwrap();
    let journal = Journal::open(Options { disk_bytes_max: 20 * 4096, ..options(&dir) }, boot(1)).unwrap();
    assert!(matches!(journal.try_permit(), Err(JournalError::Quota { .. })));
    fs::remove_file(kept.join("left")).unwrap();
    journal.release_through(0).unwrap();
    assert!(journal.try_permit().is_ok());
}

#[tokio::test]
async fn a_quota_that_holds_no_journal_is_refused_and_the_least_one_works() {
    let dir = TempDir::new().unwrap();
    let least = options(&dir).disk_bytes_min();
    let asked = Options { disk_bytes_max: least - 1, ..options(&dir) };
    assert!(matches!(Journal::open(asked, boot(1)), Err(JournalError::QuotaTooSmall { .. })));
    let journal = Journal::open(Options { disk_bytes_max: least, ..options(&dir) }, boot(1)).unwrap();
    until(|| segments(journal.boot_dir()).len() == 3).await;
    run(&journal, 0..5).await;
}
