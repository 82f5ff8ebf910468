//! The JSON schema of price files, for editors. A test holds it against what the parser knows.

use serde_json::{Value, json};
use tollgate_core::price::{Rate, Unit};

/// The schema of one `*.toml` of the folder of price tables.
#[must_use]
pub fn json_schema() -> Value {
    let price = json!({ "type": "string", "pattern": r"^\d+(\.\d{1,18})?$" });
    let map = |names: Vec<&str>| {
        let properties: serde_json::Map<String, Value> =
            names.into_iter().map(|name| (name.to_owned(), price.clone())).collect();
        json!({ "type": "object", "additionalProperties": false, "minProperties": 1, "properties": properties })
    };
    let rates = map(Rate::ALL.into_iter().map(Rate::name).collect());
    let units = map(Unit::ALL.into_iter().map(Unit::name).collect());
    let tier = json!({
        "type": "object", "additionalProperties": false, "required": ["above_input_tokens", "usd_per_mtok"],
        "properties": {
            "above_input_tokens": { "type": "integer", "minimum": 0 },
            "applies": { "enum": ["whole", "excess"] },
            "usd_per_mtok": rates,
        },
    });
    let service_tier = json!({ "enum": ["flex", "batch", "priority", "fast"] });
    let text = json!({ "type": "string", "minLength": 1 });
    let variant = json!({
        "type": "object", "additionalProperties": false, "required": ["when"],
        "properties": {
            "when": {
                "type": "object", "additionalProperties": false, "minProperties": 1,
                "properties": {
                    "service_tier": service_tier, "region": text, "traffic_type": text, "image_size": text,
                    "image_quality": text,
                    "hours": { "type": "string", "pattern": r"^\d\d:\d\d-\d\d:\d\d$" },
                },
            },
            "usd_per_mtok": rates, "usd_per_request": price, "usd_per_unit": units,
            "tier": { "type": "array", "items": tier },
        },
    });
    let table = [
        ("usd_per_mtok", rates.clone()),
        ("usd_per_request", price.clone()),
        ("usd_per_unit", units),
        ("tier", json!({ "type": "array", "items": tier })),
        ("variant", json!({ "type": "array", "items": variant })),
        (
            "fallback",
            json!({
                "type": "object", "additionalProperties": false,
                "properties": { "cache_read": { "const": "input" }, "cache_write": { "const": "input" } },
            }),
        ),
        ("standard_for", json!({ "type": "array", "items": service_tier })),
    ];
    let with = |own: &[(&str, Value)]| -> serde_json::Map<String, Value> {
        own.iter().chain(&table).map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect()
    };
    let time = json!({ "type": "string", "description": "RFC 3339, or a day, which begins at midnight UTC" });
    let prices = with(&[
        ("provider", text.clone()),
        ("model", text.clone()),
        ("aliases", json!({ "type": "array", "items": text })),
        ("valid_from", time.clone()),
        ("recorded_at", time.clone()),
        ("source", text.clone()),
        ("completed_from", text.clone()),
    ]);
    let rule = with(&[
        ("model", text.clone()),
        ("valid_from", time.clone()),
        ("recorded_at", time),
        ("margin_over_cost", price.clone()),
        ("multiplier", price.clone()),
        ("usd_per_request_min", price),
    ]);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Price tables and price books of Tollgate",
        "type": "object", "additionalProperties": false,
        "properties": {
            "price": { "type": "array", "items": {
                "type": "object", "additionalProperties": false, "properties": prices,
                "required": ["provider", "model", "valid_from", "recorded_at", "source"],
            } },
            "book": { "type": "array", "items": {
                "type": "object", "additionalProperties": false, "required": ["name", "rule"],
                "properties": { "name": { "type": "string", "pattern": "^[a-z0-9_-]{1,64}$" }, "rule": { "type": "array", "items": {
                    "type": "object", "additionalProperties": false, "properties": rule,
                    "required": ["model", "valid_from"],
                } } },
            } },
        },
    })
}
