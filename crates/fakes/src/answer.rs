//! The JSON shapes of the dialect, and the numbers that an answer reports.
//!
//! Text is built by hand where a scripted usage must appear to the last byte.

use bytes::Bytes;
use serde_json::{json, value::RawValue};

use crate::{
    dialect, embedding,
    request::Asked,
    script::{CHUNKS_DEFAULT, Fault, Script, ToolCall},
    wording,
};

/// Every answer was made at this second, so that answers can be compared.
pub(crate) const CREATED: u64 = 1_750_000_000;

/// The endpoints that answer with content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Chat,
    Completions,
    Embeddings,
    Responses,
    Moderation,
    Images,
    Speech,
    Transcription,
    Messages,
    CountTokens,
    Gemini,
    GeminiStream,
    GeminiCountTokens,
    GeminiEmbed,
    Interactions,
    OllamaChat,
    OllamaGenerate,
    OllamaEmbed,
    CohereChat,
    CohereEmbed,
    CohereRerank,
    Converse,
    ConverseStream,
    Invoke,
    InvokeEmbed,
    InvokeStream,
}

impl Endpoint {
    /// Whether a request for a stream gets one.
    fn streams(self, asked: Option<bool>) -> bool {
        match self {
            Self::GeminiStream | Self::ConverseStream | Self::InvokeStream => true,
            Self::OllamaChat | Self::OllamaGenerate => asked != Some(false),
            Self::Chat
            | Self::Completions
            | Self::Responses
            | Self::Messages
            | Self::Interactions
            | Self::CohereChat => asked == Some(true),
            _ => false,
        }
    }

    /// The first ones, whose streams the chunk is made for.
    pub(crate) fn is_first(self) -> bool {
        matches!(self, Self::Chat | Self::Completions | Self::Embeddings)
    }
}

/// Everything that decides one answer.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) endpoint: Endpoint,
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) script: Script,
    pub(crate) chunks: u64,
    pub(crate) finish_reason: String,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    /// Gemini's stream was asked for as server-sent events.
    pub(crate) alt_sse: bool,
    /// Texts of an embedding, documents of a reranking.
    pub(crate) items: usize,
    /// An embedding of many requests.
    pub(crate) many: bool,
    pub(crate) prompt_tokens: u64,
    data: Vec<serde_json::Value>,
}

impl Turn {
    pub(crate) fn new(endpoint: Endpoint, asked: &Asked, script: Script) -> Self {
        let asked_model = asked.model.clone().unwrap_or_default();
        let wanted = script.chunks.or_else(|| wording::natural_length(&asked_model)).unwrap_or(CHUNKS_DEFAULT);
        let chunks = asked.output_max().map_or(wanted, |most| wanted.min(most));
        let reason = match &script.tool_call {
            _ if chunks < wanted => "length",
            Some(_) if endpoint == Endpoint::Chat => "tool_calls",
            _ => "stop",
        };
        let stream = endpoint.streams(asked.stream);
        Self {
            endpoint,
            id: String::new(),
            model: script.answer_model.clone().unwrap_or(asked_model),
            finish_reason: script.finish_reason.clone().unwrap_or_else(|| reason.to_owned()),
            chunks,
            stream,
            include_usage: stream && asked.include_usage(),
            alt_sse: false,
            items: asked.items(),
            many: asked.requests.is_some(),
            prompt_tokens: asked.prompt_words(),
            data: if endpoint == Endpoint::Embeddings { embedding::data(asked) } else { Vec::new() },
            script,
        }
    }

    /// The prefix of ids on this endpoint.
    pub(crate) fn name_it(&mut self, n: u64) {
        let prefix = match self.endpoint {
            Endpoint::Chat => "chatcmpl",
            Endpoint::Messages => "msg",
            Endpoint::Responses => "resp",
            _ => "cmpl",
        };
        self.id = format!("{prefix}-fake{n:012}");
    }

    /// Content chunks before the fault strikes.
    pub(crate) fn fault_at(&self) -> u64 {
        self.script.at.unwrap_or(self.chunks / 2).min(self.chunks)
    }

    /// The final usage object if this answer has one to tell.
    pub(crate) fn usage_told(&self) -> Option<String> {
        let silent = matches!(
            self.script.fault(),
            Some(Fault::NoUsage | Fault::Status | Fault::Html | Fault::Empty | Fault::NeverAnswer)
        );
        let asked =
            !self.stream || self.include_usage || self.script.usage_unasked == Some(true) || !self.endpoint.is_first();
        (asked && !silent).then(|| self.final_usage())
    }

    /// The usage to place on content chunk `index` when the script lists several.
    pub(crate) fn usage_on_chunk(&self, index: u64) -> Option<String> {
        let list = self.usage_list()?;
        list.get(usize::try_from(index).ok()?).map(|raw| raw.get().to_owned())
    }

    fn usage_list(&self) -> Option<Vec<Box<RawValue>>> {
        let raw = self.script.usage.as_ref()?.get();
        if raw.starts_with('[') { serde_json::from_str(raw).ok() } else { None }
    }

    fn final_usage(&self) -> String {
        if let Some(last) = self.usage_list().and_then(|mut list| list.pop()) {
            return last.get().to_owned();
        }
        if let Some(raw) = &self.script.usage {
            return raw.get().to_owned();
        }
        if let Some(usage) = dialect::usage(self) {
            return usage;
        }
        let input = self.prompt_tokens;
        if self.endpoint == Endpoint::Embeddings {
            return format!(r#"{{"prompt_tokens":{input},"total_tokens":{input}}}"#);
        }
        let output = self.chunks;
        let total = input + output;
        let cached = self.script.cached_tokens.unwrap_or(0);
        let reasoning = self.script.reasoning_tokens.unwrap_or(0);
        format!(
            concat!(
                r#"{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"#,
                r#""prompt_tokens_details":{{"cached_tokens":{},"audio_tokens":0}},"#,
                r#""completion_tokens_details":{{"reasoning_tokens":{},"audio_tokens":0,"#,
                r#""accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}"#
            ),
            input, output, total, cached, reasoning
        )
    }

    /// All chunks of text in one.
    pub(crate) fn whole_text(&self) -> String {
        (0..self.chunks).map(|index| self.text(index)).collect()
    }

    /// The text of content chunk `index`.
    pub(crate) fn text(&self, index: u64) -> String {
        if let Some(text) = &self.script.text {
            return if index == 0 { text.clone() } else { String::new() };
        }
        let word = wording::chunk(&self.model, index);
        if index > 0 {
            return word.into_owned();
        }
        let quote = if self.script.quote_usage == Some(true) { wording::QUOTE } else { "" };
        let mut text = format!("{quote}{word}");
        if let Some(bytes) = self.script.big_bytes {
            text.extend(std::iter::repeat_n('x', bytes.saturating_sub(text.len())));
        }
        text
    }

    /// The arguments of the tool's call on content chunk `index`: an even part of them.
    pub(crate) fn arguments(&self, call: &ToolCall, index: u64) -> String {
        let text = call.arguments.to_string();
        let size = text.chars().count().div_ceil(usize::try_from(self.chunks).unwrap_or(1).max(1));
        let before = usize::try_from(index).unwrap_or(usize::MAX).saturating_mul(size);
        text.chars().skip(before).take(size).collect()
    }

    /// The whole answer as one JSON body.
    pub(crate) fn plain(&self) -> Bytes {
        if let Some(text) = dialect::plain(self) {
            return text.into();
        }
        let usage = self.usage_told().map(|usage| format!(r#","usage":{usage}"#)).unwrap_or_default();
        let model = quoted(&self.model);
        if self.endpoint == Endpoint::Embeddings {
            let data = serde_json::Value::Array(self.data.clone());
            return format!(r#"{{"object":"list","data":{data},"model":{model}{usage}}}"#).into();
        }
        let said = match &self.script.tool_call {
            Some(call) if self.endpoint == Endpoint::Chat => format!(
                r#"null,"tool_calls":[{{"id":"call_fake","type":"function","function":{{"name":{},"arguments":{}}}}}]"#,
                quoted(&call.name),
                quoted(&call.arguments.to_string())
            ),
            _ => quoted(&self.whole_text()),
        };
        let (reason, id) = (quoted(&self.finish_reason), quoted(&self.id));
        if self.endpoint == Endpoint::Completions {
            return format!(
                concat!(
                    r#"{{"id":{},"object":"text_completion","created":{},"model":{},"#,
                    r#""choices":[{{"text":{},"index":0,"logprobs":null,"finish_reason":{}}}]{}}}"#
                ),
                id, CREATED, model, said, reason, usage
            )
            .into();
        }
        format!(
            concat!(
                r#"{{"id":{},"object":"chat.completion","created":{},"model":{},"choices":[{{"index":0,"#,
                r#""message":{{"role":"assistant","content":{},"refusal":null,"annotations":[]}},"logprobs":null,"#,
                r#""finish_reason":{}}}]{},"service_tier":"default","system_fingerprint":"fp_fake"}}"#
            ),
            id, CREATED, model, said, reason, usage
        )
        .into()
    }
}

/// A string as JSON.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The dialect's error body.
pub(crate) fn error(message: &str, kind: &str, param: Option<&str>, code: Option<&str>) -> Bytes {
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}}).to_string().into()
}

/// The error body of a status, with the words that go with it.
pub(crate) fn error_for(status: u16, code: Option<&str>) -> Bytes {
    let (message, kind, usual) = match status {
        400 => ("Invalid request.", "invalid_request_error", None),
        401 => ("Incorrect API key provided.", "invalid_request_error", Some("invalid_api_key")),
        403 => ("You are not allowed to use this.", "invalid_request_error", Some("unsupported_country")),
        404 => ("The model does not exist.", "invalid_request_error", Some("model_not_found")),
        429 if code == Some("insufficient_quota") => {
            ("You exceeded your current quota.", "insufficient_quota", Some("insufficient_quota"))
        }
        429 => ("Rate limit reached for requests.", "requests", Some("rate_limit_exceeded")),
        503 => ("The server is overloaded.", "server_error", Some("server_overloaded")),
        _ => ("The server had an error while processing your request.", "server_error", None),
    };
    error(message, kind, None, code.or(usual))
}

/// The list of `GET /v1/models`.
pub(crate) fn models() -> Bytes {
    let data: Vec<_> = [wording::DEMO_MODEL, "fake-chat", "fake-embedding", "fake-instruct"].map(model_object).into();
    json!({"object": "list", "data": data}).to_string().into()
}

/// One model; every name exists.
pub(crate) fn model(name: &str) -> Bytes {
    model_object(name).to_string().into()
}

fn model_object(name: &str) -> serde_json::Value {
    json!({"id": name, "object": "model", "created": CREATED, "owned_by": "fake-upstream"})
}
