//! The tokenizer of a trained model: bytes, merged by what the corpus repeats, and a few control tokens.

use tokenizers::{
    AddedToken, Tokenizer, TokenizerImpl,
    models::bpe::{BPE, BpeTrainer},
    normalizers::NormalizerWrapper,
    pre_tokenizers::byte_level::ByteLevel,
    processors::PostProcessorWrapper,
};

/// What opens a message, by role.
pub(super) const ROLES: [(&str, &str); 3] =
    [("system", "<|system|>"), ("user", "<|user|>"), ("assistant", "<|assistant|>")];
/// What ends a message, and so an answer.
pub(super) const END: &str = "<|end|>";
/// The smallest vocabulary: every byte, and the control tokens.
pub(super) const TOKENS_MIN: usize = 256 + ROLES.len() + 1;

/// How a conversation becomes a prompt.
pub(super) const CHAT_TEMPLATE: &str = "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}\
     {% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

/// Learns a vocabulary of at most `tokens` from texts.
///
/// # Errors
/// What the tokenizer library says.
pub(super) fn learn<'a>(
    texts: impl Iterator<Item = &'a str> + Send,
    tokens: usize,
) -> Result<Tokenizer, tokenizers::Error> {
    // A prefix space would make text that begins without one come back changed.
    let bytes = ByteLevel::new(false, true, true);
    let mut learned =
        TokenizerImpl::<BPE, NormalizerWrapper, ByteLevel, PostProcessorWrapper, ByteLevel>::new(BPE::default());
    learned.with_pre_tokenizer(Some(bytes)).with_decoder(Some(bytes));
    let mut trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(tokens.saturating_sub(ROLES.len() + 1))
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    learned.train(&mut trainer, texts)?;
    let mut tokenizer: Tokenizer = Tokenizer::new(learned.get_model().clone());
    tokenizer.with_pre_tokenizer(Some(bytes)).with_decoder(Some(bytes));
    let controls = ROLES.iter().map(|(_, text)| *text).chain([END]);
    tokenizer.add_special_tokens(controls.map(|text| AddedToken::from(text, true).normalized(false)))?;
    Ok(tokenizer)
}
