//! Reads one TOML text or the environment into checked values, each with the place that it came from.
//!
//! Knows the list of options; does not know what the values mean together.

use std::collections::BTreeMap;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Mistake, Target,
    options::{Kind, OPTIONS, OptionRow, did_you_mean, find},
};

/// A value of the form that its option asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Text(String),
    Count(u64),
    Flag(bool),
    Targets(Vec<Target>),
    Texts(Vec<String>),
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Sourced {
    pub(super) value: Literal,
    pub(super) place: String,
}

/// Values by path: `server.listen`, `provider[0].name`.
pub(super) type Values = BTreeMap<String, Sourced>;

/// The prefix of environment variables that set options.
const ENV_PREFIX: &str = "TOLLGATE_";
/// Variables of that prefix that are not options: secrets named by `env:` references, and the clients' own.
const ENV_RESERVED: &[&str] = &["TOLLGATE_ADMIN_TOKEN", "TOLLGATE_LOG", "TOLLGATE_CONFIG", "TOLLGATE_ADMIN_URL"];

/// Reads a TOML text; `file` names it in mistakes.
pub(super) fn read_toml(text: &str, file: &str, values: &mut Values, mistakes: &mut Vec<Mistake>) {
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            mistakes.push(Mistake { place: place(file, text, at), what: error.message().to_owned() });
            return;
        }
    };
    let mut reader = Reader { text, file, values, mistakes };
    for (section, value) in document.get_ref() {
        reader.section(section, value);
    }
}

/// Reads `TOLLGATE_SECTION__KEY` variables. Repeated tables cannot be set this way.
pub(super) fn read_env(env: &BTreeMap<String, String>, values: &mut Values, mistakes: &mut Vec<Mistake>) {
    for (name, text) in env {
        let Some(rest) = name.strip_prefix(ENV_PREFIX) else { continue };
        if ENV_RESERVED.contains(&name.as_str()) || !rest.contains("__") {
            continue;
        }
        let path = rest.to_ascii_lowercase().replacen("__", ".", 1);
        let place = format!("environment {name}");
        match find(&path) {
            None => {
                let known = OPTIONS.iter().map(|row| row.path).filter(|path| !path.contains('['));
                let hint = did_you_mean(&path, known).map_or_else(String::new, |near| {
                    format!("; did you mean {ENV_PREFIX}{}?", near.replace('.', "__").to_ascii_uppercase())
                });
                mistakes.push(Mistake { place, what: format!("there is no option {path}{hint}") });
            }
            Some(option) => match from_text(option.kind, text) {
                Ok(value) => drop(values.insert(path, Sourced { value, place })),
                Err(what) => mistakes.push(Mistake { place, what: format!("{path}: {what}") }),
            },
        }
    }
}

fn place(file: &str, text: &str, at: usize) -> String {
    let line = text.get(..at).unwrap_or(text).matches('\n').count() + 1;
    format!("{file}:{line}")
}

struct Reader<'a> {
    text: &'a str,
    file: &'a str,
    values: &'a mut Values,
    mistakes: &'a mut Vec<Mistake>,
}

impl Reader<'_> {
    fn mistake(&mut self, at: usize, what: String) {
        self.mistakes.push(Mistake { place: place(self.file, self.text, at), what });
    }

    fn section(&mut self, name: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>) {
        let repeated = format!("{}[]", name.get_ref());
        let section_of = |row: &'static OptionRow| row.path.split_once('.').map_or("", |(section, _)| section);
        let is_single = OPTIONS.iter().any(|row| section_of(row) == name.get_ref().as_ref());
        let is_repeated = OPTIONS.iter().any(|row| section_of(row) == repeated);
        match value.get_ref() {
            DeValue::Table(table) if is_single => self.table(name.get_ref(), name.get_ref(), table),
            DeValue::Array(_) if is_repeated => self.list(&repeated, name.get_ref(), value),
            _ if is_repeated => {
                self.mistake(name.span().start, format!("{0} may be repeated: write [[{0}]]", name.get_ref()));
            }
            _ if is_single => self.mistake(name.span().start, format!("{0} is a section: write [{0}]", name.get_ref())),
            _ => {
                let known = OPTIONS.iter().map(|row| section_of(row).trim_end_matches("[]"));
                let hint = did_you_mean(name.get_ref(), known)
                    .map_or_else(String::new, |near| format!("; did you mean [{near}]?"));
                self.mistake(name.span().start, format!("there is no section [{}]{hint}", name.get_ref()));
            }
        }
    }

    /// The tables of `[[name]]`, or of a list within a table.
    fn list(&mut self, section: &str, shown: &str, value: &Spanned<DeValue<'_>>) {
        let DeValue::Array(items) = value.get_ref() else {
            return self.mistake(value.span().start, format!("{shown} must be a list: [{{ ... }}, ...]"));
        };
        for (index, item) in items.iter().enumerate() {
            match item.get_ref() {
                DeValue::Table(table) => self.table(section, &format!("{shown}[{index}]"), table),
                _ if section.contains('.') => {
                    self.mistake(item.span().start, format!("{shown} must be a list of tables: [{{ ... }}, ...]"));
                }
                _ => self.mistake(item.span().start, format!("write [[{shown}]] with its keys below")),
            }
        }
    }

    fn table(&mut self, section: &str, shown: &str, table: &DeTable<'_>) {
        // Marks that the repeated table exists, even when nothing valid stands in it.
        if section.ends_with("[]") {
            let at = table.iter().map(|(key, _)| key.span().start).min().unwrap_or(0);
            let place = place(self.file, self.text, at);
            self.values.insert(format!("{shown}."), Sourced { value: Literal::Flag(true), place });
        }
        for (key, value) in table {
            let list = format!("{section}.{}[]", key.get_ref());
            if OPTIONS.iter().any(|row| row.path.strip_prefix(list.as_str()).is_some_and(|rest| rest.starts_with('.')))
            {
                self.list(&list, &format!("{shown}.{}", key.get_ref()), value);
                continue;
            }
            let Some(option) = find(&format!("{section}.{}", key.get_ref())) else {
                let prefix = format!("{section}.");
                let known = OPTIONS.iter().filter_map(|row| row.path.strip_prefix(prefix.as_str()));
                let known = known.map(|key| key.split_once("[].").map_or(key, |(list, _)| list));
                let hint = did_you_mean(key.get_ref(), known)
                    .map_or_else(String::new, |near| format!("; did you mean {near}?"));
                self.mistake(key.span().start, format!("{shown} has no option {}{hint}", key.get_ref()));
                continue;
            };
            match from_toml(option.kind, value.get_ref()) {
                Ok(literal) => {
                    let place = place(self.file, self.text, key.span().start);
                    self.values.insert(format!("{shown}.{}", key.get_ref()), Sourced { value: literal, place });
                }
                Err(what) => self.mistake(value.span().start, format!("{shown}.{}: {what}", key.get_ref())),
            }
        }
    }
}

fn from_toml(kind: Kind, value: &DeValue<'_>) -> Result<Literal, String> {
    match (kind, value) {
        (Kind::Count, DeValue::Integer(number)) => {
            u64::from_str_radix(&number.as_str().replace('_', ""), number.radix())
                .map(Literal::Count)
                .map_err(|_| "must be a whole number, at least 0".to_owned())
        }
        (Kind::Flag, DeValue::Boolean(flag)) => Ok(Literal::Flag(*flag)),
        (Kind::Targets, DeValue::Array(items)) => {
            items.iter().map(|item| target(item.get_ref())).collect::<Result<_, _>>().map(Literal::Targets)
        }
        (Kind::Texts, DeValue::Array(items)) => items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(text) if !text.is_empty() => Ok(text.to_string()),
                _ => Err(expected(kind)),
            })
            .collect::<Result<_, _>>()
            .map(Literal::Texts),
        (Kind::Date, DeValue::Datetime(date)) => from_text(kind, &date.to_string()),
        (Kind::Count | Kind::Flag | Kind::Targets | Kind::Texts, _) => Err(expected(kind)),
        (_, DeValue::String(text)) => from_text(kind, text),
        _ => Err(expected(kind)),
    }
}

fn target(value: &DeValue<'_>) -> Result<Target, String> {
    let DeValue::Table(table) = value else { return Err(expected(Kind::Targets)) };
    let mut found = Target { provider: String::new(), model: String::new() };
    for (key, value) in table {
        let DeValue::String(text) = value.get_ref() else { return Err(expected(Kind::Targets)) };
        match key.get_ref().as_ref() {
            "provider" => found.provider = text.to_string(),
            "model" => found.model = text.to_string(),
            other => return Err(format!("a target has no option {other}: {}", expected(Kind::Targets))),
        }
    }
    if found.provider.is_empty() || found.model.is_empty() { Err(expected(Kind::Targets)) } else { Ok(found) }
}

fn from_text(kind: Kind, text: &str) -> Result<Literal, String> {
    let keep = || Ok(Literal::Text(text.to_owned()));
    let or = |good: bool| if good { keep() } else { Err(expected(kind)) };
    match kind {
        Kind::Text => keep(),
        Kind::Count => text.parse().map(Literal::Count).map_err(|_| expected(kind)),
        Kind::Flag => text.parse().map(Literal::Flag).map_err(|_| expected(kind)),
        Kind::Address => or(text.parse::<std::net::SocketAddr>().is_ok()),
        Kind::Secret => or(text.is_empty()
            || ["env:", "file:"].iter().any(|p| text.strip_prefix(p).is_some_and(|rest| !rest.is_empty()))),
        Kind::Date => or(text.parse::<jiff::civil::Date>().is_ok()),
        Kind::Usd => match text.parse::<tollgate_core::money::NanoUsd>() {
            Ok(amount) if amount >= tollgate_core::money::NanoUsd::ZERO => keep(),
            Ok(_) => Err("must be at least 0".to_owned()),
            Err(error) => Err(error.to_string()),
        },
        Kind::OneOf(words) if words.contains(&text) => keep(),
        Kind::OneOf(words) => {
            let hint = did_you_mean(text, words.iter().copied())
                .map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
            Err(format!("`{text}` is not one of {}{hint}", words.join(", ")))
        }
        Kind::Decimal => or(text.parse::<tollgate_core::decimal::Decimal>().is_ok()),
        Kind::Targets | Kind::Texts => Err("cannot be set by an environment variable; write it in the file".to_owned()),
    }
}

fn expected(kind: Kind) -> String {
    match kind {
        Kind::Text => "must be a text in quotes".to_owned(),
        Kind::Count => "must be a whole number, at least 0".to_owned(),
        Kind::Flag => "must be true or false".to_owned(),
        Kind::OneOf(words) => format!("must be one of {}", words.join(", ")),
        Kind::Address => "must be an address and port, such as \"127.0.0.1:8080\"".to_owned(),
        Kind::Secret => {
            "must be \"env:NAME\" or \"file:PATH\": a secret is never written in a configuration".to_owned()
        }
        Kind::Usd => "must be US dollars in quotes, such as \"1200.00\"".to_owned(),
        Kind::Decimal => {
            "must be a number in quotes, at least 0 and of at most 18 decimals, such as \"0.05\"".to_owned()
        }
        Kind::Date => "must be a day, such as \"2026-01-31\"".to_owned(),
        Kind::Texts => "must be a list of texts, such as [\"small\"]".to_owned(),
        Kind::Targets => "must be a list such as [{ provider = \"openai\", model = \"gpt-4.1-nano\" }]".to_owned(),
    }
}
