//! Price files of other projects, imported by the command, and what usage costs by them.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use crate::{
    commands::{folder, ok, ok_json},
    shared,
};

/// Asks for quotes, a question a line.
fn quote(config: &Path, questions: &[Value], more: &[&str]) -> Vec<Value> {
    let text: String = questions.iter().map(|question| format!("{question}\n")).collect();
    let output = quote_text(config, &text, more);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn quote_text(config: &Path, text: &str, more: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .env_remove("TOLLGATE_CONFIG")
        .args(["--config", config.to_str().unwrap(), "prices", "quote", "--stdin"])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs cases of the other library: the nano-dollars that it computed itself.
fn run_cases(config: &Path, cases: &[Value]) {
    let questions: Vec<Value> = cases
        .iter()
        .map(|case| json!({ "provider": case["provider"], "model": case["model"], "at": case["at"], "usage": case["usage"] }))
        .collect();
    let quotes = quote(config, &questions, &["--usage-dialect", "genai-prices"]);
    assert_eq!(quotes.len(), cases.len());
    for (case, quote) in cases.iter().zip(&quotes) {
        assert_eq!(quote["nanousd"], case["expected_nanousd"], "{case} {quote}");
        assert!(quote["version"].is_string() && quote["lines"].is_array(), "{quote}");
    }
}

fn own(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/prices").join(name)
}

fn json_of(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn quotes_agree_to_the_nano_dollar_with_another_library_after_its_file_is_imported() {
    let Some(prices) = shared::folder("prices") else { return };
    let (_dir, config) = folder();
    let file = prices.join("genai-prices-v2.json");
    let imported = ok_json(&config, &["prices", "import", "--from", "genai-prices", file.to_str().unwrap()]);
    // Nine models have no prices and do not say that they are free; two providers name the tables of others.
    assert_eq!((&imported["skipped"], &imported["partly"]), (&json!(9), &json!(2)), "{imported}");
    let rows = imported["added"].as_u64().unwrap()
        + imported["changed"].as_u64().unwrap()
        + imported["unchanged"].as_u64().unwrap();
    assert_eq!(rows, 1457, "every other model of the file");
    let cases = json_of(&prices.join("price_cases.json"));
    run_cases(&config, cases.as_array().unwrap());
    let again = ok_json(&config, &["prices", "import", "--from", "genai-prices", file.to_str().unwrap()]);
    assert_eq!((&again["added"], &again["changed"], &again["versions"]), (&json!(0), &json!(0), &json!(0)));
}

#[test]
fn a_small_file_of_the_other_library_is_imported_with_its_tiers_dates_and_hours() {
    let (_dir, config) = folder();
    let file = own("genai-prices.json");
    let file = file.to_str().unwrap();
    let dry = ok_json(&config, &["prices", "import", "--dry-run", "--from", "genai-prices", file]);
    assert_eq!(dry["dry_run"], true);
    let question = json!({ "provider": "acme", "model": "tiered", "at": "2026-01-01T00:00:00Z", "usage": { "input_uncached": 1 } });
    assert_eq!(quote(&config, std::slice::from_ref(&question), &[])[0], json!({ "unpriced": ["input_uncached"] }));
    let text = ok(&config, &["prices", "import", "--from", "genai-prices", file]);
    for expected in
        ["acme/pixels", "there is no unit for input_gpixels", "acme/nothing", "does not say that it is free"]
    {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
    run_cases(&config, json_of(&own("genai-cases.json")).as_array().unwrap());
}

#[test]
fn a_question_that_is_none_is_told_and_the_others_are_answered() {
    let (_dir, config) = folder();
    let good = json!({
        "provider": "demo", "model": "demo-model", "at": "2026-11-01T00:00:00Z",
        "usage": { "input_uncached": 1000, "reasoning": 10, "output": 100 },
    });
    let bad = [
        "{}".to_owned(),
        "nonsense".to_owned(),
        good.to_string().replace("1000", "-1"),
        good.to_string().replace("1000", "1.5"),
        good.to_string().replace("input_uncached", "input_tokens"),
        good.to_string().replace("2026-11-01T00:00:00Z", "yesterday"),
    ];
    let text = format!("{good}\n{}\n{good}\n", bad.join("\n"));
    let output = quote_text(&config, &text, &[]);
    assert_eq!(output.status.code(), Some(1), "a finding");
    let answers: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 8);
    // 1000 x 0.50 + 100 x 2.00 USD per million.
    assert_eq!((&answers[0]["nanousd"], &answers[7]["nanousd"]), (&json!(700_000), &json!(700_000)), "{answers:?}");
    for answer in &answers[1..7] {
        assert!(answer["error"].is_string(), "{answer}");
    }
    let fell = answers[0]["lines"].as_array().unwrap().iter().find(|line| line["item"] == "reasoning").unwrap();
    assert_eq!((&fell["fell_back_to"], &fell["count"]), (&json!("output"), &json!(10)), "the fallback is told");
}
