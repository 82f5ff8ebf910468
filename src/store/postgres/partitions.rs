//! Partitions of entries: one a day, made ahead by upkeep and on demand by whoever posts.
//!
//! The day comes from the request id, never from a clock. A partition that cannot be made holds nothing up: the default
//! partition takes its rows, and upkeep moves them when it can.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use sqlx::Row;

use super::{PostgresStore, row};
use crate::store::{StoreError, entries::PostBatch};

const MILLISECONDS_PER_DAY: u64 = 86_400_000;

const MAKE: &str = "
select make_entries_partition($1) as made";
const STRAYS: &str = "
select entries_day(request_id) as day, count(*) as entries
from entries_default
group by day
order by day";

pub(super) const STATEMENTS: &[&str] = &[MAKE, STRAYS];

/// Days whose partition was seen to. One that is dropped later is no harm: its late rows go to the default partition.
#[derive(Debug, Default)]
pub(super) struct KnownDays(Mutex<BTreeSet<i32>>);

impl KnownDays {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<i32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The day of a request id, counted from 1970 UTC.
fn day_of(request_id: &[u8; 16]) -> i32 {
    let [a, b, c, d, e, f, ..] = *request_id;
    let unix_ms = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    i32::try_from(unix_ms / MILLISECONDS_PER_DAY).unwrap_or(i32::MAX)
}

impl PostgresStore {
    /// Sees to it that the days of a batch have partitions, if that can be done now.
    pub(super) async fn make_days_of(&self, batch: &PostBatch) {
        let days: BTreeSet<i32> =
            batch.entries.iter().map(|(_, entry)| day_of(entry.admission.id.request_id.bytes())).collect();
        let missing: Vec<i32> = days.difference(&self.known_days.lock()).copied().collect();
        for day in missing {
            if let Err(error) = self.make_day(day).await {
                tracing::warn!(day, %error, "the partition of a day cannot be made now; its entries go to the default one");
            }
        }
    }

    /// Makes the partition of a day; false when the day is beyond what a sane clock says.
    pub(in crate::store) async fn make_day(&self, day: i32) -> Result<bool, StoreError> {
        let made = sqlx::query(MAKE).bind(day).fetch_one(&self.writer).await?.try_get("made")?;
        self.known_days.lock().insert(day);
        Ok(made)
    }

    /// Days of which the default partition holds entries, and how many.
    pub(in crate::store) async fn stray_days(&self) -> Result<Vec<(i32, u64)>, StoreError> {
        let rows = sqlx::query(STRAYS).fetch_all(&self.readers).await?;
        rows.iter().map(|from| Ok((from.try_get("day")?, row::count(from, "entries")?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::id::RequestId;

    use super::*;

    #[test]
    fn the_day_of_an_id_is_the_day_on_which_it_was_made() {
        let day = |unix_ms| day_of(RequestId::new(unix_ms, &[255; 10]).bytes());
        assert_eq!((day(0), day(86_399_999), day(86_400_000)), (0, 0, 1));
        assert_eq!(day(1_793_491_200_000), 20758);
    }
}
