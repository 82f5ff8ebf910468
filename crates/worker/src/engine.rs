//! Serves requests on N threads that share one model's weights; a bounded queue stands in front of them.
//!
//! Invariant: every request that was taken ends with exactly one final record, whatever way it ends.

mod queue;
pub mod registry;
mod sequence;
mod thread;
pub mod totals;
pub mod usage;

use std::{sync::Arc, time::Instant};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use self::{
    queue::Queue,
    registry::{Cancel, Registry},
    sequence::SharedModel,
    totals::Totals,
    usage::{FinishReason, Usage},
};
use crate::{clock::now, sampling::SamplingOptions};

/// Tokens that wait for a slow caller; then its request pauses.
const EVENTS_MAX: usize = 256;

/// Sizes of the engine.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Engine threads, each with one compute thread.
    pub threads: u32,
    /// Requests that one thread goes round.
    pub sequences_max: usize,
    /// Requests that wait.
    pub queue_max: usize,
    /// Prompt tokens of one step.
    pub prefill_chunk_tokens: usize,
}

/// What a caller wants.
#[derive(Debug)]
pub struct Request {
    /// Its id, unique among those under way.
    pub id: String,
    /// The prompt's tokens; at least one.
    pub prompt: Vec<u32>,
    /// Tokens of the answer at most, at least 1.
    pub max_tokens: u64,
    /// How tokens are picked.
    pub sampling: SamplingOptions,
    /// Texts that end the answer.
    pub stops: Vec<String>,
    /// Goes on behind an end-of-sequence token.
    pub ignore_end: bool,
    /// Whether the answer is a stream.
    pub stream: bool,
}

/// What comes of a request, in order: tokens, then one end.
#[derive(Clone, Debug)]
pub enum Event {
    /// A token was sampled.
    Token {
        /// Its id.
        id: u32,
        /// Text that is certain now; may be empty, may be of earlier tokens.
        text: String,
        /// Used so far.
        usage: Usage,
    },
    /// The answer has ended.
    Ended {
        /// Why.
        reason: FinishReason,
        /// Used in all.
        usage: Usage,
    },
    /// The answer broke off.
    Failed {
        /// Why.
        message: String,
        /// Used in all.
        usage: Usage,
    },
}

/// A request as the threads see it.
#[derive(Debug)]
struct Job {
    id: String,
    prompt: Vec<u32>,
    max_tokens: u64,
    sampling: SamplingOptions,
    stops: Vec<String>,
    ignore_end: bool,
    queued_at: Instant,
    cancel: Cancel,
    events: Sender<Event>,
}

/// What the threads share.
struct Shared {
    model: SharedModel,
    options: EngineOptions,
    queue: Queue<Job>,
    registry: Arc<Registry>,
    totals: Arc<Totals>,
}

/// Why a request is not taken. No work was done for it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refused {
    /// The queue is full.
    #[error("the queue is full")]
    QueueFull,
    /// A request of the same id is under way.
    #[error("a request with this id is under way")]
    IdTaken,
}

/// The running engine.
pub struct Engine {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(model: SharedModel, options: EngineOptions) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            model,
            options,
            queue: Queue::new(options.queue_max),
            registry: Arc::new(Registry::default()),
            totals: Arc::new(Totals::default()),
        });
        for number in 0..options.threads {
            let shared = Arc::clone(&shared);
            // Not joined: the process waits for its requests, not for its threads.
            std::thread::Builder::new().name(format!("engine-{number}")).spawn(move || thread::run(&shared))?;
        }
        Ok(Self { shared })
    }

    /// The model that is served.
    #[must_use]
    pub fn model(&self) -> &SharedModel {
        &self.shared.model
    }

    /// Its sizes.
    #[must_use]
    pub fn options(&self) -> EngineOptions {
        self.shared.options
    }

    /// Its requests.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    /// What it has done.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.shared.totals
    }

    /// Requests that wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.shared.queue.length()
    }

    /// Takes a request. Dropping the receiver cancels it within one step.
    ///
    /// # Errors
    /// [`Refused`], before any work.
    pub fn submit(&self, request: Request) -> Result<Receiver<Event>, Refused> {
        let Request { id, prompt, max_tokens, sampling, stops, ignore_end, stream } = request;
        let registry = &self.shared.registry;
        let cancel = registry.enter(&id, &self.shared.model.info.id, stream).ok_or(Refused::IdTaken)?;
        let (events, receiver) = channel(EVENTS_MAX);
        let queued_at = now();
        let job = Job { id, prompt, max_tokens, sampling, stops, ignore_end, queued_at, cancel, events };
        if let Err(job) = self.shared.queue.push(job) {
            registry.forget(&job.id);
            self.shared.totals.refused();
            return Err(Refused::QueueFull);
        }
        Ok(receiver)
    }
}
