//! One request for each endpoint, of three words where it has a prompt.

use serde_json::{Value, json};

use super::Call;

fn call(dialect: &'static str, path: &'static str, endpoint: &'static str, body: Value) -> Call {
    Call { dialect, path, endpoint, body }
}

fn same(dialect: &'static str, path: &'static str, body: Value) -> Call {
    call(dialect, path, path, body)
}

/// Answers with text, not streamed.
pub(super) fn plain() -> Vec<Call> {
    let contents = json!({ "contents": [{ "role": "user", "parts": [{ "text": "one two three" }] }] });
    let messages = json!([{ "role": "user", "content": "one two three" }]);
    let blocks = json!([{ "role": "user", "content": [{ "text": "one two three" }] }]);
    vec![
        same("openai", "/v1/chat/completions", json!({ "model": "openai-model", "messages": messages })),
        same("openai", "/v1/responses", json!({ "model": "openai-model", "input": "one two three" })),
        same(
            "anthropic",
            "/v1/messages",
            json!({ "model": "anthropic-model", "max_tokens": 64, "messages": messages }),
        ),
        call(
            "gemini",
            "/v1beta/models/gemini-model:generateContent",
            "/v1beta/models/{model}:generateContent",
            contents,
        ),
        same("gemini", "/v1beta/interactions", json!({ "model": "gemini-model", "input": "one two three" })),
        same("ollama", "/api/chat", json!({ "model": "ollama-model", "messages": messages, "stream": false })),
        same("ollama", "/api/generate", json!({ "model": "ollama-model", "prompt": "one two three", "stream": false })),
        same("cohere", "/v2/chat", json!({ "model": "cohere-model", "messages": messages })),
        call("bedrock", "/model/bedrock-model/converse", "/model/{model}/converse", json!({ "messages": blocks })),
    ]
}

/// Answers with text, streamed.
pub(super) fn streamed() -> Vec<Call> {
    let mut calls = plain();
    for call in &mut calls {
        match call.endpoint {
            "/v1beta/models/{model}:generateContent" => {
                call.path = "/v1beta/models/gemini-model:streamGenerateContent?alt=sse";
                call.endpoint = "/v1beta/models/{model}:streamGenerateContent";
            }
            "/model/{model}/converse" => {
                call.path = "/model/bedrock-model/converse-stream";
                call.endpoint = "/model/{model}/converse-stream";
            }
            _ => call.body["stream"] = true.into(),
        }
    }
    let contents = json!({ "contents": [{ "role": "user", "parts": [{ "text": "one two three" }] }] });
    let path = "/v1beta/models/gemini-model:streamGenerateContent";
    calls.push(call("gemini", path, "/v1beta/models/{model}:streamGenerateContent", contents));
    calls
}

/// Answers without text.
pub(super) fn others() -> Vec<Call> {
    let messages = json!([{ "role": "user", "content": "one two three" }]);
    let words = json!(["one two", "three"]);
    let content = json!({ "parts": [{ "text": "one two three" }] });
    vec![
        same("openai", "/v1/embeddings", json!({ "model": "openai-model", "input": words })),
        same("anthropic", "/v1/messages/count_tokens", json!({ "model": "anthropic-model", "messages": messages })),
        call(
            "gemini",
            "/v1beta/models/gemini-model:countTokens",
            "/v1beta/models/{model}:countTokens",
            json!({ "contents": [content] }),
        ),
        call(
            "gemini",
            "/v1beta/models/gemini-model:embedContent",
            "/v1beta/models/{model}:embedContent",
            json!({ "content": content }),
        ),
        call(
            "gemini",
            "/v1beta/models/gemini-model:batchEmbedContents",
            "/v1beta/models/{model}:batchEmbedContents",
            json!({ "requests": [{ "model": "models/gemini-model", "content": content }] }),
        ),
        same("ollama", "/api/embed", json!({ "model": "ollama-model", "input": words })),
        same(
            "cohere",
            "/v2/embed",
            json!({ "model": "cohere-model", "texts": words, "input_type": "search_query", "embedding_types": ["float"] }),
        ),
        same("cohere", "/v2/rerank", json!({ "model": "cohere-model", "query": "one", "documents": words })),
        same("cohere", "/v1/rerank", json!({ "model": "cohere-model", "query": "one", "documents": words })),
        same("openai", "/v1/moderations", json!({ "model": "openai-model", "input": words })),
        same("openai", "/v1/images/generations", json!({ "model": "openai-model", "prompt": "one two three" })),
    ]
}

/// A reranking by a server of OpenAI's dialect.
pub(super) fn reranked_elsewhere() -> Call {
    same("openai", "/v1/rerank", json!({ "model": "openai-model", "query": "one", "documents": ["one", "two"] }))
}
