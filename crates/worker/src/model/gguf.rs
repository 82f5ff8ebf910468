//! Reads a GGUF file: its metadata by typed name, its tensors one at a time, its mix of quantisations.

use std::{collections::BTreeMap, fs::File, io::BufReader, path::Path, sync::Arc};

use candle_core::{
    Device, Tensor,
    quantized::{GgmlDType, QTensor, gguf_file},
};

use super::{LoadError, linear::Linear};

/// An open file.
pub(super) struct Gguf {
    content: gguf_file::Content,
    file: BufReader<File>,
    /// Tensors by the quantisation in which they are served.
    pub(super) mix: BTreeMap<String, u64>,
}

impl Gguf {
    pub(super) fn open(path: &Path) -> Result<Self, LoadError> {
        let file = File::open(path).map_err(|source| LoadError::File { path: path.to_owned(), source })?;
        let mut file = BufReader::with_capacity(1 << 20, file);
        let content = gguf_file::Content::read(&mut file)?;
        Ok(Self { content, file, mix: BTreeMap::new() })
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.content.metadata.get(key)?.to_string().ok().map(String::as_str)
    }

    pub(super) fn value(&self, key: &str) -> Option<&gguf_file::Value> {
        self.content.metadata.get(key)
    }

    /// A count that must be there.
    pub(super) fn count(&self, key: &str) -> Result<usize, LoadError> {
        let value = self.value(key).ok_or_else(|| LoadError::Config(format!("{key} is missing in the file")))?;
        let count = value.to_u64().or_else(|_| value.to_u32().map(u64::from));
        count
            .ok()
            .and_then(|count| usize::try_from(count).ok())
            .ok_or_else(|| LoadError::Config(format!("{key} is not a count")))
    }

    /// A number that may be there.
    pub(super) fn number(&self, key: &str) -> Option<f32> {
        self.value(key)?.to_f32().ok()
    }

    /// An array of texts.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>, LoadError> {
        self.array(key)?.iter().map(|value| Ok(value.to_string()?.clone())).collect()
    }

    /// An array that must be there.
    pub(super) fn array(&self, key: &str) -> Result<&[gguf_file::Value], LoadError> {
        let value = self.value(key).ok_or_else(|| LoadError::Config(format!("{key} is missing in the file")))?;
        Ok(value.to_vec()?)
    }

    /// A tensor of a norm, as f32.
    pub(super) fn vector(&mut self, name: &str) -> Result<Tensor, LoadError> {
        let tensor = self.read(name)?;
        Ok(tensor.dequantize(&Device::Cpu)?)
    }

    /// A matrix, in the quantisation that runs fastest here: `Q5_0` has no kernel and is made `Q8_0` (finer, so nothing
    /// is lost but memory).
    pub(super) fn matrix(&mut self, name: &str) -> Result<Linear, LoadError> {
        let tensor = self.read(name)?;
        let tensor = match tensor.dtype() {
            GgmlDType::Q5_0 | GgmlDType::Q5_1 | GgmlDType::Q4_1 => {
                QTensor::quantize(&tensor.dequantize(&Device::Cpu)?, GgmlDType::Q8_0)?
            }
            _ => tensor,
        };
        *self.mix.entry(format!("{:?}", tensor.dtype())).or_default() += 1;
        Ok(Linear::quantized(Arc::new(tensor))?)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.content.tensor_infos.contains_key(name)
    }

    fn read(&mut self, name: &str) -> Result<QTensor, LoadError> {
        if !self.has(name) {
            return Err(LoadError::Tensor(format!("{name} is missing")));
        }
        Ok(self.content.tensor(&mut self.file, name, &Device::Cpu)?)
    }
}
