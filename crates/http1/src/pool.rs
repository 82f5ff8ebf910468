//! Connections that wait to be used again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use foldhash::fast::RandomState;
use http::uri::Authority;
use tokio::time::{Instant, sleep};

use crate::Connection;

/// How often what upstreams have closed is looked for, in parts of the time that a connection may wait.
const LOOKS: u32 = 6;

/// Idle connections by host and port, the one that was used last first.
#[derive(Debug)]
pub struct Pool {
    /// A connection that waited so long is closed.
    idle: Duration,
    /// Connections that are kept for one upstream.
    idle_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<Authority, Vec<Waiting>, RandomState>,
    /// Somebody looks for those that are closed.
    is_looked_after: bool,
}

#[derive(Debug)]
struct Waiting {
    connection: Box<Connection>,
    since: Instant,
}

impl Pool {
    /// An empty one. A connection waits for `idle` at most, and no more than `idle_max` for one upstream.
    #[must_use]
    pub fn new(idle: Duration, idle_max: usize) -> Arc<Self> {
        Arc::new(Self { idle, idle_max, state: Mutex::default() })
    }

    /// A connection to this host and port that is open, as far as is known.
    pub fn take(&self, upstream: &Authority) -> Option<Box<Connection>> {
        let mut state = self.state();
        let waiting = state.waiting.get_mut(upstream)?;
        while let Some(Waiting { connection, since }) = waiting.pop() {
            if since.elapsed() < self.idle && connection.is_quiet() {
                return Some(connection);
            }
        }
        None
    }

    /// Takes a connection back. Must be called within a runtime.
    pub(crate) fn put(self: Arc<Self>, upstream: Authority, mut connection: Box<Connection>) {
        if !connection.rest() {
            return;
        }
        let mut state = self.state();
        let waiting = state.waiting.entry(upstream).or_default();
        if waiting.len() >= self.idle_max {
            return;
        }
        waiting.push(Waiting { connection, since: Instant::now() });
        if !std::mem::replace(&mut state.is_looked_after, true) {
            tokio::spawn(look_after(Arc::downgrade(&self), self.idle / LOOKS));
        }
    }

    /// Closes what has waited too long, or was closed by its upstream. False when nothing waits any more.
    fn clear(&self) -> bool {
        let mut state = self.state();
        state.waiting.retain(|_, waiting| {
            waiting.retain(|kept| kept.since.elapsed() < self.idle && kept.connection.is_quiet());
            !waiting.is_empty()
        });
        state.is_looked_after = !state.waiting.is_empty();
        state.is_looked_after
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until nothing waits any more, or the pool is gone.
async fn look_after(pool: Weak<Pool>, every: Duration) {
    loop {
        sleep(every).await;
        let Some(pool) = pool.upgrade() else { return };
        if !pool.clear() {
            return;
        }
    }
}
