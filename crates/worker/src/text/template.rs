//! Chat templates: a conversation becomes one prompt, in which only the template's own control tokens are read.
//!
//! What the caller wrote may look like a control token (`<end_of_turn>`). Such look-alikes are parted by a mark that
//! occurs nowhere in the conversation; after rendering, control tokens are read, and then the marks are taken out.

use std::collections::BTreeMap;

use minijinja::{Environment, Error, ErrorKind, Value, context, syntax::SyntaxConfig};

use super::tokenizer::{Tokenizer, TokenizerError};

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Its text.
    pub content: String,
}

/// Why a conversation has no prompt.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The template refuses the conversation, and says why.
    #[error("the model's chat template refuses these messages: {0}")]
    Refused(String),
    /// The tokenizer failed.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

/// A compiled template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

/// Name of the one template.
const NAME: &str = "chat";

impl ChatTemplate {
    /// Compiles a template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(source: &str, tokenizer: &Tokenizer) -> Result<Self, String> {
        let mut environment = Environment::new();
        // As Hugging Face renders them.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| error.to_string())?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|error| format!("the chat template cannot be used: {error}"))?;
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Ok(Self { environment, bos: text(tokenizer.bos_text()), eos: text(tokenizer.end_text()) })
    }

    /// The prompt of a conversation, open for the assistant's next words.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn encode(&self, messages: &[Message], tokenizer: &Tokenizer) -> Result<Vec<u32>, TemplateError> {
        let mark = unused_char(messages);
        let controls: Vec<&str> = tokenizer.control_texts().collect();
        let parted: Vec<BTreeMap<&str, String>> = messages
            .iter()
            .map(|message| {
                let content = part(&message.content, &controls, mark);
                BTreeMap::from([("role", message.role.clone()), ("content", content)])
            })
            .collect();
        let values = context! {
            messages => parted.into_iter().map(Value::from).collect::<Vec<_>>(),
            add_generation_prompt => true,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
        };
        let template = self.environment.get_template(NAME).map_err(refused)?;
        let rendered = template.render(values).map_err(refused)?;
        Ok(tokenizer.encode_rendered(&rendered, mark)?)
    }
}

fn refused(error: Error) -> TemplateError {
    TemplateError::Refused(error.detail().map_or_else(|| error.to_string(), str::to_owned))
}

/// A character of a private plane that the conversation does not use.
fn unused_char(messages: &[Message]) -> char {
    let used = |candidate: char| messages.iter().any(|message| message.content.contains(candidate));
    ('\u{f0000}'..='\u{ffffd}').find(|candidate| !used(*candidate)).unwrap_or('\u{10fffd}')
}

/// Puts the mark behind the first character of every look-alike.
fn part(content: &str, controls: &[&str], mark: char) -> String {
    let mut parted = content.to_owned();
    for control in controls.iter().filter(|control| content.contains(**control)) {
        let mut letters = control.chars();
        if let Some(first) = letters.next() {
            parted = parted.replace(*control, &format!("{first}{mark}{}", letters.as_str()));
        }
    }
    parted
}
