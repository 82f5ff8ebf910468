//! Trains a small chat model from a seed on this machine's processor, and writes what that used and cost.
//!
//! Makes the model that is part of the binary. Gives a folder that `serve` takes; knows nothing of serving.

mod corpus;
mod dice;
mod network;
mod receipt;
mod session;
mod topics;
mod vocabulary;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokenizers::Tokenizer;

use self::{
    corpus::Line,
    dice::Dice,
    network::{NORM_EPSILON, Network, ROPE_BASE, Shape},
    receipt::{Decimal, Rates, Receipt},
    session::LONG_TOKENS,
    vocabulary::{CHAT_TEMPLATE, END, ROLES},
};
use crate::clock;

/// What to train.
#[derive(Clone, Debug, Args)]
pub struct TrainArgs {
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The same seed gives the same corpus and, on the same kind of processor, the same weights
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Steps of 2,048 tokens
    #[arg(long, default_value_t = 700, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    steps: u32,
    /// Width of a token's state, a multiple of 8
    #[arg(long, default_value_t = 96, value_name = "N", value_parser = width)]
    dim: usize,
    /// Layers
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    layers: u8,
    /// Largest vocabulary
    #[arg(long, default_value_t = 512, value_name = "N", value_parser = clap::value_parser!(u16).range(vocabulary::TOKENS_MIN as i64..=16_384))]
    vocab: u16,
    /// What one processor costs an hour
    #[arg(long, default_value = "0.05", value_name = "USD")]
    device_usd_per_hour: Decimal,
    /// Power of one busy processor
    #[arg(long, default_value = "10", value_name = "WATTS")]
    watts: Decimal,
    /// What power costs
    #[arg(long, default_value = "0.20", value_name = "USD")]
    usd_per_kwh: Decimal,
    /// Power of the house over power of its machines
    #[arg(long, default_value = "1.2", value_name = "RATIO")]
    pue: Decimal,
    /// Replace the folder if it is there
    #[arg(long)]
    force: bool,
}

fn width(text: &str) -> Result<usize, String> {
    let width = text.parse().map_err(|_| "not a number".to_owned())?;
    match (8..=1024).contains(&width) && width % 8 == 0 {
        true => Ok(width),
        false => Err("a multiple of 8 from 8 to 1024".to_owned()),
    }
}

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// It would overwrite something.
    #[error("{} is there already; --force replaces it", .0.display())]
    Exists(PathBuf),
    /// A file or folder.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The tokenizer library refused.
    #[error("the tokenizer: {0}")]
    Tokenizer(#[from] tokenizers::Error),
    /// The tensor library refused.
    #[error("the network: {0}")]
    Network(#[from] candle_core::Error),
    /// The description of the model cannot be written.
    #[error("writing JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The rates are too large.
    #[error("the cost is too large to be counted")]
    Cost,
}

/// Trains a model and writes its folder, whole or not at all.
///
/// # Errors
/// [`TrainError`].
pub fn run(args: &TrainArgs) -> Result<(), TrainError> {
    if args.out.exists() && !args.force {
        return Err(TrainError::Exists(args.out.clone()));
    }
    let beside = sibling(&args.out, "new");
    remove(&beside)?;
    at(&beside, std::fs::create_dir_all(&beside))?;
    let receipt = make(args, &beside)?;
    let old = sibling(&args.out, "old");
    remove(&old)?;
    if args.out.exists() {
        at(&args.out, std::fs::rename(&args.out, &old))?;
    }
    at(&args.out, std::fs::rename(&beside, &args.out))?;
    remove(&old)?;
    let Receipt { validation_loss, cpu_seconds, cost_usd, .. } = &receipt;
    tracing::info!(folder = %args.out.display(), validation_loss, %cpu_seconds, %cost_usd, "the model is made");
    Ok(())
}

/// Trains, and writes all files of the model into a folder.
fn make(args: &TrainArgs, folder: &Path) -> Result<Receipt, TrainError> {
    let begun = clock::process_busy();
    let corpus = corpus::draw(args.seed);
    let texts = corpus.training.iter().flatten().map(|(_, text)| text.as_str());
    let tokenizer = vocabulary::learn(texts, usize::from(args.vocab))?;
    let shape = Shape::of(args.dim, usize::from(args.layers), tokenizer.get_vocab_size(true));
    let mut dice = Dice::new(args.seed);
    let network = Network::new(shape, &mut dice)?;
    let documents = tokens(&tokenizer, &corpus.training)?;
    let steps = usize::try_from(args.steps).unwrap_or(usize::MAX);
    tracing::info!(parameters = network.parameters(), chats = documents.len(), "training begins");
    let trained = session::train(&network, &documents, steps, &mut dice)?;
    let judged = session::validation_loss(&network, &tokens(&tokenizer, &corpus.validation)?)?;
    let cpu_seconds = receipt::seconds(clock::process_busy().saturating_sub(begun)).ok_or(TrainError::Cost)?;
    describe(folder, shape, &tokenizer)?;
    let path = folder.join("model.safetensors");
    candle_core::safetensors::save(&network.tensors(), &path)?;
    let rates = Rates {
        device_usd_per_hour: args.device_usd_per_hour.clone(),
        watts: args.watts.clone(),
        usd_per_kwh: args.usd_per_kwh.clone(),
        pue: args.pue.clone(),
    };
    let (energy_wh, cost_usd) = receipt::cost(&cpu_seconds, &rates).ok_or(TrainError::Cost)?;
    let receipt = Receipt {
        model: crate::model::SHIPPED_MODEL_ID.to_owned(),
        name: format!("{} layers of width {}, from seed {}", args.layers, args.dim, args.seed),
        seed: args.seed,
        parameters: count(network.parameters()),
        tokens: count(trained.tokens),
        steps: u64::from(args.steps),
        final_loss: short(trained.final_loss),
        validation_loss: short(judged),
        cpu_seconds,
        corpus_sha256: corpus.sha256,
        model_sha256: hex::encode(Sha256::digest(at(&path, std::fs::read(&path))?)),
        device_usd_per_hour: rates.device_usd_per_hour,
        watts: rates.watts,
        usd_per_kwh: rates.usd_per_kwh,
        pue: rates.pue,
        energy_wh,
        cost_usd,
        made_at: clock::rfc3339_seconds(),
        host_cpu: host_cpu(),
    };
    write_json(&folder.join("receipt.json"), &receipt)?;
    Ok(receipt)
}

/// Writes what stands beside the weights, as Hugging Face names it.
fn describe(folder: &Path, shape: Shape, tokenizer: &Tokenizer) -> Result<(), TrainError> {
    let end = tokenizer.token_to_id(END);
    let config = json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.size,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "hidden_act": "silu",
        "rms_norm_eps": NORM_EPSILON,
        "rope_theta": ROPE_BASE,
        "max_position_embeddings": LONG_TOKENS,
        "vocab_size": shape.vocabulary,
        "tie_word_embeddings": true,
        "torch_dtype": "float32",
        "bos_token_id": null,
        "eos_token_id": end,
    });
    let about = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": CHAT_TEMPLATE,
        "bos_token": null,
        "add_bos_token": false,
        "eos_token": END,
        "model_max_length": LONG_TOKENS,
    });
    write_json(&folder.join("config.json"), &config)?;
    write_json(&folder.join("tokenizer_config.json"), &about)?;
    Ok(tokenizer.save(folder.join("tokenizer.json"), false)?)
}

/// Chats as tokens, rendered as the chat template renders them. Plain text has no opening token.
fn tokens(tokenizer: &Tokenizer, chats: &[Vec<Line>]) -> Result<Vec<Vec<u32>>, TrainError> {
    let mut documents = Vec::with_capacity(chats.len());
    for chat in chats {
        let mut document = Vec::new();
        for (role, content) in chat {
            let opening = ROLES.iter().find(|(name, _)| name == role);
            document.extend(opening.and_then(|(_, text)| tokenizer.token_to_id(text)));
            document.extend_from_slice(tokenizer.encode(content.as_str(), false)?.get_ids());
            document.extend(tokenizer.token_to_id(END));
        }
        documents.push(document);
    }
    Ok(documents)
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), TrainError> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    at(path, std::fs::write(path, text))
}

/// A hidden name in the same folder, so that renaming is one step.
fn sibling(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().map_or_else(Default::default, |name| name.to_string_lossy().into_owned());
    path.with_file_name(format!(".{name}.{what}"))
}

fn remove(folder: &Path) -> Result<(), TrainError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => at(folder, Err(error)),
        _ => Ok(()),
    }
}

fn at<T>(path: &Path, result: std::io::Result<T>) -> Result<T, TrainError> {
    result.map_err(|source| TrainError::File { path: path.to_owned(), source })
}

/// The processor's name, where the system tells it.
fn host_cpu() -> String {
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = about.lines().find_map(|line| line.strip_prefix("model name"));
    let name = line.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim().to_owned());
    name.unwrap_or_else(|| "unknown".to_owned())
}

/// A loss to the sixth digit.
fn short(loss: f64) -> f64 {
    (loss * 1e6).round() / 1e6
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
