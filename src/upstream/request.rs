//! A request of the OpenAI dialect, understood as far as routing, limits and metering need, and edited as little.
//!
//! Only the top level of the body is looked at; no tree is built. What the gateway does not know passes unchanged.

use std::{borrow::Cow, fmt, ops::Range};

use bytes::Bytes;
use serde::{
    Deserializer as _,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// Longest model name.
const MODEL_BYTES_MAX: usize = 256;
/// Longest end user that is recorded; the rest is cut off.
const END_USER_BYTES_MAX: usize = 256;
/// Answers that one request may ask for.
const CHOICES_MAX: u64 = 128;
/// Largest output maximum that is believed.
const OUTPUT_MAX: u64 = 1 << 32;

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v1/chat/completions`
    ChatCompletions,
    /// `/v1/completions`
    Completions,
    /// `/v1/embeddings`
    Embeddings,
}

impl Endpoint {
    /// The path on the data plane.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
        }
    }

    /// The field whose length estimates the input.
    const fn prompt_field(self) -> &'static str {
        match self {
            Self::ChatCompletions => "messages",
            Self::Completions => "prompt",
            Self::Embeddings => "input",
        }
    }
}

/// Why a body is not a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not JSON.
    #[error(
        "We could not parse the JSON body of your request: {0}. The API expects a JSON object, sent with content-type application/json."
    )]
    NotJson(String),
    /// JSON, but no object.
    #[error("The body of your request must be a JSON object.")]
    NotAnObject,
    /// A field that must be there is not.
    #[error("You must provide a `{0}` parameter.")]
    Missing(&'static str),
    /// A field that decides money stands twice.
    #[error(
        "`{0}` stands more than once in the body of your request; which one counts would be ambiguous. Send it once."
    )]
    Duplicate(String),
    /// A field has a value that it cannot have.
    #[error("Invalid value for `{field}`: {expected}.")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Larger than the gateway reads.
    #[error(
        "The body of your request is larger than {bytes_max} bytes, the most that this gateway reads. Send less, or ask its operator to raise server.body_bytes_max."
    )]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// Compressed.
    #[error("The body of your request is compressed; send it without a content-encoding.")]
    Encoded,
    /// Not complete in time.
    #[error("The body of your request did not arrive in time.")]
    TooSlow,
    /// Broken off.
    #[error("The body of your request is incomplete.")]
    Incomplete,
    /// `x-tollgate-tags` is not a list of pairs.
    #[error(
        "The header x-tollgate-tags must be such as `team=a,feature=b`: at most 16 pairs, at most 64 bytes a name or value."
    )]
    BadTags,
}

impl RequestError {
    /// A stable word for scripts.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotJson(_) | Self::NotAnObject | Self::Incomplete => "invalid_json",
            Self::Missing(_) => "missing_required_parameter",
            Self::Duplicate(_) => "duplicate_parameter",
            Self::Invalid { .. } => "invalid_value",
            Self::TooLarge { .. } => "request_too_large",
            Self::Encoded => "unsupported_encoding",
            Self::TooSlow => "request_timeout",
            Self::BadTags => "invalid_tags",
        }
    }

    /// The parameter at fault.
    #[must_use]
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Missing(field) | Self::Invalid { field, .. } => Some(field),
            Self::Duplicate(field) => Some(field),
            _ => None,
        }
    }
}

/// A request, understood as far as needed.
#[derive(Clone, Debug)]
pub struct OpenAiRequest {
    body: Bytes,
    model: String,
    model_span: Range<usize>,
    stream: bool,
    usage_asked: bool,
    stream_options: Option<StreamOptions>,
    output_max: Option<u64>,
    prompt_bytes: u64,
    end_user: Option<String>,
    embeddings: bool,
}

#[derive(Clone, Debug)]
struct StreamOptions {
    span: Range<usize>,
    /// Where the value of `include_usage` stands, if it does.
    include_usage: Option<Range<usize>>,
    is_null: bool,
    is_empty: bool,
}

/// Fields that may stand once only: they decide what is priced, streamed or bounded.
const ONCE: &[&str] = &["model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n"];

impl OpenAiRequest {
    /// Reads the top level of a body.
    ///
    /// # Errors
    /// [`RequestError`] says what to change.
    pub fn parse(body: Bytes, endpoint: Endpoint) -> Result<Self, RequestError> {
        let text = std::str::from_utf8(&body).map_err(|_| RequestError::NotJson("it is not UTF-8".to_owned()))?;
        let fields = object_fields(text)?;
        for name in ONCE {
            if fields.iter().filter(|(field, _)| field == name).count() > 1 {
                return Err(RequestError::Duplicate((*name).to_owned()));
            }
        }
        let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.get());
        let span = |value: &str| {
            let start = value.as_ptr().addr() - text.as_ptr().addr();
            start..start + value.len()
        };
        let model_raw = field("model").ok_or(RequestError::Missing("model"))?;
        let invalid_model = RequestError::Invalid { field: "model", expected: "a text of 1 to 256 bytes" };
        let model: String = serde_json::from_str(model_raw).map_err(|_| invalid_model.clone())?;
        if model.is_empty() || model.len() > MODEL_BYTES_MAX {
            return Err(invalid_model);
        }
        let stream = flag(field("stream"), "stream")?;
        let stream_options = field("stream_options").map(|raw| stream_options(raw, span(raw))).transpose()?;
        let usage_asked = stream_options
            .as_ref()
            .and_then(|options| options.include_usage.clone())
            .is_some_and(|at| text.get(at) == Some("true"));
        count(field("n"), "n", CHOICES_MAX)?;
        let completion = count(field("max_completion_tokens"), "max_completion_tokens", OUTPUT_MAX)?;
        let output_max = completion.or(count(field("max_tokens"), "max_tokens", OUTPUT_MAX)?);
        let prompt = field(endpoint.prompt_field()).ok_or(RequestError::Missing(endpoint.prompt_field()))?;
        let tools = field("tools").map_or(0, str::len);
        Ok(Self {
            model_span: span(model_raw),
            model,
            stream,
            usage_asked,
            stream_options,
            output_max,
            prompt_bytes: u64::try_from(prompt.len() + tools).unwrap_or(u64::MAX),
            end_user: field("user").and_then(|raw| serde_json::from_str::<String>(raw).ok()).map(shortened),
            embeddings: endpoint == Endpoint::Embeddings,
            body,
        })
    }

    /// The public model name.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Whether a stream was asked for.
    #[must_use]
    pub const fn stream(&self) -> bool {
        self.stream
    }

    /// The output maximum that was asked for, in tokens.
    #[must_use]
    pub const fn output_max(&self) -> Option<u64> {
        self.output_max
    }

    /// Bytes of the prompt and the tools as sent: the base of the input estimate.
    #[must_use]
    pub const fn prompt_bytes(&self) -> u64 {
        self.prompt_bytes
    }

    /// What the SDK sent as `user`.
    #[must_use]
    pub fn end_user(&self) -> Option<&str> {
        self.end_user.as_deref()
    }

    /// The body for an upstream: the model's name there, and usage asked for in a stream. Says whether asking was ours.
    /// The same bytes, not a copy, when nothing is to change.
    #[must_use]
    pub fn upstream_body(&self, upstream_model: &str) -> (Bytes, bool) {
        let inject = self.stream && !self.usage_asked && !self.embeddings;
        let mut edits: Vec<(Range<usize>, Cow<'_, str>)> = Vec::new();
        if upstream_model != self.model {
            edits.push((self.model_span.clone(), serde_json::Value::from(upstream_model).to_string().into()));
        }
        if inject {
            edits.push(self.usage_edit());
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
        (edited.into(), inject)
    }

    fn usage_edit(&self) -> (Range<usize>, Cow<'_, str>) {
        match &self.stream_options {
            Some(StreamOptions { include_usage: Some(at), .. }) => (at.clone(), "true".into()),
            Some(StreamOptions { span, is_null: true, .. }) => (span.clone(), r#"{"include_usage":true}"#.into()),
            Some(StreamOptions { span, is_empty, .. }) => {
                let after_brace = span.start + 1;
                let text = if *is_empty { r#""include_usage":true"# } else { r#""include_usage":true,"# };
                (after_brace..after_brace, text.into())
            }
            // Right before the model's name's key would need its place; right behind its value is as good.
            None => (self.model_span.end..self.model_span.end, r#","stream_options":{"include_usage":true}"#.into()),
        }
    }
}

/// Key and raw value of each field of an object, escapes in keys undone, nothing lost when a key stands twice.
fn object_fields(text: &str) -> Result<Vec<(Cow<'_, str>, &RawValue)>, RequestError> {
    struct Fields;
    impl<'de> Visitor<'de> for Fields {
        type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut fields = Vec::with_capacity(16);
            while let Some(Key(key)) = map.next_key()? {
                fields.push((key, map.next_value()?));
            }
            Ok(fields)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let fields = deserializer.deserialize_map(Fields).map_err(|error| {
        if error.is_data() { RequestError::NotAnObject } else { RequestError::NotJson(error.to_string()) }
    })?;
    deserializer.end().map_err(|error| RequestError::NotJson(error.to_string()))?;
    Ok(fields)
}

/// A key, borrowed unless it has escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

fn flag(raw: Option<&str>, field: &'static str) -> Result<bool, RequestError> {
    match raw {
        None | Some("null" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(RequestError::Invalid { field, expected: "true or false" }),
    }
}

fn count(raw: Option<&str>, field: &'static str, most: u64) -> Result<Option<u64>, RequestError> {
    let Some(raw) = raw.filter(|raw| *raw != "null") else { return Ok(None) };
    let expected = if field == "n" { "a whole number from 1 to 128" } else { "a whole number, at least 1" };
    let number = raw.parse().ok().filter(|number| (1..=most).contains(number));
    number.map(Some).ok_or(RequestError::Invalid { field, expected })
}

fn stream_options(raw: &str, span: Range<usize>) -> Result<StreamOptions, RequestError> {
    if raw == "null" {
        return Ok(StreamOptions { span, include_usage: None, is_null: true, is_empty: false });
    }
    let invalid = |expected| RequestError::Invalid { field: "stream_options", expected };
    let fields = object_fields(raw).map_err(|_| invalid("an object such as {\"include_usage\": true}"))?;
    let mut asked = fields.iter().filter(|(field, _)| field == "include_usage").map(|(_, value)| value.get());
    let include_usage = asked.next().map(|value| {
        let start = span.start + (value.as_ptr().addr() - raw.as_ptr().addr());
        (start..start + value.len(), matches!(value, "true" | "false" | "null"))
    });
    if asked.next().is_some() || include_usage.as_ref().is_some_and(|(_, flag)| !flag) {
        return Err(invalid("include_usage must be true or false, once"));
    }
    let is_empty = fields.is_empty();
    Ok(StreamOptions { span, include_usage: include_usage.map(|(at, _)| at), is_null: false, is_empty })
}

fn shortened(mut text: String) -> String {
    let mut end = text.len().min(END_USER_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn parse(body: &str) -> Result<OpenAiRequest, RequestError> {
        OpenAiRequest::parse(Bytes::copy_from_slice(body.as_bytes()), Endpoint::ChatCompletions)
    }

    #[test]
    fn what_decides_money_may_stand_once_only_however_it_is_spelled() {
        for body in [
            r#"{"model":"a","messages":[],"model":"b"}"#,
            r#"{"model":"a","messages":[],"mod\u0065l":"b"}"#,
            r#"{"model":"a","messages":[],"stream":true,"stream":false}"#,
            r#"{"model":"a","messages":[],"max_tokens":1,"max_tokens":2}"#,
        ] {
            assert!(matches!(parse(body), Err(RequestError::Duplicate(_))), "{body}");
        }
        assert!(parse(r#"{"model":"a","messages":[{"model":"b"}],"tools":[{"model":"c"}]}"#).is_ok());
    }

    #[test]
    fn bad_bodies_are_refused_with_the_parameter_at_fault() {
        for (body, param) in [
            (r#"{"messages":[]}"#, Some("model")),
            (r#"{"model":7,"messages":[]}"#, Some("model")),
            (r#"{"model":"","messages":[]}"#, Some("model")),
            (r#"{"model":"a"}"#, Some("messages")),
            (r#"{"model":"a","messages":[],"stream":"yes"}"#, Some("stream")),
            (r#"{"model":"a","messages":[],"max_tokens":-1}"#, Some("max_tokens")),
            (r#"{"model":"a","messages":[],"max_tokens":1.5}"#, Some("max_tokens")),
            (
                r#"{"model":"a","messages":[],"max_completion_tokens":99999999999999999999}"#,
                Some("max_completion_tokens"),
            ),
            (r#"{"model":"a","messages":[],"n":0}"#, Some("n")),
            (r#"{"model":"a","messages":[],"n":129}"#, Some("n")),
            (r#"{"model":"a","messages":[],"stream_options":{"include_usage":1}}"#, Some("stream_options")),
            ("[1]", None),
            ("", None),
            (r#"{"model":"a","messages":[]} x"#, None),
            (r#"{"model":"a","messages":[}"#, None),
        ] {
            let error = parse(body).expect_err(body);
            assert_eq!(error.param(), param, "{body}: {error}");
        }
        assert!(OpenAiRequest::parse(Bytes::from_static(b"{\"model\":\"\xff\"}"), Endpoint::ChatCompletions).is_err());
    }

    #[test]
    fn a_request_that_needs_no_edit_is_the_same_bytes() {
        let request =
            parse(r#"{"model":"a", "messages":[], "stream":true,"stream_options":{"include_usage":true}}"#).unwrap();
        let (body, injected) = request.upstream_body("a");
        assert_eq!((body.as_ptr(), injected), (request.body.as_ptr(), false));
    }

    proptest! {
        #[test]
        fn an_edit_changes_the_model_and_the_usage_option_and_nothing_else(
            options in prop::option::of(prop::sample::select(vec![
                json!(null), json!({}), json!({"include_usage": false}), json!({"include_usage": null}),
                json!({"include_usage": true}), json!({"include_obfuscation": false}),
            ])),
            stream in any::<bool>(),
            extra in "[a-z\"\\\\ü{}:,\\[\\]]{0,20}",
            upstream in "[a-z\"\\\\/.-]{1,12}",
        ) {
            let mut body = json!({"messages": [{"role": "user", "content": extra}], "model": "public", "x": {"model": extra}, "stream": stream});
            if let Some(options) = &options {
                body["stream_options"] = options.clone();
            }
            let request = parse(&body.to_string()).unwrap();
            let (edited, injected) = request.upstream_body(&upstream);
            let edited: Value = serde_json::from_slice(&edited).unwrap();
            let asked = options.as_ref().is_some_and(|options| options["include_usage"] == true);
            prop_assert_eq!(injected, stream && !asked);
            body["model"] = upstream.into();
            if injected {
                if !body["stream_options"].is_object() {
                    body["stream_options"] = json!({});
                }
                body["stream_options"]["include_usage"] = true.into();
            }
            prop_assert_eq!(edited, body);
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_understood_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _either = OpenAiRequest::parse(bytes.into(), Endpoint::ChatCompletions);
        }
    }
}
