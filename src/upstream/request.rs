//! A request, understood as far as routing, limits and metering need, and edited as little.
//!
//! Only the top level of the body is looked at, or one level down where a field lives there; no tree is built. What the
//! gateway does not know passes unchanged.

pub mod error;
mod fields;
pub mod files;
mod form;
pub mod hosted;
mod json;
pub mod kept;
pub mod multipart;
mod sources;
mod unbound;
mod usage_option;

use std::{borrow::Cow, ops::Range};

use bytes::Bytes;

use self::{error::RequestError, hosted::Hosted, kept::Kept, usage_option::UsageOption};
use super::endpoint::{BodyForm, Endpoint};

/// Longest model name.
const MODEL_BYTES_MAX: usize = 256;

/// A request, understood as far as needed.
#[derive(Clone, Debug)]
pub struct Request {
    /// What was called.
    pub endpoint: Endpoint,
    /// The public model name.
    pub model: String,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The output maximum that was asked for, in tokens.
    pub output_max: Option<u64>,
    /// How many answers were asked for, each of up to that maximum.
    pub choices: u64,
    /// Bytes of the prompt and the tools as sent: the base of the input estimate.
    pub prompt_bytes: u64,
    /// What the SDK sent as end user.
    pub end_user: Option<String>,
    /// Unicode code points of text to be spoken.
    pub characters: u64,
    /// Width and height of the pictures asked for.
    pub image_size: Option<String>,
    /// Quality of the pictures asked for.
    pub image_quality: Option<String>,
    /// What it goes on with, and whether it is kept.
    pub kept: Kept,
    /// What it asks for beside its model.
    pub hosted: Hosted,
    body: Bytes,
    model_spans: Vec<ModelSpan>,
    /// Of a stream in which usage comes only when it is asked for.
    usage_option: Option<UsageOption>,
}

/// A place in the body where the model's name stands, and how it is written there.
#[derive(Clone, Debug)]
struct ModelSpan {
    at: Range<usize>,
    form: ModelForm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ModelForm {
    /// A JSON text.
    Quoted,
    /// A JSON text that begins with `models/`.
    Resource,
    /// As it is.
    Bare,
}

impl Request {
    /// Reads a body. `in_path` is the model's name where the path has it.
    ///
    /// # Errors
    /// [`RequestError`] says what to change.
    pub fn parse(
        endpoint: Endpoint,
        in_path: Option<&str>,
        content_type: &str,
        body: Bytes,
    ) -> Result<Self, RequestError> {
        let request = match endpoint.shape().body {
            BodyForm::Json => json::read(endpoint, in_path, body)?,
            BodyForm::Multipart => form::read(endpoint, content_type, body)?,
        };
        if request.model.is_empty() || request.model.len() > MODEL_BYTES_MAX {
            return Err(INVALID_MODEL);
        }
        Ok(request)
    }

    /// Output tokens that the answers may have together, as far as a maximum was asked for.
    #[must_use]
    pub fn output_tokens_max(&self) -> u64 {
        self.output_max.unwrap_or(0).saturating_mul(self.choices)
    }

    /// The files that the body names.
    ///
    /// # Errors
    /// As [`files::named_files`].
    pub fn named_files(&self) -> Result<Vec<String>, RequestError> {
        files::named_files(&self.body)
    }

    /// The body for an upstream: the model's name there, and usage asked for in a stream, if it `may_be_asked`. Says whether
    /// asking was ours. The same bytes, not a copy, when nothing is to change.
    #[must_use]
    pub fn upstream_body(&self, upstream_model: &str, may_be_asked: bool) -> (Bytes, bool) {
        let mut edits: Vec<(Range<usize>, Cow<'_, str>)> = Vec::new();
        if upstream_model != self.model {
            edits.extend(self.model_spans.iter().map(|span| (span.at.clone(), span.form.write(upstream_model))));
        }
        let inject = self.usage_option.as_ref().filter(|option| may_be_asked && !option.asked);
        if let (Some(option), Some(model)) = (inject, self.model_spans.first()) {
            edits.push(option.edit(model.at.end));
        }
        if edits.is_empty() {
            return (self.body.clone(), false);
        }
        edits.sort_by_key(|(at, _)| at.start);
        let mut edited = Vec::with_capacity(self.body.len() + 64);
        let mut copied = 0;
        for (at, text) in edits {
            edited.extend_from_slice(self.body.get(copied..at.start).unwrap_or_default());
            edited.extend_from_slice(text.as_bytes());
            copied = at.end;
        }
        edited.extend_from_slice(self.body.get(copied..).unwrap_or_default());
        (edited.into(), inject.is_some())
    }
}

impl ModelForm {
    fn write(self, model: &str) -> Cow<'_, str> {
        match self {
            Self::Quoted => serde_json::Value::from(model).to_string().into(),
            Self::Resource => serde_json::Value::from(format!("models/{model}")).to_string().into(),
            Self::Bare => model.into(),
        }
    }
}

const INVALID_MODEL: RequestError = RequestError::Invalid { field: "model", expected: "a text of 1 to 256 bytes" };

#[cfg(test)]
mod tests;
