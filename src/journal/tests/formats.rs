//! Journals of older and newer builds.

use std::path::PathBuf;

use super::{
    super::{boot::dead_boots, error::JournalError, frame, header, inspect::inspect, verify::verify},
    damage::{flip, frames, written},
    *,
};

/// A boot of format 1, as a build wrote it that knew no headers: `tests/fixtures/journal/format-1`.
fn format_one(dir: &TempDir) -> PathBuf {
    let boot_dir = dir.path().join("one").join(boot(1).to_string());
    fs::create_dir_all(&boot_dir).unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journal/format-1");
    for file in fs::read_dir(fixture).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), boot_dir.join(file.file_name())).unwrap();
    }
    boot_dir
}

#[test]
fn a_journal_without_headers_is_read_to_the_last_record() {
    let dir = TempDir::new().unwrap();
    let boot_dir = format_one(&dir);
    let (records, damage) = replay(&boot_dir);
    assert_eq!(damage, Damage::default());
    assert_eq!(sequences(&records), (1..=records.len() as u64).collect::<Vec<_>>());
    let of = |number: u64| -> Vec<&Record> {
        records.iter().map(|(_, record)| record).filter(|record| record.attempt_id() == attempt_id(number)).collect()
    };
    for number in [0, 1, 2, 3, 7, 8, 9, 10, 11] {
        let ended = Record::Ended(Box::new(entry(&admission(number))));
        assert_eq!(of(number), [&Record::Opened(Box::new(admission(number))), &ended]);
    }
    assert!(matches!(of(4)[..], [Record::Opened(_), Record::Sent(_), Record::Progress(_), Record::Ended(_)]));
    assert!(matches!(of(5)[..], [Record::Opened(_), Record::Void(_)]));
    assert!(matches!(of(6)[..], [Record::Opened(_)]));
    assert_eq!(verify(dir.path()).unwrap().records, records.len() as u64);
    assert_eq!(dead_boots(dir.path(), "one").unwrap().len(), 1, "it is adopted as any other");
}

#[test]
fn damage_in_a_journal_without_headers_is_counted_as_in_any_other() {
    let dir = TempDir::new().unwrap();
    let boot_dir = format_one(&dir);
    let whole = replay(&boot_dir).0.len();
    // The very first byte, where a later format has its header.
    flip(&segment::path(&boot_dir, 1), 0);
    let (records, damage) = replay(&boot_dir);
    assert_eq!((records.len(), damage), (whole - 1, Damage { missing: 1, damaged_regions: 1 }));
}

#[tokio::test]
async fn a_newer_format_is_refused_by_name_and_left_untouched() {
    let dir = TempDir::new().unwrap();
    let (boot_dir, file) = written(&dir, 3).await;
    let mut bytes = fs::read(&file).unwrap();
    bytes[8] = 3;
    let crc = crc32c::crc32c(&bytes[..60]).to_le_bytes();
    bytes[60..header::HEADER_BYTES].copy_from_slice(&crc);
    fs::write(&file, &bytes).unwrap();

    let is_refused = |error: JournalError| {
        assert!(matches!(error, JournalError::NewerFormat { version: 3, .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("00000001.seg") && text.contains("newer than this build"), "{text}");
    };
    for _again in 0..2 {
        is_refused(reader_of(&boot_dir, 0).read_batch(None, 100).unwrap_err());
        is_refused(verify(dir.path()).unwrap_err());
        is_refused(inspect(dir.path(), None, 10).unwrap_err());
        let dead = dead_boots(dir.path(), "one").unwrap().pop().unwrap();
        is_refused(dead.reader(0).unwrap().read_batch(None, 100).unwrap_err());
    }
    assert!(fs::read(&file).unwrap() == bytes, "it is the same to the last byte");
}

#[tokio::test]
async fn a_newer_codec_stops_replay_with_its_name_and_skips_nothing() {
    let dir = TempDir::new().unwrap();
    let (boot_dir, file) = written(&dir, 3).await;
    let victim = &frames(&boot_dir)[3];
    for (at, version) in [(9, "codec version 9"), (10, "frame version 9"), (8, "kind 9")] {
        let before = fs::read(&file).unwrap();
        let mut bytes = before.clone();
        let start = victim.offset as usize;
        let crc_at = start + victim.header.checked_bytes() - frame::CRC_BYTES;
        bytes[start + at] = 9;
        let crc = crc32c::crc32c(&bytes[start..crc_at]);
        bytes[crc_at..crc_at + frame::CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
        fs::write(&file, bytes).unwrap();
        let mut reader = reader_of(&boot_dir, 0);
        assert_eq!(sequences(&reader.read_batch(None, 100).unwrap()), [1, 2, 3]);
        for _again in 0..2 {
            let error = reader.read_batch(None, 100).unwrap_err();
            let text = match &error {
                JournalError::Undecodable { sequence: 4, source } => source.to_string(),
                other => other.to_string(),
            };
            assert!(text.contains(version), "{text}");
        }
        assert_eq!(reader.damage(), Damage::default());
        fs::write(&file, before).unwrap();
    }
}
