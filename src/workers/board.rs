//! The snapshot of every worker's status: written by its keeper, read by whoever asks, without a lock.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::health::Health;
use crate::config::Worker;

/// Whether a worker takes requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It starts, or loads its model; why it is not further, if that is known.
    Starting(Option<String>),
    /// It takes requests.
    Ready,
    /// It takes none; why.
    Unready(String),
    /// It finishes what it runs and takes nothing new.
    Draining,
}

impl State {
    /// A stable word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Starting(_) => "starting",
            Self::Ready => "ready",
            Self::Unready(_) => "unready",
            Self::Draining => "draining",
        }
    }

    /// Why it does not take requests, if that is known.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Starting(reason) => reason.as_deref(),
            Self::Unready(reason) => Some(reason),
            Self::Ready | Self::Draining => None,
        }
    }
}

/// A worker as last seen.
#[derive(Clone, Debug)]
pub struct Status {
    /// Whether it takes requests.
    pub state: State,
    /// Since when it is in this state, microseconds since 1970 UTC.
    pub since_us: i64,
    /// How often it was started again.
    pub restarts: u64,
    /// Its process, when the gateway runs it.
    pub pid: Option<u32>,
    /// What it said last; kept when it falls silent.
    pub health: Option<Arc<Health>>,
}

/// One worker's place on the board.
#[derive(Debug)]
pub struct Place {
    /// Name in the configuration.
    pub name: String,
    /// Whether the gateway runs it.
    pub spawned: bool,
    status: ArcSwap<Status>,
}

impl Place {
    /// The worker as last seen.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        self.status.load_full()
    }

    /// Shows what the keeper has seen. Only the worker's keeper calls this.
    pub(super) fn show(&self, change: impl FnOnce(&mut Status)) {
        let mut status = Status::clone(&self.status.load());
        change(&mut status);
        self.status.store(Arc::new(status));
    }
}

/// Every worker of the configuration.
#[derive(Debug, Default)]
pub struct Board(Vec<Arc<Place>>);

impl Board {
    /// A board on which every worker starts; `now_us` is the time, microseconds since 1970 UTC.
    #[must_use]
    pub fn new(workers: &[Worker], now_us: i64) -> Self {
        let place = |worker: &Worker| {
            let state = State::Starting(None);
            let status = Status { state, since_us: now_us, restarts: 0, pid: None, health: None };
            let status = ArcSwap::from_pointee(status);
            Arc::new(Place { name: worker.name.clone(), spawned: worker.spawn.is_some(), status })
        };
        Self(workers.iter().map(place).collect())
    }

    /// A worker's place; none when no worker has that name.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<Arc<Place>> {
        self.0.iter().find(|place| place.name == name).map(Arc::clone)
    }

    /// Whether the provider of a target takes requests, as far as is known: anything that is no worker does.
    #[must_use]
    pub fn takes_requests(&self, provider: &str) -> bool {
        self.0.iter().find(|place| place.name == provider).is_none_or(|place| place.status.load().state == State::Ready)
    }

    /// Every place, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Place> {
        self.0.iter().map(Arc::as_ref)
    }
}
