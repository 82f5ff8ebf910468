//! The Llama shape once more, for many sequences at once and with a backward pass: the tensor library's fused
//! normalisation, rotation and softmax have none. Served is the forward pass of [`crate::model`].

use std::collections::{BTreeMap, HashMap};

use candle_core::{D, DType, Device, Result, Tensor, Var};

use super::dice::Dice;

/// The sizes of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Width of a token's state.
    pub(super) size: usize,
    /// Width inside the feed-forward layers.
    pub(super) inner: usize,
    /// Layers.
    pub(super) layers: usize,
    /// Query heads.
    pub(super) heads: usize,
    /// Key and value heads.
    pub(super) kv_heads: usize,
    /// Tokens of the vocabulary.
    pub(super) vocabulary: usize,
}

/// Added to the mean square before its root.
pub(super) const NORM_EPSILON: f64 = 1e-5;
/// Base of the rotary positions.
pub(super) const ROPE_BASE: f32 = 10_000.0;

impl Shape {
    /// The usual proportions for a width and a number of layers.
    pub(super) const fn of(size: usize, layers: usize, vocabulary: usize) -> Self {
        Self { size, inner: size * 8 / 3, layers, heads: 4, kv_heads: 2, vocabulary }
    }

    const fn head_dim(&self) -> usize {
        self.size / self.heads
    }

    /// Names and shapes of all tensors, in one order, as Hugging Face names them.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (size, inner) = (self.size, self.inner);
        let kv = self.kv_heads * self.head_dim();
        let mut all = vec![("model.embed_tokens.weight".to_owned(), vec![self.vocabulary, size])];
        for index in 0..self.layers {
            let parts = [
                ("input_layernorm", vec![size]),
                ("self_attn.q_proj", vec![size, size]),
                ("self_attn.k_proj", vec![kv, size]),
                ("self_attn.v_proj", vec![kv, size]),
                ("self_attn.o_proj", vec![size, size]),
                ("post_attention_layernorm", vec![size]),
                ("mlp.gate_proj", vec![inner, size]),
                ("mlp.up_proj", vec![inner, size]),
                ("mlp.down_proj", vec![size, inner]),
            ];
            all.extend(parts.map(|(part, shape)| (format!("model.layers.{index}.{part}.weight"), shape)));
        }
        all.push(("model.norm.weight".to_owned(), vec![size]));
        all
    }
}

/// A network with weights that can be trained. Its head is its embedding.
#[derive(Debug)]
pub(super) struct Network {
    shape: Shape,
    weights: BTreeMap<String, Var>,
}

impl Network {
    /// Weights by chance.
    pub(super) fn new(shape: Shape, dice: &mut Dice) -> Result<Self> {
        let mut weights = BTreeMap::new();
        for (name, dims) in shape.tensors() {
            let count = dims.iter().product();
            let values: Vec<f32> = match spread(&name, &dims, shape.layers) {
                None => vec![1.0; count],
                Some(spread) => (0..count).map(|_| dice.normal() * spread).collect(),
            };
            weights.insert(name, Var::from_tensor(&Tensor::from_vec(values, dims, &Device::Cpu)?)?);
        }
        Ok(Self { shape, weights })
    }

    /// Weights from a file.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    #[cfg(test)]
    pub(super) fn from_tensors(shape: Shape, tensors: &HashMap<String, Tensor>) -> Result<Self> {
        let mut weights = BTreeMap::new();
        for (name, dims) in shape.tensors() {
            let Some(tensor) = tensors.get(&name).filter(|tensor| tensor.dims() == dims) else {
                candle_core::bail!("{name} is missing or not {dims:?}");
            };
            weights.insert(name, Var::from_tensor(tensor)?);
        }
        Ok(Self { shape, weights })
    }

    /// What an optimiser changes, in one order.
    pub(super) fn variables(&self) -> Vec<Var> {
        self.weights.values().cloned().collect()
    }

    /// The weights by name.
    pub(super) fn tensors(&self) -> HashMap<String, Tensor> {
        self.weights.iter().map(|(name, weight)| (name.clone(), weight.as_tensor().clone())).collect()
    }

    /// How many numbers it has.
    pub(super) fn parameters(&self) -> usize {
        self.weights.values().map(|weight| weight.elem_count()).sum()
    }

    fn weight(&self, name: &str) -> Result<&Tensor> {
        match self.weights.get(name) {
            Some(weight) => Ok(weight.as_tensor()),
            None => candle_core::bail!("there is no tensor {name}"),
        }
    }

    /// (sequences, tokens) to (sequences, tokens, vocabulary).
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub(super) fn logits(&self, ids: &Tensor) -> Result<Tensor> {
        let (sequences, tokens) = ids.dims2()?;
        let embedding = self.weight("model.embed_tokens.weight")?;
        let size = self.shape.size;
        let mut states = embedding.index_select(&ids.flatten_all()?, 0)?.reshape((sequences, tokens, size))?;
        let positions = Positions::new(tokens, self.shape.head_dim())?;
        for index in 0..self.shape.layers {
            let layer = format!("model.layers.{index}");
            let rows = self.norm(&states, &format!("{layer}.input_layernorm.weight"))?;
            states = (&states + self.attention(&rows, &layer, &positions)?)?;
            let rows = self.norm(&states, &format!("{layer}.post_attention_layernorm.weight"))?;
            states = (&states + self.feed_forward(&rows, &layer)?)?;
        }
        project(&self.norm(&states, "model.norm.weight")?, embedding)
    }

    fn norm(&self, rows: &Tensor, name: &str) -> Result<Tensor> {
        let mean_square = rows.sqr()?.mean_keepdim(D::Minus1)?;
        rows.broadcast_div(&(mean_square + NORM_EPSILON)?.sqrt()?)?.broadcast_mul(self.weight(name)?)
    }

    fn attention(&self, rows: &Tensor, layer: &str, positions: &Positions) -> Result<Tensor> {
        let (sequences, tokens, size) = rows.dims3()?;
        let (heads, kv_heads, head_dim) = (self.shape.heads, self.shape.kv_heads, self.shape.head_dim());
        let head = |part: &str, heads: usize| -> Result<Tensor> {
            let projected = project(rows, self.weight(&format!("{layer}.self_attn.{part}.weight"))?)?;
            projected.reshape((sequences, tokens, heads, head_dim))?.transpose(1, 2)?.contiguous()
        };
        let query = positions.turn(&head("q_proj", heads)?)?;
        let key = positions.turn(&head("k_proj", kv_heads)?)?;
        let value = head("v_proj", kv_heads)?;
        // Query heads that share a key head stand together.
        let query = query.reshape((sequences, kv_heads, heads / kv_heads * tokens, head_dim))?;
        let scores = (query.matmul(&key.t()?)? / f64::from(as_f32(head_dim)).sqrt())?;
        let scores = scores.reshape((sequences, heads, tokens, tokens))?.broadcast_add(&positions.mask)?;
        let weights = candle_nn::ops::softmax(&scores, D::Minus1)?;
        let weights = weights.reshape((sequences, kv_heads, heads / kv_heads * tokens, tokens))?;
        let mixed = weights.matmul(&value)?.reshape((sequences, heads, tokens, head_dim))?;
        let mixed = mixed.transpose(1, 2)?.reshape((sequences, tokens, size))?;
        project(&mixed, self.weight(&format!("{layer}.self_attn.o_proj.weight"))?)
    }

    fn feed_forward(&self, rows: &Tensor, layer: &str) -> Result<Tensor> {
        let weight = |part: &str| self.weight(&format!("{layer}.mlp.{part}.weight"));
        let gate = project(rows, weight("gate_proj")?)?.silu()?;
        project(&(gate * project(rows, weight("up_proj")?)?)?, weight("down_proj")?)
    }
}

/// The standard deviation of a tensor's first values; none for a normalisation, which begins with ones.
fn spread(name: &str, dims: &[usize], layers: usize) -> Option<f32> {
    let [_, inputs] = dims else { return None };
    Some(match name {
        "model.embed_tokens.weight" => 0.05,
        // What is added to the stream of states is smaller the more layers add to it.
        name if name.contains("o_proj") || name.contains("down_proj") => 1.0 / as_f32(2 * layers * inputs).sqrt(),
        _ => 1.0 / as_f32(*inputs).sqrt(),
    })
}

/// (sequences, tokens, inputs) times (outputs, inputs), as one product.
fn project(rows: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (sequences, tokens, inputs) = rows.dims3()?;
    rows.reshape((sequences * tokens, inputs))?.matmul(&weight.t()?)?.reshape((sequences, tokens, weight.dim(0)?))
}

/// What depends on positions alone.
struct Positions {
    cos: Tensor,
    sin: Tensor,
    mask: Tensor,
}

impl Positions {
    fn new(tokens: usize, head_dim: usize) -> Result<Self> {
        let pairs = head_dim / 2;
        let frequencies = (0..pairs).map(|pair| ROPE_BASE.powf(-2.0 * as_f32(pair) / as_f32(head_dim)));
        let frequencies: Vec<f32> = frequencies.collect();
        let frequencies = Tensor::from_vec(frequencies, (1, pairs), &Device::Cpu)?;
        let positions = Tensor::from_vec((0..tokens).map(as_f32).collect(), (tokens, 1), &Device::Cpu)?;
        let angles = positions.matmul(&frequencies)?;
        let mask = (0..tokens)
            .flat_map(|at| (0..tokens).map(move |other| if other <= at { 0.0_f32 } else { f32::NEG_INFINITY }));
        let mask = Tensor::from_vec(mask.collect(), (tokens, tokens), &Device::Cpu)?.to_dtype(DType::F32)?;
        Ok(Self { cos: angles.cos()?, sin: angles.sin()?, mask })
    }

    /// Turns (sequences, heads, tokens, `head_dim`), half-split order.
    fn turn(&self, heads: &Tensor) -> Result<Tensor> {
        candle_nn::rotary_emb::rope_slow(heads, &self.cos, &self.sin)
    }
}

/// Small counts are exact in f32.
#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "sizes are far below 2^24")]
const fn as_f32(count: usize) -> f32 {
    count as f32
}
