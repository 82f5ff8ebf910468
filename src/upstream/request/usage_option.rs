//! `stream_options.include_usage`: whether a client asked for usage in its stream, and the edit that asks for it.

use std::{borrow::Cow, ops::Range};

use super::{
    error::RequestError,
    fields::{Fields, object_fields, span},
};

/// The option as the client sent it, in a stream.
#[derive(Clone, Debug)]
pub(super) struct UsageOption {
    /// The client asked for usage itself.
    pub(super) asked: bool,
    options: Option<StreamOptions>,
}

#[derive(Clone, Debug)]
struct StreamOptions {
    span: Range<usize>,
    /// Where the value of `include_usage` stands, if it does.
    include_usage: Option<Range<usize>>,
    is_null: bool,
    is_empty: bool,
}

impl UsageOption {
    pub(super) fn read(text: &str, fields: &Fields<'_>) -> Result<Self, RequestError> {
        let raw = fields.raw(&["stream_options"])?;
        let options = raw.map(|raw| stream_options(raw, span(text, raw))).transpose()?;
        let asked = options
            .as_ref()
            .and_then(|options| options.include_usage.clone())
            .is_some_and(|at| text.get(at) == Some("true"));
        Ok(Self { asked, options })
    }

    /// What to write where, so that usage is asked for. `after` is the end of the model's value.
    pub(super) fn edit(&self, after: usize) -> (Range<usize>, Cow<'static, str>) {
        match &self.options {
            Some(StreamOptions { include_usage: Some(at), .. }) => (at.clone(), "true".into()),
            Some(StreamOptions { span, is_null: true, .. }) => (span.clone(), r#"{"include_usage":true}"#.into()),
            Some(StreamOptions { span, is_empty, .. }) => {
                let after_brace = span.start + 1;
                let text = if *is_empty { r#""include_usage":true"# } else { r#""include_usage":true,"# };
                (after_brace..after_brace, text.into())
            }
            // Right before the model's key would need its place; right behind its value is as good.
            None => (after..after, r#","stream_options":{"include_usage":true}"#.into()),
        }
    }
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
