//! Damage that is found is kept aside, counted exactly, and told until somebody has looked at it.

use super::{
    super::{
        boot::{DeadBoot, dead_boots},
        quarantine::{KeptRegion, Report},
        verify::{self, verify},
    },
    damage::{flip, frames, written},
    *,
};

fn dead(dir: &TempDir) -> DeadBoot {
    dead_boots(dir.path(), "one").unwrap().pop().unwrap()
}

fn read_all(boot: &DeadBoot, committed: u64) -> BootReader {
    let mut reader = boot.reader(committed).unwrap();
    while !reader.read_batch(None, 7).unwrap().is_empty() {}
    reader
}

fn kept_dir(dir: &TempDir) -> std::path::PathBuf {
    dir.path().join("one/quarantine").join(boot(1).to_string())
}

#[tokio::test]
async fn damaged_regions_are_copied_aside_and_the_rest_of_the_boot_may_go() {
    let dir = TempDir::new().unwrap();
    let (boot_dir, file) = written(&dir, 10).await;
    let frames = frames(&boot_dir);
    for index in [5, 6, 12] {
        flip(&file, frames[index].offset + 41);
    }
    let left = |from: usize, to: usize| fs::read(&file).unwrap()[from..to].to_vec();
    let first = left(frames[5].offset as usize, frames[6].next_offset as usize);
    let second = left(frames[12].offset as usize, frames[12].next_offset as usize);

    let boot = dead(&dir);
    let reader = read_all(&boot, 0);
    let report = boot.quarantine(&reader).unwrap();
    let region = |index: usize, missing| KeptRegion {
        first_sequence: frames[index].header.sequence,
        missing,
        files: vec![format!("00000001-{}.bytes", frames[index].offset)],
    };
    let expected = Report { boot_id: boot.boot_id, missing: 3, damaged: 2, regions: vec![region(5, 2), region(12, 1)] };
    assert_eq!(report, expected);
    boot.remove().unwrap();
    assert!(!boot_dir.exists());

    for (kept, bytes) in [(&report.regions[0], first), (&report.regions[1], second)] {
        let kept = fs::read(kept_dir(&dir).join(&kept.files[0])).unwrap();
        assert!(bytes.starts_with(&kept) && bytes[kept.len()..].iter().all(|byte| *byte == 0), "all but padding");
    }
    let written_down = fs::read(kept_dir(&dir).join("report.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Report>(&written_down).unwrap(), expected);

    // It stays a finding until somebody deletes it.
    assert_eq!(verify(dir.path()).unwrap(), verify::Report { records: 0, missing: 3, damaged: 2 });
    assert_eq!(verify(&dir.path().join("one")).unwrap(), verify::Report { records: 0, missing: 3, damaged: 2 });
    let journal = Journal::open(options(&dir), super::boot(2)).unwrap();
    assert_eq!((journal.status().missing_records, journal.status().damaged_regions), (3, 2));
    fs::remove_dir_all(dir.path().join("one/quarantine")).unwrap();
    journal.count_quarantine().unwrap();
    assert_eq!((journal.status().missing_records, journal.status().damaged_regions), (0, 0));
    assert_eq!(verify(dir.path()).unwrap(), verify::Report::default());
}

#[tokio::test]
async fn quarantining_again_counts_nothing_twice() {
    let dir = TempDir::new().unwrap();
    let (boot_dir, file) = written(&dir, 10).await;
    flip(&file, frames(&boot_dir)[5].offset);
    let boot = dead(&dir);
    let report = boot.quarantine(&read_all(&boot, 0)).unwrap();
    assert_eq!(boot.quarantine(&read_all(&boot, 0)).unwrap(), report);
    assert_eq!((report.missing, report.damaged), (1, 1));
    assert_eq!(verify(dir.path()).unwrap(), verify::Report { records: 19, missing: 1, damaged: 1 });
    // Found by a living process first, then by its successor, who finds more.
    flip(&file, frames(&boot_dir)[9].offset);
    let report = boot.quarantine(&read_all(&boot, 0)).unwrap();
    assert_eq!((report.missing, report.damaged), (2, 2));
}

#[tokio::test]
async fn a_living_boot_keeps_its_damage_aside_before_it_releases_the_segment() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    run(&journal, 0..40).await;
    flip(&segment::path(journal.boot_dir(), 1), frames(journal.boot_dir())[3].offset);
    let mut reader = journal.reader(0);
    assert_eq!(reader.read_batch(Some(80), 1000).unwrap().len(), 79);
    journal.quarantine(&reader.regions()).unwrap();
    assert!(journal.release_through(80).unwrap() > 1);
    assert_eq!((journal.status().missing_records, journal.status().damaged_regions), (1, 1));
    assert_eq!(verify(dir.path()).unwrap().missing, 1);
    drop_and_wait(journal).await;
    // Its successor, who knows what the store has, misses no more than that.
    let boot = dead(&dir);
    assert_eq!(read_all(&boot, 80).damage(), Damage::default());
}

#[tokio::test]
async fn segments_that_vanished_before_they_were_committed_are_missed() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    run(&journal, 0..40).await;
    let in_first = frames(journal.boot_dir()).len() as u64;
    let boot_dir = journal.boot_dir().to_owned();
    journal.shut_down().await;
    drop_and_wait(journal).await;
    fs::remove_file(segment::path(&boot_dir, 1)).unwrap();
    let boot = dead(&dir);
    for committed in [0, 1, in_first - 1, in_first, in_first + 5] {
        let reader = read_all(&boot, committed);
        let missing = in_first.saturating_sub(committed);
        assert_eq!(reader.damage(), Damage { missing, damaged_regions: u64::from(missing > 0) }, "{committed}");
        assert_eq!(reader.last_sequence(), 80);
    }
}

#[tokio::test]
async fn segments_released_while_they_are_verified_are_not_missed() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    run(&journal, 0..60).await;
    let mut reader =
        BootReader::from_first(OsDisk::shared(), journal.boot_dir(), boot(1), super::super::reader::Released::Unknown)
            .unwrap();
    assert!(reader.next_frame(None).unwrap().is_some());
    journal.release_through(100).unwrap();
    while reader.next_frame(None).unwrap().is_some() {}
    assert_eq!((reader.damage(), reader.last_sequence()), (Damage::default(), 120));
}
