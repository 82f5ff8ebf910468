//! The paths under `/__fake/`: the log over HTTP, for tests in other languages. They are not logged themselves.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{script::Script, serve::State};

/// Answers a control path, or none when it is not one.
pub(crate) fn answer(
    state: &State,
    method: &Method,
    path: &str,
    query: &str,
    body: &[u8],
) -> Option<(StatusCode, Bytes)> {
    let name = path.strip_prefix("/__fake/")?;
    let ok = |value: Value| Some((StatusCode::OK, Bytes::from(value.to_string())));
    match (method, name) {
        (&Method::GET, "requests") => ok(json!(state.log.since(since(query)))),
        (&Method::GET, "count") => ok(json!({"count": state.log.count()})),
        (&Method::GET, "last_body") => Some((StatusCode::OK, state.log.last_body().unwrap_or_default())),
        (&Method::POST, "plan") => match serde_json::from_slice(body) {
            Ok(plan) => {
                state.kept.set_plan(plan);
                ok(json!({"ok": true}))
            }
            Err(error) => Some((StatusCode::BAD_REQUEST, json!({"error": error.to_string()}).to_string().into())),
        },
        (&Method::POST, "reset") => {
            state.log.reset();
            ok(json!({"count": 0}))
        }
        (&Method::POST, "script") => match Script::parse(body) {
            Ok(script) => {
                state.defaults.set_script(script);
                ok(json!({"ok": true}))
            }
            Err(message) => Some((StatusCode::BAD_REQUEST, json!({"error": message}).to_string().into())),
        },
        _ => None,
    }
}

fn since(query: &str) -> u64 {
    query.split('&').find_map(|pair| pair.strip_prefix("since=")).and_then(|n| n.parse().ok()).unwrap_or(0)
}
