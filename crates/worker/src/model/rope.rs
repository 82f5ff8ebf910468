//! Tables of rotary position embeddings, computed once and shared by every layer that uses the same base.

use candle_core::{DType, Device, Result, Tensor};

/// Cosines and sines of shape (positions, `head_dim` / 2), half-split ("NeoX") order.
#[derive(Clone, Debug)]
pub(super) struct Rope {
    cos: Tensor,
    sin: Tensor,
}

impl Rope {
    /// Tables for `positions` positions; `scale` divides the position (1 for none).
    pub(super) fn new(base: f32, head_dim: usize, positions: usize, scale: f32) -> Result<Self> {
        let pairs = head_dim / 2;
        let exponent = |pair: usize| -2.0 * as_f32(pair) / as_f32(head_dim);
        let frequencies: Vec<f32> = (0..pairs).map(|pair| base.powf(exponent(pair)) / scale).collect();
        let frequencies = Tensor::from_vec(frequencies, (1, pairs), &Device::Cpu)?;
        let positions = Tensor::arange(0, u32::try_from(positions).unwrap_or(u32::MAX), &Device::Cpu)?;
        let angles = positions.to_dtype(DType::F32)?.unsqueeze(1)?.matmul(&frequencies)?;
        Ok(Self { cos: angles.cos()?, sin: angles.sin()? })
    }

    /// Turns (1, heads, tokens, `head_dim`) that begin at `position`.
    pub(super) fn apply(&self, heads: &Tensor, position: usize) -> Result<Tensor> {
        let tokens = heads.dim(2)?;
        let cos = self.cos.narrow(0, position, tokens)?;
        let sin = self.sin.narrow(0, position, tokens)?;
        candle_nn::rotary_emb::rope(heads, &cos, &sin)
    }
}

/// Small counts are exact in f32.
#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "head sizes are far below 2^24")]
const fn as_f32(count: usize) -> f32 {
    count as f32
}
