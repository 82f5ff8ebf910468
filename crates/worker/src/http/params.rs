//! Reads the parameters of a request. What is not supported is refused by name, never ignored.

use serde_json::{Map, Value};

use super::error::ApiError;
use crate::{sampling::SamplingOptions, text::template::Message};

/// Stop sequences of one request at most, and bytes of each.
const STOPS_MAX: usize = 16;
const STOP_BYTES_MAX: usize = 1024;

/// Which endpoint was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Chat,
    Completions,
}

/// What is to be continued.
#[derive(Debug)]
pub(super) enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
    Messages(Vec<Message>),
}

/// A request's parameters.
#[derive(Debug)]
pub(super) struct Params {
    pub(super) model: Option<String>,
    pub(super) prompt: Prompt,
    pub(super) max_tokens: Option<u64>,
    /// Without a seed.
    pub(super) sampling: SamplingOptions,
    pub(super) seed: Option<u64>,
    pub(super) stops: Vec<String>,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) ignore_end: bool,
    pub(super) return_token_ids: bool,
}

/// Parameters that change nothing of the answer.
const WITHOUT_EFFECT: &[&str] = &["user", "metadata", "safety_identifier", "prompt_cache_key"];
/// Parameters that are supported at one value only, which is what leaving them out means.
const AT_ONE_VALUE: &[(&str, &str)] = &[
    ("n", "1"),
    ("best_of", "1"),
    ("logprobs", "false"),
    ("top_logprobs", "0"),
    ("echo", "false"),
    ("store", "false"),
    ("service_tier", "\"default\""),
    ("logit_bias", "{}"),
    ("tools", "[]"),
    ("functions", "[]"),
    ("tool_choice", "\"none\""),
    ("response_format", "{\"type\":\"text\"}"),
    ("modalities", "[\"text\"]"),
    ("suffix", "\"\""),
];

impl Params {
    /// Reads the body of `endpoint`.
    pub(super) fn read(body: &[u8], endpoint: Endpoint) -> Result<Self, ApiError> {
        let body: Map<String, Value> =
            serde_json::from_slice(body).map_err(|error| ApiError::NotJson(error.to_string()))?;
        let mut fields = Fields { body };
        let params = Self {
            model: fields.text("model")?,
            prompt: match endpoint {
                Endpoint::Chat => Prompt::Messages(messages(fields.take("messages"))?),
                Endpoint::Completions => prompt(fields.take("prompt"))?,
            },
            max_tokens: fields.max_tokens(endpoint)?,
            sampling: fields.sampling()?,
            seed: fields.take("seed").map(|value| seed(&value)).transpose()?,
            stops: fields.take("stop").map_or(Ok(Vec::new()), |value| stops(&value))?,
            stream: fields.flag("stream")?,
            include_usage: fields.include_usage()?,
            ignore_end: fields.flag("ignore_eos")?,
            return_token_ids: fields.flag("return_token_ids")?,
        };
        fields.refuse_rest()?;
        Ok(params)
    }
}

/// The prompt of `/tokenize`: text or messages.
pub(super) fn tokenize_prompt(body: &[u8]) -> Result<Prompt, ApiError> {
    let body: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| ApiError::NotJson(error.to_string()))?;
    let mut fields = Fields { body };
    let _model = fields.text("model")?;
    let found = match fields.take("messages") {
        Some(value) => Prompt::Messages(messages(Some(value))?),
        None => prompt(fields.take("prompt"))?,
    };
    fields.refuse_rest()?;
    Ok(found)
}

struct Fields {
    body: Map<String, Value>,
}

impl Fields {
    /// Takes a field out; null is as good as absent.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.body.remove(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(ApiError::invalid(name, "must be a string")),
        }
    }

    fn flag(&mut self, name: &str) -> Result<bool, ApiError> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(ApiError::invalid(name, "must be true or false")),
        }
    }

    fn count(&mut self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.as_u64().map(Some).ok_or_else(|| ApiError::invalid(name, "must be a whole number, at least 0"))
    }

    /// A number within bounds, both included.
    fn number(&mut self, name: &str, default: f32, least: f32, most: f32) -> Result<f32, ApiError> {
        let Some(value) = self.take(name) else { return Ok(default) };
        let number = value.as_f64().and_then(narrow).filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| ApiError::invalid(name, format!("must be a number from {least} to {most}")))
    }

    fn max_tokens(&mut self, endpoint: Endpoint) -> Result<Option<u64>, ApiError> {
        let newer = if endpoint == Endpoint::Chat { self.count("max_completion_tokens")? } else { None };
        let older = self.count("max_tokens")?;
        if newer.is_some() && older.is_some() && newer != older {
            return Err(ApiError::invalid("max_tokens", "differs from max_completion_tokens; send one of them"));
        }
        let most = newer.or(older);
        if most == Some(0) {
            return Err(ApiError::invalid("max_tokens", "must be at least 1"));
        }
        Ok(most)
    }

    fn sampling(&mut self) -> Result<SamplingOptions, ApiError> {
        let top_k = match self.take("top_k") {
            None => 0,
            Some(value) if value.as_i64() == Some(-1) => 0,
            Some(value) => value
                .as_u64()
                .and_then(|top_k| usize::try_from(top_k).ok())
                .ok_or_else(|| ApiError::invalid("top_k", "must be a whole number; 0 or -1 for no limit"))?,
        };
        Ok(SamplingOptions {
            temperature: self.number("temperature", 1.0, 0.0, 2.0)?,
            top_p: self.number("top_p", 1.0, f32::MIN_POSITIVE, 1.0)?,
            top_k,
            frequency_penalty: self.number("frequency_penalty", 0.0, -2.0, 2.0)?,
            presence_penalty: self.number("presence_penalty", 0.0, -2.0, 2.0)?,
            repetition_penalty: self.number("repetition_penalty", 1.0, 0.01, 10.0)?,
            seed: 0,
        })
    }

    fn include_usage(&mut self) -> Result<bool, ApiError> {
        let Some(options) = self.take("stream_options") else { return Ok(false) };
        let Value::Object(options) = options else {
            return Err(ApiError::invalid("stream_options", "must be an object"));
        };
        let mut options = Self { body: options };
        let include = options.flag("include_usage")?;
        // Every chunk carries usage in any case, and nothing is padded.
        options.flag("continuous_usage_stats")?;
        options.flag("include_obfuscation")?;
        match options.body.keys().next() {
            Some(name) => Err(unsupported(&format!("stream_options.{name}"), "")),
            None => Ok(include),
        }
    }

    fn refuse_rest(mut self) -> Result<(), ApiError> {
        for name in WITHOUT_EFFECT {
            self.body.remove(*name);
        }
        for (name, only) in AT_ONE_VALUE {
            let Some(value) = self.take(name) else { continue };
            let only_value: Value = serde_json::from_str(only).unwrap_or_default();
            let automatic = matches!(*name, "tool_choice" | "service_tier") && value == "auto";
            if value != only_value && !automatic {
                return Err(unsupported(name, &format!(" but for {only}")));
            }
        }
        self.body.retain(|name, value| !value.is_null() && name != "parallel_tool_calls");
        match self.body.keys().next() {
            Some(name) => Err(unsupported(name, "")),
            None => Ok(()),
        }
    }
}

fn unsupported(param: &str, hint: &str) -> ApiError {
    ApiError::Unsupported { param: param.to_owned(), hint: hint.to_owned() }
}

#[expect(clippy::cast_possible_truncation, clippy::as_conversions, reason = "rounding to f32 is what is wanted")]
fn narrow(number: f64) -> Option<f32> {
    let narrow = number as f32;
    narrow.is_finite().then_some(narrow)
}

/// Any whole number; negative ones are as good as others.
fn seed(value: &Value) -> Result<u64, ApiError> {
    let seed = value.as_u64().or_else(|| value.as_i64().map(i64::cast_unsigned));
    seed.ok_or_else(|| ApiError::invalid("seed", "must be a whole number"))
}

fn stops(value: &Value) -> Result<Vec<String>, ApiError> {
    let list = match value {
        Value::String(_) => std::slice::from_ref(value),
        Value::Array(list) => list.as_slice(),
        _ => return Err(ApiError::invalid("stop", "must be a string or a list of strings")),
    };
    if list.len() > STOPS_MAX {
        return Err(ApiError::invalid("stop", format!("has more than {STOPS_MAX} sequences")));
    }
    let text = |value: &Value| {
        let text = value.as_str().filter(|text| text.len() <= STOP_BYTES_MAX).map(str::to_owned);
        text.ok_or_else(|| ApiError::invalid("stop", format!("must hold strings of at most {STOP_BYTES_MAX} bytes")))
    };
    list.iter().map(text).collect()
}

fn prompt(value: Option<Value>) -> Result<Prompt, ApiError> {
    let wrong = || ApiError::invalid("prompt", "must be one string or one list of token ids");
    match value {
        Some(Value::String(text)) => Ok(Prompt::Text(text)),
        Some(Value::Array(list)) => match list.as_slice() {
            [Value::String(text)] => Ok(Prompt::Text(text.clone())),
            [Value::Array(tokens)] => token_ids(tokens).ok_or_else(wrong),
            [] => Err(wrong()),
            tokens => token_ids(tokens).ok_or_else(wrong),
        },
        None => Err(ApiError::invalid("prompt", "is missing")),
        Some(_) => Err(wrong()),
    }
}

fn token_ids(list: &[Value]) -> Option<Prompt> {
    let ids: Option<Vec<u32>> = list.iter().map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok())).collect();
    ids.map(Prompt::Tokens)
}

fn messages(value: Option<Value>) -> Result<Vec<Message>, ApiError> {
    let list = match value {
        Some(Value::Array(list)) if !list.is_empty() => list,
        Some(_) => return Err(ApiError::invalid("messages", "must be a list of at least one message")),
        None => return Err(ApiError::invalid("messages", "is missing")),
    };
    list.into_iter().enumerate().map(|(index, message)| one_message(index, message)).collect()
}

fn one_message(index: usize, message: Value) -> Result<Message, ApiError> {
    let place = |part: &str| format!("messages[{index}]{part}");
    let Value::Object(mut message) = message else {
        return Err(ApiError::invalid(&place(""), "must be an object with role and content"));
    };
    message.retain(|_, value| !value.is_null());
    let role = match message.remove("role").as_ref().and_then(Value::as_str) {
        Some("system" | "developer") => "system",
        Some("user") => "user",
        Some("assistant") => "assistant",
        Some(role) => return Err(unsupported(&place(".role"), &format!(" as `{role}`"))),
        None => return Err(ApiError::invalid(&place(".role"), "is missing")),
    };
    let content = match message.remove("content") {
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => parts_text(&place(".content"), &parts)?,
        Some(_) => return Err(ApiError::invalid(&place(".content"), "must be a string or a list of text parts")),
        None => return Err(ApiError::invalid(&place(".content"), "is missing")),
    };
    match message.keys().next() {
        Some(name) => Err(unsupported(&place(&format!(".{name}")), "")),
        None => Ok(Message { role: role.to_owned(), content }),
    }
}

fn parts_text(place: &str, parts: &[Value]) -> Result<String, ApiError> {
    let mut whole = String::new();
    for (index, part) in parts.iter().enumerate() {
        match (part["type"].as_str(), part["text"].as_str()) {
            (Some("text"), Some(text)) => whole.push_str(text),
            (Some("text"), None) => return Err(ApiError::invalid(&format!("{place}[{index}].text"), "is missing")),
            (kind, _) => {
                let kind = kind.unwrap_or("?");
                return Err(unsupported(&format!("{place}[{index}].type"), &format!(" as `{kind}`, only as `text`")));
            }
        }
    }
    Ok(whole)
}
