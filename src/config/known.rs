//! The catalogue of providers: what is known of each, so that a `[[provider]]` needs a name and a key and nothing else.
//! docs/providers.md shows it and is tested against it.

use super::dialect::ProviderDialect;

/// Where a provider wants its key.
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
    /// The words of the configuration, in the order of the variants.
    pub const NAMES: &'static [&'static str] = &["authorization", "x-api-key", "x-goog-api-key", "api-key"];
    const ALL: [Self; 4] = [Self::Bearer, Self::XApiKey, Self::XGoogApiKey, Self::ApiKey];

    /// The header's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bearer => "authorization",
            Self::XApiKey => "x-api-key",
            Self::XGoogApiKey => "x-goog-api-key",
            Self::ApiKey => "api-key",
        }
    }

    /// The header of a word of the configuration.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|header| header.name() == name)
    }

    /// Where providers of a dialect want it, unless they are known to be different.
    #[must_use]
    pub const fn of_dialect(dialect: ProviderDialect) -> Self {
        match dialect {
            ProviderDialect::Anthropic => Self::XApiKey,
            ProviderDialect::Gemini => Self::XGoogApiKey,
            ProviderDialect::OpenAi | ProviderDialect::Bedrock | ProviderDialect::Ollama | ProviderDialect::Cohere => {
                Self::Bearer
            }
        }
    }
}

/// A habit that changes what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// `stream_options` is not added: the provider refuses it, or tells usage without being asked.
    NoStreamOptions,
    /// Paths of Gemini's dialect begin behind the publisher, without a version.
    VertexPaths,
}

impl Quirk {
    /// The words of the configuration.
    pub const NAMES: [&'static str; 2] = ["no_stream_options", "vertex_paths"];

    /// The quirk of a word.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "no_stream_options" => Some(Self::NoStreamOptions),
            "vertex_paths" => Some(Self::VertexPaths),
            _ => None,
        }
    }
}

/// The base of a provider's endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The same for everybody.
    Fixed(&'static str),
    /// Of one's own resource: the variable that says it, and what follows behind it.
    Resource(&'static str, &'static str),
    /// Of a region of AWS.
    Region,
}

/// What is known of a provider.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its name in configuration, targets and price tables.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// What it speaks.
    pub dialect: ProviderDialect,
    /// Where.
    pub base: Base,
    /// Bases at which it speaks other dialects.
    pub also: &'static [(ProviderDialect, &'static str)],
    /// Variables that its SDK reads the key from; empty: it needs none.
    pub key_env: &'static [&'static str],
    /// Where it wants the key, in its own dialect.
    pub key_header: KeyHeader,
    /// Its habits.
    pub quirks: &'static [Quirk],
}

impl Known {
    /// Whether it runs on machines of one's own: at a private address, without a key, and it stops generating when its
    /// caller leaves.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        self.key_env.is_empty()
    }
}

const fn openai(
    name: &'static str,
    title: &'static str,
    base: &'static str,
    key_env: &'static [&'static str],
) -> Known {
    Known {
        name,
        title,
        dialect: ProviderDialect::OpenAi,
        base: Base::Fixed(base),
        also: &[],
        key_env,
        key_header: KeyHeader::Bearer,
        quirks: &[],
    }
}

/// All of them. Where two have prices for a model of the same name, the first that has a key serves it.
pub const KNOWN: &[Known] = &[
    openai("openai", "OpenAI", "https://api.openai.com/v1", &["OPENAI_API_KEY"]),
    Known {
        dialect: ProviderDialect::Anthropic,
        also: &[(ProviderDialect::OpenAi, "https://api.anthropic.com/v1")],
        key_header: KeyHeader::XApiKey,
        ..openai("anthropic", "Anthropic", "https://api.anthropic.com", &["ANTHROPIC_API_KEY"])
    },
    Known {
        dialect: ProviderDialect::Gemini,
        also: &[(ProviderDialect::OpenAi, "https://generativelanguage.googleapis.com/v1beta/openai")],
        key_header: KeyHeader::XGoogApiKey,
        ..openai(
            "gemini",
            "Google Gemini",
            "https://generativelanguage.googleapis.com",
            &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        )
    },
    Known {
        base: Base::Resource("AZURE_OPENAI_ENDPOINT", "/openai/v1"),
        key_header: KeyHeader::ApiKey,
        ..openai("azure", "Azure OpenAI", "", &["AZURE_OPENAI_API_KEY"])
    },
    Known {
        dialect: ProviderDialect::Gemini,
        key_header: KeyHeader::XGoogApiKey,
        quirks: &[Quirk::VertexPaths],
        ..openai(
            "vertex",
            "Google Vertex AI",
            "https://aiplatform.googleapis.com/v1/publishers/google",
            &["GOOGLE_VERTEX_API_KEY"],
        )
    },
    Known {
        dialect: ProviderDialect::Bedrock,
        base: Base::Region,
        ..openai("bedrock", "Amazon Bedrock", "", &["AWS_BEARER_TOKEN_BEDROCK"])
    },
    Known {
        quirks: &[Quirk::NoStreamOptions],
        ..openai("mistral", "Mistral", "https://api.mistral.ai/v1", &["MISTRAL_API_KEY"])
    },
    Known {
        also: &[(ProviderDialect::Anthropic, "https://api.deepseek.com/anthropic")],
        ..openai("deepseek", "DeepSeek", "https://api.deepseek.com", &["DEEPSEEK_API_KEY"])
    },
    openai("groq", "Groq", "https://api.groq.com/openai/v1", &["GROQ_API_KEY"]),
    openai("xai", "xAI", "https://api.x.ai/v1", &["XAI_API_KEY"]),
    openai("openrouter", "OpenRouter", "https://openrouter.ai/api/v1", &["OPENROUTER_API_KEY"]),
    openai("together", "Together", "https://api.together.xyz/v1", &["TOGETHER_API_KEY"]),
    Known {
        quirks: &[Quirk::NoStreamOptions],
        ..openai("perplexity", "Perplexity", "https://api.perplexity.ai", &["PERPLEXITY_API_KEY"])
    },
    openai("fireworks", "Fireworks", "https://api.fireworks.ai/inference/v1", &["FIREWORKS_API_KEY"]),
    openai("cerebras", "Cerebras", "https://api.cerebras.ai/v1", &["CEREBRAS_API_KEY"]),
    openai("nvidia", "NVIDIA NIM", "https://integrate.api.nvidia.com/v1", &["NVIDIA_API_KEY"]),
    Known {
        dialect: ProviderDialect::Cohere,
        also: &[(ProviderDialect::OpenAi, "https://api.cohere.ai/compatibility/v1")],
        ..openai("cohere", "Cohere", "https://api.cohere.com", &["COHERE_API_KEY", "CO_API_KEY"])
    },
    Known {
        dialect: ProviderDialect::Ollama,
        also: &[(ProviderDialect::OpenAi, "http://127.0.0.1:11434/v1")],
        ..openai("ollama", "Ollama", "http://127.0.0.1:11434", &[])
    },
    openai("vllm", "vLLM", "http://127.0.0.1:8000/v1", &[]),
    openai("sglang", "SGLang", "http://127.0.0.1:30000/v1", &[]),
    openai("llamacpp", "llama.cpp", "http://127.0.0.1:8080/v1", &[]),
    openai("lmstudio", "LM Studio", "http://127.0.0.1:1234/v1", &[]),
];

/// The provider of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The row of docs/providers.md.
    fn row(known: &Known) -> String {
        let base = match known.base {
            Base::Fixed(base) => format!("`{base}`"),
            Base::Resource(variable, behind) => format!("`${variable}{behind}`"),
            Base::Region => "`https://bedrock-runtime.$AWS_REGION.amazonaws.com`".to_owned(),
        };
        let keys = match known.key_env {
            [] => "none".to_owned(),
            keys => format!("`{}` in `{}`", keys.join("` or `"), known.key_header.name()),
        };
        let quirks: Vec<String> = Quirk::NAMES
            .iter()
            .filter(|name| Quirk::of_name(name).is_some_and(|quirk| known.quirks.contains(&quirk)))
            .map(|name| format!("`{name}`"))
            .collect();
        let quirks = if quirks.is_empty() { "-".to_owned() } else { quirks.join(", ") };
        format!("| {} | `{}` | {} | {base} | {keys} | {quirks} |", known.title, known.name, known.dialect.name())
    }

    #[test]
    fn the_documentation_shows_the_catalogue() {
        let shown: Vec<&str> =
            include_str!("../../docs/providers.md").lines().filter(|line| line.starts_with("| ")).collect();
        let rows: Vec<String> = KNOWN.iter().map(row).collect();
        for row in &rows {
            assert!(shown.contains(&row.as_str()), "docs/providers.md lacks this row:\n{row}");
        }
    }

    #[test]
    fn names_and_variables_belong_to_one_provider_and_bases_are_addresses() {
        let names: HashSet<&str> = KNOWN.iter().map(|known| known.name).collect();
        let variables: Vec<&str> = KNOWN.iter().flat_map(|known| known.key_env).copied().collect();
        assert_eq!(names.len(), KNOWN.len());
        assert_eq!(variables.iter().collect::<HashSet<_>>().len(), variables.len());
        for known in KNOWN {
            let bases = known.also.iter().map(|(_, base)| *base).chain(match known.base {
                Base::Fixed(base) => Some(base),
                Base::Resource(..) | Base::Region => None,
            });
            for base in bases {
                let uri: http::Uri = base.parse().unwrap();
                let local = uri.host() == Some("127.0.0.1");
                assert_eq!((local, uri.scheme_str() == Some("http")), (known.is_local(), known.is_local()), "{base}");
                assert!(!base.ends_with('/'), "{base}");
            }
        }
    }

    #[test]
    fn words_of_the_configuration_name_what_they_say() {
        assert_eq!(KeyHeader::ALL.map(KeyHeader::name), KeyHeader::NAMES);
        assert!(KeyHeader::ALL.iter().all(|header| KeyHeader::of_name(header.name()) == Some(*header)));
        assert!(Quirk::NAMES.iter().all(|name| Quirk::of_name(name).is_some()));
    }
}
