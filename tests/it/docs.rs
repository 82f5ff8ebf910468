//! The documentation says what is so: every option, every error code, and commands that are run.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use tollgate::config::options::{Kind, OPTIONS};

use crate::harness::Harness;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text_of(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The row of an option, as its page has it.
fn option_row(path: &str, kind: Kind, doc: &str, default: Option<&toml::Value>) -> String {
    let form = match kind {
        Kind::Text => "text".to_owned(),
        Kind::Count => "whole number".to_owned(),
        Kind::Flag => "true or false".to_owned(),
        Kind::OneOf(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or "),
        Kind::Address => "address:port".to_owned(),
        Kind::Secret => "env:NAME or file:PATH".to_owned(),
        Kind::Usd => "US dollars in quotes".to_owned(),
        Kind::Date => "day in quotes".to_owned(),
        Kind::Decimal => "decimal in quotes".to_owned(),
        Kind::Targets => "list of { provider, model }".to_owned(),
        Kind::Texts => "list of texts".to_owned(),
    };
    let default = default.map_or_else(|| "-".to_owned(), |value| format!("`{value}`"));
    format!("| `{path}` | {form} | {default} | {doc} |")
}

#[test]
fn the_configuration_reference_has_every_option_with_its_default_and_no_other() {
    let page = text_of("docs/configuration.md");
    let defaults: toml::Table = text_of("config.default.toml").parse().unwrap();
    let mut expected = Vec::new();
    let mut section_before = "";
    for option in OPTIONS {
        let (section, key) = option.path.split_once('.').unwrap();
        if section != section_before {
            let name = section.trim_end_matches("[]");
            expected.push(if section.ends_with(']') { format!("## `[[{name}]]`") } else { format!("## `[{name}]`") });
            section_before = section;
        }
        let default = defaults.get(section).and_then(|section| section.get(key));
        expected.push(option_row(key, option.kind, option.doc, default));
    }
    let is_row = |line: &&str| line.starts_with("| `") || line.starts_with("## ");
    let found: Vec<&str> = page.lines().filter(is_row).collect();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected, "docs/configuration.md");
    }
    assert_eq!(found.len(), expected.len());
}

/// Words in quotes that follow a mark in a source text.
fn quoted_behind(text: &str, mark: &str, codes: &mut BTreeSet<String>) {
    for behind in text.split(mark).skip(1) {
        let Some(word) = behind.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
            continue;
        };
        if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            codes.insert(word.to_owned());
        }
    }
}

fn sources_below(dir: &Path, texts: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources_below(&path, texts);
        } else {
            texts.push(fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn the_error_catalogue_has_every_code_that_the_code_has_and_no_other() {
    let mut codes = BTreeSet::new();
    let of_function = |path: &str, function: &str| {
        let text = text_of(path);
        let from = text.find(function).unwrap();
        text[from..].split("\n    }\n").next().unwrap().to_owned()
    };
    let tables = [
        ("src/proxy/error.rs", "fn class("),
        ("src/admission/refusal.rs", "fn code("),
        ("src/upstream/request/error.rs", "fn code("),
    ];
    for (path, function) in tables {
        let text = of_function(path, function);
        for mark in ["=>", "=> {", "unwrap_or("] {
            quoted_behind(&text, mark, &mut codes);
        }
    }
    let mut texts = Vec::new();
    sources_below(&root().join("src/http"), &mut texts);
    for text in &texts {
        for mark in ["bad_request(", "internal(", "&message,"] {
            quoted_behind(text, mark, &mut codes);
        }
        for behind in text.split("StatusCode::").skip(1) {
            let behind = behind.trim_start_matches(|c: char| c.is_ascii_uppercase() || c == '_');
            quoted_behind(&format!("#{behind}"), "#,", &mut codes);
        }
    }
    let page = text_of("docs/errors.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let told: BTreeSet<String> = rows.map(str::to_owned).collect();
    assert_eq!(codes.difference(&told).collect::<Vec<_>>(), Vec::<&String>::new(), "not in docs/errors.md");
    assert_eq!(told.difference(&codes).collect::<Vec<_>>(), Vec::<&String>::new(), "in docs/errors.md only");
    assert!(codes.len() > 40, "{codes:?}");
}

/// A fenced block of a page.
struct Block {
    place: String,
    language: String,
    lines: Vec<String>,
    not_run: Option<String>,
}

impl Block {
    /// Whether it has commands: lines that a shell would run.
    fn has_commands(&self) -> bool {
        let is_shell = matches!(self.language.as_str(), "" | "sh" | "bash");
        let words =
            ["tollgate", "tollgate-worker", "curl", "make", "cargo", "echo", "export", "docker", "npm", "python"];
        let is_command = |line: &String| words.iter().any(|word| line.split_whitespace().next() == Some(word));
        is_shell && self.lines.iter().any(is_command)
    }
}

fn blocks_of(path: &str, blocks: &mut Vec<Block>) {
    let text = text_of(path);
    let mut open: Option<Block> = None;
    let mut not_run = None;
    for (number, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                let place = format!("{path}:{}", number + 1);
                let language = language.trim().to_owned();
                open = Some(Block { place, language, lines: Vec::new(), not_run: not_run.take() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.lines.push(line.to_owned()),
            (None, None) => {
                let mark = line.strip_prefix("<!-- not run: ").and_then(|rest| rest.strip_suffix(" -->"));
                not_run = mark.map(str::to_owned);
            }
        }
    }
    assert!(open.is_none(), "{path}: a block does not end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_documentation_runs_or_says_why_not() {
    let mut pages = vec!["README.md".to_owned()];
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            pages.push(format!("docs/{name}"));
        }
    }
    pages.sort();
    let mut blocks = Vec::new();
    pages.iter().for_each(|page| blocks_of(page, &mut blocks));
    let harness = Harness::start().await;
    let answer = harness.chat(json!({})).await;
    harness.booked(&answer.request_id()).await;
    let key_id = harness.admin("GET", "/keys", None).await.json()["data"][0]["id"].as_str().unwrap().to_owned();
    let own = root().to_str().unwrap();
    // Where it runs is a folder with what the pages speak of.
    let work = harness.dir.path().join("work");
    fs::create_dir(&work).unwrap();
    for name in ["models", "pricing"] {
        std::os::unix::fs::symlink(root().join(name), work.join(name)).unwrap();
    }
    fs::copy(root().join("tests/fixtures/prices/litellm.json"), work.join("prices.json")).unwrap();
    // `tollgate doctor` finds fault with a key that others may read.
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(harness.dir.path().join("upstream-key"), closed).unwrap();
    let told = |text: &str| {
        let text = text.replace("cus_...", &harness.customer).replace("req_...", &answer.request_id());
        let text = text.replace("key_...", &key_id).replace("tg-...", &harness.key);
        let text = text.replace("http://127.0.0.1:8080", harness.url("").trim_end_matches('/'));
        text.replace("http://127.0.0.1:8081", harness.admin_url("").trim_end_matches('/').trim_end_matches("/admin/v1"))
    };
    let bin = Path::new(env!("CARGO_BIN_EXE_tollgate")).parent().unwrap().to_str().unwrap().to_owned();
    let (mut run, mut lines, mut skipped) = (0, 0, Vec::new());
    for block in blocks.iter().filter(|block| block.has_commands()) {
        if let Some(why) = &block.not_run {
            assert!(why.len() > 10, "{}: why is it not run?", block.place);
            skipped.push(format!("{}: {why}", block.place));
            continue;
        }
        let script = format!("PATH=\"{bin}:$PATH\"\n{}", told(&block.lines.join("\n")));
        let output = tokio::process::Command::new("sh")
            .args(["-eu", "-c", &script])
            .current_dir(&work)
            .env("TOLLGATE_CONFIG", harness.dir.path().join("tollgate.toml"))
            .env("NO_PROXY", "127.0.0.1")
            .output()
            .await
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{} (in {own}):\n{script}\n{out}\n{err}", block.place);
        run += 1;
        lines += block.lines.len();
    }
    eprintln!("{run} blocks of {lines} lines were run; {} were not:\n{}", skipped.len(), skipped.join("\n"));
    assert!(run >= 10 && skipped.len() <= 12, "{run} run, {skipped:?}");
    let unused: Vec<&str> = blocks
        .iter()
        .filter(|block| block.not_run.is_some() && !block.has_commands())
        .map(|b| b.place.as_str())
        .collect();
    assert_eq!(unused, Vec::<&str>::new(), "marked, and without commands");
    harness.assert_clean_audit().await;
    let _: Value = harness.totals().await;
}
