//! The address at an upstream that answers an endpoint.

use std::fmt::Write as _;

use axum::http::{Uri, uri::InvalidUri};

use super::endpoint::Endpoint;
use crate::config::{Paths, dialect::ProviderDialect};

/// Versions in which the paths of Gemini's models are called.
pub const GEMINI_VERSIONS: &[&str] = &["/v1beta", "/v1", "/v1alpha"];

/// What a client's address says beside its endpoint: it is passed on as it was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Variant {
    /// Gemini's version, such as `/v1`; none: the endpoint's own.
    pub version: Option<&'static str>,
    /// Gemini's stream is asked for as server-sent events.
    pub alt_sse: bool,
}

/// The address of an endpoint below a provider's base.
///
/// An OpenAI base ends where the SDKs' does, behind its version. The others' is taken with or without one; Vertex's ends
/// behind the publisher, and Azure's deployments stand below its resource.
///
/// # Errors
/// When base and model make no address.
pub fn uri(
    endpoint: Endpoint,
    base_url: &str,
    paths: &Paths,
    model: &str,
    variant: Variant,
) -> Result<Uri, InvalidUri> {
    let path = match (variant.version, endpoint.path().strip_prefix("/v1beta")) {
        (Some(version), Some(rest)) => &format!("{version}{rest}"),
        _ => endpoint.path(),
    };
    let version = path.match_indices('/').nth(1).map_or(path, |(at, _)| path.get(..at).unwrap_or(path));
    let below = match (endpoint.dialect(), paths) {
        (ProviderDialect::OpenAi, _) => path.strip_prefix("/v1").unwrap_or(path),
        (_, Paths::Vertex) => path.strip_prefix(version).unwrap_or(path),
        // The operator's version wins over the client's.
        (ProviderDialect::Gemini, _) if GEMINI_VERSIONS.iter().any(|version| base_url.ends_with(version)) => {
            path.strip_prefix(version).unwrap_or(path)
        }
        _ if base_url.ends_with(version) => path.strip_prefix(version).unwrap_or(path),
        _ => path,
    };
    let model = encoded(model);
    let mut address = match paths {
        Paths::Deployments { .. } => format!("{base_url}/openai/deployments/{model}{below}"),
        Paths::Plain | Paths::Vertex => format!("{base_url}{}", below.replace("{model}", &model)),
    };
    let version = match paths {
        Paths::Deployments { api_version } => Some(format!("api-version={}", encoded(api_version))),
        Paths::Plain | Paths::Vertex => None,
    };
    let query: Vec<String> = version.into_iter().chain(variant.alt_sse.then(|| "alt=sse".to_owned())).collect();
    if !query.is_empty() {
        address.push('?');
        address.push_str(&query.join("&"));
    }
    address.parse()
}

/// The address of something that a customer keeps at a provider: `path` begins with `/v1/`, its ids are segments as
/// [`encoded`] gives them, and `query` passes as it is.
///
/// # Errors
/// When base and path make no address.
pub fn kept_uri(
    dialect: ProviderDialect,
    base_url: &str,
    paths: &Paths,
    path: &str,
    query: Option<&str>,
) -> Result<Uri, InvalidUri> {
    let below = path.strip_prefix("/v1").unwrap_or(path);
    let has_version = dialect == ProviderDialect::OpenAi || base_url.ends_with("/v1");
    let mut address = match paths {
        Paths::Deployments { .. } => format!("{base_url}/openai{below}"),
        Paths::Plain | Paths::Vertex if has_version => format!("{base_url}{below}"),
        Paths::Plain | Paths::Vertex => format!("{base_url}{path}"),
    };
    let version = match paths {
        Paths::Deployments { api_version } => Some(format!("api-version={}", encoded(api_version))),
        Paths::Plain | Paths::Vertex => None,
    };
    let query: Vec<&str> = version.as_deref().into_iter().chain(query.filter(|query| !query.is_empty())).collect();
    if !query.is_empty() {
        address.push('?');
        address.push_str(&query.join("&"));
    }
    address.parse()
}

/// A name as one segment of a path.
#[must_use]
pub fn encoded(name: &str) -> String {
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
    fn what_is_kept_stands_below_the_same_base_as_what_is_called() {
        use ProviderDialect::{Anthropic, OpenAi};
        let azure = Paths::Deployments { api_version: "2025-04-01-preview".to_owned() };
        for (dialect, base_url, paths, path, query, expected) in [
            (OpenAi, "https://a/openai/v1", &Paths::Plain, "/v1/files", None, "https://a/openai/v1/files"),
            (OpenAi, "https://a/v1", &Paths::Plain, "/v1/batches/b", Some("x=1"), "https://a/v1/batches/b?x=1"),
            (
                OpenAi,
                "https://a",
                &azure,
                "/v1/files",
                Some("x=1"),
                "https://a/openai/files?api-version=2025-04-01-preview&x=1",
            ),
            (Anthropic, "https://a", &Paths::Plain, "/v1/messages/batches", None, "https://a/v1/messages/batches"),
            (Anthropic, "https://a/v1", &Paths::Plain, "/v1/messages/batches", None, "https://a/v1/messages/batches"),
        ] {
            assert_eq!(kept_uri(dialect, base_url, paths, path, query).unwrap(), expected);
        }
        assert_eq!(encoded("../x?y"), "..%2Fx%3Fy");
    }

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
            assert_eq!(uri(endpoint, base_url, &Paths::Plain, "m:1", Variant::default()).unwrap(), expected);
        }
        let streamed = uri(
            Endpoint::StreamGenerateContent,
            "https://g",
            &Paths::Plain,
            "m",
            Variant { version: Some("/v1"), alt_sse: true },
        )
        .unwrap();
        assert_eq!(streamed, "https://g/v1/models/m:streamGenerateContent?alt=sse");
        let as_base = Variant { version: Some("/v1"), alt_sse: false };
        let address = uri(Endpoint::GenerateContent, "https://g/v1beta", &Paths::Plain, "m", as_base).unwrap();
        assert_eq!(address, "https://g/v1beta/models/m:generateContent");
    }

    #[test]
    fn a_model_name_cannot_leave_its_place_in_the_path() {
        let address = uri(Endpoint::Converse, "https://b", &Paths::Plain, "../x?y#z/..", Variant::default()).unwrap();
        assert_eq!(address, "https://b/model/..%2Fx%3Fy%23z%2F../converse");
    }

    #[test]
    fn vertex_and_azure_have_paths_of_their_own() {
        let vertex = "https://aiplatform.googleapis.com/v1/publishers/google";
        let address = uri(
            Endpoint::StreamGenerateContent,
            vertex,
            &Paths::Vertex,
            "gemini-2.5-pro",
            Variant { version: Some("/v1"), alt_sse: true },
        )
        .unwrap();
        assert_eq!(address.to_string(), format!("{vertex}/models/gemini-2.5-pro:streamGenerateContent?alt=sse"));
        let azure = Paths::Deployments { api_version: "2024-10-21".to_owned() };
        let address =
            uri(Endpoint::ChatCompletions, "https://acme.openai.azure.com", &azure, "my 4o", Variant::default())
                .unwrap();
        assert_eq!(
            address,
            "https://acme.openai.azure.com/openai/deployments/my%204o/chat/completions?api-version=2024-10-21"
        );
    }
}
