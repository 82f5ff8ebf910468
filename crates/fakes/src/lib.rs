//! A scripted upstream that speaks every dialect: it answers like a provider and plays every fault a provider can have.
//!
//! The script of an answer rides in the request body (`"x_fake": {...}`, see [`script::Script`]), so it passes through
//! any gateway; what arrived and what was told is kept in a log ([`log::SeenRequest`]) that tests compare with the books.
//! It knows nothing of the gateway, and is never shipped.

pub mod log;
pub mod script;
pub mod worker;

mod answer;
mod control;
mod dialect;
mod embedding;
mod kept;
mod play;
mod reply;
mod request;
mod respond;
mod route;
mod serve;
mod spoken;
mod stream;
mod wording;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::task::AbortHandle;

use crate::{log::SeenRequest, script::Defaults, serve::State};

/// How often a wait looks at the log again.
const POLL_MS: u64 = 2;

/// A running scripted upstream; it stops, and closes every connection, when dropped.
#[derive(Debug)]
pub struct FakeUpstream {
    address: SocketAddr,
    state: Arc<State>,
    accepting: AbortHandle,
}

impl FakeUpstream {
    /// Starts on a free port of 127.0.0.1 with the default behaviour.
    ///
    /// # Panics
    /// When no port can be bound; a test cannot go on without its upstream.
    pub async fn start() -> Self {
        Self::start_with(Defaults::default()).await
    }

    /// Starts on a free port of 127.0.0.1 with the given behaviour for requests that bring no script.
    ///
    /// # Panics
    /// When no port can be bound.
    #[expect(clippy::expect_used, reason = "only tests start it this way, and they cannot go on without it")]
    pub async fn start_with(defaults: Defaults) -> Self {
        Self::bind(SocketAddr::from(([127, 0, 0, 1], 0)), defaults).await.expect("a free port of 127.0.0.1")
    }

    /// Starts on the given address.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(address: SocketAddr, defaults: Defaults) -> io::Result<Self> {
        let listener = serve::listen(address)?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::new(address, defaults));
        let accepting = tokio::spawn(serve::accept(listener, Arc::clone(&state))).abort_handle();
        Ok(Self { address, state, accepting })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`, without a path and without a final slash.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `http://127.0.0.1:PORT/v1`: what an OpenAI SDK calls its base URL.
    #[must_use]
    pub fn openai_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Every request that arrived, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.state.log.since(0)
    }

    /// How many requests arrived since the start or the last [`Self::reset`].
    #[must_use]
    pub fn count(&self) -> u64 {
        self.state.log.count()
    }

    /// The bytes of the last request body, exactly as they arrived.
    #[must_use]
    pub fn last_body(&self) -> Option<Vec<u8>> {
        self.state.log.last_body().map(|body| body.to_vec())
    }

    /// Forgets every request; numbering starts at 1 again.
    pub fn reset(&self) {
        self.state.log.reset();
    }

    /// Replaces the script for requests that bring none, in the form of `x_fake`. A script with `times` is used that
    /// often and then laid aside.
    ///
    /// # Errors
    /// What is wrong with the script, in words.
    pub fn set_script(&self, script: &Value) -> Result<(), String> {
        let script = script::Script::parse(script.to_string().as_bytes())?;
        self.state.defaults.set_script(script);
        Ok(())
    }

    /// Says how batches and other things that are kept behave from now on: `{"hold": true}` keeps batches from being done,
    /// `{"make": "cut"}` makes what is asked for and breaks the answer off, `{"results": "stall"}` gives half of the
    /// results, and so on; `{}` takes all of it back.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn set_plan(&self, plan: &Value) -> Result<(), String> {
        self.state.kept.set_plan(serde_json::from_value(plan.clone()).map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Waits until at least `count` requests have arrived; false when `timeout` passes first.
    pub async fn wait_for_count(&self, count: u64, timeout: Duration) -> bool {
        self.wait(timeout, || (self.count() >= count).then_some(())).await.is_some()
    }

    /// Waits until request `n` (from 1) is over, whatever way it ended; none when `timeout` passes first.
    pub async fn wait_for_end(&self, n: u64, timeout: Duration) -> Option<SeenRequest> {
        self.wait(timeout, || {
            self.state.log.since(n.saturating_sub(1)).into_iter().find(|seen| seen.n == n && seen.over)
        })
        .await
    }

    async fn wait<T>(&self, timeout: Duration, look: impl Fn() -> Option<T>) -> Option<T> {
        let end = tokio::time::Instant::now() + timeout;
        loop {
            if let Some(found) = look() {
                return Some(found);
            }
            if tokio::time::Instant::now() >= end {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
        }
    }
}

impl Drop for FakeUpstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
