//! An engine thread: takes requests from the queue and goes round them, one step each, until they have ended.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::{
    Event, Job, Shared,
    sequence::{Sequence, Step, StepError, deliver},
    usage::{FinishReason, Usage},
};
use crate::clock::{micros, now};

/// When every caller of this thread is slower than the model, so long is waited before the next look.
const STALL_WAIT: Duration = Duration::from_millis(2);

/// Runs for as long as the process.
pub(super) fn run(shared: &Arc<Shared>) -> ! {
    // One compute thread: a second one would wait for the first by spinning, and everybody's requests would wait with it.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    if let Err(error) = &pool {
        tracing::warn!(%error, "an engine thread shares its compute threads");
    }
    let mut sequences: Vec<Sequence> = Vec::new();
    loop {
        if sequences.is_empty() {
            begin(shared, shared.queue.wait(), &mut sequences);
        } else if sequences.len() < shared.options.sequences_max
            && let Some(job) = shared.queue.take_more()
        {
            begin(shared, job, &mut sequences);
        }
        for job in shared.queue.take_where(|job: &Job| job.cancel.is_cancelled() || job.events.is_closed()) {
            end_unbegun(shared, &job, Ok(FinishReason::Cancelled));
        }
        let mut stalled = 0;
        let mut index = 0;
        while let Some(sequence) = sequences.get_mut(index) {
            match step(shared, sequence) {
                Ok(Step::Again) => index += 1,
                Ok(Step::Stalled) => {
                    stalled += 1;
                    index += 1;
                }
                Ok(Step::Ended(reason)) => end(shared, &sequences.swap_remove(index), Ok(reason)),
                Err(error) => end(shared, &sequences.swap_remove(index), Err(error)),
            }
        }
        if stalled > 0 && stalled == sequences.len() {
            std::thread::sleep(STALL_WAIT);
        }
    }
}

fn begin(shared: &Shared, job: Job, sequences: &mut Vec<Sequence>) {
    shared.registry.started(&job.id);
    shared.totals.queued(micros(now().saturating_duration_since(job.queued_at)));
    match shared.model.decoder.new_cache() {
        Ok(cache) => sequences.push(Sequence::new(job, cache, shared.options.threads)),
        Err(error) => end_unbegun(shared, &job, Err(error.into())),
    }
}

/// A step that panics fails its own request and no other.
fn step(shared: &Shared, sequence: &mut Sequence) -> Result<Step, StepError> {
    let before = sequence.usage(false).worker;
    let stepped = catch_unwind(AssertUnwindSafe(|| sequence.step(&shared.model, shared.options.prefill_chunk_tokens)));
    let after = sequence.usage(false).worker;
    shared.totals.busy(
        after.prefill_busy_us.saturating_sub(before.prefill_busy_us),
        after.decode_busy_us.saturating_sub(before.decode_busy_us),
    );
    stepped.unwrap_or(Err(StepError::Panicked))
}

fn end(shared: &Shared, sequence: &Sequence, ended: Result<FinishReason, StepError>) {
    finish(shared, &sequence.job, sequence.usage(true), ended);
}

/// A request that no step was done for.
fn end_unbegun(shared: &Shared, job: &Job, ended: Result<FinishReason, StepError>) {
    let mut usage = Usage::default();
    usage.worker.queue_us = micros(now().saturating_duration_since(job.queued_at));
    usage.worker.engine_threads = shared.options.threads;
    finish(shared, job, usage, ended);
}

/// The final record is kept and logged whether or not the caller is still there.
fn finish(shared: &Shared, job: &Job, usage: Usage, ended: Result<FinishReason, StepError>) {
    let error = ended.as_ref().err().map(ToString::to_string);
    let reason = ended.as_ref().ok().copied();
    tracing::info!(
        request_id = job.id,
        finish_reason = reason.map_or("error", FinishReason::name),
        error,
        prompt_tokens = usage.prompt_tokens,
        completion_tokens = usage.completion_tokens,
        queue_us = usage.worker.queue_us,
        prefill_busy_us = usage.worker.prefill_busy_us,
        decode_busy_us = usage.worker.decode_busy_us,
        "a request has ended"
    );
    shared.totals.ended(reason, &usage);
    shared.registry.finished(&job.id, reason, error.clone(), usage);
    deliver(
        &job.events,
        match reason {
            Some(reason) => Event::Ended { reason, usage },
            None => Event::Failed { message: error.unwrap_or_default(), usage },
        },
    );
}
