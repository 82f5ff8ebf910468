//! Keeps one worker: starts it if that is the gateway's to do, looks at it, shows what it saw, starts it again.

use std::{io, path::PathBuf, sync::Arc};

use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    Patience,
    backoff::Backoff,
    board::{Place, State},
    command::{Launch, address},
    health::{Look, look},
    judge::Judge,
    ledger::Ledger,
    process::Process,
};
use crate::{clock::Clock, config::Worker, config::load::environment, upstream::client::UpstreamClient};

/// What a keeper needs.
pub(super) struct Keeper {
    pub(super) worker: Worker,
    pub(super) place: Arc<Place>,
    pub(super) client: Arc<UpstreamClient>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) clock: Clock,
    pub(super) patience: Patience,
}

/// How a run of a spawned worker ended.
enum End {
    /// By itself, or because it hung: it is started again.
    Gone(String),
    /// The gateway stops.
    Stopped,
}

impl Keeper {
    /// Keeps the worker until told to stop; then ends its process.
    pub(super) async fn run(self, stop: CancellationToken) {
        let beside = std::env::current_exe().ok().and_then(|path| path.parent().map(PathBuf::from));
        match Launch::of(&self.worker, beside.as_deref(), &environment()) {
            Some(launch) => self.keep_running(&launch, &stop).await,
            None => self.watch(&stop).await,
        }
    }

    /// Looks at a worker that somebody else runs.
    async fn watch(&self, stop: &CancellationToken) {
        let mut judge = Judge::new(false, self.clock.monotonic());
        loop {
            self.look(&mut judge).await;
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(self.patience.look_every) => {}
            }
        }
        self.look(&mut judge).await;
    }

    /// Starts the worker, and again whenever it ends, with growing waits between.
    async fn keep_running(&self, launch: &Launch, stop: &CancellationToken) {
        let mut backoff = Backoff::new(&self.patience);
        loop {
            let started = self.clock.monotonic();
            let gone = match self.run_once(launch, stop).await {
                Ok(End::Stopped) => return,
                Ok(End::Gone(why)) => why,
                Err(error) => format!("{} cannot be started: {error}", launch.program.display()),
            };
            let wait = backoff.after(self.clock.monotonic().saturating_sub(started));
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(worker = self.worker.name, reason = gone, wait_ms, "a worker is down; it is started again");
            self.show(State::Unready(gone));
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(wait) => {}
            }
            self.place.show(|status| status.restarts += 1);
        }
    }

    async fn run_once(&self, launch: &Launch, stop: &CancellationToken) -> io::Result<End> {
        self.address_is_free().await?;
        let mut process = Process::start(launch, &self.worker.name)?;
        tracing::info!(worker = self.worker.name, pid = process.pid(), "a worker was started");
        self.place.show(|status| status.pid = process.pid());
        self.show(State::Starting(None));
        let mut judge = Judge::new(true, self.clock.monotonic());
        loop {
            let ended = tokio::select! {
                ended = process.ended() => Some(ended),
                () = stop.cancelled() => {
                    // Its counters as they are at the end.
                    self.look(&mut judge).await;
                    self.show(State::Draining);
                    process.stop(self.patience.stop_max).await;
                    return Ok(End::Stopped);
                }
                () = self.next_look(&mut judge) => None,
            };
            if let Some(ended) = ended {
                let why = ended.map_or_else(|error| error.to_string(), |status| format!("it ended: {status}"));
                self.place.show(|status| status.pid = None);
                // Before the last lines are waited for: from now on nobody is sent there.
                self.show(State::Unready(why.clone()));
                process.last_lines().await;
                return Ok(End::Gone(why));
            }
            if judge.hangs(self.clock.monotonic(), &self.patience) {
                self.show(State::Unready("it hangs".to_owned()));
                process.stop(self.patience.stop_max).await;
                self.place.show(|status| status.pid = None);
                return Ok(End::Gone("it said nothing for too long and was ended".to_owned()));
            }
        }
    }

    /// Somebody else at the worker's address would be taken for it.
    async fn address_is_free(&self) -> io::Result<()> {
        let address = address(&self.worker.root_url).unwrap_or_default();
        let listener = TcpListener::bind(&address).await;
        drop(listener.map_err(|error| io::Error::new(error.kind(), format!("its address {address}: {error}")))?);
        Ok(())
    }

    async fn next_look(&self, judge: &mut Judge) {
        let ready = self.place.status().state == State::Ready;
        sleep(if ready { self.patience.look_every } else { self.patience.look_every_starting }).await;
        self.look(judge).await;
    }

    /// Looks at the worker, shows what that says, and notes its counters.
    async fn look(&self, judge: &mut Judge) {
        let look = look(&self.client, &self.worker.root_url, self.patience.answer_max).await;
        let state = judge.judge(&look, &self.place.status().state, self.clock.monotonic());
        if let Look::Answered { health, .. } = look {
            if let Some(loaded) = &health.loaded {
                self.ledger.note(&self.worker.name, &health, loaded, self.clock.unix_us());
            }
            self.place.show(|status| status.health = Some(Arc::from(health)));
        }
        self.show(state);
    }

    fn show(&self, state: State) {
        let before = self.place.status().state.clone();
        let now_us = self.clock.unix_us();
        if before.word() != state.word() {
            let reason = state.reason();
            tracing::info!(
                worker = self.worker.name,
                from = before.word(),
                to = state.word(),
                reason,
                "a worker changed"
            );
            self.place.show(|status| status.since_us = now_us);
        }
        self.place.show(|status| status.state = state);
    }
}
