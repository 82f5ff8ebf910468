//! The journal against real files and a disk that fails on demand.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tollgate_core::{
    entry::{Admission, Entry},
    id::{AttemptId, BootId, CustomerId, KeyId, RequestId},
    orphan::resolve_orphan,
    record::Record,
};

use super::{
    BootReader, Damage, Durability, Journal, JournalError, Options, dead_boots,
    segment::{self, Disk, RealDisk, Segment},
    verify,
};
use crate::clock::Clock;

fn options(dir: &Path) -> Options {
    Options {
        dir: dir.to_owned(),
        replica: "main".to_owned(),
        segment_bytes: 16 << 10,
        durability: Durability::Fsync,
        in_flight_max: 64,
    }
}

fn boot(number: u8) -> BootId {
    BootId::new(u64::from(number), &[number; 10])
}

fn admission(number: u64) -> Admission {
    Admission {
        id: AttemptId { request_id: RequestId::new(number, &[1; 10]), attempt: 0 },
        customer_id: CustomerId::new(1, &[2; 10]),
        key_id: KeyId::new(1, &[3; 10]),
        dialect: "openai".into(),
        endpoint: "/v1/chat/completions".into(),
        model: "m".into(),
        target: "p/m".into(),
        stream: false,
        admitted_at_us: 1,
        cost_price_version: None,
        charge_price_version: None,
        input_estimate: number,
        end_user: None,
        tags: None,
    }
}

fn entry(admission: &Admission) -> Entry {
    resolve_orphan(admission.clone(), None, None, None)
}

async fn one(journal: &Journal, number: u64) -> Result<(), JournalError> {
    let open = journal.try_permit()?.open(admission(number)).await?;
    open.sent();
    let entry = entry(open.admission());
    open.end(entry).await
}

fn replay(dir: &Path, boot_id: BootId) -> (Vec<(u64, Record)>, Damage) {
    let mut reader = BootReader::open(&dir.join("main").join(boot_id.to_string()), boot_id, 0);
    let mut all = Vec::new();
    loop {
        let batch = reader.read_batch(None, 7).unwrap();
        if batch.is_empty() {
            return (all, reader.damage());
        }
        all.extend(batch);
    }
}

fn ended(records: &[(u64, Record)]) -> Vec<u64> {
    let mut numbers: Vec<u64> = records
        .iter()
        .filter_map(|(_, record)| match record {
            Record::Ended(entry) => Some(entry.admission.input_estimate),
            _ => None,
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_64_producers_were_told_is_durable_is_replayed_in_order_over_many_segments() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&options(dir.path()), boot(1), Clock::system()).unwrap();
    let tasks: Vec<_> = (0..64_u64)
        .map(|task| {
            let journal = journal.clone();
            tokio::spawn(async move {
                for number in 0..20 {
                    one(&journal, task * 20 + number).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    journal.shut_down().await;
    assert!(segment::list(journal.boot_dir()).unwrap().len() > 5);
    let (records, damage) = replay(dir.path(), boot(1));
    assert_eq!(damage, Damage::default());
    assert!(records.iter().map(|(sequence, _)| *sequence).eq(1..=64 * 20 * 3));
    assert_eq!(ended(&records), (0..64 * 20).collect::<Vec<_>>());
    assert_eq!(journal.in_flight(), 0);
}

#[tokio::test]
async fn a_flipped_byte_costs_exactly_one_record_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&options(dir.path()), boot(1), Clock::system()).unwrap();
    for number in 0..10 {
        one(&journal, number).await.unwrap();
    }
    journal.shut_down().await;
    let path = segment::path(journal.boot_dir(), 1);
    let sound = std::fs::read(&path).unwrap();
    let (all, _) = replay(dir.path(), boot(1));
    for at in (0..1600).step_by(97) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x40;
        std::fs::write(&path, &bytes).unwrap();
        let (left, damage) = replay(dir.path(), boot(1));
        // A flip in padding hurts nothing.
        if left.len() != all.len() {
            assert_eq!((left.len(), damage.missing, damage.regions), (all.len() - 1, 1, 1), "flip at {at}");
            assert_eq!(verify(dir.path()).unwrap().missing, u64::from(left[0].0 == 1), "flip at {at}");
        }
    }
}

#[tokio::test]
async fn a_last_record_torn_at_any_byte_leaves_all_earlier_ones() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&options(dir.path()), boot(1), Clock::system()).unwrap();
    for number in 0..5 {
        one(&journal, number).await.unwrap();
    }
    journal.shut_down().await;
    let path = segment::path(journal.boot_dir(), 1);
    let sound = std::fs::read(&path).unwrap();
    let (all, _) = replay(dir.path(), boot(1));
    let end = sound.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut begin = end;
    while super::frame::read(&sound[begin..], boot(1)).is_none() {
        begin -= 1;
    }
    for torn in begin..end {
        let mut bytes = sound.clone();
        bytes[torn..].fill(0);
        std::fs::write(&path, &bytes).unwrap();
        let (left, damage) = replay(dir.path(), boot(1));
        assert_eq!((left.len(), damage), (all.len() - 1, Damage::default()), "torn at {torn}");
    }
}

/// Fails the syncs (or writes) whose number the test names.
struct FailingDisk {
    syncs: Arc<AtomicUsize>,
    fail_from: usize,
    fail_to: usize,
}

struct FailingSegment {
    inner: Box<dyn Segment>,
    syncs: Arc<AtomicUsize>,
    fail: std::ops::Range<usize>,
}

impl Disk for FailingDisk {
    fn create(&self, dir: &Path, number: u32, bytes: u64) -> io::Result<Box<dyn Segment>> {
        let inner = RealDisk.create(dir, number, bytes)?;
        Ok(Box::new(FailingSegment { inner, syncs: Arc::clone(&self.syncs), fail: self.fail_from..self.fail_to }))
    }
}

impl Segment for FailingSegment {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.inner.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        if self.fail.contains(&self.syncs.fetch_add(1, Ordering::SeqCst)) {
            return Err(io::Error::from_raw_os_error(28));
        }
        self.inner.sync()
    }
}

fn failing(dir: &Path, fail_from: usize, fail_to: usize) -> Journal {
    let disk = FailingDisk { syncs: Arc::default(), fail_from, fail_to };
    Journal::open_on(Arc::new(disk), &options(dir), boot(1), Clock::system()).unwrap()
}

#[tokio::test]
async fn an_fsync_error_loses_nothing_and_doubles_nothing() {
    for at in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let journal = failing(dir.path(), at, at + 1);
        for number in 0..4 {
            one(&journal, number).await.unwrap();
        }
        journal.shut_down().await;
        let (records, damage) = replay(dir.path(), boot(1));
        assert_eq!((ended(&records), damage.missing), (vec![0, 1, 2, 3], 0), "sync {at} failed");
    }
}

#[tokio::test]
async fn a_disk_that_fails_for_ever_refuses_new_requests_and_tells_running_ones() {
    let dir = tempfile::tempdir().unwrap();
    let journal = failing(dir.path(), 2, usize::MAX);
    one(&journal, 0).await.unwrap();
    assert!(matches!(one(&journal, 1).await, Err(JournalError::Poisoned)));
    assert!(matches!(journal.try_permit(), Err(JournalError::Poisoned)));
    journal.shut_down().await;
    assert_eq!(ended(&replay(dir.path(), boot(1)).0), vec![0]);
}

#[tokio::test]
async fn when_all_room_is_taken_new_requests_are_refused_and_ends_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&options(dir.path()), boot(1), Clock::system()).unwrap();
    let mut open = Vec::new();
    for number in 0..64 {
        open.push(journal.try_permit().unwrap().open(admission(number)).await.unwrap());
    }
    assert!(matches!(journal.try_permit(), Err(JournalError::Full)));
    for attempt in open {
        attempt.sent();
        let entry = entry(attempt.admission());
        attempt.end(entry).await.unwrap();
    }
    assert!(journal.try_permit().is_ok());
    journal.shut_down().await;
}

#[tokio::test]
async fn a_living_boot_is_left_alone_and_a_dead_one_is_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&options(dir.path()), boot(1), Clock::system()).unwrap();
    assert!(matches!(Journal::open(&options(dir.path()), boot(1), Clock::system()), Err(JournalError::Io { .. })));
    one(&journal, 7).await.unwrap();
    assert!(dead_boots(dir.path(), "main").unwrap().is_empty());
    journal.shut_down().await;
    drop(journal);
    let dead = dead_boots(dir.path(), "main").unwrap();
    assert_eq!(dead.iter().map(|dead| dead.boot_id).collect::<Vec<_>>(), vec![boot(1)]);
    assert!(dead_boots(dir.path(), "main").unwrap().is_empty(), "held by the first caller");
    for dead in dead {
        dead.remove().unwrap();
    }
    assert!(dead_boots(dir.path(), "main").unwrap().is_empty());
}

#[tokio::test]
async fn only_segments_that_are_posted_whole_are_released() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&options(dir.path()), boot(1), Clock::system()).unwrap();
    for number in 0..200 {
        one(&journal, number).await.unwrap();
    }
    let before = segment::list(journal.boot_dir()).unwrap();
    journal.release_through(0).unwrap();
    assert_eq!(segment::list(journal.boot_dir()).unwrap(), before);
    journal.release_through(300).unwrap();
    let after = segment::list(journal.boot_dir()).unwrap();
    assert!(after.len() < before.len() && after.len() > 1);
    let mut reader = BootReader::from_first(journal.boot_dir(), boot(1)).unwrap();
    let first = reader.read_batch(None, 1).unwrap()[0].0;
    assert!(first <= 301, "{first}");
    journal.shut_down().await;
    assert_eq!(verify(dir.path()).unwrap().missing, 0);
}

#[tokio::test]
async fn a_reader_of_a_living_boot_follows_it_through_rotations() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&options(dir.path()), boot(1), Clock::system()).unwrap();
    let mut reader = BootReader::open(journal.boot_dir(), boot(1), 0);
    let mut seen = 0;
    for number in 0..150 {
        one(&journal, number).await.unwrap();
        let durable = *journal.durable().borrow();
        seen += reader.read_batch(Some(durable), usize::MAX).unwrap().len();
        assert_eq!(u64::try_from(seen).unwrap(), durable);
    }
    assert_eq!(reader.damage(), Damage::default());
    journal.shut_down().await;
}
