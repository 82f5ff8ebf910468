//! Power cuts: whatever the disk keeps of what was not synced, nothing that was acknowledged is lost, doubled or wrong.
//!
//! Each seed is a small history: processes that append, post and release on a simulated disk, are killed or lose power at
//! any operation, recover, lose power while they recover, and overlap. Everything runs in one thread, so that a seed
//! replays exactly: `TOLLGATE_SEED=123 cargo test --lib journal::tests::power -- --include-ignored`.
#![expect(clippy::print_stdout, reason = "seeds and the torture report are read from there")]

mod books;
mod life;

use std::path::Path;

use self::{
    books::{Books, Truth},
    life::{Ending, Life},
};
use super::{
    super::{Durability, Options, boot::dead_boots_on},
    simulated::{Failing, Faults, Random, Simulated},
    *,
};
use crate::clock::Clock;

/// Seeds of the ordinary tests; `make torture` runs many more.
const SLICE: u64 = 200;
const TORTURE: u64 = 10_000;
const REPLICA: &str = "one";
const DIR: &str = "/data/journal";

/// What came out, over all seeds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Findings {
    lost: u64,
    doubled: u64,
    wrong: u64,
    /// Damage that was reported though there was none.
    alarms: u64,
}

/// How much the seeds went through, to show that they are no empty histories.
#[derive(Debug, Default)]
struct Coverage {
    acknowledged_ends: u64,
    orphans: u64,
    cuts: u64,
    cuts_in_recovery: u64,
    kills: u64,
    poisoned: u64,
    kept_elsewhere: u64,
    abandoned: u64,
    released: u64,
    batches_lost: u64,
    recovery_ms_max: u128,
}

#[test]
fn a_slice_of_power_cuts_loses_nothing_and_invents_nothing() {
    let first = Random::new(u64::from(std::process::id()) ^ Clock::system().unix_us().unsigned_abs()).next();
    let (findings, _) = run_seeds(first, SLICE);
    assert_eq!(findings, Findings::default());
}

#[test]
#[ignore = "long; `make torture` runs it"]
fn ten_thousand_power_cuts_lose_nothing_and_invent_nothing() {
    let (findings, coverage) = run_seeds(1, TORTURE);
    println!("{coverage:?}");
    println!(
        "torture: power cut on a simulated disk, {TORTURE}, {}, {}, {}, {}",
        findings.lost,
        findings.doubled,
        findings.wrong + findings.alarms,
        coverage.recovery_ms_max
    );
    assert_eq!(findings, Findings::default());
    assert!(coverage.acknowledged_ends > TORTURE && coverage.orphans > TORTURE / 4, "{coverage:?}");
    let often = [coverage.cuts, coverage.cuts_in_recovery, coverage.kills, coverage.poisoned, coverage.released];
    for count in often.into_iter().chain([coverage.batches_lost]) {
        assert!(count > TORTURE / 100, "{coverage:?}");
    }
    assert!(coverage.kept_elsewhere > 0 && coverage.abandoned > TORTURE / 100, "{coverage:?}");
}

fn run_seeds(first: u64, count: u64) -> (Findings, Coverage) {
    let only = crate::config::load::environment().get("TOLLGATE_SEED").map(|seed| seed.parse().unwrap());
    let (first, count) = only.map_or((first, count), |seed| (seed, 1));
    println!("seeds {first} to {}", first.wrapping_add(count - 1));
    let (mut findings, mut coverage) = (Findings::default(), Coverage::default());
    for seed in (0..count).map(|number| first.wrapping_add(number)) {
        let found = History::new(seed, &mut coverage).run();
        if found != Findings::default() {
            println!("seed {seed}: {found:?}");
        }
        findings.lost += found.lost;
        findings.doubled += found.doubled;
        findings.wrong += found.wrong;
        findings.alarms += found.alarms;
    }
    (findings, coverage)
}

/// One seed.
struct History<'a> {
    random: Random,
    disk: Simulated,
    lives: Vec<Life>,
    next_boot: u8,
    truth: Truth,
    books: Books,
    coverage: &'a mut Coverage,
}

impl<'a> History<'a> {
    fn new(seed: u64, coverage: &'a mut Coverage) -> Self {
        let mut random = Random::new(seed);
        let disk = Simulated::new(random.next());
        Self {
            random,
            disk,
            lives: Vec::new(),
            next_boot: 1,
            truth: Truth::default(),
            books: Books::default(),
            coverage,
        }
    }

    fn run(mut self) -> Findings {
        for _process in 0..=self.random.below(4) {
            if self.random.percent(30) {
                let changes = self.random.below(30);
                self.disk.cut_after(changes);
            }
            self.recover();
            if !self.restore_power() {
                self.start();
            }
            self.live();
        }
        while let Some(life) = self.lives.pop() {
            self.stop(life, Ending::Kill);
        }
        if self.random.one_in(2) {
            self.disk.cut();
        }
        self.restore_power();
        let clock = Clock::system();
        self.recover();
        self.coverage.recovery_ms_max = self.coverage.recovery_ms_max.max(clock.monotonic().as_millis());
        self.coverage.acknowledged_ends += self.truth.acknowledged_ends();
        self.coverage.orphans += self.books.orphans();
        self.books.findings(&self.truth)
    }

    /// Adopts every dead boot, as a starting process does, until the power goes.
    fn recover(&mut self) {
        let disk = self.disk.shared();
        let dead = match dead_boots_on(&disk, Path::new(DIR), REPLICA) {
            Err(_) if !self.disk.has_power() => return self.coverage.cuts_in_recovery += 1,
            dead => dead.unwrap(),
        };
        for boot in dead {
            if self.books.adopt(boot, &self.truth).is_err() {
                assert!(!self.disk.has_power(), "recovery fails for want of power only");
                return self.coverage.cuts_in_recovery += 1;
            }
        }
    }

    /// After a cut: everything dies, and the disk is what is left of it. True when there was one.
    fn restore_power(&mut self) -> bool {
        self.disk.set_faults(Faults::default());
        if self.disk.has_power() {
            self.disk.cut_after(u64::MAX);
            return false;
        }
        self.coverage.cuts += 1;
        while let Some(life) = self.lives.pop() {
            self.stop(life, Ending::Kill);
        }
        self.disk = self.disk.after_cut();
        self.coverage.batches_lost += self.books.lose_power(&mut self.random);
        true
    }

    /// Starts a process beside those that still run.
    fn start(&mut self) {
        let faults = self.faults();
        self.disk.set_faults(faults);
        if self.random.percent(60) {
            let changes = self.random.below(400);
            self.disk.cut_after(changes);
        }
        let options = Options {
            segment_bytes: 4096,
            in_flight_max: 64,
            attempt_bytes_reserved: 0,
            durability: if self.random.percent(15) { Durability::Relaxed } else { Durability::Fsync },
            ..Options::new(DIR.into(), REPLICA.to_owned())
        };
        let number = self.next_boot;
        self.next_boot += 1;
        self.lives.extend(Life::start(&self.disk, options, boot(number), u64::from(number)));
    }

    fn faults(&mut self) -> Faults {
        let random = &mut self.random;
        let failing = |random: &mut Random| {
            let times = if random.one_in(2) { 1 } else { u64::MAX };
            random.percent(20).then(|| Failing { after: random.below(60), times })
        };
        Faults {
            short_write_one_in: if random.one_in(2) { 5 } else { 0 },
            write: failing(random),
            sync: failing(random),
            capacity: random.percent(10).then(|| 8_000 + random.below(60_000)),
        }
    }

    /// The processes do what they do until one of them ends, or the power goes.
    fn live(&mut self) {
        for _step in 0..10 + self.random.below(300) {
            if !self.disk.has_power() || self.lives.is_empty() {
                break;
            }
            let which = self.random.below(self.lives.len() as u64) as usize;
            self.lives[which].step(&mut self.random, &mut self.truth, &mut self.books);
        }
        if !self.disk.has_power() || self.lives.is_empty() {
            self.restore_power();
            return;
        }
        // Some run on while the next one starts.
        if self.lives.len() > 1 || self.random.percent(70) {
            let life = self.lives.remove(0);
            let ending = if self.random.one_in(2) { Ending::Kill } else { Ending::ShutDown };
            self.stop(life, ending);
        }
        self.restore_power();
    }

    fn stop(&mut self, life: Life, ending: Ending) {
        let status = life.status();
        self.coverage.poisoned += u64::from(status.is_poisoned);
        self.coverage.kept_elsewhere += status.kept_elsewhere;
        self.coverage.abandoned += status.abandoned_segments;
        self.coverage.released += life.released();
        self.coverage.kills += u64::from(ending == Ending::Kill && self.disk.has_power());
        life.end(ending, &mut self.truth, &mut self.books);
    }
}
