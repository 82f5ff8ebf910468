//! The rows: one for each path, by dialect.

use super::{BodyForm, Endpoint, FieldPlace, ModelPlace, Shape, Streaming};
use crate::config::dialect::ProviderDialect;

/// A field of the body itself.
const fn top(names: &'static [&'static str]) -> FieldPlace {
    FieldPlace { within: &[], names }
}

/// A field of an object of the body.
const fn inner(within: &'static [&'static str], names: &'static [&'static str]) -> FieldPlace {
    FieldPlace { within, names }
}

const USER: &[FieldPlace] = &[top(&["user"]), top(&["safety_identifier"])];
const GEMINI_CONFIG: &[&str] = &["generationConfig", "generation_config"];
const GEMINI_PROMPT: &[&str] = &["contents", "systemInstruction", "system_instruction", "tools"];
const CHAT_MAX: &[FieldPlace] = &[top(&["max_completion_tokens"]), top(&["max_tokens"])];
const CHAT_CHOICES: &[FieldPlace] = &[top(&["n"])];
const COMPLETION_CHOICES: &[FieldPlace] = &[top(&["n"]), top(&["best_of"])];
const GEMINI_CHOICES: &[FieldPlace] = &[inner(GEMINI_CONFIG, &["candidateCount", "candidate_count"])];
/// The names that vendors have for it in the bodies that Bedrock passes to them.
const INVOKE_CHOICES: &[FieldPlace] = &[top(&["n"]), top(&["num_generations"]), top(&["numResults"])];
const MAX_TOKENS: &[FieldPlace] = &[top(&["max_tokens"])];
const MAX_OUTPUT_TOKENS: &[FieldPlace] = &[top(&["max_output_tokens"])];
const METADATA_USER: &[FieldPlace] = &[inner(&["metadata"], &["user_id"])];
const GEMINI_MAX: &[FieldPlace] = &[inner(GEMINI_CONFIG, &["maxOutputTokens", "max_output_tokens"])];
const INTERACTIONS_MAX: &[FieldPlace] = &[inner(&["generation_config"], &["max_output_tokens"])];
const NUM_PREDICT: &[FieldPlace] = &[inner(&["options"], &["num_predict"])];
const CONVERSE_MAX: &[FieldPlace] = &[inner(&["inferenceConfig"], &["maxTokens"])];
/// The names that vendors have for it in the bodies that Bedrock passes to them.
const INVOKE_MAX: &[FieldPlace] = &[
    top(&["max_tokens"]),
    top(&["max_completion_tokens"]),
    top(&["max_tokens_to_sample"]),
    top(&["max_gen_len"]),
    inner(&["inferenceConfig"], &["maxTokens", "max_new_tokens"]),
    inner(&["textGenerationConfig"], &["maxTokenCount"]),
];

/// The row of an endpoint.
pub(super) const fn of(endpoint: Endpoint) -> Shape {
    match endpoint {
        Endpoint::ChatCompletions
        | Endpoint::Completions
        | Endpoint::Embeddings
        | Endpoint::Responses
        | Endpoint::Moderations => openai_text(endpoint),
        Endpoint::ImageGenerations | Endpoint::ImageEdits | Endpoint::Speech | Endpoint::Transcriptions => {
            openai_media(endpoint)
        }
        Endpoint::Messages | Endpoint::MessagesCountTokens => anthropic(endpoint),
        Endpoint::GenerateContent
        | Endpoint::StreamGenerateContent
        | Endpoint::GeminiCountTokens
        | Endpoint::EmbedContent
        | Endpoint::BatchEmbedContents
        | Endpoint::Interactions => gemini(endpoint),
        Endpoint::OllamaChat | Endpoint::OllamaGenerate | Endpoint::OllamaEmbed => ollama(endpoint),
        Endpoint::CohereChat | Endpoint::CohereEmbed | Endpoint::CohereRerank | Endpoint::CohereRerankV1 => {
            cohere(endpoint)
        }
        Endpoint::Converse | Endpoint::ConverseStream | Endpoint::InvokeModel | Endpoint::InvokeModelStream => {
            bedrock(endpoint)
        }
    }
}

const fn row(dialect: ProviderDialect, path: &'static str) -> Shape {
    Shape {
        dialect,
        path,
        body: BodyForm::Json,
        model: ModelPlace::Body,
        streaming: Streaming::Never,
        required: &[],
        prompt: &[],
        output_max: &[],
        choices: &[],
        end_user: &[],
    }
}

const fn openai_text(endpoint: Endpoint) -> Shape {
    let openai = Shape { end_user: USER, ..row(ProviderDialect::OpenAi, "/v1/moderations") };
    match endpoint {
        Endpoint::ChatCompletions => Shape {
            path: "/v1/chat/completions",
            streaming: Streaming::Field(false),
            required: &["messages"],
            prompt: &["messages", "tools"],
            output_max: CHAT_MAX,
            choices: CHAT_CHOICES,
            ..openai
        },
        Endpoint::Completions => Shape {
            path: "/v1/completions",
            streaming: Streaming::Field(false),
            required: &["prompt"],
            prompt: &["prompt"],
            output_max: MAX_TOKENS,
            choices: COMPLETION_CHOICES,
            ..openai
        },
        Endpoint::Responses => Shape {
            path: "/v1/responses",
            streaming: Streaming::Field(false),
            prompt: &["input", "instructions", "tools"],
            output_max: MAX_OUTPUT_TOKENS,
            ..openai
        },
        Endpoint::Embeddings => Shape { path: "/v1/embeddings", required: &["input"], prompt: &["input"], ..openai },
        _ => Shape { required: &["input"], prompt: &["input"], ..openai },
    }
}

const fn openai_media(endpoint: Endpoint) -> Shape {
    let openai = Shape { end_user: USER, ..row(ProviderDialect::OpenAi, "/v1/images/generations") };
    match endpoint {
        Endpoint::ImageEdits => Shape {
            path: "/v1/images/edits",
            body: BodyForm::Multipart,
            required: &["prompt"],
            prompt: &["prompt"],
            ..openai
        },
        Endpoint::Speech => {
            Shape { path: "/v1/audio/speech", required: &["input"], prompt: &["input", "instructions"], ..openai }
        }
        Endpoint::Transcriptions => Shape {
            path: "/v1/audio/transcriptions",
            body: BodyForm::Multipart,
            required: &["file"],
            prompt: &["prompt"],
            ..openai
        },
        _ => Shape { required: &["prompt"], prompt: &["prompt"], ..openai },
    }
}

const fn anthropic(endpoint: Endpoint) -> Shape {
    let messages = Shape {
        required: &["messages"],
        prompt: &["messages", "system", "tools"],
        ..row(ProviderDialect::Anthropic, "/v1/messages/count_tokens")
    };
    match endpoint {
        Endpoint::Messages => Shape {
            path: "/v1/messages",
            streaming: Streaming::Field(false),
            output_max: MAX_TOKENS,
            end_user: METADATA_USER,
            ..messages
        },
        _ => messages,
    }
}

const fn gemini(endpoint: Endpoint) -> Shape {
    let content = Shape {
        model: ModelPlace::Path,
        required: &["contents"],
        prompt: GEMINI_PROMPT,
        output_max: GEMINI_MAX,
        choices: GEMINI_CHOICES,
        ..row(ProviderDialect::Gemini, "/v1beta/models/{model}:generateContent")
    };
    match endpoint {
        Endpoint::StreamGenerateContent => {
            Shape { path: "/v1beta/models/{model}:streamGenerateContent", streaming: Streaming::Always, ..content }
        }
        Endpoint::GeminiCountTokens => Shape {
            path: "/v1beta/models/{model}:countTokens",
            required: &[],
            prompt: &["contents", "generateContentRequest", "generate_content_request"],
            output_max: &[],
            choices: &[],
            ..content
        },
        Endpoint::EmbedContent => Shape {
            path: "/v1beta/models/{model}:embedContent",
            required: &["content"],
            prompt: &["content"],
            output_max: &[],
            choices: &[],
            ..content
        },
        Endpoint::BatchEmbedContents => Shape {
            path: "/v1beta/models/{model}:batchEmbedContents",
            required: &["requests"],
            prompt: &["requests"],
            output_max: &[],
            choices: &[],
            ..content
        },
        Endpoint::Interactions => Shape {
            path: "/v1beta/interactions",
            model: ModelPlace::Body,
            streaming: Streaming::Field(false),
            required: &["input"],
            prompt: &["input", "system_instruction", "tools"],
            output_max: INTERACTIONS_MAX,
            choices: &[],
            ..content
        },
        _ => content,
    }
}

const fn ollama(endpoint: Endpoint) -> Shape {
    let chat = Shape {
        streaming: Streaming::Field(true),
        prompt: &["messages", "tools"],
        output_max: NUM_PREDICT,
        ..row(ProviderDialect::Ollama, "/api/chat")
    };
    match endpoint {
        Endpoint::OllamaGenerate => Shape { path: "/api/generate", prompt: &["prompt", "system"], ..chat },
        Endpoint::OllamaEmbed => Shape {
            path: "/api/embed",
            streaming: Streaming::Never,
            required: &["input"],
            prompt: &["input"],
            output_max: &[],
            ..chat
        },
        _ => chat,
    }
}

const fn cohere(endpoint: Endpoint) -> Shape {
    let rerank = Shape {
        required: &["query", "documents"],
        prompt: &["query", "documents"],
        ..row(ProviderDialect::Cohere, "/v2/rerank")
    };
    match endpoint {
        Endpoint::CohereChat => Shape {
            path: "/v2/chat",
            streaming: Streaming::Field(false),
            required: &["messages"],
            prompt: &["messages", "tools", "documents"],
            output_max: MAX_TOKENS,
            ..rerank
        },
        Endpoint::CohereEmbed => {
            Shape { path: "/v2/embed", required: &[], prompt: &["texts", "images", "inputs"], ..rerank }
        }
        Endpoint::CohereRerankV1 => Shape { path: "/v1/rerank", ..rerank },
        _ => rerank,
    }
}

const fn bedrock(endpoint: Endpoint) -> Shape {
    let converse = Shape {
        model: ModelPlace::Path,
        required: &["messages"],
        prompt: &["messages", "system", "toolConfig"],
        output_max: CONVERSE_MAX,
        ..row(ProviderDialect::Bedrock, "/model/{model}/converse")
    };
    let invoke = Shape {
        path: "/model/{model}/invoke",
        required: &[],
        prompt: &["messages", "system", "tools", "prompt", "inputText", "texts"],
        output_max: INVOKE_MAX,
        choices: INVOKE_CHOICES,
        ..converse
    };
    match endpoint {
        Endpoint::ConverseStream => {
            Shape { path: "/model/{model}/converse-stream", streaming: Streaming::Always, ..converse }
        }
        Endpoint::InvokeModel => invoke,
        Endpoint::InvokeModelStream => {
            Shape { path: "/model/{model}/invoke-with-response-stream", streaming: Streaming::Always, ..invoke }
        }
        _ => converse,
    }
}
