//! The Llama shape from `config.json` and safetensors, with Hugging Face's names.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;
use serde_json::Value;

use super::{
    LoadError,
    decoder::{Activation, Attention, Decoder, FeedForward, Layer, RmsNorm, Shape},
    linear::Linear,
    rope::Rope,
};

/// What of `config.json` the forward pass needs, and what it must refuse.
#[derive(Debug, Deserialize)]
pub(super) struct LlamaConfig {
    pub(super) model_type: String,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    rms_norm_eps: f32,
    rope_theta: f32,
    pub(super) max_position_embeddings: usize,
    pub(super) vocab_size: usize,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    pub(super) eos_token_id: Value,
    #[serde(default)]
    rope_scaling: Value,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    #[serde(default = "silu")]
    hidden_act: String,
}

fn silu() -> String {
    "silu".to_owned()
}

impl LlamaConfig {
    pub(super) fn parse(text: &str) -> Result<Self, LoadError> {
        let config: Self = serde_json::from_str(text).map_err(|error| LoadError::Config(error.to_string()))?;
        let refused = [
            (config.model_type != "llama", "model_type", "only \"llama\" is served from safetensors"),
            (!config.rope_scaling.is_null(), "rope_scaling", "scaled positions are not implemented"),
            (config.attention_bias, "attention_bias", "biases are not implemented"),
            (config.mlp_bias, "mlp_bias", "biases are not implemented"),
            (config.hidden_act != "silu", "hidden_act", "only \"silu\" is implemented"),
        ];
        if let Some((_, key, why)) = refused.iter().find(|(wrong, ..)| *wrong) {
            return Err(LoadError::Config(format!("config.json: {key}: {why}")));
        }
        let sizes = [
            config.hidden_size,
            config.num_hidden_layers,
            config.num_attention_heads,
            config.kv_heads(),
            config.vocab_size,
            config.max_position_embeddings,
        ];
        if sizes.contains(&0)
            || !config.num_attention_heads.is_multiple_of(config.kv_heads())
            || !config.head_dim().is_multiple_of(2)
        {
            return Err(LoadError::Config("config.json: its sizes do not fit together".to_owned()));
        }
        Ok(config)
    }

    fn kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }
}

/// Builds the decoder from tensors by name. `positions` is the context that is served.
pub(super) fn decoder(
    config: &LlamaConfig,
    tensors: &HashMap<String, Tensor>,
    positions: usize,
) -> Result<Decoder, LoadError> {
    let weights = Weights(tensors);
    let (size, inner) = (config.hidden_size, config.intermediate_size);
    let (heads, kv_heads, head_dim) = (config.num_attention_heads, config.kv_heads(), config.head_dim());
    let rope = Rope::new(config.rope_theta, head_dim, positions, 1.0)?;
    let norm = |name: &str| -> Result<RmsNorm, LoadError> {
        Ok(RmsNorm { weight: weights.get(name, &[size])?, epsilon: config.rms_norm_eps })
    };
    let matrix = |name: &str, outputs: usize, inputs: usize| -> Result<Linear, LoadError> {
        Ok(Linear::plain(weights.get(name, &[outputs, inputs])?))
    };
    let mut layers = Vec::with_capacity(config.num_hidden_layers);
    for index in 0..config.num_hidden_layers {
        let name = |part: &str| format!("model.layers.{index}.{part}.weight");
        layers.push(Layer {
            attention_norm: norm(&name("input_layernorm"))?,
            attention: Attention {
                query: matrix(&name("self_attn.q_proj"), heads * head_dim, size)?,
                key: matrix(&name("self_attn.k_proj"), kv_heads * head_dim, size)?,
                value: matrix(&name("self_attn.v_proj"), kv_heads * head_dim, size)?,
                output: matrix(&name("self_attn.o_proj"), size, heads * head_dim)?,
                head_norms: None,
                rope: rope.clone(),
                window: None,
            },
            attention_post_norm: None,
            feed_forward_norm: norm(&name("post_attention_layernorm"))?,
            feed_forward: FeedForward {
                gate: matrix(&name("mlp.gate_proj"), inner, size)?,
                up: matrix(&name("mlp.up_proj"), inner, size)?,
                down: matrix(&name("mlp.down_proj"), size, inner)?,
            },
            feed_forward_post_norm: None,
        });
    }
    let embedding = matrix("model.embed_tokens.weight", config.vocab_size, size)?;
    let head = match config.tie_word_embeddings {
        true => embedding.clone(),
        false => matrix("lm_head.weight", config.vocab_size, size)?,
    };
    let shape = Shape { heads, kv_heads, head_dim, activation: Activation::Silu, embedding_scale: None };
    Ok(Decoder { shape, embedding, layers, norm: norm("model.norm.weight")?, head })
}

struct Weights<'a>(&'a HashMap<String, Tensor>);

impl Weights<'_> {
    /// A tensor of exactly this shape, as f32.
    fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor, LoadError> {
        let tensor = self.0.get(name).ok_or_else(|| LoadError::Tensor(format!("{name} is missing")))?;
        if tensor.dims() != shape {
            let what = format!("{name} has the shape {:?}, not {shape:?}", tensor.dims());
            return Err(LoadError::Tensor(what));
        }
        Ok(tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?)
    }
}
