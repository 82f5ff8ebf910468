//! Ends that a poisoned journal cannot keep are handed over, each once, and its attempts hear what became of them.

use super::{super::error::JournalError, *};

#[tokio::test]
async fn a_poisoned_journal_hands_over_every_end_and_waits_for_the_word() {
    let dir = TempDir::new().unwrap();
    let script = Script::new();
    let journal = script.open(options(&dir));
    let mut rescued = journal.rescued().unwrap();
    assert!(journal.rescued().is_none(), "one takes them all");
    let mut attempts = Vec::new();
    for number in 0..20 {
        attempts.push(opened(&journal, number).await);
    }
    script.sync_failures.store(FOR_EVER, Ordering::SeqCst);
    let ends: Vec<_> = attempts.into_iter().map(|attempt| attempt.end(entry(&admission(0)))).collect();
    drop(ends);
    let mut kept = 0;
    while kept < 20 {
        let end = rescued.recv().await.unwrap();
        assert_eq!(end.entry().unwrap(), entry(&admission(0)));
        assert_eq!(journal.in_flight(), 20 - kept, "its room is taken until it is kept");
        end.kept();
        kept += 1;
    }
    assert_eq!((journal.in_flight(), journal.status().kept_elsewhere), (0, 20));
    assert!(journal.is_poisoned() && matches!(journal.try_permit(), Err(JournalError::Poisoned)));
    journal.shut_down().await;
    assert!(rescued.try_recv().is_err(), "nothing is handed over twice");
}

#[tokio::test]
async fn an_end_that_is_kept_elsewhere_is_durable_and_one_that_is_not_is_told_so() {
    let dir = TempDir::new().unwrap();
    let script = Script::new();
    let journal = script.open(options(&dir));
    let mut rescued = journal.rescued().unwrap();
    let (first, second) = (opened(&journal, 1).await, opened(&journal, 2).await);
    script.write_failures.store(FOR_EVER, Ordering::SeqCst);
    let first = first.end(entry(&admission(1)));
    rescued.recv().await.unwrap().kept();
    assert!(first.await.is_ok());
    let second = second.end(entry(&admission(2)));
    drop(rescued.recv().await.unwrap());
    assert!(matches!(second.await, Err(JournalError::Poisoned)));
    assert_eq!(journal.status().kept_elsewhere, 1);
}

#[tokio::test]
async fn an_open_that_a_poisoned_journal_cannot_keep_is_refused_and_handed_to_nobody() {
    let dir = TempDir::new().unwrap();
    let script = Script::new();
    let journal = script.open(options(&dir));
    let mut rescued = journal.rescued().unwrap();
    let permit = journal.try_permit().unwrap();
    script.sync_failures.store(FOR_EVER, Ordering::SeqCst);
    assert!(matches!(permit.open(admission(1)).await, Err(JournalError::Poisoned)));
    assert_eq!(journal.in_flight(), 0);
    assert!(rescued.try_recv().is_err());
}

#[tokio::test]
async fn a_writer_that_panics_poisons_the_journal_and_what_comes_then_is_handed_over() {
    let dir = TempDir::new().unwrap();
    let script = Script::new();
    let journal = script.open(options(&dir));
    let mut rescued = journal.rescued().unwrap();
    let attempts = [opened(&journal, 1).await, opened(&journal, 2).await, opened(&journal, 3).await];
    script.panics.store(1, Ordering::SeqCst);
    for (attempt, number) in attempts.into_iter().zip(1..) {
        let end = attempt.end(entry(&admission(number)));
        let handed_over = rescued.recv().await.unwrap();
        assert_eq!(handed_over.entry().unwrap().admission.id, attempt_id(number));
        handed_over.kept();
        end.await.unwrap();
    }
    assert!(journal.is_poisoned());
    journal.shut_down().await;
    assert_whole(&replay(journal.boot_dir()).0, 0..0);
}
