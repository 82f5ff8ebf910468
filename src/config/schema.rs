//! The JSON schema of the configuration, for editors, made from the list of options.

use serde_json::{Map, Value, json};

use super::options::{Kind, OPTIONS};

/// JSON Schema 2020-12 of `tollgate.toml`.
#[must_use]
pub fn json_schema() -> Value {
    let mut sections: Map<String, Value> = Map::new();
    for option in OPTIONS {
        let Some((section, key)) = option.path.split_once('.') else { continue };
        let (name, repeated) = match section.strip_suffix("[]") {
            Some(name) => (name, true),
            None => (section, false),
        };
        let entry = sections.entry(name.to_owned()).or_insert_with(|| empty_section(repeated));
        let Some(properties) = properties_of(entry) else { continue };
        match key.split_once("[].") {
            None => drop(properties.insert(key.to_owned(), option_schema(option.kind, option.doc))),
            Some((list, key)) => {
                let entry = properties.entry(list.to_owned()).or_insert_with(|| empty_section(true));
                properties_of(entry)
                    .map(|within| within.insert(key.to_owned(), option_schema(option.kind, option.doc)));
            }
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tollgate.toml",
        "type": "object",
        "additionalProperties": false,
        "properties": sections,
    })
}

/// The properties of a section, or of the items of a list.
fn properties_of(section: &mut Value) -> Option<&mut Map<String, Value>> {
    let path = if section.get("items").is_some() { "/items/properties" } else { "/properties" };
    section.pointer_mut(path)?.as_object_mut()
}

fn empty_section(repeated: bool) -> Value {
    let object = json!({ "type": "object", "additionalProperties": false, "properties": {} });
    if repeated { json!({ "type": "array", "items": object }) } else { object }
}

fn option_schema(kind: Kind, doc: &str) -> Value {
    let mut schema = match kind {
        Kind::Text | Kind::Address => json!({ "type": "string" }),
        Kind::Count => json!({ "type": "integer", "minimum": 0 }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::OneOf(words) => json!({ "enum": words }),
        Kind::Secret => json!({ "type": "string", "pattern": "^$|^(env|file):.+" }),
        Kind::Usd => json!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,9})?$" }),
        Kind::Decimal => json!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,18})?$" }),
        Kind::Date => json!({ "type": "string", "format": "date" }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Targets => json!({ "type": "array", "items": { "type": "object", "additionalProperties": false,
            "required": ["provider", "model"],
            "properties": { "provider": { "type": "string" }, "model": { "type": "string" } } } }),
    };
    if let Some(object) = schema.as_object_mut() {
        object.insert("description".to_owned(), doc.into());
    }
    schema
}
