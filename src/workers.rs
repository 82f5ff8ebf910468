//! Local workers: runs those that the configuration says to spawn, knows which take requests, books their time.
//!
//! One task a worker (`keeper`) is the only writer of its status; whoever asks reads a snapshot ([`board`]) and never
//! waits. Knows nothing of requests, prices or keys.

mod backoff;
pub mod board;
mod command;
pub mod health;
mod judge;
mod keeper;
mod ledger;
mod output;
mod process;

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use self::{board::Board, keeper::Keeper, ledger::Ledger};
use crate::{clock::Clock, config::Worker, store::Store, upstream::client::UpstreamClient};

/// Booking the last counters takes at most so long.
const BOOK_MAX: Duration = Duration::from_secs(3);

/// How patient the gateway is with workers.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Between two looks at a worker that takes requests, or that somebody else runs.
    pub look_every: Duration,
    /// Between two looks at a spawned worker that does not take requests yet.
    pub look_every_starting: Duration,
    /// A worker must answer a look within so long.
    pub answer_max: Duration,
    /// First wait before a worker that ended is started again; doubles up to `restart_wait_max`.
    pub restart_wait_min: Duration,
    /// Longest such wait.
    pub restart_wait_max: Duration,
    /// A worker that ran for so long starts the waits anew.
    pub stable_after: Duration,
    /// A spawned worker that was heard and says nothing for so long hangs: it is ended and started again.
    pub silence_max: Duration,
    /// The same for one that was never heard.
    pub first_answer_max: Duration,
    /// Between SIGTERM and SIGKILL.
    pub stop_max: Duration,
    /// Between two bookings of what was seen.
    pub book_every: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            look_every: Duration::from_secs(1),
            look_every_starting: Duration::from_millis(200),
            answer_max: Duration::from_secs(1),
            restart_wait_min: Duration::from_millis(500),
            restart_wait_max: Duration::from_secs(30),
            stable_after: Duration::from_secs(60),
            silence_max: Duration::from_secs(60),
            first_answer_max: Duration::from_secs(300),
            stop_max: Duration::from_secs(10),
            book_every: Duration::from_secs(5),
        }
    }
}

/// The tasks that keep workers.
#[derive(Debug)]
pub struct Workers {
    keepers: Vec<JoinHandle<()>>,
    stop_keeping: CancellationToken,
    book: JoinHandle<()>,
    stop_booking: CancellationToken,
}

impl Workers {
    /// Starts the workers that are to be spawned, and looks at all of them from now on.
    #[must_use]
    pub fn start(workers: &[Worker], board: &Board, store: &Store, clock: &Clock, patience: Patience) -> Self {
        let client = Arc::new(UpstreamClient::new());
        let ledger = Arc::new(Ledger::default());
        let stop_keeping = CancellationToken::new();
        let stop_booking = CancellationToken::new();
        let keepers = workers.iter().filter_map(|worker| {
            let keeper = Keeper {
                worker: worker.clone(),
                place: board.place(&worker.name)?,
                client: Arc::clone(&client),
                ledger: Arc::clone(&ledger),
                clock: clock.clone(),
                patience,
            };
            Some(tokio::spawn(keeper.run(stop_keeping.clone())))
        });
        Self {
            keepers: keepers.collect(),
            stop_keeping,
            book: tokio::spawn(ledger.run(store.clone(), patience.book_every, stop_booking.clone())),
            stop_booking,
        }
    }

    /// Ends the spawned workers, in bounded time, and books what was seen last, if the store answers.
    pub async fn stop(self) {
        self.stop_keeping.cancel();
        for keeper in self.keepers {
            // A keeper that panicked has dropped its process, which ended it.
            let _ended = keeper.await;
        }
        self.stop_booking.cancel();
        let mut book = self.book;
        if timeout(BOOK_MAX, &mut book).await.is_err() {
            book.abort();
            tracing::warn!("the last counters of workers were not booked: the store does not answer");
        }
    }
}
