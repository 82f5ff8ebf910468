//! How much is done: everything, or (`TORTURE=slice`) a small part that is another one at each run. `TORTURE_SEED` repeats it.

use std::{sync::OnceLock, time::Duration};

use tollgate::{clock::Clock, failpoint::Point};

/// A slice is such a part of all rounds, and has so many of the named points.
const SLICE: u64 = 50;
const SLICE_POINTS: usize = 3;

/// The seed of a slice; none when everything is done.
#[expect(clippy::disallowed_methods, reason = "a test's own environment")]
fn seed() -> Option<u64> {
    static SEED: OnceLock<Option<u64>> = OnceLock::new();
    *SEED.get_or_init(|| {
        std::env::var("TORTURE").ok().filter(|effort| effort == "slice")?;
        let told = std::env::var("TORTURE_SEED").ok().map(|seed| seed.parse().unwrap());
        let seed = told.unwrap_or_else(|| Clock::system().unix_us().unsigned_abs());
        println!("slice of TORTURE_SEED={seed}");
        Some(seed)
    })
}

/// Of so many rounds, those that are done.
pub(crate) fn rounds(all: u64) -> u64 {
    if seed().is_some() { all.div_ceil(SLICE) } else { all }
}

/// Of so long a fault, how long it lasts.
pub(crate) fn lasting(all: Duration) -> Duration {
    if seed().is_some() { all / 20 } else { all }
}

/// A pause before the fault of a round, below `max_ms`: another one at each round, and at each seed.
pub(crate) fn pause(round: u64, max_ms: u64) -> Duration {
    // Prime, so that no pattern of the gateways' own is met again and again.
    Duration::from_millis((seed().unwrap_or(0) % 1009 + round * 97) % max_ms)
}

/// The named points that are tried.
pub(crate) fn points() -> Vec<Point> {
    let Some(seed) = seed() else { return Point::ALL.to_vec() };
    let at = usize::try_from(seed % Point::ALL.len() as u64).unwrap();
    Point::ALL.iter().copied().cycle().skip(at).step_by(7).take(SLICE_POINTS).collect()
}
