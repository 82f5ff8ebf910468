//! Gemma 3 (text) from GGUF, with our own forward pass: the stock one uses another activation, sees the past wrongly in
//! chunked prefill, and keeps its tables once a layer.

use super::{
    LoadError,
    decoder::{Activation, Attention, Decoder, FeedForward, Layer, RmsNorm, Shape},
    gguf::Gguf,
    rope::Rope,
};

/// Every sixth layer looks at everything; the others look back over a window.
const GLOBAL_EVERY: usize = 6;
/// By its layers the 27B model is known; its file does not say that its scale differs.
const BLOCKS_OF_27B: usize = 62;
/// Base of the rotary positions of windowed layers; that of global ones stands in the file.
const LOCAL_ROPE_BASE: f32 = 10_000.0;
const GLOBAL_ROPE_BASE_DEFAULT: f32 = 1_000_000.0;

/// The context that the file's model was trained for.
pub(super) fn context(file: &Gguf) -> Result<usize, LoadError> {
    file.count("gemma3.context_length")
}

/// Builds the decoder. `positions` is the context that is served.
pub(super) fn decoder(file: &mut Gguf, positions: usize) -> Result<Decoder, LoadError> {
    let heads = file.count("gemma3.attention.head_count")?;
    let kv_heads = file.count("gemma3.attention.head_count_kv")?;
    let head_dim = file.count("gemma3.attention.key_length")?;
    let size = file.count("gemma3.embedding_length")?;
    let blocks = file.count("gemma3.block_count")?;
    let window = file.count("gemma3.attention.sliding_window")?;
    if [heads, kv_heads, head_dim, size, blocks, window].contains(&0) || !heads.is_multiple_of(kv_heads) {
        return Err(LoadError::Config("the sizes in the file do not fit together".to_owned()));
    }
    if blocks == BLOCKS_OF_27B {
        return Err(LoadError::Config(
            "the 27B model scales its attention otherwise, which is not implemented".to_owned(),
        ));
    }
    if file.text("gemma3.rope.scaling.type").is_some_and(|kind| kind != "none") {
        return Err(LoadError::Config("gemma3.rope.scaling.type: scaled positions are not implemented".to_owned()));
    }
    let epsilon = file.number("gemma3.attention.layer_norm_rms_epsilon").unwrap_or(1e-6);
    let base = file.number("gemma3.rope.freq_base").unwrap_or(GLOBAL_ROPE_BASE_DEFAULT);
    let global = Rope::new(base, head_dim, positions, 1.0)?;
    let local = Rope::new(LOCAL_ROPE_BASE, head_dim, positions, 1.0)?;
    let mut layers = Vec::with_capacity(blocks);
    for index in 0..blocks {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        let is_global = (index + 1).is_multiple_of(GLOBAL_EVERY);
        let mut norm =
            |part: &str| -> Result<RmsNorm, LoadError> { Ok(RmsNorm { weight: file.vector(&name(part))?, epsilon }) };
        let attention_norm = norm("attn_norm")?;
        let head_norms = Some((norm("attn_q_norm")?, norm("attn_k_norm")?));
        let attention_post_norm = Some(norm("post_attention_norm")?);
        let feed_forward_norm = norm("ffn_norm")?;
        let feed_forward_post_norm = Some(norm("post_ffw_norm")?);
        layers.push(Layer {
            attention_norm,
            attention: Attention {
                query: file.matrix(&name("attn_q"))?,
                key: file.matrix(&name("attn_k"))?,
                value: file.matrix(&name("attn_v"))?,
                output: file.matrix(&name("attn_output"))?,
                head_norms,
                rope: if is_global { global.clone() } else { local.clone() },
                window: (!is_global).then_some(window),
            },
            attention_post_norm,
            feed_forward_norm,
            feed_forward: FeedForward {
                gate: file.matrix(&name("ffn_gate"))?,
                up: file.matrix(&name("ffn_up"))?,
                down: file.matrix(&name("ffn_down"))?,
            },
            feed_forward_post_norm,
        });
    }
    let norm = RmsNorm { weight: file.vector("output_norm.weight")?, epsilon };
    let embedding = file.matrix("token_embd.weight")?;
    let head = if file.has("output.weight") { file.matrix("output.weight")? } else { embedding.clone() };
    let shape =
        Shape { heads, kv_heads, head_dim, activation: Activation::GeluTanh, embedding_scale: Some(root(size)) };
    Ok(Decoder { shape, embedding, layers, norm, head })
}

#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "embedding sizes are far below 2^53")]
fn root(size: usize) -> f64 {
    (size as f64).sqrt()
}
