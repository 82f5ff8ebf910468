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
    eprintln!("{} cases agree to the nano-dollar", cases.len());
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

/// The command that made the tables that are shipped; the README beside them has it, too.
const MADE_BY: &[&str] = &[
    "--from",
    "genai-prices",
    "--day",
    "2026-08-21",
    "--complete-as",
    "litellm 1.109.1",
    "--complete-day",
    "2026-11-12",
    "--providers",
    "openai,anthropic,google,aws,azure,mistral,deepseek,groq,cohere,x-ai,openrouter,together,fireworks,perplexity,cerebras",
];

#[test]
fn the_shipped_tables_are_what_the_command_makes_of_the_two_files() {
    let Some(prices) = shared::folder("prices") else { return };
    let (dir, config) = folder();
    let (first, second) = (prices.join("genai-prices-v2.json"), prices.join("litellm-model-prices.json"));
    let made = dir.path().join("made");
    fs::create_dir(&made).unwrap();
    let files = ["--complete-from", second.to_str().unwrap(), first.to_str().unwrap(), made.to_str().unwrap()];
    ok(&config, &[&["prices", "convert"], MADE_BY, &files].concat());
    let mut compared = 0;
    for file in fs::read_dir(&made).unwrap() {
        let file = file.unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("pricing").join(file.file_name());
        let (made, shipped) = (fs::read_to_string(file.path()).unwrap(), fs::read_to_string(shipped).unwrap());
        assert!(made == shipped, "{:?} is not what the command makes", file.file_name());
        compared += 1;
    }
    assert_eq!(compared, 15);
}

/// Quotes of the shipped tables: a thousand tokens in and a thousand out.
fn shipped(config: &Path, provider: &str, model: &str, more: Value) -> Value {
    let mut question = json!({
        "provider": provider, "model": model, "at": "2026-11-20T00:00:00Z",
        "usage": { "input_uncached": 1_000, "output": 1_000 },
    });
    for (name, value) in more.as_object().unwrap() {
        question[name] = value.clone();
    }
    quote(config, &[question], &[])[0].clone()
}

#[test]
fn a_sibling_of_a_shipped_name_costs_its_own_price_or_has_none() {
    let (_dir, config) = folder();
    for (provider, model, usd) in [
        ("gemini", "gemini-2.5-pro", Some("11.25")),
        ("gemini", "gemini-2.5-pro-preview-05-06", Some("11.25")),
        ("gemini", "gemini-2.5-pro-preview-tts", None),
        ("gemini", "gemini-2.5-pro-tts", Some("21")),
        ("gemini", "gemini-2.5-pro-live", None),
        ("anthropic", "claude-opus-5-20260601", Some("30")),
        ("anthropic", "claude-opus-5-5", Some("24")),
        ("anthropic", "claude-opus-5-9", None),
        ("bedrock", "us.amazon.nova-lite-v1:0", Some("0.3")),
        ("bedrock", "eu.amazon.nova-lite-v1:0", Some("0.39")),
        ("bedrock", "us.anthropic.claude-opus-5-5", Some("26.4")),
        ("azure", "o4-mini-deep-research", None),
        ("openai", "gpt-5-nano-2025-08-07", Some("0.45")),
        ("openai", "gpt-4o-audio-preview-2024-12-17", Some("12.5")),
        ("cohere", "command-a-plus-05-2026", None),
    ] {
        let answer = shipped(&config, provider, model, json!({}));
        let nanousd = usd.map(|usd| (usd.parse::<f64>().unwrap() * 1e6).round());
        assert_eq!(answer["nanousd"].as_f64(), nanousd, "{provider}/{model} {answer}");
    }
}

#[test]
fn the_shipped_tables_know_the_service_tiers_that_a_source_has_and_no_others() {
    let (_dir, config) = folder();
    let tier = |tier: &str| json!({ "context": { "service_tier": tier } });
    for (model, word, nanousd) in [
        ("gpt-5", "flex", Some(5_625_000_u64)),
        ("gpt-5", "batch", Some(5_625_000)),
        ("gpt-5", "priority", Some(22_500_000)),
        ("gpt-5", "fast", None),
        ("gpt-4o", "flex", None),
        // The two files say different prices of it.
        ("gpt-5.6-sol", "flex", None),
    ] {
        let answer = shipped(&config, "openai", model, tier(word));
        assert_eq!(answer["nanousd"].as_u64(), nanousd, "{model} {word} {answer}");
    }
    let rows = ok_json(&config, &["prices", "show", "openai/gpt-5"]);
    assert!(rows.to_string().contains("litellm 1.109.1, 2026-11-12: service tier flex"), "{rows}");
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

#[test]
fn litellms_file_is_imported_whole_or_says_row_by_row_why_not() {
    let Some(prices) = shared::folder("prices") else { return };
    let (_dir, config) = folder();
    let file = prices.join("litellm-model-prices.json");
    let output =
        crate::commands::run(&config, &["prices", "import", "--from", "litellm", file.to_str().unwrap(), "--json"]);
    // Two are free there, and cost something by the tables that are in force under the provider's other name.
    assert_eq!(output.status.code(), Some(1), "a finding");
    let imported: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = json_of(&file).as_object().unwrap().len();
    let count = |name: &str| usize::try_from(imported[name].as_u64().unwrap()).unwrap();
    assert_eq!(count("added") + count("changed") + count("unchanged") + count("skipped") + count("refused"), rows);
    let taken = count("added") + count("changed") + count("unchanged");
    assert!(taken > 4_000 && count("refused") == 2, "{taken} {}", count("refused"));
    for row in imported["rows"].as_array().unwrap() {
        let needs_why = ["skipped", "partly", "refused"].contains(&row["outcome"].as_str().unwrap());
        assert!(!needs_why || row["what"].as_str().is_some_and(|why| why.len() > 5), "{row}");
    }
}

#[test]
fn a_small_file_of_litellms_form_is_imported_with_tiers_thresholds_and_units() {
    let (_dir, config) = folder();
    let file = own("litellm.json");
    let text = ok(&config, &["prices", "import", "--from", "litellm", file.to_str().unwrap()]);
    for expected in [
        "left out: search_context_cost_per_query",
        "free, as the file says",
        "another row has this name",
        "it is no model",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
    let ask = |model: &str, usage: Value, more: Value| {
        let mut question = json!({ "provider": "acme", "model": model, "at": "2027-01-01T00:00:00Z", "usage": usage });
        for (name, value) in more.as_object().unwrap() {
            question[name] = value.clone();
        }
        quote(&config, &[question], &[])[0].clone()
    };
    let tier = |tier: &str| json!({ "context": { "service_tier": tier } });
    let usage = json!({ "input_uncached": 1_000, "cache_write_1h": 10, "output": 100, "reasoning": 40 });
    // 1000 x 1.5 + 10 x 3 + 60 x 6 + 40 x 8 USD per million.
    assert_eq!(ask("chat", usage.clone(), json!({}))["nanousd"], 1_500_000 + 30_000 + 360_000 + 320_000);
    // Priority has prices of its own for input and output.
    assert_eq!(ask("chat", usage.clone(), tier("priority"))["nanousd"], 3_000_000 + 30_000 + 720_000 + 320_000);
    assert_eq!(ask("chat", usage, tier("flex"))["unpriced"], json!(["input_uncached", "cache_write_1h", "output"]));
    for (tokens, nanousd) in [(200_000_u64, 300_000_000_u64), (200_001, 600_003_000)] {
        assert_eq!(ask("chat", json!({ "input_uncached": tokens }), json!({}))["nanousd"], nanousd, "{tokens}");
    }
    assert_eq!(ask("ranges", json!({ "input_uncached": 300_000 }), json!({}))["nanousd"], 60_000_000);
    let heard = json!({ "counters": { "audio_input_millis": 90_000 } });
    assert_eq!(ask("ear", json!({}), heard)["nanousd"], 9_000_000);
    assert_eq!(ask("gift", json!({ "input_uncached": 5 }), json!({}))["nanousd"], 0);
}

#[test]
fn a_new_price_of_a_file_applies_from_now_on_and_the_past_keeps_its_own() {
    let (dir, config) = folder();
    let file = own("genai-prices.json");
    let import = |file: &Path, more: &[&str]| {
        let arguments = [&["prices", "import", "--from", "genai-prices", file.to_str().unwrap()], more].concat();
        crate::commands::run(&config, &[&arguments[..], &["--json"]].concat())
    };
    assert!(import(&file, &[]).status.success());
    let changed = dir.path().join("changed.json");
    let text = fs::read_to_string(&file).unwrap();
    let price = "\"input_mtok\": 2,\n     \"cache_read_mtok\": 0.25";
    assert!(text.contains(price));
    fs::write(&changed, text.replacen(price, "\"input_mtok\": 3,\n     \"cache_read_mtok\": 0.25", 1)).unwrap();
    let shown = ok(&config, &["prices", "diff", "--from", "genai-prices", changed.to_str().unwrap()]);
    assert!(
        shown.contains("input 2 -> 3") && shown.contains("1 changed") && shown.contains("nothing was changed"),
        "{shown}"
    );
    assert!(import(&changed, &["--valid-from", "2026-12-01T00:00:00Z"]).status.success());
    let ask = |at: &str| {
        let question = json!({ "provider": "acme", "model": "plain", "at": at, "usage": { "input_uncached": 1_000 } });
        quote(&config, &[question], &[])[0]["nanousd"].clone()
    };
    assert_eq!(ask("2026-11-30T23:59:59.999999Z"), 2_000_000);
    assert_eq!(ask("2026-12-01T00:00:00Z"), 3_000_000);
    let history = ok_json(&config, &["prices", "history", "acme/plain"]);
    assert_eq!(history.as_array().unwrap().len(), 2, "{history}");
    assert!(history[0]["in_force"] == true && history[1]["valid_from"] == "2026-12-01T00:00:00Z", "{history}");

    // A slipped point is refused, and the rest of the file is not.
    fs::write(&changed, text.replacen(price, "\"input_mtok\": 2000,\n     \"cache_read_mtok\": 0.25", 1)).unwrap();
    let refused = import(&changed, &[]);
    let told = String::from_utf8(refused.stdout).unwrap();
    assert!(refused.status.code() == Some(1) && told.contains("input 2 -> 2000: say --force"), "{told}");
    assert!(import(&changed, &["--force", "--valid-from", "2027-01-01T00:00:00Z"]).status.success());
    assert_eq!((ask("2026-12-31T23:59:59Z"), ask("2027-01-01T00:00:00Z")), (json!(3_000_000), json!(2_000_000_000)));
    // It is all there after a backup and in other books.
    assert_eq!(ok_json(&config, &["audit"])["differences"], json!([]));
}

#[test]
fn a_file_may_be_taken_into_a_price_book_and_tables_are_checked_with_file_and_line() {
    let (dir, config) = folder();
    let file = own("genai-prices.json");
    let into = ["prices", "import", "--from", "genai-prices", "--into", "gold", file.to_str().unwrap()];
    assert_eq!(ok_json(&config, &into)["added"], 9);
    assert_eq!(ok_json(&config, &into)["unchanged"], 9);
    let shown = ok(&config, &["prices", "show", "gold"]);
    assert!(shown.contains("gold: plain") && shown.contains("input 2, cache_read 0.25"), "{shown}");
    assert!(ok(&config, &["prices", "show", "acme/"]).contains("(none)"), "a book is no cost");

    let tables = dir.path().join("tables");
    fs::create_dir(&tables).unwrap();
    let day = ["--day", "2026-08-21", "--providers", "acme"];
    let files = [file.to_str().unwrap(), tables.to_str().unwrap()];
    ok(&config, &[&["prices", "convert", "--from", "genai-prices"][..], &day, &files].concat());
    assert_eq!(ok_json(&config, &["prices", "check", tables.to_str().unwrap()])["versions"], 10);
    let text = fs::read_to_string(tables.join("acme.toml")).unwrap();
    fs::write(tables.join("acme.toml"), text.replacen("\"2.5\"", "2.5", 1)).unwrap();
    let refused = crate::commands::run(&config, &["prices", "check", tables.to_str().unwrap()]);
    let told = String::from_utf8(refused.stdout).unwrap();
    assert!(
        refused.status.code() == Some(1) && told.contains("acme.toml:") && told.contains("in quotes, \"2.5\""),
        "{told}"
    );
}

#[test]
fn the_schema_for_editors_knows_every_key_that_the_parser_knows() {
    let (_dir, config) = folder();
    let schema: Value = serde_json::from_str(&ok(&config, &["prices", "schema"])).unwrap();
    let price = &schema["properties"]["price"]["items"]["properties"];
    for key in ["aliases", "usd_per_unit", "tier", "variant", "fallback", "standard_for"] {
        assert!(price[key].is_object(), "{key}");
    }
    assert!(price["usd_per_mtok"]["properties"]["citation"].is_object());
    let rule = &schema["properties"]["book"]["items"]["properties"]["rule"]["items"]["properties"];
    assert!(rule["usd_per_request_min"].is_object() && rule["multiplier"].is_object());
}
