//! The tokenizer of the small model: byte-level pairs learned from the corpus, and the control tokens of its chats.

use serde_json::{Value, json};
use tokenizers::{
    AddedToken, DecoderWrapper, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
    TokenizerBuilder,
    models::{
        TrainerWrapper,
        bpe::{BPE, BpeTrainer},
    },
    pre_tokenizers::byte_level::ByteLevel,
};

use super::TrainError;

/// Begins a message of each role.
const SYSTEM: &str = "<|system|>";
const USER: &str = "<|user|>";
const ASSISTANT: &str = "<|assistant|>";
/// Ends every message, and so every answer.
pub(super) const END: &str = "<|end|>";

/// How a conversation becomes a prompt.
const CHAT_TEMPLATE: &str = "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

/// Learns a tokenizer and gives `tokenizer.json`. Every UTF-8 text comes back as it was.
pub(super) fn learn<'a>(texts: impl Iterator<Item = &'a str> + Send, size: usize) -> Result<Vec<u8>, TrainError> {
    let failed = |error: tokenizers::Error| TrainError::Tokenizer(error.to_string());
    let controls: Vec<AddedToken> =
        [SYSTEM, USER, ASSISTANT, END].iter().map(|text| AddedToken::from(*text, true)).collect();
    let trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(size)
        .min_frequency(2)
        .special_tokens(controls)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let mut tokenizer = TokenizerBuilder::<
        ModelWrapper,
        NormalizerWrapper,
        PreTokenizerWrapper,
        PostProcessorWrapper,
        DecoderWrapper,
    >::default()
    .with_model(ModelWrapper::BPE(BPE::default()))
    .with_pre_tokenizer(Some(PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, true))))
    .with_decoder(Some(DecoderWrapper::ByteLevel(ByteLevel::default())))
    .build()
    .map_err(failed)?;
    let texts: Vec<String> = texts.map(str::to_owned).collect();
    tokenizer.train(&mut TrainerWrapper::BpeTrainer(trainer), texts.into_iter()).map_err(failed)?;
    tokenizer.to_string(true).map(String::into_bytes).map_err(failed)
}

/// `tokenizer_config.json`
pub(super) fn about() -> Value {
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "add_bos_token": false,
        "clean_up_tokenization_spaces": false,
        "chat_template": CHAT_TEMPLATE,
    })
}
