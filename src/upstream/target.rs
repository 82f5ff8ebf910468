//! The address at an upstream that answers an endpoint.

use std::fmt::Write as _;

use axum::http::{Uri, uri::InvalidUri};

use super::endpoint::Endpoint;
use crate::config::dialect::ProviderDialect;

/// The address of an endpoint below a provider's base. `alt_sse` asks Gemini for server-sent events.
///
/// An OpenAI base ends where the SDKs' does, behind its version. The others' is taken with or without one.
///
/// # Errors
/// When base and model make no address.
pub fn uri(endpoint: Endpoint, base_url: &str, model: &str, alt_sse: bool) -> Result<Uri, InvalidUri> {
    let path = endpoint.path();
    let version = path.match_indices('/').nth(1).map_or(path, |(at, _)| path.get(..at).unwrap_or(path));
    let below = match endpoint.dialect() {
        ProviderDialect::OpenAi => path.strip_prefix("/v1").unwrap_or(path),
        _ if base_url.ends_with(version) => path.strip_prefix(version).unwrap_or(path),
        _ => path,
    };
    let mut address = format!("{base_url}{}", below.replace("{model}", &encoded(model)));
    if alt_sse {
        address.push_str("?alt=sse");
    }
    address.parse()
}

/// A name as one segment of a path.
fn encoded(name: &str) -> String {
    name.bytes().fold(String::with_capacity(name.len()), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            text.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _written = write!(text, "%{byte:02X}");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_that_the_sdks_call() {
        for (endpoint, base_url, expected) in [
            (Endpoint::ChatCompletions, "https://a/openai/v1", "https://a/openai/v1/chat/completions"),
            (Endpoint::ChatCompletions, "https://api.perplexity.ai", "https://api.perplexity.ai/chat/completions"),
            (Endpoint::Messages, "https://api.anthropic.com", "https://api.anthropic.com/v1/messages"),
            (Endpoint::MessagesCountTokens, "https://a/v1", "https://a/v1/messages/count_tokens"),
            (Endpoint::GenerateContent, "https://g", "https://g/v1beta/models/m%3A1:generateContent"),
            (Endpoint::GenerateContent, "https://g/v1beta", "https://g/v1beta/models/m%3A1:generateContent"),
            (Endpoint::OllamaChat, "http://o:11434", "http://o:11434/api/chat"),
            (Endpoint::OllamaChat, "http://o:11434/api", "http://o:11434/api/chat"),
            (Endpoint::CohereRerank, "https://c", "https://c/v2/rerank"),
            (Endpoint::CohereRerankV1, "https://c", "https://c/v1/rerank"),
            (Endpoint::Converse, "https://b", "https://b/model/m%3A1/converse"),
        ] {
            assert_eq!(uri(endpoint, base_url, "m:1", false).unwrap(), expected);
        }
        let streamed = uri(Endpoint::StreamGenerateContent, "https://g", "m", true).unwrap();
        assert_eq!(streamed, "https://g/v1beta/models/m:streamGenerateContent?alt=sse");
    }

    #[test]
    fn a_model_name_cannot_leave_its_place_in_the_path() {
        let address = uri(Endpoint::Converse, "https://b", "../x?y#z/..", false).unwrap();
        assert_eq!(address, "https://b/model/..%2Fx%3Fy%23z%2F../converse");
    }
}
