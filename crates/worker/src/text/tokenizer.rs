//! Text to tokens and back. Control tokens are never read out of text: they come from the template alone.

use std::collections::HashMap;

use serde_json::Value;

/// Why a tokenizer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The library refused it, or it says something that is not served.
    #[error("the tokenizer cannot be used: {0}")]
    Unusable(String),
    /// Text cannot be encoded or tokens not decoded.
    #[error("the tokenizer failed: {0}")]
    Failed(String),
}

/// What a [`Tokenizer`] is made of.
pub(crate) struct Parts {
    /// Encodes text; knows no control token.
    pub(crate) plain: tokenizers::Tokenizer,
    /// Control tokens by their text.
    pub(crate) controls: HashMap<String, u32>,
    /// What begins every prompt.
    pub(crate) bos: Option<u32>,
    /// What ends an answer.
    pub(crate) ends: Vec<u32>,
}

/// A model's tokenizer.
pub struct Tokenizer {
    plain: tokenizers::Tokenizer,
    controls: HashMap<String, u32>,
    control_texts: HashMap<u32, String>,
    bos: Option<u32>,
    ends: Vec<u32>,
    vocabulary: usize,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("vocabulary", &self.vocabulary).finish_non_exhaustive()
    }
}

impl Tokenizer {
    pub(crate) fn from_parts(parts: Parts) -> Result<Self, TokenizerError> {
        let Parts { plain, controls, bos, ends } = parts;
        if ends.is_empty() {
            return Err(TokenizerError::Unusable("no token ends an answer".to_owned()));
        }
        let control_texts: HashMap<u32, String> = controls.iter().map(|(text, id)| (*id, text.clone())).collect();
        let last = control_texts.keys().max().map_or(0, |id| usize::try_from(*id).unwrap_or(0) + 1);
        let vocabulary = plain.get_vocab_size(true).max(last);
        Ok(Self { plain, controls, control_texts, bos, ends, vocabulary })
    }

    /// Reads `tokenizer.json`. Its special tokens become control tokens; `about` is `tokenizer_config.json`, `ends` the
    /// `eos_token_id` of `config.json` (a number or a list).
    ///
    /// # Errors
    /// [`TokenizerError::Unusable`].
    pub fn from_hugging_face(json: &[u8], about: &Value, ends: &Value) -> Result<Self, TokenizerError> {
        let unusable = |error: &dyn std::fmt::Display| TokenizerError::Unusable(error.to_string());
        let mut file: Value = serde_json::from_slice(json).map_err(|error| unusable(&error))?;
        let whole = tokenizers::Tokenizer::from_bytes(json).map_err(|error| unusable(&error))?;
        // A prompt's beginning is what the file's own post-processor puts before nothing.
        let empty = whole.encode("", true).map_err(|error| unusable(&error))?;
        let declared = about.get("add_bos_token").and_then(Value::as_bool).unwrap_or(false);
        let named = about.get("bos_token").and_then(Value::as_str).and_then(|text| whole.token_to_id(text));
        let bos = match empty.get_ids() {
            [] if declared => named,
            [] => None,
            [bos] => Some(*bos),
            _ => return Err(TokenizerError::Unusable("its post_processor adds more than a first token".to_owned())),
        };
        let mut controls = HashMap::new();
        if let Some(added) = file.get_mut("added_tokens").and_then(Value::as_array_mut) {
            for token in added.iter().filter(|token| token["special"] == true) {
                if let (Some(text), Some(id)) = (token["content"].as_str(), token["id"].as_u64()) {
                    controls.insert(text.to_owned(), u32::try_from(id).unwrap_or(u32::MAX));
                }
            }
            added.retain(|token| token["special"] != true);
        }
        // Padding and truncation would change what is counted.
        for key in ["post_processor", "padding", "truncation"] {
            file[key] = Value::Null;
        }
        let text = serde_json::to_vec(&file).map_err(|error| unusable(&error))?;
        let plain = tokenizers::Tokenizer::from_bytes(text).map_err(|error| unusable(&error))?;
        let listed = ends.as_array().cloned().unwrap_or_else(|| vec![ends.clone()]);
        let listed = listed.iter().filter_map(Value::as_u64).filter_map(|id| u32::try_from(id).ok());
        let eos = about.get("eos_token").and_then(Value::as_str).and_then(|text| whole.token_to_id(text));
        let mut ends: Vec<u32> = listed.chain(eos).collect();
        ends.sort_unstable();
        ends.dedup();
        Self::from_parts(Parts { plain, controls, bos, ends })
    }

    /// One more than the highest token id.
    #[must_use]
    pub const fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// Whether a token ends an answer.
    #[must_use]
    pub fn is_end(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }

    /// The control tokens' texts.
    pub(crate) fn control_texts(&self) -> impl Iterator<Item = &str> {
        self.controls.keys().map(String::as_str)
    }

    /// The text of the token that begins every prompt.
    pub(crate) fn bos_text(&self) -> Option<&str> {
        self.control_texts.get(&self.bos?).map(String::as_str)
    }

    /// The text of the first token that ends an answer and is a control token.
    pub(crate) fn end_text(&self) -> Option<&str> {
        self.ends.iter().find_map(|id| self.control_texts.get(id)).map(String::as_str)
    }

    /// A prompt of text: the first token, if the model has one, and the text's tokens.
    ///
    /// # Errors
    /// [`TokenizerError::Failed`].
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut ids: Vec<u32> = self.bos.into_iter().collect();
        self.encode_text(text, &mut ids)?;
        Ok(ids)
    }

    /// The tokens of a text, in which nothing is a control token.
    ///
    /// # Errors
    /// [`TokenizerError::Failed`].
    pub fn encode_text(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), TokenizerError> {
        let encoded = self.plain.encode_fast(text, false).map_err(|error| TokenizerError::Failed(error.to_string()))?;
        ids.extend_from_slice(encoded.get_ids());
        Ok(())
    }

    /// The tokens of a rendered template, in which control tokens are read. Marks of look-alikes in what the caller
    /// wrote are taken out: see [`crate::text::template`].
    pub(crate) fn encode_rendered(&self, rendered: &str, mark: char) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = Vec::new();
        let mut texts: Vec<&str> = self.control_texts().filter(|text| !text.is_empty()).collect();
        texts.sort_unstable_by_key(|text| std::cmp::Reverse(text.len()));
        let first_control = |rest: &str| {
            let found = texts.iter().filter_map(|text| Some((rest.find(text)?, *text)));
            found.min_by_key(|(at, text)| (*at, std::cmp::Reverse(text.len())))
        };
        let mut rest = rendered;
        while let Some((at, control)) = first_control(rest) {
            let (before, from) = rest.split_at(at);
            self.encode_unmarked(before, mark, &mut ids)?;
            ids.extend(self.controls.get(control));
            rest = from.strip_prefix(control).unwrap_or_default();
        }
        self.encode_unmarked(rest, mark, &mut ids)?;
        if let Some(bos) = self.bos.filter(|bos| ids.first() != Some(bos)) {
            ids.insert(0, bos);
        }
        Ok(ids)
    }

    fn encode_unmarked(&self, text: &str, mark: char, ids: &mut Vec<u32>) -> Result<(), TokenizerError> {
        match text {
            "" => Ok(()),
            _ if text.contains(mark) => self.encode_text(&text.replace(mark, ""), ids),
            _ => self.encode_text(text, ids),
        }
    }

    /// The text of tokens; control tokens have none.
    ///
    /// # Errors
    /// [`TokenizerError::Failed`].
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        let texts: Vec<u32> = ids.iter().copied().filter(|id| !self.control_texts.contains_key(id)).collect();
        self.plain.decode(&texts, true).map_err(|error| TokenizerError::Failed(error.to_string()))
    }
}
