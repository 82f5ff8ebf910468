//! What an answer shall look like: the `x_fake` object of a request body, and the behaviour of requests without one.
//!
//! Unknown names are an error, so that a misspelt script fails its test loudly instead of playing a healthy answer.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use serde::Deserialize;
use serde_json::value::RawValue;

/// The largest number of content chunks in one answer.
pub const CHUNKS_MAX: u64 = 1_000_000;
/// The largest padding of one answer, in bytes.
pub const BIG_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Content chunks of an answer when nothing says otherwise.
pub const CHUNKS_DEFAULT: u64 = 8;

/// The ways to break an answer. `at` counts content chunks that are sent before it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// After `at` chunks nothing more is sent and the connection stays open.
    Stall,
    /// After `at` chunks the connection is closed within the body.
    Cut,
    /// After `at` chunks the body ends properly, without finish reason, usage or end marker.
    CleanCut,
    /// After `at` chunks comes an error event, then the body ends without end marker.
    ErrorMidStream,
    /// The content chunk behind the first `at` comes damaged; the rest of the stream is whole. Framings with a checksum only.
    Damage,
    /// An error answer with `status`.
    Status,
    /// 200 with a web page instead of JSON.
    Html,
    /// 200 with no body at all.
    Empty,
    /// A whole answer that never says what it used, asked or not.
    NoUsage,
    /// Not even response headers are sent.
    NeverAnswer,
}

/// One scripted answer; every field is optional.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Content chunks, or words of a plain answer; 8 when absent. An output maximum in the request lowers it.
    pub chunks: Option<u64>,
    /// Wait before each content chunk but the first; a plain answer waits for all of them at once.
    pub gap_ms: Option<u64>,
    /// Wait before the response headers.
    pub first_delay_ms: Option<u64>,
    /// `"cut"`, or `{"kind": "cut", "at": 3}`; `at`, `status`, `retry_after` and `code` may also stand beside it.
    fault: Option<FaultForm>,
    /// Content chunks sent before the fault; half of them when absent.
    pub at: Option<u64>,
    /// Status of fault `status`; 500 when absent. Alone it means that fault.
    pub status: Option<u16>,
    /// Value of `Retry-After` on a 429; `1` when absent.
    pub retry_after: Option<String>,
    /// Error code of fault `status`.
    pub code: Option<String>,
    /// Body of fault `status` instead of the dialect's own; a text is sent as it is, anything else as JSON.
    pub error_body: Option<serde_json::Value>,
    /// Headers of fault `status`, beside the usual ones.
    pub error_headers: Option<BTreeMap<String, String>>,
    /// Reported instead of the true usage, to the last byte. An array puts one element on each content chunk in turn
    /// and the last one where the final usage belongs.
    pub usage: Option<Box<RawValue>>,
    /// Usage on the finish chunk and again in the usage chunk.
    pub usage_twice: Option<bool>,
    /// Usage on the finish chunk of a stream that did not ask for it; no usage chunk.
    pub usage_unasked: Option<bool>,
    /// The first content chunk quotes a usage object and the end marker.
    pub quote_usage: Option<bool>,
    /// `prompt_tokens_details.cached_tokens`, part of the prompt tokens.
    pub cached_tokens: Option<u64>,
    /// `completion_tokens_details.reasoning_tokens`, part of the completion tokens.
    pub reasoning_tokens: Option<u64>,
    /// Prompt tokens that Anthropic writes to a cache for five minutes.
    pub cache_write_5m: Option<u64>,
    /// Prompt tokens that Anthropic writes to a cache for an hour.
    pub cache_write_1h: Option<u64>,
    /// The text of the answer instead of words, all of it in the first chunk.
    pub text: Option<String>,
    /// A call of this tool instead of text, in the dialects that have tools; a stream spreads its arguments over the chunks.
    pub tool_call: Option<ToolCall>,
    /// `stop` when absent.
    pub finish_reason: Option<String>,
    /// The model name of the answer; that of the request when absent.
    pub answer_model: Option<String>,
    /// Sends a stream in writes of one byte.
    pub one_byte: Option<bool>,
    /// Ends stream lines with CRLF.
    pub crlf: Option<bool>,
    /// Sends a comment before every content chunk.
    pub comments: Option<bool>,
    /// Answers 302; a string is the `Location`, `true` means a path of this server.
    pub redirect: Option<Redirect>,
    /// Pads the content (of the first chunk, in a stream) to this many bytes.
    pub big_bytes: Option<usize>,
    /// A default script only: how many requests it is used for.
    pub times: Option<u64>,
}

/// A tool that an answer calls.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub arguments: serde_json::Value,
}

/// Where a redirect points.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Redirect {
    /// To a path of this server, which would be logged; or not at all.
    Here(bool),
    /// To this address.
    To(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum FaultForm {
    Name(Fault),
    Object(FaultObject),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultObject {
    kind: Fault,
    at: Option<u64>,
    status: Option<u16>,
    retry_after: Option<String>,
    code: Option<String>,
}

impl Script {
    /// Reads a script and checks it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let mut script: Self = serde_json::from_slice(json).map_err(|error| format!("x_fake: {error}"))?;
        if let Some(FaultForm::Object(object)) = script.fault.clone() {
            script.fault = Some(FaultForm::Name(object.kind));
            script.at = object.at.or(script.at);
            script.status = object.status.or(script.status);
            script.retry_after = object.retry_after.or(script.retry_after);
            script.code = object.code.or(script.code);
        }
        script.check()?;
        Ok(script)
    }

    /// The fault to play; a lone `status` is fault [`Fault::Status`].
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match &self.fault {
            Some(FaultForm::Name(fault)) => Some(*fault),
            Some(FaultForm::Object(object)) => Some(object.kind),
            None => self.status.map(|_| Fault::Status),
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.chunks.is_some_and(|chunks| chunks > CHUNKS_MAX) {
            return Err(format!("x_fake: chunks is more than {CHUNKS_MAX}"));
        }
        if self.big_bytes.is_some_and(|bytes| bytes > BIG_BYTES_MAX) {
            return Err(format!("x_fake: big_bytes is more than {BIG_BYTES_MAX}"));
        }
        if self.status.is_some_and(|status| !(200..=599).contains(&status)) {
            return Err("x_fake: status is not between 200 and 599".to_owned());
        }
        Ok(())
    }
}

/// How the server answers when the request does not say.
#[derive(Debug, Default)]
pub struct Defaults {
    /// Content chunks; 8 when absent.
    pub chunks: Option<u64>,
    /// Wait between content chunks.
    pub gap_ms: u64,
    /// Wait before the response headers.
    pub first_delay_ms: u64,
    /// Used whole for requests that bring no script.
    pub script: Option<Script>,
}

/// The defaults of a running server; the script can be replaced while it runs.
#[derive(Debug)]
pub(crate) struct Behaviour {
    chunks: Option<u64>,
    gap_ms: u64,
    first_delay_ms: u64,
    script: Mutex<Option<Script>>,
}

impl Behaviour {
    pub(crate) fn new(defaults: Defaults) -> Self {
        Self {
            chunks: defaults.chunks,
            gap_ms: defaults.gap_ms,
            first_delay_ms: defaults.first_delay_ms,
            script: Mutex::new(defaults.script),
        }
    }

    pub(crate) fn set_script(&self, script: Script) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = Some(script);
    }

    /// The script of one request: its own, or the server's, with the server's pace where it says nothing.
    pub(crate) fn script_for(&self, own: Option<Script>) -> Script {
        let mut script = own.unwrap_or_else(|| self.next_default());
        script.chunks = script.chunks.or(self.chunks);
        script.gap_ms = script.gap_ms.or(Some(self.gap_ms));
        script.first_delay_ms = script.first_delay_ms.or(Some(self.first_delay_ms));
        script
    }

    fn next_default(&self) -> Script {
        let mut slot = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        match slot.as_mut() {
            None => Script::default(),
            Some(script) => match script.times.as_mut() {
                None => script.clone(),
                Some(0) => {
                    *slot = None;
                    Script::default()
                }
                Some(times) => {
                    *times -= 1;
                    script.clone()
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_may_be_a_name_or_an_object() {
        let named = Script::parse(br#"{"fault":"cut","at":3}"#).unwrap();
        let object = Script::parse(br#"{"fault":{"kind":"cut","at":3}}"#).unwrap();
        assert_eq!((named.fault(), named.at), (Some(Fault::Cut), Some(3)));
        assert_eq!((object.fault(), object.at), (Some(Fault::Cut), Some(3)));
        assert_eq!(Script::parse(br#"{"status":503}"#).unwrap().fault(), Some(Fault::Status));
    }

    #[test]
    fn a_misspelt_script_is_refused() {
        for wrong in
            [r#"{"chunk":1}"#, r#"{"fault":"cutt"}"#, r#"{"fault":{"kind":"cut","att":1}}"#, r#"{"status":99}"#]
        {
            assert!(Script::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_default_script_with_times_wears_out() {
        let script = Script::parse(br#"{"status":500,"times":2}"#).unwrap();
        let behaviour = Behaviour::new(Defaults { script: Some(script), ..Defaults::default() });
        let faults: Vec<_> = (0..3).map(|_| behaviour.script_for(None).fault()).collect();
        assert_eq!(faults, [Some(Fault::Status), Some(Fault::Status), None]);
    }
}
