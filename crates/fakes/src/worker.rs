//! A scripted worker (docs/worker.md): cumulative usage with its time on every chunk, named requests, cancel, final
//! records, and the faults that a worker can have. What it counted itself is what tests hold the books against.

mod http;
mod life;
pub mod process;
mod script;
mod session;

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use serde_json::Value;
use tokio::{net::TcpListener, task::AbortHandle};

use self::{life::Life, session::Session};
use crate::serve::listen;

/// How often a wait looks again.
const POLL: Duration = Duration::from_millis(2);

/// A running scripted worker; dropped or killed, it closes its listener and every connection, as a killed process does.
#[derive(Debug)]
pub struct FakeWorker {
    address: SocketAddr,
    state: Arc<State>,
}

/// What the connections of one worker share.
#[derive(Debug, Default)]
pub(crate) struct State {
    sessions: Mutex<HashMap<String, Arc<Session>>>,
    accepting: Mutex<Option<AbortHandle>>,
    life: Life,
}

/// What a worker knows of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// As the caller named it.
    pub id: String,
    /// Whether it has ended.
    pub finished: bool,
    /// Why it ended; none while it runs, and when it failed.
    pub finish_reason: Option<String>,
    /// What it has really used so far, told or not.
    pub usage: Value,
    /// Cancel calls that came for it, refused ones included.
    pub cancels: u64,
    /// Its caller closed the connection before the end.
    pub caller_gone: bool,
}

impl FakeWorker {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When no port can be bound; a test cannot go on without its worker.
    #[expect(clippy::expect_used, reason = "only tests start it this way, and they cannot go on without it")]
    pub async fn start() -> Self {
        Self::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port of 127.0.0.1")
    }

    /// Starts on the given address; must be called within a runtime.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener: TcpListener = listen(address)?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let accepting = tokio::spawn(http::accept(listener, Arc::clone(&state))).abort_handle();
        *state.accepting.lock().unwrap_or_else(PoisonError::into_inner) = Some(accepting);
        Ok(Self { address, state })
    }

    /// `http://127.0.0.1:PORT`
    #[must_use]
    pub fn root_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// As `kill -9`: no connection, no answer, no record from now on.
    pub fn kill(&self) {
        self.state.die();
    }

    /// What its health page says: `ok`, `loading`, `draining`. It is ready when it is `ok`.
    pub fn set_status(&self, status: &str) {
        self.state.life.set_status(status);
    }

    /// Whether it leaves every look at it unanswered.
    pub fn set_hangs(&self, hangs: bool) {
        self.state.life.hangs.store(hangs, Ordering::Relaxed);
    }

    /// Whether its queue is full: it refuses requests with 429 and `retry-after: 7`.
    pub fn set_full(&self, full: bool) {
        self.state.life.full.store(full, Ordering::Relaxed);
    }

    /// What it knows of a request.
    #[must_use]
    pub fn known(&self, id: &str) -> Option<Known> {
        self.state.session(id).map(|session| session.known())
    }

    /// Waits until a request has ended; none when `timeout` passes first.
    pub async fn wait_for_end(&self, id: &str, timeout: Duration) -> Option<Known> {
        let looking = async {
            loop {
                match self.known(id).filter(|known| known.finished) {
                    Some(known) => return known,
                    None => tokio::time::sleep(POLL).await,
                }
            }
        };
        tokio::time::timeout(timeout, looking).await.ok()
    }

    /// Every request that it was asked for, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Known> {
        let mut all: Vec<Known> = self.state.sessions().values().map(|session| session.known()).collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }
}

impl Drop for FakeWorker {
    fn drop(&mut self) {
        self.kill();
    }
}

impl State {
    fn sessions(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self, id: &str) -> Option<Arc<Session>> {
        self.sessions().get(id).cloned()
    }

    /// False when a request of that name is known already.
    fn enter(&self, session: &Arc<Session>) -> bool {
        self.sessions().insert(session.id().to_owned(), Arc::clone(session)).is_none()
    }

    fn health(&self) -> serde_json::Value {
        let known: Vec<Known> = self.sessions().values().map(|session| session.known()).collect();
        let time = |name: &str| known.iter().filter_map(|known| known.usage["worker"][name].as_u64()).sum::<u64>();
        self.life.health(time("prefill_busy_us"), time("decode_busy_us"), known.len())
    }

    fn die(&self) {
        if let Some(accepting) = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take() {
            accepting.abort();
        }
    }
}
