//! The model while it is trained: a forward pass that can be differentiated, with Hugging Face's names.
//!
//! The serving pass uses fused operations that have no backward pass; a test holds the two against each other.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::{Init, VarBuilder, VarMap};

/// Spread of the first weights.
const INIT_STDEV: f64 = 0.06;
/// Base of the rotary positions.
pub(super) const ROPE_BASE: f32 = 10_000.0;
/// Added under the root of a norm.
pub(super) const EPSILON: f64 = 1e-5;

/// The sizes of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Of a token's state.
    pub(super) hidden: usize,
    /// Layers.
    pub(super) layers: usize,
    /// Query heads.
    pub(super) heads: usize,
    /// Key heads; divides the query heads.
    pub(super) kv_heads: usize,
    /// Of the feed-forward part.
    pub(super) inner: usize,
    /// Tokens of the vocabulary.
    pub(super) vocabulary: usize,
    /// Positions.
    pub(super) positions: usize,
}

struct Layer {
    input_norm: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    output: Tensor,
    post_norm: Tensor,
    gate: Tensor,
    up: Tensor,
    down: Tensor,
}

/// The weights, as variables of a map.
pub(super) struct Trainable {
    sizes: Sizes,
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: Tensor,
    cos: Tensor,
    sin: Tensor,
}

impl Trainable {
    /// Weights of `map`, made where they are missing.
    pub(super) fn new(sizes: Sizes, map: &VarMap) -> Result<Self> {
        let builder = VarBuilder::from_varmap(map, DType::F32, &Device::Cpu).pp("model");
        let head = sizes.hidden / sizes.heads;
        let matrix = |builder: VarBuilder<'_>, name: &str, outputs: usize, inputs: usize| {
            let init = Init::Randn { mean: 0.0, stdev: INIT_STDEV };
            builder.pp(name).get_with_hints((outputs, inputs), "weight", init)
        };
        let norm = |builder: VarBuilder<'_>, name: &str| {
            builder.pp(name).get_with_hints(sizes.hidden, "weight", Init::Const(1.0))
        };
        let mut layers = Vec::with_capacity(sizes.layers);
        for index in 0..sizes.layers {
            let layer = || builder.pp(format!("layers.{index}"));
            let (attention, mlp) = (|| layer().pp("self_attn"), || layer().pp("mlp"));
            layers.push(Layer {
                input_norm: norm(layer(), "input_layernorm")?,
                query: matrix(attention(), "q_proj", sizes.heads * head, sizes.hidden)?,
                key: matrix(attention(), "k_proj", sizes.kv_heads * head, sizes.hidden)?,
                value: matrix(attention(), "v_proj", sizes.kv_heads * head, sizes.hidden)?,
                output: matrix(attention(), "o_proj", sizes.hidden, sizes.heads * head)?,
                post_norm: norm(layer(), "post_attention_layernorm")?,
                gate: matrix(mlp(), "gate_proj", sizes.inner, sizes.hidden)?,
                up: matrix(mlp(), "up_proj", sizes.inner, sizes.hidden)?,
                down: matrix(mlp(), "down_proj", sizes.hidden, sizes.inner)?,
            });
        }
        let (cos, sin) = rotations(head, sizes.positions)?;
        let embedding = matrix(builder.clone(), "embed_tokens", sizes.vocabulary, sizes.hidden)?;
        Ok(Self { sizes, embedding, layers, norm: norm(builder, "norm")?, cos, sin })
    }

    /// (batch, tokens) -> (batch, tokens, vocabulary)
    pub(super) fn logits(&self, ids: &Tensor) -> Result<Tensor> {
        let (batch, tokens) = ids.dims2()?;
        let mut states =
            self.embedding.index_select(&ids.flatten_all()?, 0)?.reshape((batch, tokens, self.sizes.hidden))?;
        let mask = causal_mask(tokens)?;
        for layer in &self.layers {
            let attended = self.attention(layer, &rms_norm(&states, &layer.input_norm)?, &mask)?;
            states = (states + attended)?;
            let input = rms_norm(&states, &layer.post_norm)?;
            let gated = (apply(&input, &layer.gate)?.silu()? * apply(&input, &layer.up)?)?;
            states = (states + apply(&gated, &layer.down)?)?;
        }
        apply(&rms_norm(&states, &self.norm)?, &self.embedding)
    }

    /// Mean cross-entropy of the next token: (batch, tokens + 1) ids.
    pub(super) fn loss(&self, ids: &Tensor) -> Result<Tensor> {
        let tokens = ids.dim(1)? - 1;
        let logits = self.logits(&ids.narrow(1, 0, tokens)?.contiguous()?)?.flatten_to(1)?;
        candle_nn::loss::cross_entropy(&logits, &ids.narrow(1, 1, tokens)?.flatten_all()?)
    }

    fn attention(&self, layer: &Layer, input: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let Sizes { heads, kv_heads, hidden, .. } = self.sizes;
        let (batch, tokens, _) = input.dims3()?;
        let head = hidden / heads;
        let split = |projected: Tensor, heads: usize| {
            projected.reshape((batch, tokens, heads, head))?.transpose(1, 2)?.contiguous()
        };
        let query = self.turned(&split(apply(input, &layer.query)?, heads)?)?;
        let key = self.turned(&split(apply(input, &layer.key)?, kv_heads)?)?;
        let value = split(apply(input, &layer.value)?, kv_heads)?;
        let (key, value) = (repeated(&key, heads / kv_heads)?, repeated(&value, heads / kv_heads)?);
        let scores = (query.matmul(&key.t()?)? * as_f64(head).sqrt().recip())?.broadcast_add(mask)?;
        let weights = candle_nn::ops::softmax(&scores, D::Minus1)?;
        let mixed = weights.matmul(&value)?.transpose(1, 2)?.reshape((batch, tokens, hidden))?;
        apply(&mixed, &layer.output)
    }

    fn turned(&self, heads: &Tensor) -> Result<Tensor> {
        let tokens = heads.dim(2)?;
        let (cos, sin) = (self.cos.narrow(0, 0, tokens)?, self.sin.narrow(0, 0, tokens)?);
        candle_nn::rotary_emb::rope_slow(heads, &cos, &sin)
    }
}

fn rotations(head: usize, positions: usize) -> Result<(Tensor, Tensor)> {
    let exponents = Tensor::arange_step(0_u32, u32::try_from(head).unwrap_or(u32::MAX), 2, &Device::Cpu)?;
    let exponents = (exponents.to_dtype(DType::F32)? * (-1.0 / as_f64(head)))?;
    let frequencies = (exponents * f64::from(ROPE_BASE).ln())?.exp()?.unsqueeze(0)?;
    let positions = Tensor::arange(0_u32, u32::try_from(positions).unwrap_or(u32::MAX), &Device::Cpu)?;
    let angles = positions.to_dtype(DType::F32)?.unsqueeze(1)?.matmul(&frequencies)?;
    Ok((angles.cos()?, angles.sin()?))
}

fn rms_norm(states: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let mean = states.sqr()?.mean_keepdim(D::Minus1)?;
    states.broadcast_div(&(mean + EPSILON)?.sqrt()?)?.broadcast_mul(weight)
}

/// (batch, tokens, inputs) by a matrix of (outputs, inputs), as one product.
fn apply(states: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (batch, tokens, inputs) = states.dims3()?;
    states.reshape((batch * tokens, inputs))?.matmul(&weight.t()?)?.reshape((batch, tokens, weight.dim(0)?))
}

/// Each key head for the query heads that share it.
fn repeated(heads: &Tensor, times: usize) -> Result<Tensor> {
    if times == 1 {
        return Ok(heads.clone());
    }
    let (batch, kv_heads, tokens, head) = heads.dims4()?;
    let widened = heads.unsqueeze(2)?.expand((batch, kv_heads, times, tokens, head))?.contiguous()?;
    widened.reshape((batch, kv_heads * times, tokens, head))
}

fn causal_mask(tokens: usize) -> Result<Tensor> {
    let hidden = |at: usize, other: usize| if other > at { f32::NEG_INFINITY } else { 0.0 };
    let values: Vec<f32> = (0..tokens).flat_map(|at| (0..tokens).map(move |other| hidden(at, other))).collect();
    Tensor::from_vec(values, (1, 1, tokens, tokens), &Device::Cpu)
}

#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "sizes are far below 2^53")]
const fn as_f64(count: usize) -> f64 {
    count as f64
}
