//! The wire protocols that a provider can speak.

/// What a provider speaks, and the SDK that a client calls it with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProviderDialect {
    /// OpenAI and all that are called like it.
    OpenAi,
    /// Anthropic messages.
    Anthropic,
    /// Gemini.
    Gemini,
    /// Amazon Bedrock.
    Bedrock,
    /// Ollama's own paths.
    Ollama,
    /// Cohere.
    Cohere,
}

impl ProviderDialect {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 6] = [Self::OpenAi, Self::Anthropic, Self::Gemini, Self::Bedrock, Self::Ollama, Self::Cohere];
    /// Their names, in the same order.
    pub const NAMES: &'static [&'static str] = &["openai", "anthropic", "gemini", "bedrock", "ollama", "cohere"];

    /// The name in the configuration and in the books.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock",
            Self::Ollama => "ollama",
            Self::Cohere => "cohere",
        }
    }

    /// The dialect of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_has_the_name_that_the_configuration_lists() {
        assert_eq!(ProviderDialect::ALL.map(ProviderDialect::name), ProviderDialect::NAMES);
        assert!(ProviderDialect::ALL.iter().all(|dialect| ProviderDialect::of_name(dialect.name()) == Some(*dialect)));
    }
}
