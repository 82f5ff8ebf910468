//! Loads and validates price tables, keeps an immutable snapshot, swaps it atomically.
//!
//! What we pay is a cost table per provider and model, or a worker's device rate; what customers pay is a rule of a price
//! book. All are versions: content-addressed, in force from a time on, never edited.

pub mod device;
mod files;
mod glob;
pub mod import;
pub mod jump;
mod names;
mod parse;
pub mod quote;
pub mod schema;
mod shared;
mod toml_walk;
mod versions;
pub mod write;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tollgate_core::price::{BookRule, PriceTable};

use self::{
    device::{CostVersion, RateVersion},
    glob::{Glob, is_version},
    names::Names,
};
pub use self::{
    files::{fingerprint, load, load_configured, load_shipped},
    versions::Versions,
};

/// Providers that price files (genai-prices, LiteLLM) call by another name than the configuration does.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("bedrock", "aws"),
    ("fireworks", "fireworks_ai"),
    ("gemini", "google"),
    ("nvidia", "nvidia_nim"),
    ("together", "together_ai"),
    ("vertex", "vertex_ai"),
    ("vertex", "google"),
    ("xai", "x-ai"),
];

/// What we pay for a provider's model, in one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceVersion {
    /// `provider/model@2026-01-01#3f2a9c0d11aa`: the same content has the same id for ever.
    #[serde(default)]
    pub id: String,
    /// Provider.
    pub provider: String,
    /// The provider's model name.
    pub model: String,
    /// Other names of the same model; `*` in one is any text, `#` one digit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// When it applies, microseconds since 1970 UTC.
    pub valid_from_us: i64,
    /// When we knew, microseconds since 1970 UTC.
    pub recorded_at_us: i64,
    /// Where the prices were read.
    pub source: String,
    /// Where prices were read that the source does not have, and which; empty: none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub completed_from: String,
    /// It came through the admin API, and not from a file of this gateway's.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_imported: bool,
    /// The prices.
    pub table: PriceTable,
}

/// A rule of a customer's price book, in one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookVersion {
    /// `book:default/*@2026-01-01#3f2a9c0d11aa`
    #[serde(default)]
    pub id: String,
    /// Name of the book.
    pub book: String,
    /// Public model, or `*`.
    pub model: String,
    /// When it applies, microseconds since 1970 UTC.
    pub valid_from_us: i64,
    /// When we knew, microseconds since 1970 UTC; 0: not said.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recorded_at_us: i64,
    /// It came through the admin API, and not from a file of this gateway's.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_imported: bool,
    /// The rule.
    pub rule: BookRule,
}

/// A version as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVersion {
    /// Its id.
    pub id: String,
    /// `cost`, `worker` or `book`.
    pub kind: &'static str,
    /// JSON of the version without its id.
    pub body: String,
}

/// All prices, an immutable snapshot.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// By provider, then by model or alias.
    costs: ByName<Names>,
    /// By worker; versions ascend by `valid_from_us`.
    rates: ByName<Vec<Arc<RateVersion>>>,
    /// By book and model; versions ascend by `valid_from_us`.
    books: ByName<ByName<Vec<Arc<BookVersion>>>>,
    /// By book, its names with holes, those with more characters of their own first, and how they are written.
    book_globs: ByName<Vec<(Glob, String)>>,
}

/// The keys are those of tables and of the configuration, so that nobody who asks can make them collide.
type ByName<T> = HashMap<String, T, RandomState>;

/// The snapshot in force.
pub type CatalogHandle = ArcSwap<Catalog>;

impl PriceVersion {
    /// Model and aliases.
    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.model.as_str()).chain(self.aliases.iter().map(String::as_str))
    }
}

impl Catalog {
    /// What we pay a provider or worker for a model at a time.
    #[must_use]
    pub fn cost(&self, provider: &str, model: &str, at_us: i64) -> Option<CostVersion> {
        if self.rates.contains_key(provider) {
            return self.rate(provider, at_us).cloned().map(CostVersion::Device);
        }
        self.table(provider, model, at_us).cloned().map(CostVersion::Table)
    }

    /// The tables of a provider: those under its own name, then those under the names by which price files know it.
    fn tables_of(&self, provider: &str) -> impl Iterator<Item = &Names> {
        let others = OTHER_NAMES.iter().filter(move |(name, _)| *name == provider).map(|(_, other)| *other);
        let own = self.costs.get(provider);
        own.into_iter().chain(others.filter_map(|other| self.costs.get(other)))
    }

    /// The price table of a provider's model at a time, whatever workers there are.
    #[must_use]
    pub fn table(&self, provider: &str, model: &str, at_us: i64) -> Option<&Arc<PriceVersion>> {
        self.tables_of(provider).find_map(|names| names.find(model, at_us))
    }

    /// The rule of a book for a public model at a time: the model's own, else that of the name with holes that fits it with
    /// the most characters of its own; `*`, for every model, has none.
    #[must_use]
    pub fn charge_rule(&self, book: &str, model: &str, at_us: i64) -> Option<&Arc<BookVersion>> {
        self.rule_of(book, model, at_us).or_else(|| {
            let name = model.to_ascii_lowercase();
            let fitting = self.book_globs.get(book)?.iter().filter(|(glob, _)| glob.fits(&name));
            fitting.filter_map(|(_, pattern)| self.rule_of(book, pattern, at_us)).next()
        })
    }

    /// What was charged by before a rule of this name: the rule of the same name, else the one by which such a model was.
    pub(crate) fn rule_before(&self, book: &str, model: &str, at_us: i64) -> Option<&Arc<BookVersion>> {
        let own = self.rule_of(book, model, at_us);
        if Glob::is_one(model) {
            own.or_else(|| self.rule_of(book, "*", at_us))
        } else {
            own.or_else(|| self.charge_rule(book, model, at_us))
        }
    }

    /// The rule that a book has under exactly this name.
    fn rule_of(&self, book: &str, model: &str, at_us: i64) -> Option<&Arc<BookVersion>> {
        let versions = self.books.get(book)?.get(model)?;
        versions.iter().rev().find(|version| version.valid_from_us <= at_us)
    }

    /// The models that a provider's tables name, without aliases, by name.
    #[must_use]
    pub fn models_of(&self, provider: &str) -> Vec<&str> {
        let mut models: Vec<&str> =
            self.tables_of(provider).flat_map(Names::versions).map(|version| version.model.as_str()).collect();
        models.sort_unstable();
        models.dedup();
        models
    }

    /// The books, by name.
    #[must_use]
    pub fn books(&self) -> Vec<&str> {
        let mut books: Vec<&str> = self.books.keys().map(String::as_str).collect();
        books.sort_unstable();
        books
    }

    /// Every version of a cost table, by id.
    #[must_use]
    pub fn cost_versions(&self) -> Vec<&Arc<PriceVersion>> {
        let by_id: BTreeMap<&str, &Arc<PriceVersion>> =
            self.costs.values().flat_map(Names::versions).map(|version| (version.id.as_str(), version)).collect();
        by_id.into_values().collect()
    }

    /// Every book version, by id.
    #[must_use]
    pub fn book_versions(&self) -> Vec<&Arc<BookVersion>> {
        let by_id: BTreeMap<&str, &Arc<BookVersion>> = self
            .books
            .values()
            .flat_map(HashMap::values)
            .flatten()
            .map(|version| (version.id.as_str(), version))
            .collect();
        by_id.into_values().collect()
    }

    /// Everything as the store keeps it.
    #[must_use]
    pub fn stored_versions(&self) -> Vec<StoredVersion> {
        let costs = self.cost_versions().into_iter().map(|version| stored(&version.id, "cost", version.as_ref()));
        let books = self.book_versions().into_iter().map(|version| stored(&version.id, "book", version.as_ref()));
        let rates = self.rate_versions().into_iter().map(|version| stored(&version.id, "worker", version.as_ref()));
        costs.chain(rates).chain(books).collect()
    }

    fn insert_cost(&mut self, mut version: PriceVersion) {
        version.id = String::new();
        version.id =
            format!("{}/{}@{}#{}", version.provider, version.model, day(version.valid_from_us), digest(&version));
        self.keep_cost(Arc::new(version));
    }

    fn keep_cost(&mut self, version: Arc<PriceVersion>) {
        self.costs.entry(version.provider.clone()).or_default().insert(&version);
    }

    fn insert_rule(&mut self, mut version: BookVersion) {
        version.id = String::new();
        version.id =
            format!("book:{}/{}@{}#{}", version.book, version.model, day(version.valid_from_us), digest(&version));
        self.keep_rule(Arc::new(version));
    }

    fn keep_rule(&mut self, version: Arc<BookVersion>) {
        if Glob::is_one(&version.model) {
            let globs = self.book_globs.entry(version.book.clone()).or_default();
            if globs.iter().all(|(_, pattern)| *pattern != version.model) {
                globs.push((Glob::new(&version.model), version.model.clone()));
                globs.sort_by(|(a, _), (b, _)| (b.literals(), b).cmp(&(a.literals(), a)));
            }
        }
        let versions = self.books.entry(version.book.clone()).or_default().entry(version.model.clone()).or_default();
        versions.push(version);
        versions.sort_by_key(|version| (version.valid_from_us, version.recorded_at_us));
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(value: &i64) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Whether an answer's name for its model is only a shorter one of the target's: without its region, vendor and version, as
/// Bedrock's `global.anthropic.claude-sonnet-4-5-20250929-v1:0` answers as `claude-sonnet-4-5-20250929`. The target's price is
/// meant then, and not that of another region whose table has the short name.
#[must_use]
pub fn is_short_name(target: &str, answered: &str) -> bool {
    // The usual case: the answer's model is the target's.
    if !answered.is_empty() && target.strip_suffix(answered).is_some_and(ends_a_part) {
        return true;
    }
    let begins = std::iter::once(0).chain(target.match_indices(PART_ENDS).map(|(at, _)| at + 1));
    !answered.is_empty()
        && begins.into_iter().any(|at| {
            let part = target.get(at..at.saturating_add(answered.len()));
            part.is_some_and(|part| part.eq_ignore_ascii_case(answered))
                && is_version(target.as_bytes(), at + answered.len())
        })
}

/// What stands before a model's name in a longer one.
fn ends_a_part(before: &str) -> bool {
    before.is_empty() || before.ends_with(PART_ENDS)
}

/// What a region or a vendor ends with in the name of a model.
const PART_ENDS: [char; 2] = ['.', '/'];

/// Longest name of a price book.
const BOOK_NAME_BYTES_MAX: usize = 64;

/// What is said of a name that is none.
pub const BOOK_NAME_EXPECTED: &str = "the name of a book has 1 to 64 of a-z, 0-9, _ and -";

/// Whether a text may be the name of a price book: it stands in version ids, paths and arguments of commands.
#[must_use]
pub fn is_book_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    (1..=BOOK_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

fn stored(id: &str, kind: &'static str, version: &impl Serialize) -> StoredVersion {
    StoredVersion { id: id.to_owned(), kind, body: serde_json::to_string(version).unwrap_or_default() }
}

fn digest(version: &impl Serialize) -> String {
    let mut text = hex::encode(Sha256::digest(serde_json::to_vec(version).unwrap_or_default()));
    text.truncate(12);
    text
}

fn day(at_us: i64) -> String {
    let at = Timestamp::from_microsecond(at_us).unwrap_or_default();
    jiff::tz::TimeZone::UTC.to_datetime(at).date().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::known::KNOWN;

    #[test]
    fn a_short_name_of_the_target_is_the_target_and_a_sibling_is_not() {
        for (target, answered, is_short) in [
            ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929", true),
            ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "Claude-Sonnet-4-5", true),
            ("gpt-4o-2024-08-06", "gpt-4o", true),
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o-mini", "gpt-4o", false),
            ("gpt-4o", "gpt-4o-mini", false),
            ("ft-gpt-4o", "gpt-4o", false),
            ("claude-opus-5-5", "claude-opus-5", false),
            ("gpt-4o", "", false),
        ] {
            assert_eq!(is_short_name(target, answered), is_short, "{target} {answered}");
        }
    }

    #[test]
    fn providers_find_their_tables_under_the_names_of_price_files() {
        let catalog = files::load_shipped().unwrap();
        let now_us = 1_795_000_000_000_000;
        for (provider, model) in [("gemini", "gemini-2.5-flash"), ("vertex", "gemini-2.5-pro"), ("xai", "grok-4")] {
            assert!(catalog.cost(provider, model, now_us).is_some(), "{provider}/{model}");
            assert!(!catalog.models_of(provider).is_empty(), "{provider}");
        }
        // What a key switches on serves models without a word of configuration. NVIDIA's are in no price file.
        for known in KNOWN.iter().filter(|known| !known.is_local() && known.name != "nvidia") {
            assert!(!catalog.models_of(known.name).is_empty(), "{}", known.name);
        }
        assert!(catalog.cost("acme", "gemini-2.5-flash", now_us).is_none(), "a stranger has no table");
        for (name, _) in OTHER_NAMES {
            assert!(KNOWN.iter().any(|known| known.name == *name), "{name} is no known provider");
        }
    }
}
