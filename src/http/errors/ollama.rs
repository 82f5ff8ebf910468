//! The Ollama dialect: `{"error": "text"}`.

use serde_json::{Value, json};

use super::Told;

pub(super) fn body(told: &Told<'_>) -> Value {
    json!({ "error": told.message })
}
