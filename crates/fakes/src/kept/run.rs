//! Plays one request of a batch.

use serde_json::{Value, json};

use crate::{
    answer::{Endpoint, Turn},
    request,
    script::Behaviour,
};

/// The endpoint that a request of a batch calls.
pub(super) fn endpoint(url: &str) -> Option<Endpoint> {
    Some(match url {
        "/v1/chat/completions" => Endpoint::Chat,
        "/v1/completions" => Endpoint::Completions,
        "/v1/embeddings" => Endpoint::Embeddings,
        "/v1/responses" => Endpoint::Responses,
        "/v1/moderations" => Endpoint::Moderation,
        _ => return None,
    })
}

/// Status and body of the answer to a request.
pub(super) fn answer(endpoint: Endpoint, body: &Value, n: u64, behaviour: &Behaviour) -> (u16, Value) {
    let read = request::Asked::parse(body.to_string().as_bytes()).and_then(|asked| Ok((asked.script()?, asked)));
    let (script, asked) = match read {
        Ok(read) => read,
        Err(message) => return (400, json!({"error": {"message": message, "type": "invalid_request_error"}})),
    };
    let mut turn = Turn::new(endpoint, &asked, behaviour.script_for(script));
    turn.name_it(n);
    if let Some(status) = turn.script.status {
        return (status, json!({"error": {"message": "Scripted.", "type": "server_error"}}));
    }
    let mut told: Value = serde_json::from_slice(&turn.plain()).unwrap_or_default();
    if endpoint == Endpoint::Messages {
        told["usage"]["service_tier"] = "batch".into();
    }
    (200, told)
}
