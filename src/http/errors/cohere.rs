//! The Cohere dialect: `{"message": "text"}`.

use serde_json::{Value, json};

use super::Told;

pub(super) fn body(told: &Told<'_>) -> Value {
    json!({ "message": told.message, "code": told.code })
}
