//! What can go wrong with the store, and whether trying again, or leaving a row out, would help.

use std::path::PathBuf;

use crate::config::store_url::StoreUrlError;

/// Why the store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder cannot be made, read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The configuration leads to no database.
    #[error(transparent)]
    Url(#[from] StoreUrlError),
    /// The engine refused.
    #[error("the database failed: {0}")]
    Engine(sqlx::Error),
    /// The database did not answer in time.
    #[error("the database did not answer within {seconds} s")]
    TimedOut {
        /// How long was waited.
        seconds: u64,
    },
    /// A statement does not fit the schema.
    #[error("the database refuses a statement of this build: {reason}: {statement}")]
    Statement {
        /// The statement.
        statement: String,
        /// Why.
        reason: String,
    },
    /// The schema cannot be brought up to date.
    #[error("the database cannot be migrated: {0}; it may have been written by a newer build")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// Migrating is left to the operator, and was not done.
    #[error("the database is not migrated for this build; run `tollgate migrate` ({0})")]
    NotMigrated(String),
    /// A row with the same unique value exists.
    #[error("{0} exists already")]
    Exists(String),
    /// No row of that name.
    #[error("there is no {0}")]
    NotFound(String),
    /// What is to be filled is not empty.
    #[error("the store is not empty: there are rows in {0}; restore into a fresh one")]
    NotEmpty(&'static str),
    /// The store has lost commits: of a boot's journal it has less than what was posted.
    #[error("the store has lost commits: it has the journal through record {through} only")]
    Behind {
        /// What it has is posted through this sequence.
        through: u64,
    },
    /// A stored row is not what this build wrote.
    #[error("a stored {0} is damaged")]
    Damaged(&'static str),
    /// A sum does not fit its column.
    #[error("a number is too large to store")]
    TooLarge,
}

/// What [`StoreError::TimedOut`] is on its way through an error of the engine.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {seconds} s")]
pub(super) struct NoAnswer {
    pub(super) seconds: u64,
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Io(io) = &error
            && let Some(NoAnswer { seconds }) = io.get_ref().and_then(|inner| inner.downcast_ref())
        {
            return Self::TimedOut { seconds: *seconds };
        }
        let Some(database) = error.as_database_error() else { return Self::Engine(error) };
        // Postgres says `numeric_value_out_of_range`; SQLite has a text only.
        let overflow = database.code().is_some_and(|code| code == "22003") || database.message() == "integer overflow";
        if overflow { Self::TooLarge } else { Self::Engine(error) }
    }
}

/// SQLite's primary result codes for a row that can never be stored: TOOBIG, CONSTRAINT, MISMATCH.
const SQLITE_DATA_CODES: &[u32] = &[18, 19, 20];

impl StoreError {
    /// True when the rows themselves are to blame: the same rows will be refused again, others may not.
    #[must_use]
    pub fn blames_the_rows(&self) -> bool {
        match self {
            Self::TooLarge => true,
            Self::Engine(sqlx::Error::Encode(_)) => true,
            Self::Engine(error) => code_of(error).is_some_and(|code| match code.parse::<u32>() {
                // Five characters are Postgres: data exceptions and violated constraints.
                _ if code.len() == 5 => code.starts_with("22") || code.starts_with("23"),
                Ok(number) => SQLITE_DATA_CODES.contains(&(number & 0xff)),
                Err(_) => false,
            }),
            _ => false,
        }
    }

    /// True when another transaction was in the way and this one may simply be repeated.
    #[must_use]
    pub fn is_a_collision(&self) -> bool {
        matches!(self, Self::Engine(error) if code_of(error).is_some_and(|code| matches!(code.as_str(), "40001" | "40P01")))
    }

    /// True when the database gave up on what was asked, or was given up, for taking too long: less of it at once may be done
    /// in time.
    #[must_use]
    pub fn is_too_slow(&self) -> bool {
        match self {
            Self::TimedOut { .. } => true,
            // `query_canceled`: the limit of a statement's time, as a rule.
            Self::Engine(error) => code_of(error).is_some_and(|code| code == "57014"),
            _ => false,
        }
    }

    /// True when the database is away or too slow: nothing is wrong with what was asked.
    #[must_use]
    pub fn is_an_outage(&self) -> bool {
        match self {
            Self::TimedOut { .. } => true,
            Self::Engine(error) => match code_of(error) {
                // Connection lost, out of resources, lock not to be had, shut down by its operator, its disk.
                Some(code) => {
                    code.len() == 5 && ["08", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class))
                }
                None => matches!(
                    error,
                    sqlx::Error::Io(_)
                        | sqlx::Error::Tls(_)
                        | sqlx::Error::PoolTimedOut
                        | sqlx::Error::PoolClosed
                        | sqlx::Error::WorkerCrashed
                        | sqlx::Error::Protocol(_)
                ),
            },
            _ => false,
        }
    }
}

fn code_of(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|database| database.code()).map(|code| code.into_owned())
}

/// A unique value that exists already, told by name.
pub(super) fn exists(error: sqlx::Error, what: impl FnOnce() -> String) -> StoreError {
    match error.as_database_error() {
        Some(database) if database.is_unique_violation() => StoreError::Exists(what()),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_is_an_outage_and_blames_nobody() {
        let lost = StoreError::from(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()));
        assert!(lost.is_an_outage() && !lost.blames_the_rows() && !lost.is_a_collision());
        assert!(StoreError::TooLarge.blames_the_rows());
        // On its way through an error of the engine, a time that ran out stays what it is.
        let slow = sqlx::Error::Io(std::io::Error::other(NoAnswer { seconds: 15 }));
        let slow = StoreError::from(slow);
        assert!(matches!(slow, StoreError::TimedOut { seconds: 15 }) && slow.is_too_slow() && slow.is_an_outage());
        assert!(!lost.is_too_slow() && !StoreError::TooLarge.is_too_slow());
    }
}
