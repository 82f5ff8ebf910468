//! What can be called, and where each path keeps what money depends on: the model, whether it streams, the output maximum.
//!
//! One row a path. What is not in a row is not looked at and passes unchanged.

mod rows;

use super::dialect::Dialect;
use crate::config::dialect::ProviderDialect;

/// A path of the data plane that is passed on to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/v1/chat/completions`
    ChatCompletions,
    /// `/v1/completions`
    Completions,
    /// `/v1/embeddings`
    Embeddings,
    /// `/v1/responses`
    Responses,
    /// `/v1/moderations`
    Moderations,
    /// `/v1/images/generations`
    ImageGenerations,
    /// `/v1/images/edits`
    ImageEdits,
    /// `/v1/audio/speech`
    Speech,
    /// `/v1/audio/transcriptions`
    Transcriptions,
    /// `/v1/messages`
    Messages,
    /// `/v1/messages/count_tokens`
    MessagesCountTokens,
    /// `/v1beta/models/{model}:generateContent`
    GenerateContent,
    /// `/v1beta/models/{model}:streamGenerateContent`
    StreamGenerateContent,
    /// `/v1beta/models/{model}:countTokens`
    GeminiCountTokens,
    /// `/v1beta/models/{model}:embedContent`
    EmbedContent,
    /// `/v1beta/models/{model}:batchEmbedContents`
    BatchEmbedContents,
    /// `/v1beta/interactions`
    Interactions,
    /// `/api/chat`
    OllamaChat,
    /// `/api/generate`
    OllamaGenerate,
    /// `/api/embed`
    OllamaEmbed,
    /// `/v2/chat`
    CohereChat,
    /// `/v2/embed`
    CohereEmbed,
    /// `/v2/rerank`
    CohereRerank,
    /// `/v1/rerank`
    CohereRerankV1,
    /// `/model/{model}/converse`
    Converse,
    /// `/model/{model}/converse-stream`
    ConverseStream,
    /// `/model/{model}/invoke`
    InvokeModel,
    /// `/model/{model}/invoke-with-response-stream`
    InvokeModelStream,
}

/// Where the model's name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelPlace {
    /// A field of the body.
    Body,
    /// The path; some fields of the body may repeat it.
    Path,
}

/// Whether an answer is a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streaming {
    /// It never is.
    Never,
    /// It is when the field `stream` says so, or says nothing and this is true.
    Field(bool),
    /// It always is.
    Always,
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyForm {
    /// A JSON object.
    Json,
    /// `multipart/form-data`.
    Multipart,
}

/// A field of the body, or of an object in it; the spellings that the provider takes for the same.
#[derive(Clone, Copy, Debug)]
pub struct FieldPlace {
    /// The object; empty for the body itself.
    pub within: &'static [&'static str],
    /// The field.
    pub names: &'static [&'static str],
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Who can be called so.
    pub dialect: ProviderDialect,
    /// The path, with `{model}` where the model's name stands.
    pub path: &'static str,
    /// What the body is.
    pub body: BodyForm,
    /// Where the model's name stands.
    pub model: ModelPlace,
    /// Whether the answer streams.
    pub streaming: Streaming,
    /// Fields that must be there.
    pub required: &'static [&'static str],
    /// Fields whose bytes estimate the input.
    pub prompt: &'static [&'static str],
    /// Output maximum in tokens; the first that is there counts.
    pub output_max: &'static [FieldPlace],
    /// How many answers are asked for, each of up to that maximum; the largest that is there counts.
    pub choices: &'static [FieldPlace],
    /// Who uses it, in the client's words; the first that is there counts.
    pub end_user: &'static [FieldPlace],
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 28] = [
        Self::ChatCompletions,
        Self::Completions,
        Self::Embeddings,
        Self::Responses,
        Self::Moderations,
        Self::ImageGenerations,
        Self::ImageEdits,
        Self::Speech,
        Self::Transcriptions,
        Self::Messages,
        Self::MessagesCountTokens,
        Self::GenerateContent,
        Self::StreamGenerateContent,
        Self::GeminiCountTokens,
        Self::EmbedContent,
        Self::BatchEmbedContents,
        Self::Interactions,
        Self::OllamaChat,
        Self::OllamaGenerate,
        Self::OllamaEmbed,
        Self::CohereChat,
        Self::CohereEmbed,
        Self::CohereRerank,
        Self::CohereRerankV1,
        Self::Converse,
        Self::ConverseStream,
        Self::InvokeModel,
        Self::InvokeModelStream,
    ];

    /// The path on the data plane, with `{model}` where the model's name stands.
    #[must_use]
    pub const fn path(self) -> &'static str {
        rows::of(self).path
    }

    /// Who can be called so.
    #[must_use]
    pub const fn dialect(self) -> ProviderDialect {
        rows::of(self).dialect
    }

    /// The dialect in which its answers come.
    #[must_use]
    pub const fn answers(self) -> Dialect {
        match self {
            Self::ChatCompletions => Dialect::OpenAiChat,
            Self::Completions => Dialect::OpenAiCompletions,
            Self::Embeddings => Dialect::OpenAiEmbeddings,
            Self::Responses => Dialect::OpenAiResponses,
            Self::Moderations => Dialect::OpenAiModerations,
            Self::ImageGenerations | Self::ImageEdits => Dialect::OpenAiImages,
            Self::Speech => Dialect::OpenAiSpeech,
            Self::Transcriptions => Dialect::OpenAiAudio,
            Self::Messages => Dialect::AnthropicMessages,
            Self::MessagesCountTokens => Dialect::AnthropicCountTokens,
            Self::GenerateContent | Self::StreamGenerateContent => Dialect::Gemini,
            Self::GeminiCountTokens => Dialect::GeminiCountTokens,
            Self::EmbedContent | Self::BatchEmbedContents => Dialect::GeminiEmbed,
            Self::Interactions => Dialect::GeminiInteractions,
            Self::OllamaChat | Self::OllamaGenerate | Self::OllamaEmbed => Dialect::Ollama,
            Self::CohereChat | Self::CohereEmbed | Self::CohereRerank | Self::CohereRerankV1 => Dialect::Cohere,
            Self::Converse | Self::ConverseStream => Dialect::BedrockConverse,
            Self::InvokeModel | Self::InvokeModelStream => Dialect::BedrockInvoke,
        }
    }

    /// Whether a target of this dialect answers it. Cohere's first form of a reranking is everybody's: vLLM, Together and others
    /// of OpenAI's dialect answer it.
    #[must_use]
    pub fn is_answered_by(self, dialect: ProviderDialect) -> bool {
        dialect == self.dialect() || self == Self::CohereRerankV1 && dialect == ProviderDialect::OpenAi
    }

    /// The endpoint's row.
    #[must_use]
    pub const fn shape(self) -> Shape {
        rows::of(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_path_stands_once_and_names_the_model_where_it_says() {
        let paths: HashSet<&str> = Endpoint::ALL.iter().map(|endpoint| endpoint.path()).collect();
        assert_eq!(paths.len(), Endpoint::ALL.len());
        for endpoint in Endpoint::ALL {
            let in_path = endpoint.path().contains("{model}");
            assert_eq!(in_path, endpoint.shape().model == ModelPlace::Path, "{endpoint:?}");
        }
    }
}
