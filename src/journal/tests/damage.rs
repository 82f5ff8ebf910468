//! Flipped bytes, torn tails, and records of other builds.

use std::{fs::OpenOptions, os::unix::fs::FileExt, path::PathBuf};

use super::{
    super::{
        frame,
        scan::{Found, SegmentScan},
        verify::{Report, verify},
    },
    *,
};

/// A boot of one large segment with `attempts` ended attempts; its folder and file.
pub(super) async fn written(dir: &TempDir, attempts: u64) -> (PathBuf, PathBuf) {
    let journal = Journal::open(Options { segment_bytes: 64 << 10, ..options(dir) }, boot(1)).unwrap();
    run(&journal, 0..attempts).await;
    journal.shut_down().await;
    (journal.boot_dir().to_owned(), segment::path(journal.boot_dir(), 1))
}

pub(super) fn frames(boot_dir: &Path) -> Vec<Found> {
    let mut scan = SegmentScan::open(&OsDisk, boot_dir, 1).unwrap();
    let (mut frames, mut from, mut above): (Vec<Found>, _, _) = (Vec::new(), scan.frames_at(), 0);
    while let Some(found) = scan.find(from, boot(1), above).unwrap() {
        (from, above) = (found.next_offset, found.header.sequence);
        frames.push(found);
    }
    frames
}

pub(super) fn flip(file: &Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x55], offset).unwrap();
}

#[tokio::test]
async fn a_flipped_byte_loses_exactly_its_record_and_is_counted() {
    let dir = TempDir::new().unwrap();
    let (boot_dir, file) = written(&dir, 5).await;
    let victim = &frames(&boot_dir)[4];
    for offset in victim.offset..victim.offset + victim.header.checked_bytes() as u64 {
        flip(&file, offset);
        let (records, damage) = replay(&boot_dir);
        assert_eq!(sequences(&records), [1, 2, 3, 4, 6, 7, 8, 9, 10], "offset {offset}");
        assert_eq!(damage, Damage { missing: 1, damaged_regions: 1 });
        assert_eq!(verify(dir.path()).unwrap(), Report { records: 9, missing: 1, damaged: 1 });
        flip(&file, offset);
    }
    assert_eq!(verify(dir.path()).unwrap(), Report { records: 10, missing: 0, damaged: 0 });
}

#[tokio::test]
async fn several_gaps_are_counted_apart_and_exactly() {
    let dir = TempDir::new().unwrap();
    let (boot_dir, file) = written(&dir, 10).await;
    let frames = frames(&boot_dir);
    // The first record, two neighbours, and one more.
    for index in [0, 5, 6, 12] {
        flip(&file, frames[index].offset + 41);
    }
    let (records, damage) = replay(&boot_dir);
    assert_eq!(records.len(), 16);
    assert_eq!(damage, Damage { missing: 4, damaged_regions: 3 });
}

#[tokio::test]
async fn damage_in_a_closed_segment_is_counted_wherever_it_lies() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    run(&journal, 0..40).await;
    journal.shut_down().await;
    let whole = replay(journal.boot_dir()).0;
    let in_first = frames(journal.boot_dir());
    let file = segment::path(journal.boot_dir(), 1);
    for victim in &in_first {
        flip(&file, victim.offset);
        let (records, damage) = replay(journal.boot_dir());
        let expected: Vec<_> =
            whole.iter().filter(|(sequence, _)| *sequence != victim.header.sequence).cloned().collect();
        assert!(records == expected, "all but {}", victim.header.sequence);
        assert_eq!(damage, Damage { missing: 1, damaged_regions: 1 });
        flip(&file, victim.offset);
    }
    fs::remove_file(segment::path(journal.boot_dir(), 2)).unwrap();
    let (records, damage) = replay(journal.boot_dir());
    assert_eq!(records.len() as u64 + damage.missing, 80, "a lost segment is one gap of a known size");
    assert_eq!(damage.damaged_regions, 1);
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_costs_only_the_last_record() {
    let dir = TempDir::new().unwrap();
    let (boot_dir, file) = written(&dir, 3).await;
    let last = frames(&boot_dir).pop().unwrap();
    let bytes = fs::read(&file).unwrap();
    let (start, counts) = (last.offset as usize, last.header.checked_bytes());
    for kept in 0..counts {
        // Cut off, overwritten with zeros, and overwritten with garbage.
        let mut zeros = bytes.clone();
        zeros[start + kept..].fill(0);
        let mut garbage = bytes.clone();
        garbage[start + kept..start + counts].iter_mut().for_each(|byte| *byte = !*byte);
        for torn in [bytes[..start + kept].to_vec(), zeros, garbage] {
            fs::write(&file, &torn).unwrap();
            let (records, damage) = replay(&boot_dir);
            // A checksum that ends in zeros is whole before its last byte.
            let is_whole = torn.get(start..start + counts) == Some(&bytes[start..start + counts]);
            assert_eq!(records.len(), if is_whole { 6 } else { 5 }, "{kept} bytes kept");
            assert_eq!(damage, Damage::default(), "a torn tail is the end, not damage");
        }
    }
}

#[tokio::test]
async fn a_flipped_byte_of_the_last_record_costs_only_that_record() {
    let dir = TempDir::new().unwrap();
    let (boot_dir, file) = written(&dir, 3).await;
    let last = frames(&boot_dir).pop().unwrap();
    for offset in last.offset..last.offset + last.header.checked_bytes() as u64 {
        flip(&file, offset);
        let (records, damage) = replay(&boot_dir);
        assert_eq!(sequences(&records), [1, 2, 3, 4, 5], "offset {offset}");
        // Nothing says whether it was durable: to a dead boot's reader it is a torn tail ...
        assert_eq!(damage, Damage::default());
        // ... and to the process that knows how far the journal was durable it is missing.
        let mut living = reader_of(&boot_dir, 0);
        assert_eq!(living.read_batch(Some(6), 100).unwrap().len(), 5);
        assert_eq!(living.damage(), Damage { missing: 1, damaged_regions: 1 });
        flip(&file, offset);
    }
}

#[tokio::test]
async fn a_middle_record_torn_at_any_byte_costs_only_itself() {
    let dir = TempDir::new().unwrap();
    let (boot_dir, file) = written(&dir, 5).await;
    let bytes = fs::read(&file).unwrap();
    let victim = &frames(&boot_dir)[4];
    let (start, counts) = (victim.offset as usize, victim.header.checked_bytes());
    for kept in 0..counts {
        let mut zeros = bytes.clone();
        zeros[start + kept..start + counts].fill(0);
        let mut garbage = bytes.clone();
        garbage[start + kept..start + counts].iter_mut().for_each(|byte| *byte = !*byte);
        for torn in [zeros, garbage] {
            fs::write(&file, &torn).unwrap();
            let (records, damage) = replay(&boot_dir);
            // A checksum that ends in zeros is whole before its last byte.
            let is_whole = torn[start..start + counts] == bytes[start..start + counts];
            let expected: Vec<u64> = (1..=10).filter(|sequence| is_whole || *sequence != 5).collect();
            assert_eq!(sequences(&records), expected, "{kept} bytes kept");
            assert_eq!(damage.missing, u64::from(!is_whole));
        }
    }
}

#[tokio::test]
async fn a_file_cut_short_anywhere_in_a_middle_record_keeps_what_stands_before() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    run(&journal, 0..40).await;
    journal.shut_down().await;
    let file = segment::path(journal.boot_dir(), 1);
    let (bytes, in_first) = (fs::read(&file).unwrap(), frames(journal.boot_dir()));
    let victim = &in_first[3];
    let (start, counts) = (victim.offset as usize, victim.header.checked_bytes());
    for kept in 0..counts {
        fs::write(&file, &bytes[..start + kept]).unwrap();
        let (records, damage) = replay(journal.boot_dir());
        // All before it, and all of the later segments, which prove that the rest was durable once.
        let lost = in_first.len() as u64 - 3;
        assert_eq!(records.len() as u64, 80 - lost, "{kept} bytes kept");
        assert_eq!(damage, Damage { missing: lost, damaged_regions: 1 });
    }
}

#[tokio::test]
async fn a_segment_that_is_replayed_twice_gives_its_records_once() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    run(&journal, 0..40).await;
    journal.shut_down().await;
    let whole = replay(journal.boot_dir());
    let last = *segments(journal.boot_dir()).last().unwrap();
    for (copied, index) in [(1, last + 1), (2, last + 2), (last, last + 3)] {
        fs::copy(segment::path(journal.boot_dir(), copied), segment::path(journal.boot_dir(), index)).unwrap();
    }
    assert!(replay(journal.boot_dir()) == whole, "copies add nothing and take nothing away");
}

#[tokio::test]
async fn a_segment_destroyed_as_a_whole_is_counted_even_when_nothing_comes_after_it() {
    let dir = TempDir::new().unwrap();
    let (boot_dir, file) = written(&dir, 5).await;
    let length = fs::metadata(&file).unwrap().len() as usize;
    fs::write(&file, vec![0xA5; length]).unwrap();
    let (records, damage) = replay(&boot_dir);
    // How many records it had nobody knows; that something is destroyed is told.
    assert_eq!((records.len(), damage), (0, Damage { missing: 0, damaged_regions: 1 }));
}

#[tokio::test]
async fn a_damaged_header_costs_no_record_and_is_counted() {
    let dir = TempDir::new().unwrap();
    let (boot_dir, file) = written(&dir, 5).await;
    for offset in 0..64 {
        flip(&file, offset);
        let (records, damage) = replay(&boot_dir);
        assert_whole(&records, 0..5);
        assert_eq!(damage, Damage { missing: 0, damaged_regions: 1 }, "offset {offset}");
        flip(&file, offset);
    }
}

#[tokio::test]
async fn a_page_that_the_disk_cannot_read_is_passed_over_and_counted() {
    let dir = TempDir::new().unwrap();
    let (boot_dir, _) = written(&dir, 60).await;
    let hit = |found: &Found| found.next_offset > 8192 && found.offset < 12288;
    let expected: Vec<u64> =
        frames(&boot_dir).iter().filter(|found| !hit(found)).map(|found| found.header.sequence).collect();
    let script = Script::new();
    *script.unreadable.lock().unwrap() = 9000..9001;
    let mut reader = BootReader::after(script.disk(), &boot_dir, boot(1), 0);
    let records = reader.read_batch(None, 1000).unwrap();
    assert_eq!(sequences(&records), expected);
    assert_eq!(reader.unreadable_pages(), 1);
    let missing = 120 - expected.len() as u64;
    assert_eq!(reader.damage(), Damage { missing, damaged_regions: 2 }, "the gap, and the page");
}

#[tokio::test]
async fn a_record_far_out_of_order_is_not_taken_for_one() {
    let dir = TempDir::new().unwrap();
    let (boot_dir, file) = written(&dir, 5).await;
    let frames = frames(&boot_dir);
    // As if a disk had put a sector of a later time here: whole, of this boot, and impossible.
    let mut stray = Vec::new();
    frame::append(&mut stray, boot(1), 1 << 40, 0, frames[4].header.kind, &frames[4].payload);
    OpenOptions::new().write(true).open(&file).unwrap().write_all_at(&stray, frames[4].offset).unwrap();
    let (records, damage) = replay(&boot_dir);
    assert_eq!(sequences(&records), [1, 2, 3, 4, 6, 7, 8, 9, 10]);
    assert_eq!(damage, Damage { missing: 1, damaged_regions: 1 });
}

#[tokio::test]
async fn a_hole_in_a_last_group_that_was_never_synced_is_not_damage_but_one_before_it_is() {
    let dir = TempDir::new().unwrap();
    let (boot_dir, file) = written(&dir, 3).await;
    let frames = frames(&boot_dir);
    let payload = &frames[5].payload;
    // A group of four of which the second and third did not reach the disk.
    let mut group = Vec::new();
    for (sequence, unsynced_before) in [(7, 0), (8, 1), (9, 2), (10, 3)] {
        frame::append(&mut group, boot(1), sequence, unsynced_before, frames[5].header.kind, payload);
    }
    let frame_bytes = group.len() / 4;
    group[frame_bytes..frame_bytes * 3].fill(0);
    let end = frames[5].next_offset;
    let disk = OpenOptions::new().write(true).open(&file).unwrap();
    disk.write_all_at(&group, end).unwrap();
    let (records, damage) = replay(&boot_dir);
    assert_eq!(sequences(&records), [1, 2, 3, 4, 5, 6, 7, 10]);
    assert_eq!(damage, Damage::default());

    flip(&file, frames[5].offset);
    assert_eq!(replay(&boot_dir).1, Damage { missing: 1, damaged_regions: 1 });

    // A record of a later group proves that the whole group was durable.
    let mut later = Vec::new();
    frame::append(&mut later, boot(1), 11, 0, frames[5].header.kind, payload);
    disk.write_all_at(&later, end + group.len() as u64).unwrap();
    assert_eq!(replay(&boot_dir).1, Damage { missing: 3, damaged_regions: 2 });
}

#[tokio::test]
async fn a_durable_record_that_is_gone_from_the_tail_is_missing_for_the_living_boot() {
    let dir = TempDir::new().unwrap();
    let (boot_dir, file) = written(&dir, 3).await;
    flip(&file, frames(&boot_dir)[5].offset);
    let mut reader = reader_of(&boot_dir, 0);
    assert_eq!(reader.read_batch(Some(6), 100).unwrap().len(), 5);
    assert_eq!(reader.damage(), Damage { missing: 1, damaged_regions: 1 });
    assert_eq!(reader.last_sequence(), 6, "the reader does not stay at the gap");
}

#[tokio::test]
async fn a_frame_of_another_boot_is_not_replayed() {
    let dir = TempDir::new().unwrap();
    let (boot_dir, file) = written(&dir, 3).await;
    let frames = frames(&boot_dir);
    let mut foreign = Vec::new();
    frame::append(&mut foreign, boot(2), 3, 0, frames[2].header.kind, &frames[2].payload);
    OpenOptions::new().write(true).open(&file).unwrap().write_all_at(&foreign, frames[2].offset).unwrap();
    let (records, damage) = replay(&boot_dir);
    assert_eq!(sequences(&records), [1, 2, 4, 5, 6]);
    assert_eq!(damage.missing, 1);
}

#[tokio::test]
async fn verify_counts_all_boots_and_forgives_released_segments() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    run(&journal, 0..40).await;
    let released = journal.release_through(40).unwrap();
    assert!(released > 0);
    let other = Journal::open(Options { replica: "two".to_owned(), ..options(&dir) }, boot(2)).unwrap();
    run(&other, 0..5).await;
    journal.shut_down().await;
    let report = verify(dir.path()).unwrap();
    assert_eq!((report.missing, report.damaged), (0, 0));
    assert!(report.records >= 40 + 10 && report.records < 80 + 10, "{report:?}");
    assert_eq!(verify(&dir.path().join("nothing")).unwrap(), Report::default());
}
