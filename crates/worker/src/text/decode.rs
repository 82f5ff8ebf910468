//! Tokens to text as they come: what is certain is given out, half a character is held.

use super::tokenizer::{Tokenizer, TokenizerError};

/// So many tokens are held at most; then the text goes out as it is.
const HELD_TOKENS_MAX: usize = 32;

/// The text of one answer.
#[derive(Debug, Default)]
pub struct TextStream {
    ids: Vec<u32>,
    /// From here on tokens are decoded again, so that each has its neighbour before it as context.
    context_from: usize,
    /// The text of tokens before this was given out.
    given_to: usize,
}

impl TextStream {
    /// Takes a token and gives the text that is certain now.
    ///
    /// # Errors
    /// [`TokenizerError::Failed`].
    pub fn push(&mut self, id: u32, tokenizer: &Tokenizer) -> Result<String, TokenizerError> {
        self.ids.push(id);
        let (given, text) = self.decoded(tokenizer)?;
        let held = self.ids.len() - self.given_to;
        if text.ends_with(char::REPLACEMENT_CHARACTER) && held < HELD_TOKENS_MAX {
            return Ok(String::new());
        }
        self.context_from = self.given_to;
        self.given_to = self.ids.len();
        Ok(text.get(given.len()..).unwrap_or_default().to_owned())
    }

    /// What was held, at the end of the answer.
    ///
    /// # Errors
    /// [`TokenizerError::Failed`].
    pub fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String, TokenizerError> {
        let (given, text) = self.decoded(tokenizer)?;
        self.given_to = self.ids.len();
        Ok(text.get(given.len()..).unwrap_or_default().to_owned())
    }

    /// The text from the context on: what of it was given out, and all of it.
    fn decoded(&self, tokenizer: &Tokenizer) -> Result<(String, String), TokenizerError> {
        let given = self.ids.get(self.context_from..self.given_to).unwrap_or_default();
        let all = self.ids.get(self.context_from..).unwrap_or_default();
        Ok((tokenizer.decode(given)?, tokenizer.decode(all)?))
    }
}
