//! The files of price tables: the shipped ones, and those of a folder.

use std::path::Path;

use super::{Catalog, parse};
use crate::config::Mistake;

/// The tables shipped with the binary.
const SHIPPED: &[(&str, &str)] = &[
    ("pricing/anthropic.toml", include_str!("../../pricing/anthropic.toml")),
    ("pricing/aws.toml", include_str!("../../pricing/aws.toml")),
    ("pricing/azure.toml", include_str!("../../pricing/azure.toml")),
    ("pricing/books.toml", include_str!("../../pricing/books.toml")),
    ("pricing/cerebras.toml", include_str!("../../pricing/cerebras.toml")),
    ("pricing/cohere.toml", include_str!("../../pricing/cohere.toml")),
    ("pricing/deepseek.toml", include_str!("../../pricing/deepseek.toml")),
    ("pricing/demo.toml", include_str!("../../pricing/demo.toml")),
    ("pricing/fireworks.toml", include_str!("../../pricing/fireworks.toml")),
    ("pricing/google.toml", include_str!("../../pricing/google.toml")),
    ("pricing/groq.toml", include_str!("../../pricing/groq.toml")),
    ("pricing/mistral.toml", include_str!("../../pricing/mistral.toml")),
    ("pricing/openai.toml", include_str!("../../pricing/openai.toml")),
    ("pricing/openrouter.toml", include_str!("../../pricing/openrouter.toml")),
    ("pricing/perplexity.toml", include_str!("../../pricing/perplexity.toml")),
    ("pricing/together.toml", include_str!("../../pricing/together.toml")),
    ("pricing/tollgate-small.toml", include_str!("../../pricing/tollgate-small.toml")),
    ("pricing/x-ai.toml", include_str!("../../pricing/x-ai.toml")),
];
/// Where tables are looked for when none is configured.
const DEFAULT_DIR: &str = "pricing";

/// Loads the tables of `dir`, or those of `pricing/`, or those shipped with the binary.
///
/// # Errors
/// Every mistake in them.
pub fn load_configured(dir: Option<&Path>) -> Result<Catalog, Vec<Mistake>> {
    match dir {
        Some(dir) => load(dir),
        None if Path::new(DEFAULT_DIR).is_dir() => load(Path::new(DEFAULT_DIR)),
        None => load_shipped(),
    }
}

/// What the files of tables look like from outside: another text when one has changed. None: the shipped ones.
#[must_use]
pub fn fingerprint(dir: Option<&Path>) -> Option<String> {
    let dir = dir.unwrap_or(Path::new(DEFAULT_DIR));
    let mut files: Vec<String> = std::fs::read_dir(dir)
        .ok()?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let metadata = entry.metadata().ok()?;
            let is_table = entry.path().extension().is_some_and(|extension| extension == "toml");
            is_table.then(|| format!("{:?} {} {:?}", entry.file_name(), metadata.len(), metadata.modified().ok()))
        })
        .collect();
    files.sort();
    Some(files.join("\n"))
}

/// Loads the tables shipped with the binary.
///
/// # Errors
/// Every mistake in them.
pub fn load_shipped() -> Result<Catalog, Vec<Mistake>> {
    parse::catalog(SHIPPED.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())))
}

/// Loads every `*.toml` of a folder.
///
/// # Errors
/// Every mistake in them.
pub fn load(dir: &Path) -> Result<Catalog, Vec<Mistake>> {
    let unreadable = |path: &Path, error: std::io::Error| {
        vec![Mistake { place: path.display().to_string(), what: format!("cannot be read: {error}") }]
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|error| unreadable(dir, error))? {
        let path = entry.map_err(|error| unreadable(dir, error))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
            files.push((path.display().to_string(), text));
        }
    }
    files.sort();
    if files.is_empty() {
        let what = "there are no price tables (*.toml) in it; without prices no model is served".to_owned();
        return Err(vec![Mistake { place: dir.display().to_string(), what }]);
    }
    parse::catalog(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shipped_is_what_stands_in_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(DEFAULT_DIR);
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut tables: Vec<_> =
            files.filter(|name| name.ends_with(".toml")).map(|name| format!("{DEFAULT_DIR}/{name}")).collect();
        tables.sort();
        assert_eq!(tables, SHIPPED.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
    }
}
