//! The forward pass against a dumb one: plain loops over f64, one token at a time, the whole past looked at anew.

use candle_core::{Device, Tensor};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

const SIZE: usize = 16;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD_DIM: usize = 8;
const INNER: usize = 24;
const VOCABULARY: usize = 11;
const BASE: f32 = 100.0;
const EPSILON: f32 = 1e-5;

struct Random(StdRng);

impl Random {
    fn tensor(&mut self, shape: &[usize], around: f32) -> Tensor {
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| around + self.0.random_range(-0.5..0.5)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn matrix(&mut self, outputs: usize, inputs: usize) -> Linear {
        Linear::plain(self.tensor(&[outputs, inputs], 0.0))
    }

    fn norm(&mut self, size: usize) -> RmsNorm {
        RmsNorm { weight: self.tensor(&[size], 1.0), epsilon: EPSILON }
    }

    /// Gemma's shape when there are windows and norms of heads, Llama's otherwise.
    fn decoder(&mut self, gemma: bool, windows: &[Option<usize>]) -> Decoder {
        let layers = windows
            .iter()
            .map(|window| Layer {
                attention_norm: self.norm(SIZE),
                attention: Attention {
                    query: self.matrix(HEADS * HEAD_DIM, SIZE),
                    key: self.matrix(KV_HEADS * HEAD_DIM, SIZE),
                    value: self.matrix(KV_HEADS * HEAD_DIM, SIZE),
                    output: self.matrix(SIZE, HEADS * HEAD_DIM),
                    head_norms: gemma.then(|| (self.norm(HEAD_DIM), self.norm(HEAD_DIM))),
                    rope: Rope::new(BASE, HEAD_DIM, 512, 1.0).unwrap(),
                    window: *window,
                },
                attention_post_norm: gemma.then(|| self.norm(SIZE)),
                feed_forward_norm: self.norm(SIZE),
                feed_forward: FeedForward {
                    gate: self.matrix(INNER, SIZE),
                    up: self.matrix(INNER, SIZE),
                    down: self.matrix(SIZE, INNER),
                },
                feed_forward_post_norm: gemma.then(|| self.norm(SIZE)),
            })
            .collect();
        let activation = if gemma { Activation::GeluTanh } else { Activation::Silu };
        let embedding_scale = gemma.then_some(4.0);
        let shape = Shape { heads: HEADS, kv_heads: KV_HEADS, head_dim: HEAD_DIM, activation, embedding_scale };
        let (embedding, head) = (self.matrix(VOCABULARY, SIZE), self.matrix(VOCABULARY, SIZE));
        Decoder { shape, embedding, layers, norm: self.norm(SIZE), head }
    }
}

fn rows(linear: &Linear) -> Vec<Vec<f64>> {
    let Linear::Plain(weight) = linear else { panic!("a plain matrix") };
    weight.to_vec2::<f32>().unwrap().into_iter().map(|row| row.into_iter().map(f64::from).collect()).collect()
}

fn times(linear: &Linear, x: &[f64]) -> Vec<f64> {
    rows(linear).iter().map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
}

fn normed(norm: &RmsNorm, x: &[f64]) -> Vec<f64> {
    let weight = norm.weight.to_vec1::<f32>().unwrap();
    let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    let root = (mean + f64::from(norm.epsilon)).sqrt();
    x.iter().zip(weight).map(|(x, weight)| x / root * f64::from(weight)).collect()
}

fn turned(head: &[f64], position: usize) -> Vec<f64> {
    let half = HEAD_DIM / 2;
    let mut out = head.to_vec();
    for pair in 0..half {
        let angle = position as f64 * f64::from(BASE).powf(-2.0 * pair as f64 / HEAD_DIM as f64);
        let (a, b) = (head[pair], head[pair + half]);
        out[pair] = a * angle.cos() - b * angle.sin();
        out[pair + half] = b * angle.cos() + a * angle.sin();
    }
    out
}

fn add(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// The logits behind the last of `tokens`.
fn dumb(decoder: &Decoder, tokens: &[u32]) -> Vec<f64> {
    let scale = decoder.shape.embedding_scale.unwrap_or(1.0);
    let table = rows(&decoder.embedding);
    let mut states: Vec<Vec<f64>> =
        tokens.iter().map(|token| table[*token as usize].iter().map(|x| x * scale).collect()).collect();
    for layer in &decoder.layers {
        let attention = &layer.attention;
        let heads_of = |projected: Vec<f64>, norm: Option<&RmsNorm>| -> Vec<Vec<f64>> {
            projected
                .chunks(HEAD_DIM)
                .map(|head| norm.map_or_else(|| head.to_vec(), |norm| normed(norm, head)))
                .collect()
        };
        let norms = attention.head_norms.as_ref();
        let inputs: Vec<Vec<f64>> = states.iter().map(|state| normed(&layer.attention_norm, state)).collect();
        let project = |linear: &Linear, norm: Option<&RmsNorm>| -> Vec<Vec<Vec<f64>>> {
            inputs.iter().map(|input| heads_of(times(linear, input), norm)).collect()
        };
        let queries = project(&attention.query, norms.map(|norms| &norms.0));
        let keys = project(&attention.key, norms.map(|norms| &norms.1));
        let values = project(&attention.value, None);
        states = (0..tokens.len())
            .map(|at| {
                let mut mixed = Vec::new();
                for (head, query) in queries[at].iter().enumerate() {
                    let kv = head / (HEADS / KV_HEADS);
                    let query = turned(query, at);
                    let from = attention.window.map_or(0, |window| (at + 1).saturating_sub(window));
                    let scores: Vec<f64> = (from..=at)
                        .map(|other| {
                            let key = turned(&keys[other][kv], other);
                            let dot: f64 = query.iter().zip(&key).map(|(q, k)| q * k).sum();
                            (dot / (HEAD_DIM as f64).sqrt()).exp()
                        })
                        .collect();
                    let total: f64 = scores.iter().sum();
                    mixed.extend((0..HEAD_DIM).map(|lane| {
                        let seen = (from..=at).zip(&scores);
                        seen.map(|(other, score)| score / total * values[other][kv][lane]).sum::<f64>()
                    }));
                }
                let attended = times(&attention.output, &mixed);
                let attended =
                    layer.attention_post_norm.as_ref().map_or(attended.clone(), |norm| normed(norm, &attended));
                let state = add(&states[at], &attended);
                let input = normed(&layer.feed_forward_norm, &state);
                let act = |x: f64| match decoder.shape.activation {
                    Activation::Silu => x / (1.0 + (-x).exp()),
                    Activation::GeluTanh => {
                        0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
                    }
                };
                let gate: Vec<f64> = times(&layer.feed_forward.gate, &input).into_iter().map(act).collect();
                let up = times(&layer.feed_forward.up, &input);
                let inner: Vec<f64> = gate.iter().zip(up).map(|(gate, up)| gate * up).collect();
                let fed = times(&layer.feed_forward.down, &inner);
                let fed = layer.feed_forward_post_norm.as_ref().map_or(fed.clone(), |norm| normed(norm, &fed));
                add(&state, &fed)
            })
            .collect();
    }
    times(&decoder.head, &normed(&decoder.norm, states.last().unwrap()))
}

fn assert_near(logits: &[f32], expected: &[f64], what: &str) {
    for (logit, expected) in logits.iter().zip(expected) {
        assert!(
            (f64::from(*logit) - expected).abs() < 2e-3 * (1.0 + expected.abs()),
            "{what}: {logits:?} {expected:?}"
        );
    }
}

#[test]
fn prefill_in_pieces_of_any_size_and_decode_agree_with_a_dumb_forward_pass() {
    for (gemma, windows) in [(false, vec![None, None]), (true, vec![Some(5), Some(3), None])] {
        let mut random = Random(StdRng::seed_from_u64(7));
        let decoder = random.decoder(gemma, &windows);
        let tokens: Vec<u32> = (0..40).map(|_| random.0.random_range(0..VOCABULARY as u32)).collect();
        for length in [1, 2, 5, 6, 17, 40] {
            let expected = dumb(&decoder, &tokens[..length]);
            for piece in [1, 2, 3, 7, 16, 40] {
                let mut cache = decoder.new_cache().unwrap();
                let mut logits = Vec::new();
                for tokens in tokens[..length].chunks(piece) {
                    logits = decoder.next_logits(tokens, &mut cache).unwrap();
                }
                assert_eq!(cache.length(), length);
                assert_near(&logits, &expected, &format!("gemma {gemma}, {length} tokens by {piece}"));
            }
        }
    }
}

#[test]
fn what_lies_behind_the_window_of_the_only_layer_changes_nothing() {
    let decoder = Random(StdRng::seed_from_u64(3)).decoder(true, &[Some(4)]);
    let logits = |tokens: &[u32]| decoder.next_logits(tokens, &mut decoder.new_cache().unwrap()).unwrap();
    let seen = logits(&[1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(logits(&[9, 9, 9, 4, 5, 6, 7]), seen);
    assert_ne!(logits(&[1, 2, 3, 9, 5, 6, 7]), seen);
}

#[test]
fn a_cache_that_grows_keeps_what_it_holds() {
    let decoder = Random(StdRng::seed_from_u64(5)).decoder(false, &[None]);
    let tokens: Vec<u32> = (0..300).map(|at| at % VOCABULARY as u32).collect();
    let mut grown = decoder.new_cache().unwrap();
    for token in &tokens[..299] {
        decoder.prefill(&[*token], &mut grown).unwrap();
    }
    let logits = decoder.next_logits(&tokens[299..], &mut grown).unwrap();
    assert_near(&logits, &dumb(&decoder, &tokens), "300 tokens");
}
