//! Loads a model: its forward pass, its tokenizer, its chat template, and what identifies it.
//!
//! Served are the Llama shape from a folder (`config.json`, `model.safetensors`, `tokenizer.json`), Gemma 3 from a GGUF
//! file, and the small model that is part of the binary.

pub mod decoder;
mod gelu;
mod gemma3;
mod gguf;
pub mod kv;
mod linear;
mod llama;
mod rope;
mod spm;

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
};

use serde_json::Value;
use sha2::{Digest, Sha256};

use self::{decoder::Decoder, gguf::Gguf, llama::LlamaConfig};
use crate::text::{
    template::ChatTemplate,
    tokenizer::{Tokenizer, TokenizerError},
};

/// The name of the small model that is part of the binary.
pub const SHIPPED: &str = "shipped";
/// How the shipped model is called by those who use it.
pub const SHIPPED_MODEL_ID: &str = "tollgate-small";

/// The files of the shipped model.
const SHIPPED_CONFIG: &str = include_str!("../../../models/small/config.json");
const SHIPPED_WEIGHTS: &[u8] = include_bytes!("../../../models/small/model.safetensors");
const SHIPPED_TOKENIZER: &[u8] = include_bytes!("../../../models/small/tokenizer.json");
const SHIPPED_TOKENIZER_CONFIG: &str = include_str!("../../../models/small/tokenizer_config.json");

/// Why a model cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The model's description says something that is not served.
    #[error("{0}")]
    Config(String),
    /// A tensor is missing or has another shape.
    #[error("the weights do not fit the model: {0}")]
    Tensor(String),
    /// The tokenizer cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The tensor library refused.
    #[error("the model cannot be loaded: {0}")]
    Candle(#[from] candle_core::Error),
}

/// What identifies a model.
#[derive(Clone, Debug)]
pub struct ModelInfo {
    /// How it is called in requests.
    pub id: String,
    /// `llama` or `gemma3`.
    pub architecture: &'static str,
    /// SHA-256 of the weights file, hexadecimal.
    pub sha256: String,
    /// Matrices by the number format in which they are served.
    pub quantization: BTreeMap<String, u64>,
    /// Tokens that prompt and answer may have together.
    pub context_tokens_max: usize,
    /// Bytes of the weights file.
    pub bytes: u64,
}

/// A model, ready to be served. Shared by all engine threads.
#[derive(Debug)]
pub struct Model {
    /// What identifies it.
    pub info: ModelInfo,
    /// Its forward pass.
    pub decoder: Decoder,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// How a conversation becomes a prompt; none: only completions are served.
    pub template: Option<ChatTemplate>,
}

/// What to load and how.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// A folder, a GGUF file, or [`SHIPPED`].
    pub model: String,
    /// Overrides the name by which it is called.
    pub id: Option<String>,
    /// Lowers the context.
    pub context_tokens_max: usize,
    /// A file with a chat template, for models that bring none.
    pub chat_template: Option<PathBuf>,
}

/// Loads a model.
///
/// # Errors
/// [`LoadError`] says what is missing or not served.
pub fn load(options: &LoadOptions) -> Result<Model, LoadError> {
    let path = Path::new(&options.model);
    let template = options.chat_template.as_deref().map(|path| read(path).map(|bytes| text_of(&bytes))).transpose()?;
    if options.model == SHIPPED {
        let files = Files {
            config: SHIPPED_CONFIG.to_owned(),
            weights: SHIPPED_WEIGHTS.to_owned(),
            tokenizer: SHIPPED_TOKENIZER.to_owned(),
            tokenizer_config: Some(SHIPPED_TOKENIZER_CONFIG.to_owned()),
        };
        return from_files(&files, SHIPPED_MODEL_ID, options, template);
    }
    let name = path.file_stem().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned());
    if path.is_dir() {
        let name = path.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        let files = Files {
            config: text_of(&read(&path.join("config.json"))?),
            weights: read(&path.join("model.safetensors"))?,
            tokenizer: read(&path.join("tokenizer.json"))?,
            tokenizer_config: read(&path.join("tokenizer_config.json")).ok().map(|bytes| text_of(&bytes)),
        };
        return from_files(&files, name.as_deref().unwrap_or("model"), options, template);
    }
    from_gguf(path, &name, options, template)
}

struct Files {
    config: String,
    weights: Vec<u8>,
    tokenizer: Vec<u8>,
    tokenizer_config: Option<String>,
}

fn from_files(files: &Files, name: &str, options: &LoadOptions, template: Option<String>) -> Result<Model, LoadError> {
    let config = LlamaConfig::parse(&files.config)?;
    let about: Value = files
        .tokenizer_config
        .as_deref()
        .map_or(Ok(Value::Null), serde_json::from_str)
        .map_err(|error: serde_json::Error| LoadError::Config(format!("tokenizer_config.json: {error}")))?;
    let context_tokens_max = config.max_position_embeddings.min(options.context_tokens_max);
    let tensors = candle_core::safetensors::load_buffer(&files.weights, &candle_core::Device::Cpu)?;
    let mut quantization = BTreeMap::new();
    for tensor in tensors.values().filter(|tensor| tensor.rank() == 2) {
        *quantization.entry(format!("{:?}", tensor.dtype())).or_default() += 1;
    }
    let decoder = llama::decoder(&config, &tensors, context_tokens_max)?;
    let tokenizer = Tokenizer::from_hugging_face(&files.tokenizer, &about, &config.eos_token_id)?;
    if tokenizer.vocabulary() > config.vocab_size {
        let what = format!("the tokenizer has {} tokens, the model {}", tokenizer.vocabulary(), config.vocab_size);
        return Err(LoadError::Config(what));
    }
    let template = template.or_else(|| about.get("chat_template")?.as_str().map(str::to_owned));
    let template =
        template.map(|source| ChatTemplate::new(&source, &tokenizer)).transpose().map_err(LoadError::Config)?;
    let info = ModelInfo {
        id: options.id.clone().unwrap_or_else(|| name.to_owned()),
        architecture: "llama",
        sha256: hex::encode(Sha256::digest(&files.weights)),
        quantization,
        context_tokens_max,
        bytes: u64::try_from(files.weights.len()).unwrap_or(u64::MAX),
    };
    Ok(Model { info, decoder, tokenizer, template })
}

/// The file's hash, its tokenizer and its weights are made side by side: each takes a good part of a second.
fn from_gguf(path: &Path, name: &str, options: &LoadOptions, template: Option<String>) -> Result<Model, LoadError> {
    let mut file = Gguf::open(path)?;
    match file.text("general.architecture") {
        Some("gemma3") => {}
        other => {
            let other = other.unwrap_or("unknown");
            return Err(LoadError::Config(format!("{}: the architecture `{other}` is not served", path.display())));
        }
    }
    let context_tokens_max = gemma3::context(&file)?.min(options.context_tokens_max);
    let template = template.or_else(|| file.text("tokenizer.chat_template").map(str::to_owned));
    let pieces = spm::Pieces::read(&file)?;
    let (hash, tokenizer, decoder) = std::thread::scope(|scope| {
        let tokenizer = scope.spawn(move || pieces.tokenizer());
        let hash = scope.spawn(|| file_hash(path));
        let decoder = gemma3::decoder(&mut file, context_tokens_max);
        let died = |_| LoadError::Config("loading was broken off".to_owned());
        (hash.join().map_err(died), tokenizer.join().map_err(died), decoder)
    });
    let ((sha256, bytes), tokenizer, decoder) = (hash??, tokenizer??, decoder?);
    let template =
        template.map(|source| ChatTemplate::new(&source, &tokenizer)).transpose().map_err(LoadError::Config)?;
    let info = ModelInfo {
        id: options.id.clone().unwrap_or_else(|| name.to_owned()),
        architecture: "gemma3",
        sha256,
        quantization: file.mix,
        context_tokens_max,
        bytes,
    };
    Ok(Model { info, decoder, tokenizer, template })
}

fn file_hash(path: &Path) -> Result<(String, u64), LoadError> {
    let failed = |source| LoadError::File { path: path.to_owned(), source };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            return Ok((hex::encode(hash.finalize()), bytes));
        }
        hash.update(buffer.get(..read).unwrap_or_default());
        bytes += u64::try_from(read).unwrap_or(0);
    }
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    std::fs::read(path).map_err(|source| LoadError::File { path: path.to_owned(), source })
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
