//! One request on its engine thread: a step at a time, each step's processor time counted where it belongs.

use std::{sync::Arc, time::Instant};

use tokio::sync::mpsc::{Sender, error::TrySendError};

use super::{
    Event, Job,
    usage::{FinishReason, Usage},
};
use crate::{
    clock::{micros, now, thread_busy},
    model::{Model, kv::KvCache},
    sampling::{Sampler, SamplingError},
    text::{
        decode::TextStream,
        stop::{Passed, StopWatch},
        tokenizer::TokenizerError,
    },
};

/// A caller that does not read for so long has left, milliseconds.
const STALLED_MS_MAX: u128 = 60_000;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    /// A tensor operation.
    #[error("the model failed: {0}")]
    Candle(#[from] candle_core::Error),
    /// No token could be picked.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A step broke off.
    #[error("the engine broke off")]
    Panicked,
}

/// How a request goes on after a step.
#[derive(Debug)]
pub(super) enum Step {
    /// With another step.
    Again,
    /// Its caller reads more slowly than the model writes: a step now would have to hold its text.
    Stalled,
    /// It has ended.
    Ended(FinishReason),
}

/// A request under way.
pub(super) struct Sequence {
    pub(super) job: Job,
    cache: KvCache,
    sampler: Sampler,
    text: TextStream,
    stops: StopWatch,
    /// Prompt tokens computed so far.
    computed: usize,
    last: Option<u32>,
    sampled: u64,
    queue_us: u64,
    prefill_ns: u128,
    decode_ns: u128,
    engine_threads: u32,
    stalled_since: Option<Instant>,
}

impl Sequence {
    pub(super) fn new(job: Job, cache: KvCache, engine_threads: u32) -> Self {
        Self {
            cache,
            sampler: Sampler::new(job.sampling, &job.prompt),
            text: TextStream::default(),
            stops: StopWatch::new(job.stops.clone()),
            computed: 0,
            last: None,
            sampled: 0,
            queue_us: micros(now().saturating_duration_since(job.queued_at)),
            prefill_ns: 0,
            decode_ns: 0,
            engine_threads,
            stalled_since: None,
            job,
        }
    }

    /// What it has used so far. Until it has ended, the whole prompt counts: it is about to be computed.
    pub(super) fn usage(&self, ended: bool) -> Usage {
        let prompt = if ended { self.computed } else { self.job.prompt.len() };
        let prompt_tokens = u64::try_from(prompt).unwrap_or(u64::MAX);
        let mut usage = Usage { prompt_tokens, completion_tokens: self.sampled, ..Usage::default() };
        usage.total_tokens = prompt_tokens.saturating_add(self.sampled);
        usage.worker.queue_us = self.queue_us;
        usage.worker.prefill_busy_us = whole_us(self.prefill_ns);
        usage.worker.decode_busy_us = whole_us(self.decode_ns);
        usage.worker.engine_threads = self.engine_threads;
        usage
    }

    /// Goes one step on: a piece of the prompt, or one token.
    pub(super) fn step(&mut self, model: &Model, prefill_chunk: usize) -> Result<Step, StepError> {
        if self.job.cancel.is_cancelled() || self.job.events.is_closed() {
            return Ok(Step::Ended(FinishReason::Cancelled));
        }
        if self.job.events.capacity() < 2 {
            return Ok(self.stalled());
        }
        self.stalled_since = None;
        let begun = thread_busy();
        let prefilling = self.computed < self.job.prompt.len();
        let stepped = if prefilling { self.prefill(model, prefill_chunk) } else { self.decode(model) };
        let busy = thread_busy().saturating_sub(begun).as_nanos();
        if prefilling {
            self.prefill_ns += busy;
        } else {
            self.decode_ns += busy;
        }
        let (step, text, id) = stepped?;
        if let Some(id) = id {
            self.send(Event::Token { id, text, usage: self.usage(false) });
        }
        Ok(step)
    }

    fn stalled(&mut self) -> Step {
        let since = *self.stalled_since.get_or_insert_with(now);
        if now().saturating_duration_since(since).as_millis() > STALLED_MS_MAX {
            return Step::Ended(FinishReason::Cancelled);
        }
        Step::Stalled
    }

    fn prefill(&mut self, model: &Model, chunk: usize) -> Result<(Step, String, Option<u32>), StepError> {
        let until = self.job.prompt.len().min(self.computed + chunk.max(1));
        let tokens = self.job.prompt.get(self.computed..until).unwrap_or_default();
        if until < self.job.prompt.len() {
            model.decoder.prefill(tokens, &mut self.cache)?;
            self.computed = until;
            return Ok((Step::Again, String::new(), None));
        }
        let logits = model.decoder.next_logits(tokens, &mut self.cache)?;
        self.computed = until;
        self.token(logits, model)
    }

    fn decode(&mut self, model: &Model) -> Result<(Step, String, Option<u32>), StepError> {
        let logits = model.decoder.next_logits(self.last.as_slice(), &mut self.cache)?;
        self.token(logits, model)
    }

    /// Picks a token, and says whether the answer ends with it.
    fn token(&mut self, logits: Vec<f32>, model: &Model) -> Result<(Step, String, Option<u32>), StepError> {
        let id = self.sampler.pick(logits)?;
        self.sampled += 1;
        self.last = Some(id);
        if model.tokenizer.is_end(id) && !self.job.ignore_end {
            let held = self.rest(model)?;
            return Ok((Step::Ended(FinishReason::Stop), held, Some(id)));
        }
        let certain = self.text.push(id, &model.tokenizer)?;
        let mut text = match self.stops.push(&certain) {
            Passed::On(text) => text,
            Passed::Stopped(text) => return Ok((Step::Ended(FinishReason::Stop), text, Some(id))),
        };
        let full = self.cache.length() + 1 >= model.info.context_tokens_max;
        if self.sampled >= self.job.max_tokens || full {
            text.push_str(&self.rest(model)?);
            return Ok((Step::Ended(FinishReason::Length), text, Some(id)));
        }
        Ok((Step::Again, text, Some(id)))
    }

    /// Text that was held back, at the end.
    fn rest(&mut self, model: &Model) -> Result<String, TokenizerError> {
        let last = self.text.finish(&model.tokenizer)?;
        Ok(match self.stops.push(&last) {
            Passed::On(text) => text + &self.stops.finish(),
            Passed::Stopped(text) => text,
        })
    }

    /// There is room for two: a token and an end.
    pub(super) fn send(&self, event: Event) {
        deliver(&self.job.events, event);
    }
}

/// A caller that has left, or whose channel is full at its end, does not get it; the final record has it all.
pub(super) fn deliver(events: &Sender<Event>, event: Event) {
    match events.try_send(event) {
        Ok(()) | Err(TrySendError::Closed(_)) => {}
        Err(TrySendError::Full(_)) => tracing::warn!("a caller does not read its answer"),
    }
}

fn whole_us(nanoseconds: u128) -> u64 {
    u64::try_from(nanoseconds / 1000).unwrap_or(u64::MAX)
}

/// The model, shared by the threads.
pub(super) type SharedModel = Arc<Model>;
