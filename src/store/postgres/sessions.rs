//! Connections that are given up when they do not answer: no statement waits for a peer that died without a word.
//!
//! A pool of sqlx gives a connection back after a ping that nothing bounds, also one whose statement was left half-way: on a dead
//! wire it would never come back, and with it its place in the pool. Here only what came to its end in time goes back, in
//! bounded time; anything else is closed, whoever lost patience.

use std::{
    fmt::Debug,
    future::Future,
    io,
    ops::{Deref, DerefMut},
    time::Duration,
};

use sqlx::{
    Connection, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgArguments, PgPoolOptions, PgQueryResult, PgRow},
    query::Query,
};
use tokio::time::{error::Elapsed, timeout};

use crate::store::error::NoAnswer;

/// Wait for a connection, a new one included.
pub(super) const ACQUIRE_MAX: Duration = Duration::from_secs(5);
/// A connection that lay idle must answer a ping so soon, or another one is made.
const PING_MAX: Duration = Duration::from_secs(1);
/// Giving a connection back takes at most so long; then it is closed.
const RETURN_MAX: Duration = Duration::from_secs(2);

/// How pools are made here.
pub(super) fn pool_options(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_MAX)
        // The ping of sqlx has no bound but that of the whole wait, which then fails; this one makes another connection.
        .test_before_acquire(false)
        .before_acquire(|connection: &mut PgConnection, _| {
            Box::pin(async move {
                let pinged = timeout(PING_MAX, connection.ping()).await;
                pinged.unwrap_or_else(|_| Err(no_answer(PING_MAX)))?;
                Ok(true)
            })
        })
}

/// A pool, and how long its statements may take.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    pool: PgPool,
    answer_max: Duration,
}

type Ask<'q> = Query<'q, Postgres, PgArguments>;

impl Sessions {
    pub(super) const fn new(pool: PgPool, answer_max: Duration) -> Self {
        Self { pool, answer_max }
    }

    /// The same connections, with another patience.
    pub(super) fn within(&self, answer_max: Duration) -> Self {
        Self { pool: self.pool.clone(), answer_max }
    }

    pub(super) const fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(super) async fn session(&self) -> Result<Session, sqlx::Error> {
        Ok(Session { connection: self.pool.acquire().await?, is_quiet: false })
    }

    pub(super) async fn fetch_all(&self, ask: Ask<'_>) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut session = self.session().await?;
        let done = timeout(self.answer_max, ask.fetch_all(&mut *session)).await;
        session.settle(self.answer_max, done)
    }

    pub(super) async fn fetch_optional(&self, ask: Ask<'_>) -> Result<Option<PgRow>, sqlx::Error> {
        let mut session = self.session().await?;
        let done = timeout(self.answer_max, ask.fetch_optional(&mut *session)).await;
        session.settle(self.answer_max, done)
    }

    pub(super) async fn fetch_one(&self, ask: Ask<'_>) -> Result<PgRow, sqlx::Error> {
        self.fetch_optional(ask).await?.ok_or(sqlx::Error::RowNotFound)
    }

    pub(super) async fn execute(&self, ask: Ask<'_>) -> Result<PgQueryResult, sqlx::Error> {
        let mut session = self.session().await?;
        let done = timeout(self.answer_max, ask.execute(&mut *session)).await;
        session.settle(self.answer_max, done)
    }
}

/// A connection in use. Closed when it is dropped before its work was settled, also because whoever waited for the work
/// went away.
#[derive(Debug)]
pub(super) struct Session {
    connection: PoolConnection<Postgres>,
    is_quiet: bool,
}

impl Session {
    /// The end of work that was bounded by `at_most`.
    pub(super) fn settle<T, E: From<sqlx::Error>>(
        mut self,
        at_most: Duration,
        done: Result<Result<T, E>, Elapsed>,
    ) -> Result<T, E> {
        self.is_quiet = done.is_ok();
        done.unwrap_or_else(|_| Err(no_answer(at_most).into()))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_quiet && tokio::runtime::Handle::try_current().is_ok() {
            // Out of time, it is closed, and its place in the pool is free.
            drop(tokio::spawn(timeout(RETURN_MAX, self.connection.return_to_pool())));
        } else {
            self.connection.close_on_drop();
        }
    }
}

impl Deref for Session {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

/// Bounds a step of work that is long as a whole.
pub(super) async fn bounded<T, E: From<sqlx::Error>>(
    at_most: Duration,
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(at_most, step).await.unwrap_or_else(|_| Err(no_answer(at_most).into()))
}

fn no_answer(at_most: Duration) -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, NoAnswer { seconds: at_most.as_secs() }))
}
