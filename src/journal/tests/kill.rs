//! kill -9 of a real process that appends as fast as it can.

use std::{
    fs::OpenOptions,
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use super::{super::boot::dead_boots, *};

/// Tells the child that it is one; without it the child's test does nothing.
const MARK: &str = "is-child";
const ACKED: &str = "acked";
const ACKED_BYTES_MIN: u64 = 8 * 300;

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join(MARK), "").unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "journal::tests::kill::child_that_is_killed", "--ignored"])
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let acked = dir.path().join(ACKED);
    while fs::metadata(&acked).map_or(0, |file| file.len()) < ACKED_BYTES_MIN {
        assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let dead = dead_boots(&dir.path().join("journal"), "one").unwrap().pop().unwrap();
    let (records, damage) = replay(&dead.dir);
    assert_eq!(damage, Damage::default());
    let ended: std::collections::HashSet<_> = records
        .iter()
        .filter(|(_, record)| matches!(record, Record::Ended(_)))
        .map(|(_, record)| record.attempt_id())
        .collect();
    let acked = fs::read(acked).unwrap();
    for number in acked.chunks_exact(8).map(|bytes| u64::from_be_bytes(bytes.try_into().unwrap())) {
        assert!(ended.contains(&attempt_id(number)), "attempt {number} was acknowledged and is gone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "only as a child of the test above"]
async fn child_that_is_killed() {
    if !Path::new(MARK).exists() {
        return;
    }
    let options = Options {
        segment_bytes: 64 << 10,
        in_flight_max: 64,
        ..Options::new(std::env::current_dir().unwrap().join("journal"), "one".to_owned())
    };
    let journal = Journal::open(options, boot(1)).unwrap();
    let acked = Arc::new(OpenOptions::new().create(true).append(true).open(ACKED).unwrap());
    let producers = (0..16_u64).map(|producer| {
        let (journal, acked) = (journal.clone(), Arc::clone(&acked));
        tokio::spawn(async move {
            for number in (producer << 32).. {
                let attempt = opened(&journal, number).await;
                attempt.sent();
                attempt.end(entry(&admission(number))).await.unwrap();
                acked.as_ref().write_all(&number.to_be_bytes()).unwrap();
            }
        })
    });
    for producer in producers.collect::<Vec<_>>() {
        producer.await.unwrap();
    }
}
