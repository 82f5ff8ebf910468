//! One training run: batches, steps, losses.

use candle_core::{Device, Result, Tensor};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};

use super::{dice::Dice, network::Network};

/// Tokens of one step.
const STEP_TOKENS: usize = 2048;
/// Tokens of most sequences.
pub(super) const SEQUENCE_TOKENS: usize = 128;
/// Tokens of the sequences of every [`LONG_EVERY`]th step: what the model can look back over.
pub(super) const LONG_TOKENS: usize = 512;
/// See [`LONG_TOKENS`].
const LONG_EVERY: usize = 6;
/// Sequences that are judged by.
const JUDGED: usize = 32;
/// The steps in which the rate rises.
const WARM_UP: usize = 20;
/// Highest rate of learning.
const RATE_MAX: f64 = 4e-3;
/// Rate at the end.
const RATE_MIN: f64 = 2e-4;
/// Steps over which the final loss is a mean.
const FINAL_STEPS: usize = 20;

/// What a run gives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trained {
    pub(super) tokens: usize,
    pub(super) final_loss: f64,
}

/// Trains on documents of tokens. Every sequence begins where a document begins, as a prompt does.
pub(super) fn train(network: &Network, documents: &[Vec<u32>], steps: usize, dice: &mut Dice) -> Result<Trained> {
    let rate = ParamsAdamW { lr: 0.0, beta2: 0.98, weight_decay: 0.05, ..ParamsAdamW::default() };
    let mut optimiser = AdamW::new(network.variables(), rate)?;
    let mut last_losses = Vec::with_capacity(FINAL_STEPS);
    let mut tokens = 0;
    for step in 0..steps {
        let length = if step % LONG_EVERY == LONG_EVERY - 1 { LONG_TOKENS } else { SEQUENCE_TOKENS };
        let sequences: Vec<Vec<u32>> = (0..STEP_TOKENS / length).map(|_| sequence(documents, length, dice)).collect();
        let loss = loss(network, &sequences)?;
        optimiser.set_learning_rate(rate_at(step, steps));
        optimiser.backward_step(&loss)?;
        tokens += STEP_TOKENS;
        let loss = f64::from(loss.to_scalar::<f32>()?);
        if step + FINAL_STEPS >= steps {
            last_losses.push(loss);
        }
        if step % 50 == 0 {
            tracing::info!(step, steps, loss, "training");
        }
    }
    Ok(Trained { tokens, final_loss: mean(&last_losses) })
}

/// The mean loss, in nats a token, over the first sequences of documents.
///
/// # Errors
/// When a tensor operation fails.
pub(super) fn validation_loss(network: &Network, documents: &[Vec<u32>]) -> Result<f64> {
    let all: Vec<u32> = documents.iter().flatten().copied().collect();
    let mut losses = Vec::with_capacity(JUDGED);
    for sequence in all.chunks_exact(SEQUENCE_TOKENS + 1).take(JUDGED) {
        losses.push(f64::from(loss(network, &[sequence.to_vec()])?.to_scalar::<f32>()?));
    }
    Ok(mean(&losses))
}

/// Documents by chance, up to one token more than a sequence has: the last is only guessed.
fn sequence(documents: &[Vec<u32>], tokens: usize, dice: &mut Dice) -> Vec<u32> {
    let mut sequence = Vec::with_capacity(tokens * 2);
    while sequence.len() <= tokens {
        match documents.get(dice.below(documents.len())) {
            Some(document) if !document.is_empty() => sequence.extend_from_slice(document),
            _ => sequence.push(0),
        }
    }
    sequence.truncate(tokens + 1);
    sequence
}

/// Cross entropy of each sequence's tokens but the first. All are of one length.
fn loss(network: &Network, sequences: &[Vec<u32>]) -> Result<Tensor> {
    let tokens = sequences.first().map_or(0, Vec::len).saturating_sub(1);
    let ids = Tensor::from_vec(sequences.concat(), (sequences.len(), tokens + 1), &Device::Cpu)?;
    let logits = network.logits(&ids.narrow(1, 0, tokens)?.contiguous()?)?;
    let next = ids.narrow(1, 1, tokens)?.contiguous()?.flatten_all()?;
    candle_nn::loss::cross_entropy(&logits.flatten_to(1)?, &next)
}

/// Rises in a line, then falls as a cosine.
fn rate_at(step: usize, steps: usize) -> f64 {
    if step < WARM_UP {
        return RATE_MAX * as_f64(step + 1) / as_f64(WARM_UP);
    }
    let done = as_f64(step - WARM_UP) / as_f64(steps.saturating_sub(WARM_UP).max(1));
    RATE_MIN + (RATE_MAX - RATE_MIN) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / as_f64(values.len().max(1))
}

/// Small counts are exact in f64.
#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "counts are far below 2^53")]
const fn as_f64(count: usize) -> f64 {
    count as f64
}
