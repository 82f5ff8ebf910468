//! Reads an upstream's error body, whatever its form: providers, and the servers and proxies in front of them, each have one.
//!
//! What cannot be read is absent, never an error: the status says enough.

use serde_json::{Map, Value};

/// Fields that say what is wrong, the most exact first.
const SAYING: &[&str] = &["message", "Message", "msg", "detail", "title", "error"];
/// Fields that name the class of an error.
const NAMING: &[&str] = &["type", "status", "error_type"];

/// The object that tells of the error.
#[derive(Debug, Default)]
pub(super) struct ErrorBody(Map<String, Value>);

impl ErrorBody {
    /// Of a whole body.
    pub(super) fn parse(body: &[u8]) -> Self {
        Self::of(serde_json::from_slice(body).unwrap_or_default())
    }

    fn of(body: Value) -> Self {
        match body {
            // Gemini, where a stream is one array.
            Value::Array(list) => list.into_iter().next().map(Self::of).unwrap_or_default(),
            Value::Object(mut whole) => match whole.remove("error") {
                // OpenAI, Anthropic, Gemini, OpenRouter.
                Some(Value::Object(error)) => Self(error),
                // Ollama; xAI and TGI, which name the class beside it.
                Some(text @ (Value::String(_) | Value::Array(_))) => {
                    whole.entry("message").or_insert(text);
                    Self(whole)
                }
                // Mistral, Cerebras, Cohere, Bedrock, FastAPI, problem+json.
                _ => Self(whole),
            },
            _ => Self::default(),
        }
    }

    /// For a person to read.
    pub(super) fn message(&self) -> Option<String> {
        said(&self.0)
    }

    /// Its type. The address of a problem+json is none.
    pub(super) fn kind(&self) -> Option<String> {
        let texts = NAMING.iter().filter_map(|name| self.0.get(*name)?.as_str());
        texts.filter(|text| is_word(text)).map(str::to_owned).next()
    }

    /// Its code, which some write as a number.
    pub(super) fn code(&self) -> Option<String> {
        match self.0.get("code")? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// All that names the class of the error: type, status, code, and the reasons in Google's details.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let own = NAMING.iter().chain(&["code"]).filter_map(|name| self.0.get(*name));
        own.chain(self.details().filter_map(|detail| detail.get("reason"))).filter_map(Value::as_str)
    }

    /// OpenRouter says what of the input was flagged, and why.
    pub(super) fn is_moderated(&self) -> bool {
        let Some(metadata) = self.0.get("metadata") else { return false };
        let reasons = metadata.get("reasons").and_then(Value::as_array);
        metadata.get("flagged_input").is_some_and(Value::is_string) || reasons.is_some_and(|list| !list.is_empty())
    }

    /// How long Google asks to wait: `"12.5s"`.
    pub(super) fn retry_delay(&self) -> Option<&str> {
        let is_wait = |detail: &&Value| {
            detail.get("@type").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("google.rpc.RetryInfo"))
        };
        self.details().find(is_wait)?.get("retryDelay")?.as_str()
    }

    fn details(&self) -> impl Iterator<Item = &Value> {
        self.0.get("details").and_then(Value::as_array).into_iter().flatten()
    }

    /// The parameter at fault.
    pub(super) fn param(&self) -> Option<String> {
        self.0.get("param")?.as_str().map(str::to_owned)
    }
}

fn said(fields: &Map<String, Value>) -> Option<String> {
    SAYING.iter().find_map(|name| text(fields.get(*name)?))
}

/// A text, or what a list or an object of them says. Never deeper than serde_json reads.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Array(list) => {
            let texts: Vec<String> = list.iter().filter_map(text).collect();
            Some(texts.join("; ")).filter(|text| !text.is_empty())
        }
        Value::Object(fields) => {
            let said = said(fields)?;
            Some(match fields.get("loc").and_then(place) {
                Some(place) => format!("{place}: {said}"),
                None => said,
            })
        }
        _ => None,
    }
}

/// Where FastAPI found a mistake: `["body", "messages", 0, "role"]`.
fn place(loc: &Value) -> Option<String> {
    let part = |part: &Value| match part {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let parts: Vec<String> = loc.as_array()?.iter().filter_map(part).collect();
    Some(parts.join(".")).filter(|place| !place.is_empty())
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::ErrorBody;

    /// Message, type, code and parameter; `-` is none.
    fn told(body: &str) -> [String; 4] {
        let body = ErrorBody::parse(body.as_bytes());
        [body.message(), body.kind(), body.code(), body.param()].map(|told| told.unwrap_or_else(|| "-".to_owned()))
    }

    #[test]
    fn every_form_of_error_body_is_read() {
        for (body, expected) in [
            (r#"{"error":{"message":"m","type":"t","param":"p","code":"c"}}"#, ["m", "t", "c", "p"]),
            (r#"{"type":"error","error":{"type":"t","message":"m"},"request_id":"r"}"#, ["m", "t", "-", "-"]),
            (r#"[{"error":{"code":400,"message":"m","status":"NOT_FOUND"}}]"#, ["m", "NOT_FOUND", "400", "-"]),
            (r#"{"error":"m"}"#, ["m", "-", "-", "-"]),
            (r#"{"code":"c","error":"m"}"#, ["m", "-", "c", "-"]),
            (r#"{"error":"m","error_type":"validation"}"#, ["m", "validation", "-", "-"]),
            (r#"{"statusCode":400,"message":"m","error":"Bad Request"}"#, ["m", "-", "-", "-"]),
            (r#"{"message":"m"}"#, ["m", "-", "-", "-"]),
            (r#"{"Message":"m"}"#, ["m", "-", "-", "-"]),
            // Mistral and Cerebras: flat.
            (r#"{"object":"error","message":"m","type":"t","param":"p","code":"1300"}"#, ["m", "t", "1300", "p"]),
            (
                r#"{"object":"error","message":{"detail":[{"type":"missing","loc":["body","model"],"msg":"m"}]},"type":"t","param":null,"code":null}"#,
                ["body.model: m", "t", "-", "-"],
            ),
            // vLLM and SGLang: FastAPI.
            (r#"{"detail":"m"}"#, ["m", "-", "-", "-"]),
            (
                r#"{"detail":[{"loc":["body","messages",0,"role"],"msg":"a","input":"x"},{"loc":["body"],"msg":"b"}]}"#,
                ["body.messages.0.role: a; body: b", "-", "-", "-"],
            ),
            (r#"{"detail":{"error":{"message":"m"}}}"#, ["m", "-", "-", "-"]),
            // NIM: problem+json.
            (r#"{"type":"urn:x:problem","title":"t","status":422,"detail":"m"}"#, ["m", "-", "-", "-"]),
            (r#"{"type":"about:blank","title":"m","status":404}"#, ["m", "-", "-", "-"]),
            (r#"{"error":{"message":"m","type":"t","status":"S","code":[],"param":["p"]}}"#, ["m", "t", "-", "-"]),
            (r#"{"error":{"message":"m","type":"t","type":"u"}}"#, ["m", "u", "-", "-"]),
            // Nothing that can be told.
            (r#"{"error":null}"#, ["-", "-", "-", "-"]),
            (r#"{"message":" "}"#, ["-", "-", "-", "-"]),
            ("<html><body>Bad Request</body></html>", ["-", "-", "-", "-"]),
            ("", ["-", "-", "-", "-"]),
        ] {
            assert_eq!(told(body), expected, "{body}");
        }
        let deep = format!("{}1{}", r#"{"message":"#.repeat(500), "}".repeat(500));
        assert_eq!(told(&deep), ["-", "-", "-", "-"]);
    }
}
