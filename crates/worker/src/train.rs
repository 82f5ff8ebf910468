//! Trains the small model that the project ships, from text written for it, in about a minute on one processor.
//!
//! The same seed gives the same weights on the same machine, and a receipt says what they took.

mod corpus;
mod model;
pub mod receipt;
mod vocabulary;

#[cfg(test)]
mod tests;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use candle_core::{Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, VarMap};
use clap::Args;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use sha2::{Digest, Sha256};

use self::{
    corpus::Corpus,
    model::{EPSILON, ROPE_BASE, Sizes, Trainable},
    receipt::{DevicePrices, Receipt},
};
use crate::{
    clock,
    model::SHIPPED_MODEL_ID,
    text::{
        template::{ChatTemplate, Message},
        tokenizer::Tokenizer,
    },
};

/// Tokens of one training window, and windows of one step.
const WINDOW: usize = 128;
const BATCH: usize = 16;
/// Positions that the model is served with.
const POSITIONS: usize = 512;
/// Steps until the learning rate is highest.
const WARM_UP: usize = 20;
/// Steps between two lines of progress.
const SAY_EVERY: usize = 50;
/// Gradients are scaled down to this length.
const GRADIENT_MAX: f64 = 1.0;

/// What to train.
#[derive(Clone, Debug, Args)]
pub struct TrainArgs {
    /// Folder for the model
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// The same seed gives the same weights on the same machine
    #[arg(long, default_value_t = 20_261_124)]
    pub seed: u64,
    /// Updates of the weights
    #[arg(long, default_value_t = 300)]
    pub steps: usize,
    /// Size of a token's state; a multiple of 16
    #[arg(long, default_value_t = 96)]
    pub hidden: usize,
    /// Layers
    #[arg(long, default_value_t = 3)]
    pub layers: usize,
    /// Tokens of the vocabulary, at least 320
    #[arg(long, default_value_t = 512)]
    pub vocabulary: usize,
    /// Highest learning rate
    #[arg(long, default_value_t = 3e-3)]
    pub learning_rate: f64,
    /// Price of this device, USD an hour
    #[arg(long, default_value = "0.05")]
    pub device_usd_per_hour: String,
    /// Its power under load
    #[arg(long, default_value = "10")]
    pub watts: String,
    /// Price of energy
    #[arg(long, default_value = "0.20")]
    pub usd_per_kwh: String,
    /// Power usage effectiveness
    #[arg(long, default_value = "1.2")]
    pub pue: String,
    /// Replace what the folder holds
    #[arg(long)]
    pub force: bool,
}

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// An option cannot be.
    #[error("{0}")]
    Option(&'static str),
    /// The folder holds something.
    #[error("{} exists; --force replaces it", .0.display())]
    Exists(PathBuf),
    /// The tokenizer cannot be learned.
    #[error("the tokenizer cannot be made: {0}")]
    Tokenizer(String),
    /// The tensor library.
    #[error("training failed: {0}")]
    Candle(#[from] candle_core::Error),
    /// A file.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// A description cannot be written.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// Trains and writes a model, whole or not at all.
///
/// # Errors
/// [`TrainError`]
pub fn run(args: &TrainArgs) -> Result<Receipt, TrainError> {
    let begun = clock::process_busy();
    if args.hidden == 0 || !args.hidden.is_multiple_of(16) || args.layers == 0 || args.steps == 0 {
        return Err(TrainError::Option("--hidden must be a multiple of 16, --layers and --steps at least 1"));
    }
    if !(320..=65_536).contains(&args.vocabulary) {
        return Err(TrainError::Option("--vocabulary must be from 320 to 65536"));
    }
    let prices = args.prices();
    if prices.energy_and_cost("1").is_none() {
        return Err(TrainError::Option("device prices must be decimals such as 0.05"));
    }
    if args.out.exists() && !args.force {
        return Err(TrainError::Exists(args.out.clone()));
    }
    let data = Data::make(args)?;
    let sizes = args.sizes(data.tokenizer.vocabulary());
    let (map, last_loss) = learn(args, sizes, &data)?;
    let validation_loss = validation(&Trainable::new(sizes, &map)?, &data.validation)?;
    let draft = args.out.with_extension("new");
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    fs::create_dir_all(&draft)?;
    map.save(draft.join("model.safetensors"))?;
    let cpu_seconds = seconds(clock::process_busy().saturating_sub(begun));
    let (energy_wh, cost_usd) = prices.energy_and_cost(&cpu_seconds).unwrap_or_default();
    let receipt = Receipt {
        model: SHIPPED_MODEL_ID.to_owned(),
        name: format!("seed {}, {} steps", args.seed, args.steps),
        seed: args.seed,
        parameters: map.all_vars().iter().map(|var| count(var.elem_count())).sum(),
        tokens: count(args.steps * BATCH * WINDOW),
        steps: count(args.steps),
        final_loss: last_loss,
        validation_loss,
        cpu_seconds,
        corpus_sha256: data.hash.clone(),
        model_sha256: hex::encode(Sha256::digest(fs::read(draft.join("model.safetensors"))?)),
        device_usd_per_hour: args.device_usd_per_hour.clone(),
        watts: args.watts.clone(),
        usd_per_kwh: args.usd_per_kwh.clone(),
        pue: args.pue.clone(),
        energy_wh,
        cost_usd,
        made_at: clock::rfc3339(),
        host_cpu: host_cpu(),
    };
    write_rest(&draft, &data, sizes, &receipt)?;
    if args.out.exists() {
        fs::remove_dir_all(&args.out)?;
    }
    fs::rename(&draft, &args.out)?;
    tracing::info!(validation_loss, cpu_seconds = receipt.cpu_seconds, cost_usd = receipt.cost_usd, "trained");
    Ok(receipt)
}

impl TrainArgs {
    fn prices(&self) -> DevicePrices {
        DevicePrices {
            device_usd_per_hour: self.device_usd_per_hour.clone(),
            watts: self.watts.clone(),
            usd_per_kwh: self.usd_per_kwh.clone(),
            pue: self.pue.clone(),
        }
    }

    const fn sizes(&self, vocabulary: usize) -> Sizes {
        let Self { hidden, layers, .. } = *self;
        Sizes { hidden, layers, heads: 4, kv_heads: 2, inner: hidden * 8 / 3, vocabulary, positions: POSITIONS }
    }
}

/// The text as tokens.
struct Data {
    tokenizer: Tokenizer,
    tokenizer_json: Vec<u8>,
    end: u32,
    training: Vec<u32>,
    validation: Vec<u32>,
    hash: String,
}

impl Data {
    fn make(args: &TrainArgs) -> Result<Self, TrainError> {
        let corpus = Corpus::generate(args.seed);
        let tokenizer_json = vocabulary::learn(corpus.texts(), args.vocabulary)?;
        let failed = |error: &dyn std::fmt::Display| TrainError::Tokenizer(error.to_string());
        let about = vocabulary::about();
        let tokenizer = Tokenizer::from_hugging_face(&tokenizer_json, &about, &json!(null));
        let tokenizer = tokenizer.map_err(|error| failed(&error))?;
        let source = about["chat_template"].as_str().unwrap_or_default();
        let template = ChatTemplate::new(source, &tokenizer).map_err(|error| failed(&error))?;
        let end = tokenizer.control(vocabulary::END).ok_or_else(|| failed(&"a control token is missing"))?;
        let encode = |chats: &[Vec<Message>]| -> Result<Vec<u32>, TrainError> {
            let mut all = Vec::new();
            for chat in chats {
                all.extend(template.encode_whole(chat, &tokenizer).map_err(|error| failed(&error))?);
            }
            Ok(all)
        };
        let (training, validation) = (encode(&corpus.training)?, encode(&corpus.validation)?);
        let mut hash = Sha256::new();
        for text in corpus.texts() {
            hash.update(text);
            hash.update("\n");
        }
        let hash = hex::encode(hash.finalize());
        Ok(Self { tokenizer, tokenizer_json, end, training, validation, hash })
    }
}

/// Makes and trains the weights; gives them and the mean loss of the last steps.
fn learn(args: &TrainArgs, sizes: Sizes, data: &Data) -> Result<(VarMap, f32), TrainError> {
    let map = VarMap::new();
    drop(Trainable::new(sizes, &map)?);
    reseed(&map, args.seed)?;
    let model = Trainable::new(sizes, &map)?;
    let vars = sorted(&map);
    let params = ParamsAdamW { lr: args.learning_rate, weight_decay: 0.01, ..ParamsAdamW::default() };
    let mut optimizer = AdamW::new(vars.clone(), params)?;
    let mut random = StdRng::seed_from_u64(args.seed);
    let mut lately = 0.0;
    for step in 0..args.steps {
        optimizer.set_learning_rate(args.learning_rate * schedule(step, args.steps));
        let loss = model.loss(&batch(&data.training, &mut random)?)?;
        let mut gradients = loss.backward()?;
        clip(&vars, &mut gradients)?;
        optimizer.step(&gradients)?;
        let loss: f32 = loss.to_scalar()?;
        lately = if step == 0 { loss } else { lately * 0.95 + loss * 0.05 };
        if step % SAY_EVERY == 0 {
            tracing::info!(step, loss = lately, "training");
        }
    }
    Ok((map, lately))
}

/// By name, because a map of variables has no order, and order decides rounding.
fn sorted(map: &VarMap) -> Vec<Var> {
    let data = map.data().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut named: Vec<(&String, &Var)> = data.iter().collect();
    named.sort_by_key(|(name, _)| *name);
    named.into_iter().map(|(_, var)| var.clone()).collect()
}

/// First weights from the seed: the tensor library's own randomness has none on this device.
fn reseed(map: &VarMap, seed: u64) -> Result<(), TrainError> {
    let mut random = StdRng::seed_from_u64(seed ^ 0x5eed);
    for var in sorted(map).iter().filter(|var| var.rank() == 2) {
        let spread = 1.7 / as_f32(var.dim(1)?).sqrt();
        let values: Vec<f32> = (0..var.elem_count()).map(|_| random.random_range(-spread..spread)).collect();
        var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu)?)?;
    }
    Ok(())
}

/// Windows that begin anywhere.
fn batch(tokens: &[u32], random: &mut StdRng) -> Result<Tensor, TrainError> {
    let mut ids = Vec::with_capacity(BATCH * (WINDOW + 1));
    for _ in 0..BATCH {
        let from = random.random_range(0..tokens.len().saturating_sub(WINDOW + 1).max(1));
        ids.extend_from_slice(tokens.get(from..=from + WINDOW).unwrap_or_default());
    }
    Ok(Tensor::from_vec(ids, (BATCH, WINDOW + 1), &Device::Cpu)?)
}

fn clip(vars: &[Var], gradients: &mut candle_core::backprop::GradStore) -> Result<(), TrainError> {
    let mut length = 0.0_f64;
    for gradient in vars.iter().filter_map(|var| gradients.get(var)) {
        length += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
    }
    let length = length.sqrt();
    if length > GRADIENT_MAX {
        for var in vars {
            if let Some(gradient) = gradients.remove(var) {
                gradients.insert(var, (gradient * (GRADIENT_MAX / length))?);
            }
        }
    }
    Ok(())
}

/// A share of the highest learning rate: up in a line, down in a half cosine to a tenth.
fn schedule(step: usize, steps: usize) -> f64 {
    let (step, steps, warm_up) = (f64::from(as_f32(step)), f64::from(as_f32(steps)), f64::from(as_f32(WARM_UP)));
    let way = (step / steps).min(1.0);
    ((step + 1.0) / warm_up).min(1.0) * (0.55 + 0.45 * (std::f64::consts::PI * way).cos())
}

/// Mean loss over all whole windows of tokens that were never learned from.
fn validation(model: &Trainable, tokens: &[u32]) -> Result<f32, TrainError> {
    let (mut sum, mut windows) = (0.0, 0);
    for window in tokens.chunks_exact(WINDOW + 1) {
        sum += model.loss(&Tensor::new(window, &Device::Cpu)?.unsqueeze(0)?)?.to_scalar::<f32>()?;
        windows += 1;
    }
    Ok(sum / as_f32(windows.max(1)))
}

fn write_rest(folder: &Path, data: &Data, sizes: Sizes, receipt: &Receipt) -> Result<(), TrainError> {
    let config = json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": sizes.hidden,
        "intermediate_size": sizes.inner,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.kv_heads,
        "rms_norm_eps": EPSILON,
        "rope_theta": ROPE_BASE,
        "max_position_embeddings": sizes.positions,
        "vocab_size": sizes.vocabulary,
        "tie_word_embeddings": true,
        "eos_token_id": data.end,
        "torch_dtype": "float32",
    });
    fs::write(folder.join("tokenizer.json"), &data.tokenizer_json)?;
    let files = [
        ("config.json", serde_json::to_string_pretty(&config)?),
        ("tokenizer_config.json", serde_json::to_string_pretty(&vocabulary::about())?),
        ("receipt.json", serde_json::to_string_pretty(receipt)?),
    ];
    for (name, text) in files {
        fs::write(folder.join(name), text + "\n")?;
    }
    Ok(())
}

fn host_cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned())
}

fn seconds(duration: Duration) -> String {
    format!("{}.{:03}", duration.as_secs(), duration.subsec_millis())
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "sizes are far below 2^24")]
const fn as_f32(count: usize) -> f32 {
    count as f32
}
