//! Where an upstream wants its key.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use crate::config::dialect::ProviderDialect;

/// Hosts of Azure, which takes keys in a header of its own.
const AZURE_HOSTS: &[&str] = &[".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"];

/// The header that carries a provider's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyHeader {
    /// `authorization: Bearer`
    Bearer,
    /// `x-api-key`
    XApiKey,
    /// `x-goog-api-key`
    XGoogApiKey,
    /// `api-key`
    ApiKey,
}

impl KeyHeader {
    /// Where a provider of this dialect at this address wants its key.
    #[must_use]
    pub fn of(dialect: ProviderDialect, base_url: &str) -> Self {
        let uri: Option<Uri> = base_url.parse().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
        match dialect {
            ProviderDialect::Anthropic => Self::XApiKey,
            ProviderDialect::Gemini => Self::XGoogApiKey,
            ProviderDialect::OpenAi if AZURE_HOSTS.iter().any(|azure| host.ends_with(azure)) => Self::ApiKey,
            ProviderDialect::OpenAi | ProviderDialect::Ollama | ProviderDialect::Cohere | ProviderDialect::Bedrock => {
                Self::Bearer
            }
        }
    }

    /// Puts a key into headers; false when it cannot stand in one.
    #[must_use]
    pub fn insert(self, headers: &mut HeaderMap, key: &str) -> bool {
        let (name, text) = match self {
            Self::Bearer => (header::AUTHORIZATION, format!("Bearer {key}")),
            Self::XApiKey => (HeaderName::from_static("x-api-key"), key.to_owned()),
            Self::XGoogApiKey => (HeaderName::from_static("x-goog-api-key"), key.to_owned()),
            Self::ApiKey => (HeaderName::from_static("api-key"), key.to_owned()),
        };
        let Ok(mut value) = HeaderValue::from_str(&text) else { return false };
        value.set_sensitive(true);
        headers.insert(name, value);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_has_its_key_where_its_api_wants_it() {
        for (dialect, base_url, name) in [
            (ProviderDialect::OpenAi, "https://api.openai.com/v1", "authorization"),
            (ProviderDialect::OpenAi, "https://acme.openai.azure.com/openai/v1", "api-key"),
            (ProviderDialect::OpenAi, "https://evil.example/.openai.azure.com", "authorization"),
            (ProviderDialect::Anthropic, "https://api.anthropic.com", "x-api-key"),
            (ProviderDialect::Gemini, "https://generativelanguage.googleapis.com", "x-goog-api-key"),
            (ProviderDialect::Cohere, "https://api.cohere.com", "authorization"),
        ] {
            let mut headers = HeaderMap::new();
            assert!(KeyHeader::of(dialect, base_url).insert(&mut headers, "secret"));
            let (found, value) = headers.iter().next().unwrap();
            assert_eq!((found.as_str(), value.is_sensitive(), headers.len()), (name, true, 1), "{base_url}");
        }
        assert!(!KeyHeader::Bearer.insert(&mut HeaderMap::new(), "a\nb"));
    }
}
