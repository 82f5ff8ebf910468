//! The OpenAPI document: committed as it is generated, served as it is committed, and true of what the routes answer.

use std::path::Path;

use serde_json::{Value, json};
use tollgate::http::admin::openapi::document;

use crate::harness::Harness;

#[test]
fn the_committed_document_is_what_the_routes_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let generated = document().to_pretty_json().unwrap() + "\n";
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/openapi.json is out of date: cargo run --quiet --example openapi >docs/openapi.json"
    );
}

#[test]
fn every_operation_says_what_it_takes_and_gives() {
    let document: Value = serde_json::from_str(&document().to_json().unwrap()).unwrap();
    let mut ids = std::collections::HashSet::new();
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            operations += 1;
            assert!(operation["summary"].is_string(), "{place} has no summary");
            assert!(ids.insert(operation["operationId"].to_string()), "{place}: its id stands twice");
            assert!(operation["responses"]["default"].is_object(), "{place} has no problem");
            let success = ["200", "201"].iter().find(|status| operation["responses"][**status].is_object());
            assert!(success.is_some(), "{place} has no answer");
            assert_eq!(
                method == "post" && !path.ends_with("/revoke") && !path.ends_with("/retry"),
                operation["requestBody"].is_object(),
                "{place}"
            );
            assert_eq!(path.contains('{'), operation["parameters"].to_string().contains("\"in\":\"path\""), "{place}");
        }
    }
    assert!(operations > 25, "{operations}");
    // Nothing is referred to that is not there.
    let text = document.to_string();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name} is referred to and not there");
    }
}

#[tokio::test]
async fn what_is_answered_is_what_the_document_says() {
    let harness = Harness::start().await;
    assert_eq!(harness.chat(json!({})).await.status, 200);
    let served =
        harness.client.get(format!("http://{}/openapi.json", harness.gateway().admin_address)).send().await.unwrap();
    let document: Value = served.json().await.unwrap();
    assert_eq!(document, serde_json::from_str::<Value>(&self::document().to_json().unwrap()).unwrap());
    let mut checked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(operation) = item.get("get") else { continue };
        if path.contains('{') {
            continue;
        }
        let query = match path.as_str() {
            "/admin/v1/statements" => format!("?customer={}&month=2026-11", harness.customer),
            "/admin/v1/prices/history" => "?for=demo/demo-model".to_owned(),
            _ => String::new(),
        };
        let short = path.strip_prefix("/admin/v1").unwrap();
        let answer = harness.admin("GET", &format!("{short}{query}"), None).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        holds(&document, schema, &answer.json(), path);
        checked += 1;
    }
    assert!(checked > 10, "{checked}");
    let problem = harness.admin("GET", "/customers/none", None).await;
    holds(&document, &json!({ "$ref": "#/components/schemas/Problem" }), &problem.json(), "a problem");
}

/// Every field of an answer is in its schema, every required one is there, and each has the type that it says.
fn holds(document: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return holds(document, &document["components"]["schemas"][name], value, place);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fitting = choices.iter().find(|choice| choice["type"] != "null" || value.is_null());
        if !value.is_null() {
            holds(document, fitting.unwrap(), value, place);
        }
        return;
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    };
    let own = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(types.is_empty() || types.contains(&json!(own)), "{place}: {value} is no {types:?}");
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                holds(document, &schema["items"], item, &format!("{place}[{index}]"));
            }
        }
        Value::Object(fields) => {
            let (known, required, is_open) = fields_of(document, schema);
            if known.is_empty() {
                return;
            }
            for name in required {
                assert!(fields.contains_key(&name), "{place}: {name} is missing");
            }
            for (name, item) in fields {
                match known.iter().find(|(known, _)| known == name) {
                    Some((_, schema)) => holds(document, schema, item, &format!("{place}.{name}")),
                    None => assert!(is_open, "{place}: {name} is not in the document"),
                }
            }
        }
        _ => {}
    }
}

/// Fields, required fields, and whether there may be others, of an object or a union of parts.
fn fields_of(document: &Value, schema: &Value) -> (Vec<(String, Value)>, Vec<String>, bool) {
    if let Some(reference) = schema["$ref"].as_str() {
        return fields_of(document, &document["components"]["schemas"][reference.rsplit('/').next().unwrap()]);
    }
    let mut known = Vec::new();
    let mut required = Vec::new();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        let (fields, needed, _) = fields_of(document, part);
        known.extend(fields);
        required.extend(needed);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        known.push((name.clone(), field.clone()));
    }
    required.extend(schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()));
    (known, required, schema["additionalProperties"].is_object())
}
