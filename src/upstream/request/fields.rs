//! The top level of a JSON body: key and raw value of each field, without a tree, nothing lost when a key stands twice.

use std::{borrow::Cow, fmt, ops::Range};

use serde::{
    Deserializer as _,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::error::RequestError;
use crate::upstream::endpoint::FieldPlace;

/// Longest end user that is recorded; the rest is cut off.
const END_USER_BYTES_MAX: usize = 256;

/// The fields of an object.
pub(super) struct Fields<'a> {
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// A bit for each length that a key has. Most of what is asked for is not there, and its length says so.
    lengths: u64,
    /// A key has a letter outside of ASCII: its length says nothing.
    has_foreign: bool,
}

impl<'a> Fields<'a> {
    /// Reads the top level of an object.
    pub(super) fn read(text: &'a str) -> Result<Self, RequestError> {
        let fields = object_fields(text)?;
        let lengths = fields.iter().fold(0, |lengths, (field, _)| lengths | length_bit(field));
        let has_foreign = fields.iter().any(|(field, _)| !field.is_ascii());
        Ok(Self { fields, lengths, has_foreign })
    }

    /// The raw value of the field with one of these names, which are the same to the provider. None when it is absent or
    /// null; refused when it stands twice, because which one counts would be ambiguous.
    pub(super) fn get(&self, names: &[&str]) -> Result<Option<&'a str>, RequestError> {
        Ok(self.raw(names)?.filter(|raw| *raw != "null"))
    }

    /// As [`Self::get`], with null told from absent.
    pub(super) fn raw(&self, names: &[&str]) -> Result<Option<&'a str>, RequestError> {
        if !self.has_foreign && names.iter().all(|name| self.lengths & length_bit(name) == 0) {
            return Ok(None);
        }
        // Go's JSON, as Ollama has it, takes keys of any case, and the last one: what is priced must be what is read.
        let twin = |field: &str| names.iter().find(|name| **name != field && folds_to(field, name));
        let (mut found, mut again) = (None, None);
        for (field, raw) in &self.fields {
            // Nearly every field is none of these, and its length says so: only letters that are foreign fold to fewer bytes.
            if !names.iter().any(|name| {
                name.len() == field.len() || (name.len() < field.len() && self.has_foreign && !field.is_ascii())
            }) {
                continue;
            }
            if names.contains(&field.as_ref()) {
                again = again.or(found.and(Some(field)));
                found = found.or(Some(raw.get()));
            } else if let Some(meant) = twin(field) {
                return Err(RequestError::Spelling { found: field.clone().into_owned(), meant: (*meant).to_owned() });
            }
        }
        match again {
            Some(field) => Err(RequestError::Duplicate(field.clone().into_owned())),
            None => Ok(found),
        }
    }

    /// The raw value of a field of this object or of an object in it.
    pub(super) fn at(&self, place: &FieldPlace) -> Result<Option<&'a str>, RequestError> {
        if place.within.is_empty() {
            return self.get(place.names);
        }
        match self.get(place.within)? {
            // What is no object there is for the provider to refuse: it holds no field that could count.
            Some(raw) if raw.starts_with('{') => Fields::read(raw)?.get(place.names),
            _ => Ok(None),
        }
    }
}

/// One bit for a length; the last one for all that are longer.
fn length_bit(key: &str) -> u64 {
    1 << key.len().min(63)
}

/// Whether a key is a name but for the case of its letters; two letters outside of ASCII have an ASCII letter as their other case.
fn folds_to(key: &str, name: &str) -> bool {
    // Such a letter has more bytes than its other case: only a longer key can have one and be the name.
    if key.len() <= name.len() || key.is_ascii() {
        return key.eq_ignore_ascii_case(name);
    }
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(name.chars().map(fold))
}

/// Where a raw value stands in the text that it was read from.
pub(super) fn span(text: &str, raw: &str) -> Range<usize> {
    let start = raw.as_ptr().addr() - text.as_ptr().addr();
    start..start + raw.len()
}

/// `true` or `false`; absent and null are none.
pub(super) fn flag(raw: Option<&str>, field: &'static str) -> Result<Option<bool>, RequestError> {
    match raw {
        None | Some("null") => Ok(None),
        Some("false") => Ok(Some(false)),
        Some("true") => Ok(Some(true)),
        Some(_) => Err(RequestError::Invalid { field, expected: "true or false" }),
    }
}

/// A text, unescaped; none when it is absent or no text.
pub(super) fn text(raw: Option<&str>) -> Option<String> {
    raw.and_then(|raw| serde_json::from_str::<String>(raw).ok())
}

/// Cuts an end user to the length that is recorded.
pub(super) fn shortened(mut text: String) -> String {
    let mut end = text.len().min(END_USER_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// Key and raw value of each field of an object, escapes in keys undone, nothing lost when a key stands twice.
pub(super) fn object_fields(text: &str) -> Result<Vec<(Cow<'_, str>, &RawValue)>, RequestError> {
    struct Fields;
    impl<'de> Visitor<'de> for Fields {
        type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut fields = Vec::with_capacity(16);
            while let Some(Key(key)) = map.next_key()? {
                fields.push((key, map.next_value()?));
            }
            Ok(fields)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let fields = deserializer.deserialize_map(Fields).map_err(|error| {
        if error.is_data() { RequestError::NotAnObject } else { RequestError::NotJson(error.to_string()) }
    })?;
    deserializer.end().map_err(|error| RequestError::NotJson(error.to_string()))?;
    Ok(fields)
}

/// A key, borrowed unless it has escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
