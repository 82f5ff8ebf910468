//! Streams of every dialect: whole, cut off, in error, and left by their client.

use serde_json::json;

use super::{bodies, gateway};

/// What the last bytes of a whole stream of an endpoint look like.
fn clean_end(path: &str) -> &'static str {
    match path {
        "/v1/chat/completions" => "data: [DONE]\n\n",
        "/v1/responses" => "response.completed",
        "/v1/messages" => "data: {\"type\":\"message_stop\"}\n\n",
        "/v1beta/interactions" => "interaction.complete",
        "/v2/chat" => "message-end",
        _ if path.starts_with("/api/") => "\"done\":true",
        _ if path.contains("alt=sse") => "STOP",
        _ if path.contains("converse") => "messageStop",
        _ => "]",
    }
}

#[tokio::test]
async fn a_stream_passes_as_it_came() {
    let harness = gateway("").await;
    for call in bodies::streamed() {
        for script in [json!({ "chunks": 4 }), json!({ "chunks": 4, "one_byte": true })] {
            let response = call.request(&harness, script).send().await.unwrap();
            assert_eq!(response.status(), 200, "{}", call.path);
            let bytes = response.bytes().await.unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert!(text.contains("alpha") && text.contains("delta"), "{}: {text}", call.path);
            assert!(text.contains(clean_end(call.path)), "{}: {text}", call.path);
        }
    }
}
