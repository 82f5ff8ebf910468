//! Picks the next token from logits: greedy, or seeded sampling with temperature, top-k, top-p, and penalties.

use std::collections::HashMap;

use rand::{Rng, SeedableRng, rngs::StdRng};

/// Of so many most likely tokens a nucleus is looked for first; only a flatter distribution sorts the whole vocabulary.
const NUCLEUS_FIRST: usize = 512;

/// How tokens are picked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingOptions {
    /// 0 picks the most likely token.
    pub temperature: f32,
    /// Of the most likely tokens that have this share together; 1 for all.
    pub top_p: f32,
    /// Of so many most likely tokens; 0 for all.
    pub top_k: usize,
    /// Taken from the logit of a token for each time that it was sampled.
    pub frequency_penalty: f32,
    /// Taken from the logit of a token that was sampled.
    pub presence_penalty: f32,
    /// Divides the positive logits of tokens of prompt and answer, multiplies the negative ones; 1 for none.
    pub repetition_penalty: f32,
    /// The same seed gives the same answer on the same machine.
    pub seed: u64,
}

/// Why no token can be picked.
#[derive(Debug, thiserror::Error)]
pub enum SamplingError {
    /// The model gave no numbers to choose from.
    #[error("the model's output is not a number")]
    NotANumber,
}

/// The sampler of one answer.
#[derive(Debug)]
pub struct Sampler {
    options: SamplingOptions,
    random: StdRng,
    prompt: Vec<u32>,
    sampled: HashMap<u32, u32>,
}

impl Sampler {
    /// A sampler at the beginning of an answer.
    #[must_use]
    pub fn new(options: SamplingOptions, prompt: &[u32]) -> Self {
        let prompt = if same(options.repetition_penalty, 1.0) { Vec::new() } else { prompt.to_vec() };
        Self { options, random: StdRng::seed_from_u64(options.seed), prompt, sampled: HashMap::new() }
    }

    /// Picks a token and remembers it.
    ///
    /// # Errors
    /// [`SamplingError::NotANumber`].
    pub fn pick(&mut self, mut logits: Vec<f32>) -> Result<u32, SamplingError> {
        self.penalise(&mut logits);
        let best = argmax(&logits).ok_or(SamplingError::NotANumber)?;
        let token = if self.options.temperature <= 0.0 { best } else { self.sample(&logits, best)? };
        let token = u32::try_from(token).map_err(|_| SamplingError::NotANumber)?;
        *self.sampled.entry(token).or_default() += 1;
        Ok(token)
    }

    fn penalise(&self, logits: &mut [f32]) {
        let SamplingOptions { frequency_penalty, presence_penalty, repetition_penalty, .. } = self.options;
        let at = |token: u32| usize::try_from(token).unwrap_or(usize::MAX);
        if !same(repetition_penalty, 1.0) {
            let seen: std::collections::HashSet<u32> = self.prompt.iter().chain(self.sampled.keys()).copied().collect();
            for token in seen {
                if let Some(logit) = logits.get_mut(at(token)) {
                    *logit = if *logit > 0.0 { *logit / repetition_penalty } else { *logit * repetition_penalty };
                }
            }
        }
        if same(frequency_penalty, 0.0) && same(presence_penalty, 0.0) {
            return;
        }
        for (token, times) in &self.sampled {
            if let Some(logit) = logits.get_mut(at(*token)) {
                *logit -= frequency_penalty * as_f32(*times) + presence_penalty;
            }
        }
    }

    fn sample(&mut self, logits: &[f32], best: usize) -> Result<usize, SamplingError> {
        let temperature = self.options.temperature;
        let highest = logits.get(best).copied().ok_or(SamplingError::NotANumber)?;
        let weight = |logit: f32| ((logit - highest) / temperature).exp();
        let mut candidates: Vec<(f32, usize)> =
            logits.iter().enumerate().map(|(token, logit)| (weight(*logit), token)).collect();
        let total: f32 = candidates.iter().map(|(weight, _)| weight).sum();
        let top_k = if self.options.top_k == 0 { candidates.len() } else { self.options.top_k.min(candidates.len()) };
        if top_k < candidates.len() {
            keep_most_likely(&mut candidates, top_k);
        }
        if self.options.top_p < 1.0 {
            let kept: f32 =
                if top_k < logits.len() { candidates.iter().map(|(weight, _)| weight).sum() } else { total };
            self.nucleus(&mut candidates, kept);
        }
        let sum: f32 = candidates.iter().map(|(weight, _)| weight).sum();
        let mut left = self.random.random::<f32>() * sum;
        for (weight, token) in &candidates {
            left -= weight;
            if left <= 0.0 {
                return Ok(*token);
            }
        }
        Ok(candidates.last().map_or(best, |(_, token)| *token))
    }

    /// Keeps the most likely candidates whose weights come to `top_p` of `total`; at least one.
    fn nucleus(&self, candidates: &mut Vec<(f32, usize)>, total: f32) {
        let wanted = self.options.top_p * total;
        let mut first = candidates.clone();
        keep_most_likely(&mut first, NUCLEUS_FIRST.min(candidates.len()));
        if first.iter().map(|(weight, _)| weight).sum::<f32>() >= wanted {
            *candidates = first;
        }
        candidates.sort_unstable_by(by_weight);
        let mut sum = 0.0;
        let enough = candidates.iter().position(|(weight, _)| {
            sum += weight;
            sum >= wanted
        });
        candidates.truncate(enough.map_or(candidates.len(), |at| at + 1).max(1));
    }
}

/// The heaviest first; equal ones by token, so that the order never depends on the sort.
fn by_weight(a: &(f32, usize), b: &(f32, usize)) -> std::cmp::Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

fn keep_most_likely(candidates: &mut Vec<(f32, usize)>, count: usize) {
    if count == 0 || count >= candidates.len() {
        return;
    }
    candidates.select_nth_unstable_by(count - 1, by_weight);
    candidates.truncate(count);
}

/// The first of the highest logits; none when nothing is a number.
fn argmax(logits: &[f32]) -> Option<usize> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    logits.iter().position(|logit| logit.to_bits() == highest.to_bits()).filter(|_| highest.is_finite())
}

fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a == 0.0 && b == 0.0)
}

#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "an answer has far fewer than 2^24 tokens")]
const fn as_f32(count: u32) -> f32 {
    count as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREEDY: SamplingOptions = SamplingOptions {
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        frequency_penalty: 0.0,
        presence_penalty: 0.0,
        repetition_penalty: 1.0,
        seed: 1,
    };

    fn shares(options: SamplingOptions, logits: &[f32]) -> Vec<f32> {
        let mut counts = vec![0_u16; logits.len()];
        for seed in 0..4000 {
            let token = Sampler::new(SamplingOptions { seed, ..options }, &[]).pick(logits.to_vec()).unwrap();
            counts[token as usize] += 1;
        }
        counts.iter().map(|count| f32::from(*count) / 4000.0).collect()
    }

    #[test]
    fn sampling_follows_the_softmax_and_its_cuts() {
        let logits = [0.0, 1.0, 2.0, -30.0];
        let options = SamplingOptions { temperature: 1.0, ..GREEDY };
        for (share, expected) in shares(options, &logits).iter().zip([0.090, 0.245, 0.665, 0.0]) {
            assert!((share - expected).abs() < 0.03, "{share} {expected}");
        }
        let two = shares(SamplingOptions { top_k: 2, ..options }, &logits);
        assert!(two[0] == 0.0 && (two[1] - 0.269).abs() < 0.03, "{two:?}");
        let nucleus = shares(SamplingOptions { top_p: 0.6, ..options }, &logits);
        assert!(nucleus[2] == 1.0, "{nucleus:?}");
        let cold = shares(SamplingOptions { temperature: 0.01, ..options }, &logits);
        assert!(cold[2] == 1.0, "{cold:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_tokens_and_greedy_takes_the_first_of_equals() {
        let logits = vec![1.0; 50];
        let options = SamplingOptions { temperature: 1.0, seed: 7, ..GREEDY };
        let run = || {
            let mut sampler = Sampler::new(options, &[]);
            (0..20).map(|_| sampler.pick(logits.clone()).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
        assert_eq!(Sampler::new(GREEDY, &[]).pick(logits).unwrap(), 0);
    }

    #[test]
    fn penalties_move_the_choice_away_from_what_was_said() {
        let mut sampler = Sampler::new(SamplingOptions { presence_penalty: 1.5, ..GREEDY }, &[]);
        assert_eq!(sampler.pick(vec![2.0, 1.0]).unwrap(), 0);
        assert_eq!(sampler.pick(vec![2.0, 1.0]).unwrap(), 1);
        let mut sampler = Sampler::new(SamplingOptions { frequency_penalty: 0.6, ..GREEDY }, &[]);
        let picked: Vec<u32> = (0..3).map(|_| sampler.pick(vec![2.0, 1.0]).unwrap()).collect();
        assert_eq!(picked, [0, 0, 1]);
        let mut sampler = Sampler::new(SamplingOptions { repetition_penalty: 3.0, ..GREEDY }, &[0]);
        assert_eq!(sampler.pick(vec![2.0, 1.0]).unwrap(), 1);
    }

    #[test]
    fn what_is_no_number_is_an_error_and_never_a_token() {
        assert!(Sampler::new(GREEDY, &[]).pick(vec![f32::NAN; 3]).is_err());
        assert!(Sampler::new(GREEDY, &[]).pick(Vec::new()).is_err());
    }
}
