//! One answer of each dialect and framing that used five tokens of input and seven of output, with places for a forger to write in.
//!
//! `@` stands for a JSON string of the forger's: text, arguments, tools and instructions that come back, names and values in them.

use tollgate::upstream::dialect::{Dialect, Framing};

/// An answer.
pub struct Template {
    pub dialect: Dialect,
    pub framing: Framing,
    /// Its documents, with the types that their frames tell.
    pub documents: &'static [(&'static str, &'static str)],
}

const fn template(dialect: Dialect, framing: Framing, documents: &'static [(&'static str, &'static str)]) -> Template {
    Template { dialect, framing, documents }
}

/// The document of a chat's stream that the gateway may have asked for and then withholds.
pub const CHAT_USAGE: &str =
    r#"{"model":"m","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}"#;

pub static TEMPLATES: &[Template] = &[
    template(
        Dialect::OpenAiChat,
        Framing::Sse,
        &[
            (
                "",
                r#"{"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":@},"finish_reason":null}],"usage":null}"#,
            ),
            (
                "",
                r#"{"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":@},"finish_reason":null}],"usage":null}"#,
            ),
            (
                "",
                r#"{"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":@},"finish_reason":null}],"usage":null}"#,
            ),
            (
                "",
                r#"{"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":@,"function":{"name":@,"arguments":@}}]}}]}"#,
            ),
            (
                "",
                r#"{"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":@}}]}}]}"#,
            ),
            ("", r#"{"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x":{@:@}}"#),
            ("", CHAT_USAGE),
            ("", "[DONE]"),
        ],
    ),
    template(
        Dialect::OpenAiChat,
        Framing::Json,
        &[(
            "",
            r#"{"model":"m","choices":[{"index":0,"message":{"content":@,"reasoning":@,"tool_calls":[{"id":@,"function":{"name":@,"arguments":@}}]},"finish_reason":"stop"}],"x":{@:@},"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}"#,
        )],
    ),
    template(
        Dialect::OpenAiCompletions,
        Framing::Sse,
        &[
            ("", r#"{"model":"m","choices":[{"index":0,"text":@,"logprobs":{"tokens":[@,@]},"finish_reason":null}]}"#),
            (
                "",
                r#"{"model":"m","choices":[{"index":0,"text":@,"logprobs":{"tokens":[@,@]},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}"#,
            ),
            ("", "[DONE]"),
        ],
    ),
    template(
        Dialect::OpenAiResponses,
        Framing::Sse,
        &[
            (
                "",
                r#"{"type":"response.created","response":{"model":"m","status":"in_progress","instructions":@,"tools":[{"type":"function","name":@,"parameters":{"type":"object","properties":{@:{"description":@}}}}],"metadata":{@:@},"usage":null}}"#,
            ),
            ("", r#"{"type":"response.output_text.delta","item_id":@,"delta":@}"#),
            ("", r#"{"type":"response.output_text.delta","item_id":@,"delta":@}"#),
            ("", r#"{"type":"response.function_call_arguments.delta","delta":@}"#),
            (
                "",
                r#"{"type":"response.completed","response":{"model":"m","status":"completed","instructions":@,"tools":[{"type":"function","name":@,"parameters":{"properties":{@:{"description":@}}}}],"output":[{"type":"message","content":[{"type":"output_text","text":@}]},{"type":"function_call","name":@,"arguments":@}],"metadata":{@:@},"usage":{"input_tokens":5,"output_tokens":7,"total_tokens":12}}}"#,
            ),
        ],
    ),
    template(
        Dialect::OpenAiResponses,
        Framing::Json,
        &[(
            "",
            r#"{"model":"m","status":"completed","instructions":@,"tools":[{"type":"function","name":@,"parameters":{"properties":{@:{"description":@}}}}],"output":[{"type":"message","content":[{"type":"output_text","text":@}]},{"type":"function_call","name":@,"arguments":@}],"metadata":{@:@},"usage":{"input_tokens":5,"output_tokens":7,"total_tokens":12}}"#,
        )],
    ),
    template(
        Dialect::AnthropicMessages,
        Framing::Sse,
        &[
            (
                "",
                r#"{"type":"message_start","message":{"id":@,"type":"message","model":"m","content":[],"usage":{"input_tokens":5,"output_tokens":1}}}"#,
            ),
            ("", r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":@}}"#),
            ("", r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":@}}"#),
            (
                "",
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":@,"name":@,"input":{}}}"#,
            ),
            ("", r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":@}}"#),
            (
                "",
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":7}}"#,
            ),
            ("", r#"{"type":"message_stop"}"#),
        ],
    ),
    template(
        Dialect::AnthropicMessages,
        Framing::Json,
        &[(
            "",
            r#"{"id":@,"type":"message","model":"m","content":[{"type":"text","text":@},{"type":"tool_use","name":@,"input":{@:@,"usage":{@:@}}}],"stop_reason":"end_turn","usage":{"input_tokens":5,"output_tokens":7}}"#,
        )],
    ),
    template(Dialect::Gemini, Framing::Sse, GEMINI),
    template(Dialect::Gemini, Framing::JsonArray, GEMINI),
    template(
        Dialect::Gemini,
        Framing::Json,
        &[(
            "",
            r#"{"candidates":[{"content":{"parts":[{"text":@},{"functionCall":{"name":@,"args":{@:@,"usageMetadata":{@:@}}}}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":7,"totalTokenCount":12},"modelVersion":"m"}"#,
        )],
    ),
    template(
        Dialect::GeminiInteractions,
        Framing::Json,
        &[(
            "",
            r#"{"model":"m","status":"completed","outputs":[{"type":"text","text":@},{"type":"function_call","name":@,"arguments":{@:@}}],"usage":{"total_input_tokens":5,"total_output_tokens":7,"total_tokens":12}}"#,
        )],
    ),
    template(
        Dialect::BedrockConverse,
        Framing::EventStream,
        &[
            ("messageStart", r#"{"role":"assistant"}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":@},"p":@}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":@},"p":@}"#),
            ("contentBlockStart", r#"{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":@,"name":@}}}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"toolUse":{"input":@}}}"#),
            ("messageStop", r#"{"stopReason":"end_turn","additionalModelResponseFields":{@:@}}"#),
            ("metadata", r#"{"usage":{"inputTokens":5,"outputTokens":7,"totalTokens":12},"metrics":{"latencyMs":9}}"#),
        ],
    ),
    template(
        Dialect::BedrockConverse,
        Framing::Json,
        &[(
            "",
            r#"{"output":{"message":{"role":"assistant","content":[{"text":@},{"toolUse":{"name":@,"input":{@:@,"usage":{@:@}}}}]}},"stopReason":"end_turn","usage":{"inputTokens":5,"outputTokens":7,"totalTokens":12}}"#,
        )],
    ),
    template(
        Dialect::BedrockInvoke,
        Framing::Json,
        &[(
            "",
            r#"{"id":@,"type":"message","model":"m","content":[{"type":"text","text":@},{"type":"tool_use","name":@,"input":{@:@}}],"stop_reason":"end_turn","usage":{"input_tokens":5,"output_tokens":7}}"#,
        )],
    ),
    template(
        Dialect::Ollama,
        Framing::Ndjson,
        &[
            ("", r#"{"model":"m","message":{"role":"assistant","content":@,"thinking":@},"done":false}"#),
            ("", r#"{"model":"m","message":{"role":"assistant","content":@,"thinking":@},"done":false}"#),
            (
                "",
                r#"{"model":"m","message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":@,"arguments":{@:@,"eval_count":@}}}]},"done":false}"#,
            ),
            (
                "",
                r#"{"model":"m","message":{"role":"assistant","content":@},"done":true,"done_reason":"stop","prompt_eval_count":5,"eval_count":7}"#,
            ),
        ],
    ),
    template(
        Dialect::Ollama,
        Framing::Json,
        &[(
            "",
            r#"{"model":"m","message":{"role":"assistant","content":@,"tool_calls":[{"function":{"name":@,"arguments":{@:@,"eval_count":@}}}]},"done":true,"done_reason":"stop","prompt_eval_count":5,"eval_count":7}"#,
        )],
    ),
    template(
        Dialect::Cohere,
        Framing::Sse,
        &[
            ("", r#"{"type":"message-start","id":@,"delta":{"message":{"role":"assistant","content":[]}}}"#),
            ("", r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":@}}}}"#),
            ("", r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":@}}}}"#),
            (
                "",
                r#"{"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":@}}}}}"#,
            ),
            (
                "",
                r#"{"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":5,"output_tokens":7},"tokens":{"input_tokens":5,"output_tokens":7}}}}"#,
            ),
        ],
    ),
    template(
        Dialect::Cohere,
        Framing::Json,
        &[(
            "",
            r#"{"id":@,"message":{"role":"assistant","content":[{"type":"text","text":@}],"tool_calls":[{"function":{"name":@,"arguments":@}}]},"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":5,"output_tokens":7},"tokens":{"input_tokens":5,"output_tokens":7}}}"#,
        )],
    ),
];

const GEMINI: &[(&str, &str)] = &[
    ("", r#"{"candidates":[{"content":{"parts":[{"text":@}],"role":"model"},"index":0}],"modelVersion":"m"}"#),
    ("", r#"{"candidates":[{"content":{"parts":[{"text":@}],"role":"model"},"index":0}],"modelVersion":"m"}"#),
    (
        "",
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":@,"args":{@:@,"usageMetadata":{@:@}}}}]}}],"modelVersion":"m"}"#,
    ),
    (
        "",
        r#"{"candidates":[{"content":{"parts":[{"text":@}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":7,"totalTokenCount":12},"modelVersion":"m"}"#,
    ),
];
