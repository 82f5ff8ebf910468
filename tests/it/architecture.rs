//! Data moves one way: a module uses core and modules of strictly lower rank. Reads the sources.

use std::{collections::BTreeMap, fs, path::Path};

/// Ranks as ARCHITECTURE.md lists them.
const RANKS: &[(&str, u32)] = &[
    ("config", 0),
    ("telemetry", 0),
    ("clock", 0),
    ("entropy", 0),
    ("failpoint", 0),
    ("shard", 0),
    ("store", 1),
    ("upstream", 1),
    ("catalog", 1),
    ("accounts", 2),
    ("admission", 2),
    ("routing", 2),
    ("metering", 2),
    ("journal", 2),
    ("otlp", 2),
    ("fleet", 2),
    ("workers", 2),
    ("proxy", 3),
    ("posting", 3),
    ("billing", 3),
    ("reports", 3),
    ("objects", 4),
    ("http", 5),
    ("app", 6),
    ("cli", 7),
];

fn sources(dir: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()));
        }
    }
}

fn all_sources() -> Vec<(String, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.len() > 40);
    found
        .into_iter()
        .map(|(path, text)| {
            let below = path.strip_prefix(root.to_str().unwrap()).unwrap().trim_start_matches('/').to_owned();
            let module = below.split(['/', '.']).next().unwrap().to_owned();
            (below, module, text)
        })
        .collect()
}

/// Names behind every `crate::`, also within `use crate::{a, b::c}`.
fn used_modules(text: &str) -> Vec<String> {
    let mut used = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        // `tollgate_crate::` or `$crate::` would not be ours.
        if text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0_u32;
            let mut name = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => used.push(std::mem::take(&mut name)),
                    c if depth == 0 => name.push(c),
                    _ => {}
                }
            }
            used.push(name);
        } else {
            used.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    used.iter()
        .map(|name| name.trim().split("::").next().unwrap().trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn a_module_uses_only_modules_of_lower_rank() {
    let ranks: BTreeMap<&str, u32> = RANKS.iter().copied().collect();
    let mut edges = 0;
    for (path, module, text) in all_sources() {
        if module == "lib" || module == "main" {
            continue;
        }
        let rank = ranks.get(module.as_str()).unwrap_or_else(|| panic!("{path}: module {module} has no rank"));
        // Tests beside the code may look anywhere.
        let production = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for used in used_modules(production).into_iter().filter(|used| *used != module) {
            let other = ranks.get(used.as_str()).unwrap_or_else(|| panic!("{path}: crate::{used} has no rank"));
            assert!(other < rank, "{path}: {module} (rank {rank}) uses {used} (rank {other})");
            edges += 1;
        }
    }
    assert!(edges > 50, "the test sees {edges} edges only");
}

#[test]
fn every_file_says_what_it_owns_and_no_file_grows_into_two() {
    for (path, _, text) in all_sources() {
        assert!(text.starts_with("//!"), "{path} opens without a `//!` line");
        let lines = text.split("#[cfg(test)]\nmod tests {").next().unwrap().lines().count();
        assert!(lines <= 450, "{path} has {lines} lines: is it about one thing?");
    }
}

#[test]
fn architecture_md_lists_the_same_ranks() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    for (module, rank) in RANKS {
        assert!(
            text.contains(&format!("| {rank} | `{module}` |")),
            "ARCHITECTURE.md does not list `{module}` with rank {rank}"
        );
    }
}

#[test]
fn sql_stands_in_the_store_only() {
    for (path, module, text) in all_sources() {
        let production = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        assert!(module == "store" || !production.contains("sqlx::"), "{path} knows sqlx");
    }
}
