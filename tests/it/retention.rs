//! Old days leave the store for sealed files, and nothing is lost, posted again or believed unread.

use std::{path::Path, time::Duration};

use sqlx::{Connection, Executor};
use tollgate::{
    app::upkeep::Upkeep,
    billing::audit::{audit, audit_with},
    clock::Clock,
    config::{
        self,
        store_url::{Database, StoreUrl},
    },
    store::{
        Store,
        entries::{PostBatch, Stage},
    },
};
use tollgate_core::{entry::Outcome, id::BootId};

use crate::{
    books::{NOVEMBER_US, dated_entry, postgres_store, seed},
    commands::run,
};

const DAY_US: i64 = 86_400_000_000;

fn boot() -> BootId {
    BootId::new(1, &[4; 10])
}

/// Twenty entries a day on each of five days, sequences from 1 on.
fn five_days() -> PostBatch {
    let at_us = |number: u64| NOVEMBER_US + i64::try_from(number / 20).unwrap() * DAY_US + 3_600_000_000;
    let entries = (0..100).map(|number| (number + 1, dated_entry(number, at_us(number)))).collect();
    PostBatch::new("main".into(), boot(), 100, entries)
}

fn upkeep(store: &Store, clock: &Clock, dir: &Path, keep_days: u32) -> Upkeep {
    let config = config::Store {
        entries_keep_days: keep_days,
        archive_dir: dir.to_owned(),
        ..config::Store::new(StoreUrl::Plain(Database::Sqlite("unused".into())))
    };
    Upkeep::new(store.clone(), clock.clone(), &config)
}

async fn both() -> (tempfile::TempDir, [Store; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let stores = [Store::open(&dir.path().join("t.db")).await.unwrap(), postgres_store().await.0];
    for store in &stores {
        seed(store).await;
    }
    (dir, stores)
}

#[tokio::test]
async fn old_days_go_to_sealed_files_that_the_audit_reads() {
    let (dir, stores) = both().await;
    for (number, store) in stores.iter().enumerate() {
        let archive_dir = dir.path().join(format!("archive-{number}"));
        store.post(&five_days()).await.unwrap();
        let before = store.rollup_cells().await.unwrap();
        // The sixth day: two days are kept beside it.
        let clock = Clock::fake(NOVEMBER_US + 5 * DAY_US + 1);
        assert_eq!(upkeep(store, &clock, &archive_dir, 0).tend().await.unwrap(), [], "0 keeps everything");
        let mut sealed = Vec::new();
        // A day that something else looks at just then is sealed by the next round.
        for _ in 0..5 {
            sealed.extend(upkeep(store, &clock, &archive_dir, 2).tend().await.unwrap());
        }
        assert_eq!(sealed.iter().map(|archive| archive.entries).collect::<Vec<_>>(), [20, 20, 20]);
        assert_eq!(store.entry_count().await.unwrap(), 40);
        assert_eq!(store.rollup_cells().await.unwrap(), before, "rollups stay");

        let without = audit(store).await.unwrap();
        assert_eq!((&without.differences, without.entries, without.lost), (&vec![], 40, 0));
        assert!(without.unchecked > 0, "what cannot be checked is not passed over");
        let files: Vec<_> = sealed.iter().map(|archive| archive_dir.join(&archive.file)).collect();
        assert!(files[0].ends_with("entries-2026-11-01-1.copy"));
        let with = audit_with(store, &files).await.unwrap();
        assert_eq!((&with.differences, with.entries, with.unchecked, with.archives), (&vec![], 100, 0, 3));

        // A file that was changed is not believed, nor is a day that is missing.
        let text = std::fs::read_to_string(&files[1]).unwrap();
        std::fs::write(&files[1], text.replacen("demo-model", "Demo-model", 1)).unwrap();
        let changed = audit_with(store, &files).await.unwrap();
        assert!(changed.differences.iter().any(|difference| difference.what == "archive"), "{changed:?}");
        let sums = std::fs::read_to_string(archive_dir.join("entries-2026-11-01-1.copy.sha256")).unwrap();
        assert!(sums.starts_with(&sealed[0].sha256) && sums.ends_with("  entries-2026-11-01-1.copy\n"));
    }
}

#[tokio::test]
async fn what_was_sealed_is_not_posted_again_and_what_comes_late_is_posted_once() {
    let (dir, stores) = both().await;
    for (number, store) in stores.iter().enumerate() {
        let archive_dir = dir.path().join(format!("archive-{number}"));
        store.post(&five_days()).await.unwrap();
        let clock = Clock::fake(NOVEMBER_US + 5 * DAY_US + 1);
        let tending = upkeep(store, &clock, &archive_dir, 2);
        tending.tend().await.unwrap();
        let cells = store.rollup_cells().await.unwrap();

        // The same journal again, whole, as a boot that died before its folder was removed.
        let again = store.post(&five_days()).await.unwrap();
        assert_eq!((again.inserted, again.already_there), (0, 100));
        assert_eq!(store.rollup_cells().await.unwrap(), cells);

        // An end that lies behind the cursor, and an orphan of before it, both of a sealed day.
        let late = PostBatch::new("main".into(), boot(), 101, vec![(101, dated_entry(500, NOVEMBER_US + 5))]);
        for expected in [1, 0] {
            assert_eq!(store.post(&late).await.unwrap().inserted, expected);
        }
        let orphan = PostBatch::new("main".into(), boot(), 101, vec![(7, dated_entry(501, NOVEMBER_US + 6))]);
        let orphan = PostBatch { records: Vec::new(), stage: Stage::Closing, ..orphan };
        for expected in [1, 0] {
            assert_eq!(store.post(&orphan).await.unwrap().inserted, expected);
        }
        // The next round gives the day a second file; after that nothing of the boot, which is closed, is posted again.
        clock.advance(Duration::from_secs(600));
        let sealed = tending.tend().await.unwrap();
        assert_eq!(sealed.iter().map(|archive| (archive.part, archive.entries)).collect::<Vec<_>>(), [(2, 2)]);
        for batch in [five_days(), late, orphan] {
            assert_eq!(store.post(&batch).await.unwrap().inserted, 0);
        }
        let files = store.archives().await.unwrap();
        let files: Vec<_> = files.iter().map(|archive| archive_dir.join(&archive.file)).collect();
        let report = audit_with(store, &files).await.unwrap();
        let differences: Vec<_> =
            report.differences.iter().filter(|difference| difference.what != "attempts without one end").collect();
        assert!(differences.is_empty(), "{differences:?}");
        assert_eq!((report.entries, report.archives), (102, 4));
    }
}

#[tokio::test]
async fn one_process_at_a_time_tends_a_shared_store() {
    let (store, url) = postgres_store().await;
    let other = crate::cluster::open(&url).await;
    let held = store.try_upkeep().await.unwrap().expect("nobody else tends");
    assert!(other.try_upkeep().await.unwrap().is_none());
    drop(held);
    let mut got = None;
    for _ in 0..100 {
        // The server notices that the session is gone in its own time.
        got = other.try_upkeep().await.unwrap();
        if got.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(got.is_some());
}

/// A file that cannot be read is no reason to drop the day.
#[tokio::test]
async fn a_day_whose_file_does_not_read_back_stays_in_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let (postgres, url) = postgres_store().await;
    for (number, store) in [Store::open(&path).await.unwrap(), postgres].iter().enumerate() {
        seed(store).await;
        store.post(&five_days()).await.unwrap();
        if number == 0 {
            let mut by_hand = sqlx::SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
            by_hand.execute("update entries set body = x'00' where sequence = 25").await.unwrap();
        } else {
            let mut by_hand = sqlx::PgConnection::connect(&url).await.unwrap();
            by_hand.execute("update entries set body = '\\x00' where sequence = 25").await.unwrap();
        }
        let archive_dir = dir.path().join(format!("archive-{number}"));
        let clock = Clock::fake(NOVEMBER_US + 5 * DAY_US + 1);
        let tending = upkeep(store, &clock, &archive_dir, 2);
        for _ in 0..2 {
            // The server notices in its own time that the session of the round before is gone: until then nothing is done.
            while tending.tend().await.is_ok_and(|sealed| sealed.is_empty()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(store.entry_count().await.unwrap(), 80, "the first day is sealed, the second is not");
        }
        assert_eq!(store.archives().await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_holds_the_sealed_files_that_are_here_and_names_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let config_of = |name: &str| {
        let folder = dir.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let config = folder.join("tollgate.toml");
        std::fs::write(&config, format!("[server]\ndata_dir = {:?}\n", folder.join("data"))).unwrap();
        (config, folder.join("data"))
    };
    let (config, data) = config_of("first");
    let store = Store::open(&data.join("tollgate.db")).await.unwrap();
    seed(&store).await;
    store.post(&five_days()).await.unwrap();
    let clock = Clock::fake(NOVEMBER_US + 5 * DAY_US + 1);
    let sealed = upkeep(&store, &clock, &data.join("archive"), 2).tend().await.unwrap();
    assert_eq!(sealed.len(), 3);
    std::fs::remove_file(data.join("archive").join(&sealed[0].file)).unwrap();
    store.close().await;

    let backup = dir.path().join("backup");
    let written = run(&config, &["backup", backup.to_str().unwrap()]);
    let text = String::from_utf8(written.stdout).unwrap();
    let warning = format!("warning: {} (20 entries) is not on this machine", sealed[0].file);
    assert!(text.contains(&warning) && text.matches("warning").count() == 1, "{text}");
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(backup.join("MANIFEST.json")).unwrap()).unwrap();
    let copied = manifest["archives"].as_array().unwrap().iter().map(|file| file["copied"] == true);
    assert_eq!(copied.collect::<Vec<_>>(), [false, true, true]);

    // A sealed file that was damaged in the backup is no backup of it.
    let (config, data) = config_of("second");
    let path = backup.join("archive").join(&sealed[1].file);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[1..]).unwrap();
    let refused = run(&config, &["restore", backup.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is damaged"), "{refused:?}");
    std::fs::write(&path, &bytes).unwrap();
    let restored = run(&config, &["restore", backup.to_str().unwrap()]);
    assert!(restored.status.success(), "{restored:?}");
    let store = Store::open(&data.join("tollgate.db")).await.unwrap();
    let files: Vec<_> = sealed[1..].iter().map(|archive| data.join("archive").join(&archive.file)).collect();
    let report = audit_with(&store, &files).await.unwrap();
    assert_eq!((report.entries, report.archives, report.differences), (80, 2, vec![]));
}

/// Seals the first of November as another gateway's upkeep does, and stops before the commit.
async fn seal_and_wait(url: &str, entries: i64) -> sqlx::PgConnection {
    let mut sealer = sqlx::PgConnection::connect(url).await.unwrap();
    sealer.execute("begin").await.unwrap();
    let day = i32::try_from(NOVEMBER_US / DAY_US).unwrap();
    let seal = sqlx::query_scalar::<_, bool>("select seal_entries_day($1, $2)").bind(day).bind(entries);
    assert!(seal.fetch_one(&mut sealer).await.unwrap());
    let insert = "insert into archives values ($1, 1, $2, 0, 0, '', 'elsewhere', 0)";
    sqlx::query(insert).bind(day).bind(entries).execute(&mut sealer).await.unwrap();
    sealer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sealed_while_it_is_posted_again_is_not_posted_again() {
    let (store, url) = postgres_store().await;
    seed(&store).await;
    let entries = (0..20).map(|number| (number + 1, dated_entry(number, NOVEMBER_US + 5))).collect();
    let batch = PostBatch::new("main".into(), boot(), 20, entries);
    assert_eq!(store.post(&batch).await.unwrap().inserted, 20);
    let cells = store.rollup_cells().await.unwrap();
    let mut sealer = seal_and_wait(&url, 20).await;
    let posting = {
        let store = store.clone();
        tokio::spawn(async move { store.post(&batch).await })
    };
    let mut look = sqlx::PgConnection::connect(&url).await.unwrap();
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut look).await.unwrap() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sealer.execute("commit").await.unwrap();
    assert_eq!(posting.await.unwrap().unwrap().inserted, 0);
    assert_eq!((store.entry_count().await.unwrap(), store.rollup_cells().await.unwrap()), (0, cells));
}

/// Orphans, and ends that a poisoned journal could not keep, have no place before the cursor.
#[tokio::test]
async fn orphans_and_direct_ends_of_a_sealed_day_are_not_posted_again() {
    let (dir, stores) = both().await;
    let without_record = |sequence, number| {
        let mut entry = dated_entry(number, NOVEMBER_US + 7);
        if sequence > 0 {
            entry.outcome = Outcome::Interrupted;
        }
        let batch = PostBatch::new("main".into(), boot(), 100, vec![(sequence, entry)]);
        PostBatch { records: Vec::new(), stage: Stage::Resolving, ..batch }
    };
    let (direct, orphan, late) = (without_record(0, 600), without_record(7, 601), without_record(8, 602));
    for (number, store) in stores.iter().enumerate() {
        let archive_dir = dir.path().join(format!("archive-{number}"));
        for batch in [&five_days(), &direct, &orphan] {
            assert!(store.post(batch).await.unwrap().inserted > 0);
        }
        let clock = Clock::fake(NOVEMBER_US + 5 * DAY_US + 1);
        let sealed = upkeep(store, &clock, &archive_dir, 2).tend().await.unwrap();
        assert_eq!(sealed.iter().map(|archive| archive.entries).collect::<Vec<_>>(), [22, 20, 20]);
        let cells = store.rollup_cells().await.unwrap();
        // The recovery of a boot that was broken off begins again; it finds the direct end as an orphan of its journal.
        let found = PostBatch { entries: vec![(9, direct.entries[0].1.clone())], ..direct.clone() };
        for batch in [&direct, &orphan, &found] {
            assert_eq!(store.post(batch).await.unwrap().inserted, 0);
        }
        assert_eq!(store.rollup_cells().await.unwrap(), cells);
        assert_eq!(store.post(&late).await.unwrap().inserted, 1, "one that was not there yet is no repetition");
        let closing = PostBatch { entries: [&orphan, &late].map(|batch| batch.entries[0].clone()).to_vec(), ..found };
        let closing = PostBatch { stage: Stage::Closing, ..closing };
        assert_eq!(store.post(&closing).await.unwrap().inserted, 0);
        assert_eq!(store.post(&direct).await.unwrap().inserted, 0, "nor when the boot is closed");
    }
}
