//! The disk under data and journal: there, writable, with room, durable, and quick enough to sync.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use rustix::fs::{statfs, statvfs};

use super::{Finding, shown};
use crate::{clock::Clock, config::Config};

/// Syncs that are timed; the median is told.
const SYNCS: usize = 9;
/// A median sync slower than this makes every answer wait noticeably.
const SYNC_MAX: Duration = Duration::from_millis(20);
/// A gateway should have room for so many segments, its spares included.
const SEGMENTS: u64 = 4;
/// Type of a file system that lives in memory.
const TMPFS: i64 = 0x0102_1994;

pub(super) fn examine(config: &Config, clock: &Clock, checks: &mut Vec<Finding>) {
    let data_dir = &config.server.data_dir;
    if !data_dir.exists() {
        let place = nearest(data_dir);
        let what = format!("{} is not there yet", shown(data_dir));
        match probe(place, clock) {
            Ok(_) => checks.push(Finding::note("data_dir", what, "the first start makes it")),
            Err(error) => {
                let what = format!("{what} and cannot be made: {}: {error}", shown(place));
                checks.push(Finding::bad("data_dir", what, "let this user write there, or set server.data_dir"));
            }
        }
    } else {
        writable("data_dir", data_dir, clock, checks);
    }
    let journal = nearest(&config.journal.dir);
    if config.journal.dir.exists() && !config.journal.dir.starts_with(data_dir) {
        writable("journal_dir", journal, clock, checks);
    }
    room(config, journal, checks);
    if config.journal.fsync && statfs(journal).is_ok_and(|of| of.f_type == TMPFS) {
        let what = format!("{} lives in memory: what is synced there is gone with the power", shown(journal));
        checks.push(Finding::bad("durability", what, "set journal.dir to a folder on a disk"));
    }
}

/// The folder, or the first above it that exists.
fn nearest(path: &Path) -> &Path {
    let above = path.ancestors().find(|above| above.exists());
    above.filter(|above| !above.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

fn writable(check: &'static str, dir: &Path, clock: &Clock, checks: &mut Vec<Finding>) {
    match probe(dir, clock) {
        Err(error) => {
            let what = format!("{} cannot be written: {error}", shown(dir));
            checks.push(Finding::bad(check, what, "let this user write there"));
        }
        Ok(sync) => {
            checks.push(Finding::ok(check, format!("{} can be written", shown(dir))));
            checks.push(latency(dir, sync));
        }
    }
}

fn latency(dir: &Path, sync: Duration) -> Finding {
    let what = format!("a sync of {} takes {:.1} ms (median of {SYNCS})", shown(dir), sync.as_secs_f64() * 1e3);
    if sync <= SYNC_MAX {
        return Finding::ok("sync_latency", what);
    }
    let advice = "every answer waits for two syncs: use a faster disk, or one with a write cache that survives the loss of power";
    Finding::bad("sync_latency", what, advice)
}

/// Writes and syncs a file of its own, and removes it.
fn probe(dir: &Path, clock: &Clock) -> io::Result<Duration> {
    let path = dir.join(format!(".tollgate-doctor-{}", std::process::id()));
    let timed = (|| {
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)?;
        file.write_all(&[0; 64 * 1024])?;
        file.sync_all()?;
        let mut times = Vec::with_capacity(SYNCS);
        for _ in 0..SYNCS {
            let began = clock.monotonic();
            file.write_all(&[1; 4096])?;
            file.sync_data()?;
            times.push(clock.monotonic().saturating_sub(began));
        }
        times.sort_unstable();
        Ok(times.get(SYNCS / 2).copied().unwrap_or_default())
    })();
    // Never made when the folder cannot be written.
    let _gone = fs::remove_file(&path);
    timed
}

fn room(config: &Config, dir: &Path, checks: &mut Vec<Finding>) {
    let Ok(disk) = statvfs(dir) else { return };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let needed = config.journal.segment_bytes.saturating_mul(SEGMENTS);
    checks.push(enough(dir, free, needed, config.journal.disk_bytes_max));
}

/// All in bytes; a quota of 0 is none.
fn enough(dir: &Path, free: u64, needed: u64, quota: u64) -> Finding {
    let what = format!("{} MB are free under {}", free / 1_000_000, shown(dir));
    if free < needed {
        let advice = format!("free some: at least {} MB, or lower journal.segment_bytes", needed / 1_000_000);
        Finding::bad("disk_room", what, advice)
    } else if quota > free {
        let advice = "during a long outage of the database the disk is full before the quota is: lower \
                      journal.disk_bytes_max, or free some";
        Finding::note("disk_room", format!("{what}, and the journal's quota is {} MB", quota / 1_000_000), advice)
    } else {
        Finding::ok("disk_room", what)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};

    #[test]
    fn a_slow_sync_is_a_finding_and_a_quick_one_is_not() {
        let level = |ms| latency(Path::new("d"), Duration::from_millis(ms)).level;
        assert_eq!((level(1), level(20), level(21)), (Level::Ok, Level::Ok, Level::Finding));
    }

    #[test]
    fn room_must_cover_the_segments_and_should_cover_the_quota() {
        let level = |free, quota| enough(Path::new("d"), free, 100, quota).level;
        assert_eq!((level(99, 0), level(100, 0), level(100, 100)), (Level::Finding, Level::Ok, Level::Ok));
        assert_eq!(level(100, 101), Level::Note);
    }
}
