//! The forward pass of a decoder-only transformer, for one sequence: the shapes of Llama and of Gemma 3 in one.
//!
//! Knows tensors; does not know files, tokens as text, or other sequences. Weights are shared and never written.

use candle_core::{DType, Device, Result, Tensor};

use super::{gelu::gelu_tanh, kv::KvCache, linear::Linear, rope::Rope};

/// A normalisation: `x / rms(x) * weight`.
#[derive(Clone, Debug)]
pub(super) struct RmsNorm {
    pub(super) weight: Tensor,
    pub(super) epsilon: f32,
}

impl RmsNorm {
    fn forward(&self, rows: &Tensor) -> Result<Tensor> {
        candle_nn::ops::rms_norm(rows, &self.weight, self.epsilon)
    }
}

/// What stands between the two halves of a gated feed-forward layer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Activation {
    /// Llama.
    Silu,
    /// Gemma: GELU by its tanh approximation.
    GeluTanh,
}

/// The attention of one layer.
#[derive(Debug)]
pub(super) struct Attention {
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) output: Linear,
    /// Gemma: a normalisation of each head.
    pub(super) head_norms: Option<(RmsNorm, RmsNorm)>,
    pub(super) rope: Rope,
    /// Positions that a query looks back over, itself included; none: all.
    pub(super) window: Option<usize>,
}

/// The feed-forward part of one layer.
#[derive(Debug)]
pub(super) struct FeedForward {
    pub(super) gate: Linear,
    pub(super) up: Linear,
    pub(super) down: Linear,
}

/// One layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) attention_norm: RmsNorm,
    pub(super) attention: Attention,
    /// Gemma: before the residual sum.
    pub(super) attention_post_norm: Option<RmsNorm>,
    pub(super) feed_forward_norm: RmsNorm,
    pub(super) feed_forward: FeedForward,
    /// Gemma: before the residual sum.
    pub(super) feed_forward_post_norm: Option<RmsNorm>,
}

/// The sizes that the forward pass needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    pub(super) activation: Activation,
    /// Gemma multiplies its embeddings by the root of their size.
    pub(super) embedding_scale: Option<f64>,
}

/// A whole model.
#[derive(Debug)]
pub struct Decoder {
    pub(super) shape: Shape,
    pub(super) embedding: Linear,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: RmsNorm,
    pub(super) head: Linear,
}

impl Decoder {
    /// An empty cache for a new sequence.
    ///
    /// # Errors
    /// When memory cannot be had.
    pub fn new_cache(&self) -> Result<KvCache> {
        KvCache::new(self.layers.len(), self.shape.kv_heads, self.shape.head_dim)
    }

    /// Takes the next tokens of a sequence into its cache, without asking what comes after them.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn prefill(&self, tokens: &[u32], cache: &mut KvCache) -> Result<()> {
        self.states(tokens, cache).map(drop)
    }

    /// As [`Self::prefill`], and gives the logits of the token that comes after the last: one a word of the vocabulary.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn next_logits(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Vec<f32>> {
        let states = self.states(tokens, cache)?;
        let last = states.narrow(0, tokens.len().saturating_sub(1), 1)?.contiguous()?;
        self.head.forward(&self.norm.forward(&last)?)?.flatten_all()?.to_vec1()
    }

    /// (tokens, size): the states behind the last layer.
    fn states(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Tensor> {
        let ids = Tensor::new(tokens, &Device::Cpu)?;
        let mut states = self.embedding.rows(&ids)?;
        if let Some(scale) = self.shape.embedding_scale {
            states = (states * scale)?;
        }
        cache.reserve(tokens.len())?;
        let mut masks = Masks::new(tokens.len(), cache.length());
        for (index, layer) in self.layers.iter().enumerate() {
            states = self.layer(index, layer, &states, cache, &mut masks)?;
        }
        cache.advance(tokens.len());
        Ok(states)
    }

    fn layer(
        &self,
        index: usize,
        layer: &Layer,
        states: &Tensor,
        cache: &KvCache,
        masks: &mut Masks,
    ) -> Result<Tensor> {
        let attended = self.attention(index, &layer.attention, &layer.attention_norm.forward(states)?, cache, masks)?;
        let attended = match &layer.attention_post_norm {
            Some(norm) => norm.forward(&attended)?,
            None => attended,
        };
        let states = (states + attended)?;
        let fed = self.feed_forward(&layer.feed_forward, &layer.feed_forward_norm.forward(&states)?)?;
        let fed = match &layer.feed_forward_post_norm {
            Some(norm) => norm.forward(&fed)?,
            None => fed,
        };
        states + fed
    }

    fn attention(
        &self,
        index: usize,
        attention: &Attention,
        rows: &Tensor,
        cache: &KvCache,
        masks: &mut Masks,
    ) -> Result<Tensor> {
        let Shape { heads, kv_heads, head_dim, .. } = self.shape;
        let tokens = rows.dim(0)?;
        let position = cache.length();
        let split = |projected: Tensor, heads: usize| projected.reshape((1, tokens, heads, head_dim))?.transpose(1, 2);
        let mut query = split(attention.query.forward(rows)?, heads)?.contiguous()?;
        let mut key = split(attention.key.forward(rows)?, kv_heads)?.contiguous()?;
        let value = split(attention.value.forward(rows)?, kv_heads)?.contiguous()?;
        if let Some((query_norm, key_norm)) = &attention.head_norms {
            query = query_norm.forward(&query)?;
            key = key_norm.forward(&key)?;
        }
        let query = attention.rope.apply(&query, position)?;
        let key = attention.rope.apply(&key, position)?;
        let from = attention.window.map_or(0, |window| (position + 1).saturating_sub(window));
        let (keys, values) = cache.append(index, &key.squeeze(0)?, &value.squeeze(0)?, from)?;
        // Query heads that share a key head stand together, so that keys are never copied per head.
        let group = heads / kv_heads;
        let query = query.reshape((kv_heads, group * tokens, head_dim))?;
        let scores = (query.matmul(&keys.t()?)? * scale(head_dim))?;
        let scores = match masks.of(attention.window, from)? {
            Some(mask) => {
                let seen = keys.dim(1)?;
                scores.reshape((heads, tokens, seen))?.broadcast_add(&mask)?.reshape((
                    kv_heads,
                    group * tokens,
                    seen,
                ))?
            }
            None => scores,
        };
        let weights = candle_nn::ops::softmax_last_dim(&scores)?;
        let mixed = weights.matmul(&values)?.reshape((heads, tokens, head_dim))?;
        attention.output.forward(&mixed.transpose(0, 1)?.reshape((tokens, heads * head_dim))?)
    }

    fn feed_forward(&self, layer: &FeedForward, rows: &Tensor) -> Result<Tensor> {
        let gate = layer.gate.forward(rows)?;
        let gate = match self.shape.activation {
            Activation::Silu => gate.silu()?,
            Activation::GeluTanh => gelu_tanh(&gate)?,
        };
        layer.down.forward(&(gate * layer.up.forward(rows)?)?)
    }
}

/// One over the root of the head size.
#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "head sizes are far below 2^53")]
fn scale(head_dim: usize) -> f64 {
    1.0 / (head_dim as f64).sqrt()
}

/// Which positions each new token may look at; made once a pass and window, none where every position may be seen.
struct Masks {
    tokens: usize,
    position: usize,
    made: Vec<(Option<usize>, Tensor)>,
}

impl Masks {
    const fn new(tokens: usize, position: usize) -> Self {
        Self { tokens, position, made: Vec::new() }
    }

    /// (tokens, positions from `from` on): 0 where it may look, minus infinity where not.
    fn of(&mut self, window: Option<usize>, from: usize) -> Result<Option<Tensor>> {
        if self.tokens == 1 {
            return Ok(None);
        }
        if let Some((_, mask)) = self.made.iter().find(|(made, _)| *made == window) {
            return Ok(Some(mask.clone()));
        }
        let seen = self.position + self.tokens - from;
        let mut values = Vec::with_capacity(self.tokens * seen);
        for token in 0..self.tokens {
            let at = self.position + token;
            values.extend((from..from + seen).map(|other| {
                let visible = other <= at && window.is_none_or(|window| other + window > at);
                if visible { 0.0_f32 } else { f32::NEG_INFINITY }
            }));
        }
        let mask = Tensor::from_vec(values, (1, self.tokens, seen), &Device::Cpu)?.to_dtype(DType::F32)?;
        self.made.push((window, mask.clone()));
        Ok(Some(mask))
    }
}

#[cfg(test)]
mod tests;
