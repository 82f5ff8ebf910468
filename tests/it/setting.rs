//! What every gateway under test is told: configuration and a request.

use std::path::Path;

use serde_json::{Value, json};

/// A chat request of two words.
pub(crate) fn chat(extra: Value) -> Value {
    let mut body = json!({ "model": "demo-model", "messages": [{ "role": "user", "content": "hello there" }] });
    for (name, value) in extra.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// A journal that does not fill hundreds of megabytes with zeros for each test.
pub(crate) const SMALL_JOURNAL: &str = "[journal]\nsegment_bytes = 1048576\nin_flight_max = 512\n";

/// The part of a test's configuration that is always the same.
pub(crate) fn base_toml(dir: &Path, upstream: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\ndata_dir = {:?}\nshutdown_grace_ms = 500\n\
         [[provider]]\nname = \"demo\"\nbase_url = \"{upstream}\"\nallow_private = true\napi_key = \"file:{}\"\n",
        dir.join("data"),
        dir.join("upstream-key").display(),
    )
}
