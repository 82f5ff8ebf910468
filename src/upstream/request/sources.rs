//! Whether messages of Anthropic's dialect take a file of its file interface as a source: `{"type": "file", "file_id"}` in a
//! document or picture, and `container_upload`.
//!
//! A file that is named in the result of a tool is what the model made in its own answer: it is told, not read.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{error::RequestError, files::may_name_files};

/// Objects of these types read the file that they name.
const READING: &[&str] = &["file", "container_upload"];

/// Whether one of these messages reads a file.
///
/// # Errors
/// [`RequestError::Invalid`] when that cannot be told: nested too deep.
pub(super) fn read_a_file(messages: &str) -> Result<bool, RequestError> {
    let bytes = messages.as_bytes();
    if !may_name_files(bytes) {
        return Ok(false);
    }
    let mut found = false;
    let walked = Walk(&mut found).deserialize(&mut serde_json::Deserializer::from_str(messages));
    let expected = "in messages that are nested at most 128 levels deep";
    walked.map(|_| found).map_err(|_| RequestError::Invalid { field: "file_id", expected })
}

/// Walks a value; gives whether it is a text that names a type that reads a file.
struct Walk<'a>(&'a mut bool);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        Ok(READING.contains(&text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        while seq.next_element_seed(Walk(&mut *self.0))?.is_some() {}
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let (mut reads, mut names) = (false, false);
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            match key.as_ref() {
                // What the model calls a tool with: the words of the tool's form, not of this API.
                "input" => {
                    map.next_value::<IgnoredAny>()?;
                }
                "type" => reads |= map.next_value_seed(Walk(&mut *self.0))?,
                key => {
                    names |= key == "file_id";
                    map.next_value_seed(Walk(&mut *self.0))?;
                }
            }
        }
        *self.0 |= reads && names;
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::read_a_file;

    #[test]
    fn a_file_as_a_source_is_found_and_one_that_is_only_told_of_is_not() {
        for messages in [
            r#"[{"content":[{"type":"document","source":{"type":"file","file_id":"file_1"}}]}]"#,
            r#"[{"content":[{"type":"image","source":{"file_id":"file_1","type":"file"}}]}]"#,
            r#"[{"content":[{"type":"container_upload","file_id":"file_1"}]}]"#,
            r#"[{"content":[{"type":"tool_result","content":[{"source":{"type":"\u0066ile","\u0066ile_id":"f"}}]}]}]"#,
        ] {
            assert_eq!(read_a_file(messages), Ok(true), "{messages}");
        }
        for messages in [
            r#"[{"content":"{\"type\":\"file\",\"file_id\":\"file_1\"}"}]"#,
            r#"[{"content":[{"type":"tool_use","name":"read","input":{"type":"file","file_id":"mine"}}]}]"#,
            r#"[{"content":[{"type":"x","content":[{"type":"bash_code_execution_output","file_id":"file_1"}]}]}]"#,
            r#"[{"content":[{"type":"document","source":{"type":"base64","data":"file_id"}}]}]"#,
        ] {
            assert_eq!(read_a_file(messages), Ok(false), "{messages}");
        }
        let deep = format!("{}\"file_id\"{}", "[".repeat(200), "]".repeat(200));
        assert!(read_a_file(&deep).is_err());
    }
}
