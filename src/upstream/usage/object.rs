//! JSON as it stands in a report: names and texts are borrowed from it, since it is read once and thrown away.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

/// A JSON value.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Null,
    Bool,
    Number(Number),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    Object(Object<'a>),
}

/// A JSON object, its members in their order. Of two members of one name the last one counts, as for every reader of JSON.
#[derive(Debug, Default)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Value<'a> {
    /// A text is a value, or none.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn as_u64(&self) -> Option<u64> {
        if let Self::Number(number) = self { number.as_u64() } else { None }
    }

    pub(super) fn as_object(&self) -> Option<&Object<'a>> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    pub(super) fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }
}

impl<'a> Object<'a> {
    pub(super) const fn empty() -> Self {
        Self(Vec::new())
    }

    /// A text is an object, or none.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        match Value::parse(text)? {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Names, each once.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_ref())
    }

    /// Adds a member, or replaces the one of its name.
    pub(super) fn put(&mut self, name: Cow<'a, str>, value: Value<'a>) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value<'de>, A::Error> {
        let mut object = Object(Vec::with_capacity(MEMBERS_USUAL));
        while let Some((Name(name), value)) = members.next_entry()? {
            object.put(name, value);
            if object.0.len() > MEMBERS_MAX {
                return Err(A::Error::custom("too many members"));
            }
        }
        Ok(Value::Object(object))
    }
}

/// Most objects of a report have at most so many members.
const MEMBERS_USUAL: usize = 8;

/// More members than any report has: they are not looked through one by one.
const MEMBERS_MAX: usize = 512;

/// A member's name, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_members_of_one_name_the_last_one_counts_and_there_is_one_name() {
        let object = Object::parse(r#"{"a":1,"b":{"c":"x"},"\u0061":2,"d":[null,true,-1,1.5]}"#).unwrap();
        assert_eq!(object.get("a").and_then(Value::as_u64), Some(2));
        assert_eq!(object.names().collect::<Vec<_>>(), ["a", "b", "d"]);
        assert_eq!(object.get("b").and_then(Value::as_object).unwrap().get("c").and_then(Value::as_str), Some("x"));
        let list = object.get("d").and_then(Value::as_list).unwrap();
        assert!(list[0].is_null() && list[1..].iter().all(|value| value.as_u64().is_none()), "{list:?}");
    }

    #[test]
    fn an_object_of_more_members_than_any_report_has_is_none() {
        let of =
            |count: usize| format!("{{{}}}", (0..count).map(|n| format!("\"m{n}\":1")).collect::<Vec<_>>().join(","));
        assert!(Object::parse(&of(MEMBERS_MAX)).is_some());
        assert!(Object::parse(&of(MEMBERS_MAX + 1)).is_none());
    }

    #[test]
    fn what_is_no_object_is_none() {
        for text in ["", "7", "[]", "null", r#"{"a":1"#, r#"{"a":1}}"#, &"[".repeat(10_000), &r#"{"a":"#.repeat(10_000)]
        {
            assert!(Object::parse(text).is_none(), "{}", &text[..text.len().min(20)]);
        }
    }
}
