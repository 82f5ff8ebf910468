//! Boot folders: who owns them, who may adopt them.

use std::{io, time::Duration};

use super::{
    super::{
        boot::{dead_boots, dead_boots_below},
        error::JournalError,
        inbox::Inbox,
        spare::{SpareSource, Spares},
    },
    *,
};
use crate::clock::Clock;

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
    for name in ["", ".", "..", "../other", "a/b", ".hidden", "quarantine"] {
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

#[tokio::test]
async fn boots_that_overlap_are_adopted_when_their_process_is_gone() {
    let dir = TempDir::new().unwrap();
    let old = open(&dir);
    let running = opened(&old, 0).await;
    let new = Journal::open(options(&dir), boot(2)).unwrap();
    run(&new, 100..103).await;
    assert!(dead_boots(dir.path(), "one").unwrap().is_empty(), "the old process still finishes what runs");
    running.end(entry(&admission(0))).await.unwrap();
    drop_and_wait(old).await;
    let adopted = dead_boots(dir.path(), "one").unwrap();
    assert_eq!(adopted.iter().map(|dead| dead.boot_id).collect::<Vec<_>>(), [boot(1)]);
    assert_whole(&replay(&adopted[0].dir).0, 0..1);
    run(&new, 103..105).await;
}

#[tokio::test]
async fn boots_of_a_clock_that_was_set_back_are_all_adopted() {
    let dir = TempDir::new().unwrap();
    let clock = Clock::fake(1_700_000_000_000_000);
    let mut ids = Vec::new();
    for (step_us, random) in [(0, 1), (-86_400_000_000, 2), (0, 3), (7_200_000_000, 4)] {
        clock.step_us(step_us);
        let id = BootId::new(u64::try_from(clock.unix_us() / 1000).unwrap(), &[random; 10]);
        let journal = Journal::open(options(&dir), id).unwrap();
        run(&journal, 0..2).await;
        drop_and_wait(journal).await;
        ids.push(id);
    }
    let mut adopted: Vec<_> = dead_boots(dir.path(), "one").unwrap().iter().map(|dead| dead.boot_id).collect();
    adopted.sort();
    ids.sort();
    assert_eq!(adopted, ids);
}

#[tokio::test]
async fn order_and_durability_do_not_ask_the_wall_clock() {
    let dir = TempDir::new().unwrap();
    let clock = Clock::fake(1_700_000_000_000_000);
    let no_spares = |_, _| Err(io::Error::other("not needed"));
    let (disk, asked) = (OsDisk::shared(), Options { segment_bytes: 64 << 10, ..options(&dir) });
    assert!(Journal::assemble(disk.clone(), asked.clone(), boot(3), clock.clone(), no_spares).is_err());
    let spares = |maker, health| Ok(Box::new(Spares::start(maker, 2, 1, health)?) as Box<dyn SpareSource>);
    let (journal, parts) = Journal::assemble(disk, asked, boot(1), clock.clone(), spares).unwrap();
    let (mut writer, mut inbox) = (parts.writer, Inbox::new(parts.received, clock.clone()));
    let mut step = || writer.step(&mut inbox, Some(Duration::ZERO));
    for (number, step_us) in [(0, -3_600_000_000), (1, 7_200_000_000), (2, -1), (3, i64::from(i32::MAX))] {
        clock.step_us(step_us);
        let mut asked = admission(number);
        asked.admitted_at_us = clock.unix_us();
        let receipt = journal.try_permit().unwrap().open(asked);
        step();
        let attempt = receipt.await.unwrap();
        attempt.sent();
        let before = *journal.durable().borrow();
        step();
        clock.step_us(-step_us);
        step();
        assert_eq!(*journal.durable().borrow(), before, "no time has passed, whatever the wall clock says");
        clock.advance(Duration::from_millis(100));
        step();
        assert_eq!(*journal.durable().borrow(), before + 1, "a record that nobody waits for becomes durable in time");
    }
    drop(writer);
    let (records, damage) = replay(journal.boot_dir());
    assert_eq!((records.len(), damage), (8, Damage::default()));
    let opened: Vec<_> = records.iter().map(|(_, record)| record.attempt_id()).collect();
    assert_eq!(opened, [0, 0, 1, 1, 2, 2, 3, 3].map(attempt_id));
}

#[tokio::test]
async fn boots_are_found_in_a_journal_a_replica_and_a_boot_folder() {
    let dir = TempDir::new().unwrap();
    let mut folders = Vec::new();
    for (replica, number) in [("one", 1), ("two", 2), ("two", 3)] {
        let journal = Journal::open(Options { replica: replica.to_owned(), ..options(&dir) }, boot(number)).unwrap();
        run(&journal, 0..1).await;
        folders.push(journal.boot_dir().to_owned());
        drop_and_wait(journal).await;
    }
    let living = Journal::open(Options { replica: "two".to_owned(), ..options(&dir) }, boot(4)).unwrap();
    fs::create_dir_all(dir.path().join("two/quarantine").join(boot(9).to_string())).unwrap();
    let found = |dir: &Path| {
        let found = dead_boots_below(dir).unwrap();
        let dead: Vec<_> = found.dead.iter().map(|boot| (boot.replica.clone(), boot.boot_id)).collect();
        (dead, found.living)
    };
    let name = |name: &str, number| (name.to_owned(), boot(number));
    let theirs = vec![living.boot_dir().to_owned()];
    assert_eq!(found(dir.path()), (vec![name("one", 1), name("two", 2), name("two", 3)], theirs.clone()));
    assert_eq!(found(&dir.path().join("two")), (vec![name("two", 2), name("two", 3)], theirs));
    assert_eq!(found(&folders[2]), (vec![name("two", 3)], Vec::new()));
}
