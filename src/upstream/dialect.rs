//! The dialects in which answers come, and how their documents are framed.

mod anthropic;
mod bedrock;
mod broken;
pub(in crate::upstream) mod description;
mod gemini;
mod openai;
mod others;

use self::description::Description;

/// The dialect of an answer: what its documents look like, whatever provider sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `/v1/chat/completions`, as OpenAI and all that are compatible with it answer.
    #[default]
    OpenAiChat,
    /// `/v1/completions`
    OpenAiCompletions,
    /// `/v1/embeddings`
    OpenAiEmbeddings,
    /// `/v1/responses`
    OpenAiResponses,
    /// `/v1/images/generations` and `/v1/images/edits`
    OpenAiImages,
    /// `/v1/audio/speech`
    OpenAiSpeech,
    /// `/v1/audio/transcriptions`
    OpenAiAudio,
    /// `/v1/moderations`
    OpenAiModerations,
    /// `/v1/messages`
    AnthropicMessages,
    /// `/v1/messages/count_tokens`
    AnthropicCountTokens,
    /// `:generateContent` and `:streamGenerateContent`
    Gemini,
    /// `:countTokens`
    GeminiCountTokens,
    /// `:embedContent` and `:batchEmbedContents`
    GeminiEmbed,
    /// `/v1beta/interactions`
    GeminiInteractions,
    /// `/model/{model}/converse` and `/converse-stream`
    BedrockConverse,
    /// `/model/{model}/invoke` and `/invoke-with-response-stream`: the vendor's own dialect, and headers
    BedrockInvoke,
    /// `/api/chat`, `/api/generate` and `/api/embed`
    Ollama,
    /// `/v2/chat`, `/v2/embed` and `/v2/rerank`
    Cohere,
}

/// How the documents of an answer are framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Framing {
    /// One JSON document.
    #[default]
    Json,
    /// Server-sent events.
    Sse,
    /// A JSON document a line.
    Ndjson,
    /// A stream that is one JSON array: Gemini's, when `alt=sse` was not asked for.
    JsonArray,
    /// `application/vnd.amazon.eventstream`
    EventStream,
    /// Nothing to look into: sound.
    Opaque,
}

impl Dialect {
    /// Where its documents hold what.
    pub(in crate::upstream) const fn description(self) -> &'static Description {
        match self {
            Self::OpenAiChat | Self::OpenAiCompletions => &openai::CHAT,
            Self::OpenAiEmbeddings => &openai::EMBEDDINGS,
            Self::OpenAiResponses => &openai::RESPONSES,
            Self::OpenAiImages => &openai::IMAGES,
            Self::OpenAiSpeech | Self::OpenAiAudio => &openai::AUDIO,
            Self::OpenAiModerations => &openai::MODERATIONS,
            Self::AnthropicMessages => &anthropic::MESSAGES,
            Self::AnthropicCountTokens => &anthropic::COUNT_TOKENS,
            Self::Gemini => &gemini::CONTENT,
            Self::GeminiCountTokens => &gemini::COUNT_TOKENS,
            Self::GeminiEmbed => &gemini::EMBED,
            Self::GeminiInteractions => &gemini::INTERACTIONS,
            Self::BedrockConverse => &bedrock::CONVERSE,
            Self::BedrockInvoke => &bedrock::INVOKE,
            Self::Ollama => &others::OLLAMA,
            Self::Cohere => &others::COHERE,
        }
    }

    /// Whether its answers cost nothing: tokens are only counted.
    #[must_use]
    pub const fn is_free(self) -> bool {
        matches!(self, Self::AnthropicCountTokens | Self::GeminiCountTokens)
    }

    /// Whether text that was delivered is counted in tokens of output. A transcription may be billed by its seconds.
    #[must_use]
    pub const fn counts_output(self) -> bool {
        !matches!(self, Self::OpenAiSpeech | Self::OpenAiAudio)
    }

    /// Whether an object in which nothing stands that its answers have is none. A count of zero may be left out, what Gemini
    /// has no embedding of, too; and vendors on Bedrock answer in words of their own.
    #[must_use]
    pub const fn tells_its_answers(self) -> bool {
        !self.is_free() && !matches!(self, Self::GeminiEmbed | Self::BedrockInvoke)
    }
}

impl Framing {
    /// The framing that an answer's `content-type` says. An unknown one is taken for JSON, which shows it is none.
    #[must_use]
    pub fn of(dialect: Dialect, content_type: &str, stream: bool) -> Self {
        let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media.as_str() {
            "text/event-stream" => Self::Sse,
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Self::Ndjson,
            "application/vnd.amazon.eventstream" => Self::EventStream,
            "application/json" if dialect == Dialect::Gemini && stream => Self::JsonArray,
            // Sound says what it is.
            "" | "application/json" => Self::Json,
            _ if dialect == Dialect::OpenAiSpeech && !media.starts_with("text/") => Self::Opaque,
            _ => Self::Json,
        }
    }

    /// Whether documents are passed on one after the other as they come.
    #[must_use]
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Sse | Self::Ndjson | Self::JsonArray | Self::EventStream)
    }
}
