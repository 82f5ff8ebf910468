//! Merges the usage objects of one answer, field by field: the last value that is not null wins, and nothing is added up.

use serde_json::{Map, Value};

/// Puts a later object over what is known.
pub(super) fn merge_usage(known: &mut Option<String>, later: &[u8]) {
    let Ok(text) = std::str::from_utf8(later) else { return };
    match known {
        // Cumulative counts of one shape with every document: the later object says all that the earlier one does.
        Some(known) if !is_same_shape(known.as_bytes(), later) => {
            if let Some(merged) = merged(known, text) {
                *known = merged;
            }
        }
        _ => {
            // Keeps the room of the text before.
            let known = known.get_or_insert_default();
            known.clear();
            known.push_str(text);
        }
    }
}

fn merged(known: &str, later: &str) -> Option<String> {
    let mut known = serde_json::from_str::<Map<String, Value>>(known).unwrap_or_default();
    let parsed: Map<String, Value> = serde_json::from_str(later).ok()?;
    merge(&mut known, parsed.clone());
    // The later one says it all: as it came, so that the next of its shape need not be merged.
    if known == parsed { Some(later.to_owned()) } else { serde_json::to_string(&known).ok() }
}

fn merge(known: &mut Map<String, Value>, later: Map<String, Value>) {
    for (name, value) in later {
        match (known.get_mut(&name), value) {
            (Some(_), Value::Null) => {}
            (Some(Value::Object(known)), Value::Object(later)) => merge(known, later),
            (_, value) => {
                known.insert(name, value);
            }
        }
    }
}

/// Whether two texts differ in digits only.
fn is_same_shape(a: &[u8], b: &[u8]) -> bool {
    let mut a = a.iter().filter(|byte| !byte.is_ascii_digit());
    let mut b = b.iter().filter(|byte| !byte.is_ascii_digit());
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (a, b) if a == b => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge_all(objects: &[&str]) -> Value {
        let mut known = None;
        for object in objects {
            merge_usage(&mut known, object.as_bytes());
        }
        serde_json::from_str(&known.unwrap()).unwrap()
    }

    #[test]
    fn a_later_object_replaces_field_by_field_and_null_says_nothing() {
        let merged = merge_all(&[
            r#"{"input":4,"cache":{"a":400,"b":8600},"output":1}"#,
            r#"{"input":null,"cache":{"b":8601},"output":15}"#,
            r#"{"input":null,"cache":{"b":8602},"output":16}"#,
        ]);
        assert_eq!(merged, serde_json::json!({"input":4,"cache":{"a":400,"b":8602},"output":16}));
    }

    #[test]
    fn a_later_object_may_lower_a_number() {
        let merged = merge_all(&[r#"{"input":34824,"output":0}"#, r#"{"input":3883,"output":12}"#]);
        assert_eq!(merged, serde_json::json!({"input":3883,"output":12}));
    }
}
