//! Which files a request names, wherever in its body: `file_id` and `file_ids`, as OpenAI's dialects have them.
//!
//! Most bodies name none, and are only searched for the word; one that may is walked through once.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::error::RequestError;

/// Files of one request at most.
const FILES_MAX: usize = 512;
/// Made once: to make one takes longer than to look through a short body.
static FILE_ID: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("file_id"));
static ESCAPED_BYTE: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("\\u00"));
/// What is the client's own words, or a form for the model's: no file is meant there.
const OTHERS_WORDS: &[&str] = &["metadata", "parameters", "schema", "json_schema", "arguments"];

/// The ids of the files that a body names, each once.
///
/// # Errors
/// [`RequestError::Invalid`] when they cannot be told: too many, or nested too deep.
pub fn named_files(body: &[u8]) -> Result<Vec<String>, RequestError> {
    if !may_name_files(body) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let walked = Walk { found: &mut found, is_id: false }.deserialize(&mut serde_json::Deserializer::from_slice(body));
    if walked.is_err() || found.len() > FILES_MAX {
        let expected = "in at most 512 places, not nested deeper than 128 levels";
        return Err(RequestError::Invalid { field: "file_id", expected });
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Whether the word that files are named by stands in it, or may hide behind an escape.
pub(super) fn may_name_files(body: &[u8]) -> bool {
    FILE_ID.find(body).is_some() || has_escaped_ascii(body)
}

/// Whether a visible letter of ASCII is written as an escape.
fn has_escaped_ascii(body: &[u8]) -> bool {
    let is_visible = |at: usize| matches!(body.get(at + 4), Some(b'2'..=b'7'));
    ESCAPED_BYTE.find_iter(body).any(is_visible)
}

/// Walks a value; `is_id` says that a text here is the id of a file.
struct Walk<'a> {
    found: &'a mut Vec<String>,
    is_id: bool,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.is_id && self.found.len() <= FILES_MAX {
            self.found.push(text.to_owned());
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Walk { found: &mut *self.found, is_id: self.is_id })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            if OTHERS_WORDS.contains(&key.as_ref()) {
                map.next_value::<serde::de::IgnoredAny>()?;
                continue;
            }
            let is_id = key.eq_ignore_ascii_case("file_id") || key.eq_ignore_ascii_case("file_ids");
            map.next_value_seed(Walk { found: &mut *self.found, is_id })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::named_files;

    fn of(body: &str) -> Vec<String> {
        named_files(body.as_bytes()).unwrap()
    }

    #[test]
    fn files_are_found_however_they_are_spelled_and_other_words_are_not_files() {
        let body = r#"{"input":[{"content":[{"type":"input_file","file_id":"file-2"},{"file_id":"file-1"}]}],
            "tools":[{"container":{"file_ids":["file-3","file-1"]}}]}"#;
        assert_eq!(of(body), ["file-1", "file-2", "file-3"]);
        assert_eq!(of(r#"{"x":{"\u0066ile_id":"file-1"}}"#), ["file-1"]);
        assert_eq!(of(r#"{"x":{"File\u005fId":"f\u0069le-1"}}"#), ["file-1"]);
        for body in [
            r#"{"messages":[{"content":"the \"file_id\": \"file-1\""}]}"#,
            r#"{"metadata":{"file_id":"file-1"}}"#,
            r#"{"tools":[{"parameters":{"properties":{"file_id":{"type":"string"}},"example":{"file_id":"x"}}}]}"#,
            r#"{"x":{"file_id":null,"file_idx":"file-1"}}"#,
            r#"{"x":"caf\u00e9"}"#,
        ] {
            assert!(of(body).is_empty(), "{body}");
        }
        let deep = format!("{}\"file_id\"{}", "[".repeat(200), "]".repeat(200));
        assert!(named_files(deep.as_bytes()).is_err());
    }
}
