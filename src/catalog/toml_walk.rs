//! Walks a TOML document by spans, so that every mistake has its file and line.

use std::borrow::Cow;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::config::Mistake;

/// One file under examination.
pub(super) struct Walk<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
    pub(super) mistakes: Vec<Mistake>,
}

impl Walk<'_> {
    pub(super) fn mistake(&mut self, at: usize, what: impl Into<String>) {
        let line = self.text.get(..at).unwrap_or(self.text).matches('\n').count() + 1;
        self.mistakes.push(Mistake { place: format!("{}:{line}", self.file), what: what.into() });
    }

    /// Says which keys are not known, with the nearest that is.
    pub(super) fn known_keys(&mut self, table: &DeTable<'_>, known: &[&str]) {
        for key in table.keys() {
            if known.contains(&key.get_ref().as_ref()) {
                continue;
            }
            let near = known.iter().map(|word| (strsim::damerau_levenshtein(key.get_ref(), word), word)).min();
            let hint = match near {
                Some((distance, word)) if distance <= 1 + word.len() / 4 => format!("; did you mean {word}?"),
                _ => format!("; known are {}", known.join(", ")),
            };
            self.mistake(key.span().start, format!("there is no {}{hint}", key.get_ref()));
        }
    }

    /// A text, or none with a mistake.
    pub(super) fn text<'t>(&mut self, table: &'t DeTable<'_>, key: &str, at: usize) -> Option<(&'t str, usize)> {
        match table.get(key).map(|value| (value.get_ref(), value.span().start)) {
            Some((DeValue::String(text), at)) if !text.is_empty() => Some((text.as_ref(), at)),
            Some((_, at)) => {
                self.mistake(at, format!("{key} must be a text in quotes, not empty"));
                None
            }
            None => {
                self.mistake(at, format!("{key} is missing"));
                None
            }
        }
    }

    /// The tables of `[[name]]`.
    pub(super) fn tables<'t, 'd>(&mut self, table: &'t DeTable<'d>, name: &str) -> Vec<(&'t DeTable<'d>, usize)> {
        let Some(value) = table.get(name) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.mistake(value.span().start, format!("{name} may be repeated: write [[{name}]]"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(table) => tables.push((table, start_of(table).unwrap_or(item.span().start))),
                _ => self.mistake(item.span().start, format!("write [[{name}]] with its keys below")),
            }
        }
        tables
    }
}

fn start_of(table: &DeTable<'_>) -> Option<usize> {
    table.keys().map(|key: &Spanned<Cow<'_, str>>| key.span().start).min()
}
