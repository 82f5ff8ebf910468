//! Reads a request body: what was asked, how many prompt words it has, and the script it brings.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::script::Script;

/// The fields of a body that matter here; all others are ignored, as a provider does.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Asked {
    pub(crate) model: Option<String>,
    #[serde(default)]
    messages: Option<Vec<Message>>,
    system: Option<Value>,
    instructions: Option<Value>,
    contents: Option<Value>,
    content: Option<Value>,
    #[serde(rename = "systemInstruction")]
    system_instruction: Option<Value>,
    pub(crate) requests: Option<Vec<Value>>,
    texts: Option<Vec<Value>>,
    documents: Option<Vec<Value>>,
    query: Option<Value>,
    prompt: Option<Value>,
    pub(crate) input: Option<Value>,
    #[serde(rename = "inputText")]
    pub(crate) input_text: Option<Value>,
    pub(crate) stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    pub(crate) user: Option<String>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
    #[serde(rename = "generationConfig")]
    generation_config: Option<Bounds>,
    #[serde(rename = "inferenceConfig")]
    inference_config: Option<Bounds>,
    options: Option<Bounds>,
    pub(crate) encoding_format: Option<String>,
    pub(crate) dimensions: Option<usize>,
    x_fake: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct Message {
    content: Option<Value>,
}

/// An object that holds an output maximum, under the name that its dialect has for it.
#[derive(Debug, Deserialize)]
struct Bounds {
    #[serde(alias = "maxOutputTokens", alias = "maxTokens")]
    num_predict: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

impl Asked {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(body)
            .map_err(|error| format!("We could not parse the JSON body of your request: {error}"))
    }

    /// A form: the model is all that matters of it here.
    pub(crate) fn of_form(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let model = text.split("name=\"model\"\r\n\r\n").nth(1).and_then(|rest| rest.split("\r\n").next());
        Self { model: model.map(str::to_owned), ..Self::default() }
    }

    pub(crate) fn script(&self) -> Result<Option<Script>, String> {
        self.x_fake.as_ref().map(|raw| Script::parse(raw.get().as_bytes())).transpose()
    }

    pub(crate) fn include_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false)
    }

    pub(crate) fn output_max(&self) -> Option<u64> {
        let bounds = [&self.generation_config, &self.inference_config, &self.options];
        let inner = bounds.into_iter().flatten().filter_map(|bounds| u64::try_from(bounds.num_predict?).ok()).next();
        self.max_completion_tokens.or(self.max_tokens).or(self.max_output_tokens).or(inner)
    }

    pub(crate) fn has_messages(&self) -> bool {
        self.messages.as_ref().is_some_and(|messages| !messages.is_empty())
    }

    pub(crate) fn has_prompt(&self) -> bool {
        self.prompt.is_some()
    }

    /// Words of every message, prompt or input; a token id counts as a word; at least 1.
    pub(crate) fn prompt_words(&self) -> u64 {
        let messages = self.messages.iter().flatten().filter_map(|message| message.content.as_ref());
        let others = [
            &self.prompt,
            &self.input,
            &self.input_text,
            &self.system,
            &self.instructions,
            &self.contents,
            &self.content,
            &self.system_instruction,
            &self.query,
        ];
        let lists = [&self.requests, &self.texts, &self.documents];
        let listed = lists.into_iter().flatten().flatten();
        messages.chain(others.into_iter().flatten()).chain(listed).map(words).sum::<u64>().max(1)
    }

    /// Texts of an embedding, documents of a reranking.
    pub(crate) fn items(&self) -> usize {
        let listed = [&self.requests, &self.texts, &self.documents].into_iter().flatten().map(Vec::len).next();
        listed.unwrap_or(match &self.input {
            Some(Value::Array(items)) => items.len(),
            _ => 1,
        })
    }
}

fn words(content: &Value) -> u64 {
    match content {
        Value::String(text) => u64::try_from(text.split_whitespace().count()).unwrap_or(u64::MAX),
        Value::Array(parts) => parts.iter().map(words).sum(),
        Value::Object(part) => {
            let inner = ["text", "parts", "content"].into_iter().filter_map(|name| part.get(name));
            inner.map(words).sum()
        }
        Value::Number(_) => 1,
        Value::Null | Value::Bool(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompt_words_are_counted_over_all_messages_and_parts() {
        let asked = Asked::parse(
            br#"{"messages":[{"role":"system","content":"be  kind"},{"role":"user","content":[{"type":"text","text":"a b c"},{"type":"image_url","image_url":{"url":"x y"}}]},{"role":"assistant","content":null}]}"#,
        )
        .unwrap();
        assert_eq!(asked.prompt_words(), 5);
        assert_eq!(Asked::parse(br#"{"messages":[{"content":""}]}"#).unwrap().prompt_words(), 1);
        assert_eq!(Asked::parse(br#"{"input":[[1,2,3],"four five"]}"#).unwrap().prompt_words(), 5);
    }

    #[test]
    fn a_model_named_twice_is_refused() {
        assert!(Asked::parse(br#"{"model":"a","model":"b"}"#).is_err());
    }
}
