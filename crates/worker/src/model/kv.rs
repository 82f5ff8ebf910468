//! The keys and values of one sequence, one pair of tensors a layer, grown by doubling and written in place.
//!
//! Never cloned: a clone would share the storage that appending writes to.

use candle_core::{DType, Device, Result, Tensor};

/// Positions of the first allocation.
const POSITIONS_FIRST: usize = 128;

/// One layer's keys and values: (`kv_heads`, capacity, `head_dim`) each.
#[derive(Debug)]
struct LayerCache {
    keys: Tensor,
    values: Tensor,
}

/// What a sequence has been through.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    capacity: usize,
    length: usize,
    kv_heads: usize,
    head_dim: usize,
}

impl KvCache {
    pub(super) fn new(layers: usize, kv_heads: usize, head_dim: usize) -> Result<Self> {
        let capacity = POSITIONS_FIRST;
        let zeros = || Tensor::zeros((kv_heads, capacity, head_dim), DType::F32, &Device::Cpu);
        let layers =
            (0..layers).map(|_| Ok(LayerCache { keys: zeros()?, values: zeros()? })).collect::<Result<Vec<_>>>()?;
        Ok(Self { layers, capacity, length: 0, kv_heads, head_dim })
    }

    /// Positions that are filled in every layer.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }

    /// Makes room for so many more positions in every layer.
    pub(super) fn reserve(&mut self, more: usize) -> Result<()> {
        let needed = self.length + more;
        if needed <= self.capacity {
            return Ok(());
        }
        let capacity = needed.next_power_of_two();
        let (kv_heads, head_dim, length) = (self.kv_heads, self.head_dim, self.length);
        for layer in &mut self.layers {
            for tensor in [&mut layer.keys, &mut layer.values] {
                let grown = Tensor::zeros((kv_heads, capacity, head_dim), DType::F32, &Device::Cpu)?;
                if length > 0 {
                    grown.slice_set(&tensor.narrow(1, 0, length)?.contiguous()?, 1, 0)?;
                }
                *tensor = grown;
            }
        }
        self.capacity = capacity;
        Ok(())
    }

    /// Writes a layer's new keys and values of shape (`kv_heads`, tokens, `head_dim`) behind the filled part and gives
    /// those from position `from` on, the new ones included.
    pub(super) fn append(&self, layer: usize, keys: &Tensor, values: &Tensor, from: usize) -> Result<(Tensor, Tensor)> {
        let Some(cache) = self.layers.get(layer) else { candle_core::bail!("there is no layer {layer}") };
        let length = self.length + keys.dim(1)?;
        cache.keys.slice_set(keys, 1, self.length)?;
        cache.values.slice_set(values, 1, self.length)?;
        Ok((cache.keys.narrow(1, from, length - from)?, cache.values.narrow(1, from, length - from)?))
    }

    /// Every layer has taken so many more positions.
    pub(super) const fn advance(&mut self, tokens: usize) {
        self.length += tokens;
    }
}
