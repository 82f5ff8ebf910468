//! Which endpoint a path is, and the model that it names.

use http::{HeaderMap, Method, header::CONTENT_TYPE};

use crate::answer::Endpoint;

/// The endpoint of a request, with the model where the path has it.
pub(crate) fn endpoint(method: &Method, path: &str) -> Option<(Endpoint, Option<String>)> {
    if method != Method::POST {
        return None;
    }
    let versions = ["/v1beta/models/", "/v1/models/", "/v1alpha/models/"];
    if let Some(called) = versions.iter().find_map(|prefix| path.strip_prefix(prefix)) {
        let (model, verb) = called.rsplit_once(':')?;
        let endpoint = match verb {
            "generateContent" => Endpoint::Gemini,
            "streamGenerateContent" => Endpoint::GeminiStream,
            "countTokens" => Endpoint::GeminiCountTokens,
            "embedContent" | "batchEmbedContents" => Endpoint::GeminiEmbed,
            _ => return None,
        };
        return Some((endpoint, Some(decoded(model))));
    }
    if let Some(called) = path.strip_prefix("/model/") {
        let (model, verb) = called.rsplit_once('/')?;
        let endpoint = match verb {
            "converse" => Endpoint::Converse,
            "converse-stream" => Endpoint::ConverseStream,
            "invoke" => Endpoint::Invoke,
            "invoke-with-response-stream" => Endpoint::InvokeStream,
            _ => return None,
        };
        return Some((endpoint, Some(decoded(model))));
    }
    let endpoint = match path {
        "/v1/chat/completions" => Endpoint::Chat,
        "/v1/completions" => Endpoint::Completions,
        "/v1/embeddings" => Endpoint::Embeddings,
        "/v1/responses" => Endpoint::Responses,
        "/v1/moderations" => Endpoint::Moderation,
        "/v1/images/generations" | "/v1/images/edits" => Endpoint::Images,
        "/v1/audio/speech" => Endpoint::Speech,
        "/v1/audio/transcriptions" => Endpoint::Transcription,
        "/v1/messages" => Endpoint::Messages,
        "/v1/messages/count_tokens" => Endpoint::CountTokens,
        "/v1beta/interactions" | "/v1/interactions" => Endpoint::Interactions,
        "/api/chat" => Endpoint::OllamaChat,
        "/api/generate" => Endpoint::OllamaGenerate,
        "/api/embed" => Endpoint::OllamaEmbed,
        "/v2/chat" => Endpoint::CohereChat,
        "/v2/embed" => Endpoint::CohereEmbed,
        "/v2/rerank" | "/v1/rerank" => Endpoint::CohereRerank,
        _ => return None,
    };
    Some((endpoint, None))
}

/// Whether a body is a form.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("multipart/form-data"))
}

/// A segment of a path without its escapes.
fn decoded(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let escape = behind.get(..2).filter(|_| first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
