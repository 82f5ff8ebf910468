//! Boot folders: who owns them, who may adopt them.

use super::{
    super::{boot::dead_boots, error::JournalError},
    *,
};

#[tokio::test]
async fn one_boot_folder_has_one_owner() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    assert!(matches!(Journal::open(options(&dir), boot(1)), Err(JournalError::Locked { .. })));
    run(&journal, 0..3).await;
    journal.shut_down().await;
    assert!(matches!(Journal::open(options(&dir), boot(1)), Err(JournalError::BootExists { .. })));
    assert_whole(&replay(journal.boot_dir()).0, 0..3);
}

#[tokio::test]
async fn dead_boots_are_adopted_by_one_and_locked_ones_are_left_alone() {
    let dir = TempDir::new().unwrap();
    let living = Journal::open(options(&dir), boot(2)).unwrap();
    let dying = open(&dir);
    let other_replica = Journal::open(Options { replica: "two".to_owned(), ..options(&dir) }, boot(3)).unwrap();
    run(&dying, 0..3).await;
    assert!(dead_boots(dir.path(), "one").unwrap().is_empty());
    drop_and_wait(dying).await;
    drop_and_wait(other_replica).await;

    let mut adopted = dead_boots(dir.path(), "one").unwrap();
    assert_eq!(adopted.iter().map(|dead| dead.boot_id).collect::<Vec<_>>(), [boot(1)]);
    assert!(dead_boots(dir.path(), "one").unwrap().is_empty(), "what one has adopted nobody else gets");
    let dead = adopted.pop().unwrap();
    assert_whole(&replay(&dead.dir).0, 0..3);
    let boot_dir = dead.dir.clone();
    drop(dead);

    let dead = dead_boots(dir.path(), "one").unwrap().pop().unwrap();
    dead.remove().unwrap();
    assert!(!boot_dir.exists());
    assert!(dead_boots(dir.path(), "one").unwrap().is_empty());
    run(&living, 0..3).await;
}

#[tokio::test]
async fn a_removal_that_was_cut_short_is_finished_later() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    run(&journal, 0..3).await;
    let boot_dir = journal.boot_dir().to_owned();
    drop_and_wait(journal).await;
    let gone = boot_dir.with_extension("gone");
    fs::rename(&boot_dir, &gone).unwrap();
    assert!(dead_boots(dir.path(), "one").unwrap().is_empty());
    assert!(!gone.exists());
}

#[test]
fn a_replica_without_a_folder_has_no_dead_boots() {
    let dir = TempDir::new().unwrap();
    assert!(dead_boots(&dir.path().join("none"), "one").unwrap().is_empty());
}

#[test]
fn options_that_cannot_work_are_refused() {
    let dir = TempDir::new().unwrap();
    for name in ["", ".", "..", "../other", "a/b", ".hidden"] {
        let asked = Options { replica: name.to_owned(), ..options(&dir) };
        assert!(matches!(Journal::open(asked, boot(1)), Err(JournalError::ReplicaName { .. })), "{name}");
    }
    let asked = Options { segment_bytes: 10, ..options(&dir) };
    assert!(matches!(Journal::open(asked, boot(1)), Err(JournalError::SegmentBytes { .. })));
    for in_flight_max in [0, usize::MAX] {
        let asked = Options { in_flight_max, ..options(&dir) };
        assert!(matches!(Journal::open(asked, boot(1)), Err(JournalError::InFlightMax { .. })));
    }
}

#[tokio::test]
async fn dropping_without_shutting_down_loses_nothing_that_was_acknowledged() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    run(&journal, 0..20).await;
    let boot_dir = journal.boot_dir().to_owned();
    drop_and_wait(journal).await;
    let (records, damage) = replay(&boot_dir);
    assert_eq!(damage, Damage::default());
    assert_whole(&records, 0..20);
}
