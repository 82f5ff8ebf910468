//! `tollgate prices import` and `quote`: commands that read a file or standard input.

use std::io::Read;

use http::Method;
use serde_json::{Value, json};

use super::{
    CliError, Output,
    args::{Cli, PriceFormat, PriceImportArgs, QuoteArgs, QuoteDialect},
    remote::send,
    table::render,
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
pub(super) fn import(cli: &Cli, args: &PriceImportArgs) -> Result<Output, CliError> {
    let text = std::fs::read_to_string(&args.file)
        .map_err(|error| CliError::Failed(format!("{}: {error}", args.file.display())))?;
    let from = match args.from {
        PriceFormat::GenaiPrices => "genai-prices",
    };
    let name = args.file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let body = json!({
        "from": from, "name": name, "text": text, "dry_run": args.dry_run, "valid_from": args.valid_from,
    });
    let answer = send(cli, vec![(Method::POST, "/admin/v1/prices/import".to_owned(), Some(body))])?;
    let answer = answer.first().map_or("", String::as_str);
    if cli.json {
        return Ok(Output::ok(answer));
    }
    let value: Value = serde_json::from_str(answer).unwrap_or(Value::Null);
    let rows: Vec<Value> = value.get("rows").and_then(Value::as_array).cloned().unwrap_or_default();
    let told = rows.into_iter().filter(|row| row.get("outcome").and_then(Value::as_str) != Some("unchanged"));
    let table = render(&told.collect::<Vec<_>>(), &[("ROW", "place"), ("OUTCOME", "outcome"), ("WHY", "what")]);
    let count = |name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(0);
    let summary = format!(
        "{} added, {} changed, {} unchanged, {} in part, {} skipped{}",
        count("added"),
        count("changed"),
        count("unchanged"),
        count("partly"),
        count("skipped"),
        if args.dry_run { "; nothing was changed" } else { "" }
    );
    Ok(Output::ok(format!("{table}\n\n{summary}")))
}
