//! `tollgate prices import` and `quote`: commands that read a file or standard input.

use std::{io::Read, path::Path};

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    CliError, Output,
    args::{Cli, PriceConvertArgs, PriceFormat, PriceImportArgs, QuoteArgs, QuoteDialect},
    connect::send,
    local,
    table::render,
};
use crate::catalog::{
    self, PriceVersion,
    import::{self, Completion, Format, complete},
    schema::json_schema,
    write::to_toml,
};

/// Questions sent at once.
const QUESTIONS_MAX: usize = 5000;

/// Answers questions from standard input, one line each.
pub(super) fn quote(cli: &Cli, args: &QuoteArgs) -> Result<Output, CliError> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| CliError::Failed(format!("standard input cannot be read: {error}")))?;
    let dialect = match args.usage_dialect {
        QuoteDialect::Tollgate => "tollgate",
        QuoteDialect::GenaiPrices => "genai-prices",
    };
    let questions: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let request = |lines: &[&str]| {
        let body = json!({ "lines": lines.join("\n"), "usage_dialect": dialect });
        (Method::POST, "/admin/v1/prices/quote".to_owned(), Some(body))
    };
    let mut shown = String::new();
    let mut finding = false;
    for answers in send(cli, questions.chunks(QUESTIONS_MAX).map(request).collect())? {
        let answers: Vec<Box<serde_json::value::RawValue>> = serde_json::from_str(&answers)
            .map_err(|error| CliError::Failed(format!("the gateway's answer is no list: {error}")))?;
        for answer in answers {
            finding |= answer.get().starts_with("{\"error\"");
            shown.push_str(answer.get());
            shown.push('\n');
        }
    }
    Ok(Output { text: shown, finding })
}

/// Imports a file, or says what an import would change.
pub(super) fn import(cli: &Cli, args: &PriceImportArgs, is_dry: bool) -> Result<Output, CliError> {
    let text = std::fs::read_to_string(&args.file)
        .map_err(|error| CliError::Failed(format!("{}: {error}", args.file.display())))?;
    let from = match args.from {
        PriceFormat::GenaiPrices => "genai-prices",
        PriceFormat::Litellm => "litellm",
    };
    let name = args.file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let body = json!({
        "from": from, "name": name, "text": text, "into": args.into, "dry_run": is_dry, "force": args.force,
        "valid_from": args.valid_from,
    });
    let answer = send(cli, vec![(Method::POST, "/admin/v1/prices/import".to_owned(), Some(body))])?;
    let answer = answer.first().map_or("", String::as_str);
    let value: Value = serde_json::from_str(answer).unwrap_or(Value::Null);
    let count = |name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(0);
    let finding = count("refused") > 0;
    if cli.json {
        return Ok(Output { text: answer.to_owned(), finding });
    }
    let rows: Vec<Value> = value.get("rows").and_then(Value::as_array).cloned().unwrap_or_default();
    let told = rows.into_iter().filter(|row| row.get("outcome").and_then(Value::as_str) != Some("unchanged"));
    let table = render(&told.collect::<Vec<_>>(), &[("ROW", "place"), ("OUTCOME", "outcome"), ("WHY", "what")]);
    let summary = format!(
        "{} added, {} changed, {} unchanged, {} in part, {} skipped, {} refused{}",
        count("added"),
        count("changed"),
        count("unchanged"),
        count("partly"),
        count("skipped"),
        count("refused"),
        if is_dry { "; nothing was changed" } else { "" }
    );
    Ok(Output { text: format!("{table}\n\n{summary}"), finding })
}

/// Validates price tables.
pub(super) fn check(cli: &Cli, dir: Option<&Path>) -> Result<Output, CliError> {
    let configured = if dir.is_none() { local::load(cli)?.config.prices.dir } else { None };
    let catalog = catalog::load_configured(dir.or(configured.as_deref()));
    let mistakes: Vec<String> = catalog.as_ref().err().into_iter().flatten().map(ToString::to_string).collect();
    let versions = catalog.map_or(0, |catalog| catalog.cost_versions().len() + catalog.book_versions().len());
    let finding = !mistakes.is_empty();
    let text = if cli.json {
        json!({ "ok": !finding, "mistakes": mistakes, "versions": versions }).to_string()
    } else if finding {
        format!("{}\n{} mistake(s)", mistakes.join("\n"), mistakes.len())
    } else {
        format!("ok: {versions} prices and rules")
    };
    Ok(Output { text, finding })
}

/// Prints the JSON schema of price tables.
pub(super) fn schema() -> Result<Output, CliError> {
    Ok(Output::ok(serde_json::to_string_pretty(&json_schema()).unwrap_or_default()))
}

/// Makes price tables from a file of another project, completed from a second one.
pub(super) fn convert(args: &PriceConvertArgs) -> Result<Output, CliError> {
    let format = match args.from {
        PriceFormat::GenaiPrices => Format::GenaiPrices,
        PriceFormat::Litellm => Format::Litellm,
    };
    let source = format!("{}, {}", format.name(), args.day);
    let (read, _) = read_file(format, &args.file, &source, &args.day)?;
    let second = match (&args.complete_from, &args.complete_as, &args.complete_day) {
        (Some(file), Some(name), Some(day)) => {
            let source = format!("{name}, {day}");
            let (read, at_us) = read_file(Format::Litellm, file, &source, day)?;
            Some((read, source, at_us))
        }
        _ => None,
    };
    let mut told = Vec::new();
    for provider in &args.providers {
        let of_provider = read.versions.iter().filter(|version| version.provider == *provider);
        let versions: Vec<PriceVersion> =
            of_provider.map(|version| PriceVersion { is_imported: false, ..version.clone() }).collect();
        if versions.is_empty() {
            return Err(CliError::Failed(format!("the file has no provider {provider}")));
        }
        let mut head = format!(
            "{provider}, US dollars. Made from the data file of {source} by `tollgate prices convert`; do not edit.\n\
             A price from 1970 on is one of which that file does not say since when it applies."
        );
        let Completion { mut versions, told: differences } = match &second {
            None => Completion { versions, told: Vec::new() },
            Some((second, source, at_us)) => {
                head.push_str(&format!("\nCompleted from {source}, where both say the same prices."));
                let is_partner = |row: &&PriceVersion| partners(provider).any(|name| name == row.provider);
                let rows: Vec<PriceVersion> = second.versions.iter().filter(is_partner).cloned().collect();
                complete(versions, &rows, source, *at_us)
            }
        };
        if !differences.is_empty() {
            head.push_str("\nWhere they do not:");
            differences.iter().for_each(|line| head.push_str(&format!("\n- {line}")));
        }
        versions.sort_by(|a, b| (&a.model, a.valid_from_us).cmp(&(&b.model, b.valid_from_us)));
        let path = args.dir.join(format!("{provider}.toml"));
        std::fs::write(&path, to_toml(&head, &versions)).map_err(|error| failed(&path, error))?;
        told.push(format!("{}: {} prices", path.display(), versions.len()));
        told.extend(differences.into_iter().map(|line| format!("{provider}: {line}")));
    }
    let left_out = read
        .left_out
        .iter()
        .filter(|row| args.providers.iter().any(|provider| row.place.split('/').next() == Some(provider.as_str())));
    told.extend(left_out.map(|row| format!("{}: {}", row.place, row.what)));
    Ok(Output::ok(told.join("\n")))
}

fn failed(path: &Path, error: std::io::Error) -> CliError {
    CliError::Failed(format!("{}: {error}", path.display()))
}

/// A file of a day, and that day.
fn read_file(format: Format, path: &Path, source: &str, day: &str) -> Result<(import::Read, i64), CliError> {
    let text = std::fs::read_to_string(path).map_err(|error| failed(path, error))?;
    let at: Timestamp = format!("{day}T00:00:00Z")
        .parse()
        .map_err(|_| CliError::Usage(format!("`{day}` is not a day such as 2026-08-21")))?;
    let at_us = at.as_microsecond();
    let read = import::read(format, &text, source, at_us).map_err(|error| CliError::Failed(error.to_string()))?;
    Ok((read, at_us))
}

/// The names that LiteLLM has for a provider of genai-prices.
fn partners(provider: &str) -> impl Iterator<Item = &str> {
    let others: &[&str] = match provider {
        "aws" => &["bedrock"],
        "google" => &["gemini", "vertex_ai"],
        "x-ai" => &["xai"],
        _ => &[],
    };
    std::iter::once(provider).filter(|_| others.is_empty()).chain(others.iter().copied())
}
