//! Days whose entries were moved to a sealed file. What was sealed is never posted again: the boots' cursors, kept for
//! ever, tell a repetition from an entry that comes late.

use super::{Store, StoreError, entries::PostBatch, entries::Stage};

/// Microseconds of a day in milliseconds: a request id begins with milliseconds.
const MILLISECONDS_PER_DAY: u64 = 86_400_000;
/// From 2020 on ...
pub(super) const FIRST_DAY: i32 = 18_262;
/// ... and before 2100: what another clock says has no day of its own and stays where it is.
pub(super) const DAYS_END: i32 = 47_482;

/// One sealed file. A day has several parts when entries of it came late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveRow {
    /// Days since 1970 UTC, by the request ids.
    pub day: i32,
    /// 1 for the first.
    pub part: i32,
    /// Entries in it.
    pub entries: u64,
    /// First hour of admission among them, microseconds since 1970 UTC.
    pub first_hour_us: i64,
    /// Last hour of admission among them.
    pub last_hour_us: i64,
    /// Of the file's bytes, hexadecimal.
    pub sha256: String,
    /// Its name.
    pub file: String,
    /// Microseconds since 1970 UTC.
    pub archived_at_us: i64,
}

impl Store {
    /// The first day that has entries; none when there are none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn oldest_day(&self) -> Result<Option<i32>, StoreError> {
        on_engine!(self, oldest_day())
    }

    /// Takes the entries of a day out of the store, which are in a file now. False, and nothing is done, when the day
    /// holds another number of entries than the file: one came late.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn seal_day(&self, archive: &ArchiveRow) -> Result<bool, StoreError> {
        on_engine!(self, seal_day(archive))
    }

    /// All sealed files, by day and part.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn archives(&self) -> Result<Vec<ArchiveRow>, StoreError> {
        on_engine!(self, archives())
    }

    /// Makes partitions for these days, counted from 1970 UTC, and moves into partitions what had to be kept outside of
    /// them. Nothing to do on SQLite.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tend_partitions(&self, days: std::ops::Range<i32>) -> Result<(), StoreError> {
        match &self.engine {
            super::Engine::Sqlite(_) => Ok(()),
            super::Engine::Postgres(db) => db.tend_partitions(days).await,
        }
    }

    /// Makes this process the one that tends and archives; none while another is. Held until dropped.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn try_upkeep(&self) -> Result<Option<UpkeepLock>, StoreError> {
        match &self.engine {
            super::Engine::Sqlite(_) => Ok(Some(UpkeepLock { _session: None })),
            super::Engine::Postgres(db) => {
                Ok(db.try_upkeep().await?.map(|session| UpkeepLock { _session: Some(session) }))
            }
        }
    }
}

/// The right to tend and archive.
pub struct UpkeepLock {
    /// The lock lives as long as its session.
    _session: Option<sqlx::PgConnection>,
}

/// The day of a request id, counted from 1970 UTC.
pub(super) fn day_of(request_id: &[u8; 16]) -> i32 {
    let [a, b, c, d, e, f, ..] = *request_id;
    let unix_ms = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    i32::try_from(unix_ms / MILLISECONDS_PER_DAY).unwrap_or(i32::MAX)
}

/// The first request id of a day.
pub(super) fn first_id_of(day: i32) -> [u8; 16] {
    let unix_ms = u64::try_from(day).unwrap_or(0) * MILLISECONDS_PER_DAY;
    let [_, _, a, b, c, d, e, f] = unix_ms.to_be_bytes();
    [a, b, c, d, e, f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// Whether an entry of a day that was sealed is one that was posted before: its boot is done with, or it stands before
/// the cursor and is no orphan. Orphans of a boot that is not closed are remembered one by one.
pub(super) fn was_sealed(batch: &PostBatch, sequence: u64, counted_through: u64, is_closed: bool) -> bool {
    is_closed || (batch.stage == Stage::Reading && sequence <= counted_through)
}

#[cfg(test)]
mod tests {
    use tollgate_core::id::RequestId;

    use super::*;

    #[test]
    fn the_day_of_an_id_is_the_day_on_which_it_was_made() {
        let day = |unix_ms| day_of(RequestId::new(unix_ms, &[255; 10]).bytes());
        assert_eq!((day(0), day(86_399_999), day(86_400_000)), (0, 0, 1));
        assert_eq!(day(1_793_491_200_000), 20_758);
        let first = first_id_of(20_758);
        assert!(day_of(&first) == 20_758 && first <= *RequestId::new(1_793_491_200_000, &[0; 10]).bytes());
    }
}
