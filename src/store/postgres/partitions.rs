//! Partitions of entries: one a day, made ahead by upkeep and on demand by whoever posts.
//!
//! The day comes from the request id, never from a clock. A partition that cannot be made holds nothing up: the default
//! partition takes its rows, and upkeep moves them when it can.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::{PgConnection, Row};

use super::{PostgresStore, READ_MAX, REPORT_MAX, sessions::bounded};
use crate::{
    clock::Clock,
    store::{
        StoreError,
        archives::{DAYS_END, FIRST_DAY},
    },
};

const MAKE: &str = "
select make_entries_partition($1) as made";
const STRAYS: &str = "
select distinct entries_day(request_id) as day
from entries_default
order by day";
/// The number is only a name; the session holds the lock.
const TRY_UPKEEP: &str = "
select pg_try_advisory_lock(7453812) as held";

pub(super) const STATEMENTS: &[&str] = &[MAKE, STRAYS, TRY_UPKEEP];

/// After a partition could not be made, so long no batch waits for it again: a long reader is in the way, as a rule.
const GIVEN_UP_FOR: Duration = Duration::from_secs(60);

/// Days whose partition was seen to. One that is dropped later is no harm: its late rows go to the default partition.
#[derive(Debug)]
pub(super) struct KnownDays {
    clock: Clock,
    days: Mutex<Days>,
}

#[derive(Debug, Default)]
struct Days {
    made: BTreeSet<i32>,
    /// And when they were given up.
    given_up: BTreeMap<i32, Duration>,
}

impl Default for KnownDays {
    fn default() -> Self {
        Self { clock: Clock::system(), days: Mutex::default() }
    }
}

impl KnownDays {
    fn lock(&self) -> MutexGuard<'_, Days> {
        self.days.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of `days` whose partition somebody should try to make now.
    fn to_make(&self, days: &BTreeSet<i32>) -> Vec<i32> {
        let now = self.clock.monotonic();
        let mut known = self.lock();
        known.given_up.retain(|_, given_up_at| now.saturating_sub(*given_up_at) < GIVEN_UP_FOR);
        days.iter().filter(|day| !known.made.contains(day) && !known.given_up.contains_key(day)).copied().collect()
    }

    fn made(&self, day: i32) {
        let mut known = self.lock();
        known.made.insert(day);
        known.given_up.remove(&day);
    }

    fn given_up(&self, day: i32) {
        let now = self.clock.monotonic();
        self.lock().given_up.insert(day, now);
    }
}

impl PostgresStore {
    /// Sees to it that days have partitions, if that can be done now.
    pub(super) async fn make_days(&self, days: &BTreeSet<i32>) {
        for day in self.known_days.to_make(days) {
            if let Err(error) = self.make_day(day).await {
                self.known_days.given_up(day);
                tracing::warn!(day, %error, "the partition of a day cannot be made now; its entries go to the default one");
            }
        }
    }

    async fn make_day(&self, day: i32) -> Result<(), StoreError> {
        self.writer.execute(sqlx::query(MAKE).bind(day)).await?;
        self.known_days.made(day);
        Ok(())
    }

    pub(in crate::store) async fn tend_partitions(&self, days: Range<i32>) -> Result<(), StoreError> {
        for day in days {
            self.make_day(day).await?;
        }
        for stray in self.readers.within(REPORT_MAX).fetch_all(sqlx::query(STRAYS)).await? {
            let day: i32 = stray.try_get("day")?;
            if (FIRST_DAY..DAYS_END).contains(&day) {
                self.make_day(day).await?;
            }
        }
        Ok(())
    }

    /// The session that holds the lock; none when another one does.
    pub(in crate::store) async fn try_upkeep(&self) -> Result<Option<PgConnection>, StoreError> {
        let mut session = self.readers.pool().acquire().await?.detach();
        let held = bounded(READ_MAX, sqlx::query(TRY_UPKEEP).fetch_one(&mut session)).await?.try_get("held")?;
        Ok(if held { Some(session) } else { None })
    }
}
