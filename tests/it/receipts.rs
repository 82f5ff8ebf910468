//! Training runs from receipts: believed when they add up, refused when they do not, and what the books keep of them.

use std::{fs, path::Path};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    commands::{folder, ok, ok_json, run},
    harness::Harness,
};

/// The receipt of the model that is shipped.
fn shipped() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/small/receipt.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_receipt_gives_cost_name_and_day_and_its_hash_and_scale_stay_with_the_run() {
    let (dir, config) = folder();
    let file = dir.path().join("receipt.json");
    let text = serde_json::to_string_pretty(&shipped()).unwrap();
    fs::write(&file, &text).unwrap();
    let file = file.to_str().unwrap();
    let sha256 = hex::encode(Sha256::digest(&text));
    let run = ok_json(&config, &["training", "add", "--from", file]);
    let today = tollgate::clock::Clock::system().today().to_string();
    assert_eq!((&run["model"], &run["name"]), (&shipped()["model"], &shipped()["name"]));
    assert_eq!((&run["cost_usd"], &run["in_service"]), (&shipped()["cost_usd"], &json!(today)));
    assert_eq!(run["source"], format!("receipt sha256 {sha256}"));
    let args = ["training", "add", "--from", file, "--scale", "50000", "--name", "demo", "--model", "m"];
    let scaled = ok_json(&config, &[&args[..], &["--in-service", "2026-01-01"]].concat());
    let stated: tollgate_core::money::NanoUsd = shipped()["cost_usd"].as_str().unwrap().parse().unwrap();
    let expected = tollgate_core::money::NanoUsd::new(stated.get() * 50_000).to_string();
    assert_eq!((&scaled["cost_usd"], &scaled["model"]), (&json!(expected), &json!("m")));
    assert_eq!(scaled["source"], format!("receipt sha256 {sha256}, cost x 50000 stated scale"));
    assert!(ok(&config, &["training", "list"]).contains("cost x 50000 stated scale"));
    let economics = ok_json(&config, &["economics"]);
    let of = |model: &str| {
        let models = economics["models"].as_array().unwrap();
        models.iter().find(|one| one["model"] == model).unwrap().clone()
    };
    assert_eq!(of("m")["training_cost_usd"], expected);
    assert_eq!(of("m")["sources"], json!([scaled["source"]]));
}

#[test]
fn a_receipt_that_does_not_add_up_is_refused_whatever_figure_was_changed() {
    let (dir, config) = folder();
    let file = dir.path().join("receipt.json");
    for (field, value) in [
        ("cost_usd", json!("0.000000001")),
        ("cost_usd", json!("1200.00")),
        ("cpu_seconds", json!("1.000")),
        ("device_usd_per_hour", json!("0.06")),
        ("watts", json!("11")),
        ("pue", json!("1.3")),
        ("usd_per_kwh", json!("0.30")),
        ("energy_wh", json!("0.000001")),
    ] {
        let mut receipt = shipped();
        receipt[field] = value;
        fs::write(&file, receipt.to_string()).unwrap();
        let output = run(&config, &["training", "add", "--from", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{field}");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains("does not add up"), "{field}: {errors}");
    }
    assert_eq!(ok_json(&config, &["training", "list"]), json!([]));
}

#[test]
fn a_command_line_takes_a_cost_or_a_receipt_and_never_both() {
    let (dir, config) = folder();
    let file = dir.path().join("receipt.json");
    fs::write(&file, shipped().to_string()).unwrap();
    let file = file.to_str().unwrap();
    for (args, code) in [
        (&["--from", file, "--cost-usd", "1"][..], 2),
        (&["--scale", "2", "--model", "m", "--cost-usd", "1", "--in-service", "2026-01-01"], 2),
        (&["--model", "m"], 2),
        (&["--from", "/nowhere/receipt.json"], 1),
        (&["--from", file, "--scale", "many"], 1),
        (&["--from", file, "--scale", "0"], 1),
        (&["--from", file, "--scale", "-1"], 2),
    ] {
        let output = run(&config, &[&["training", "add"][..], args].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test]
async fn problems_with_receipts_have_codes() {
    let harness = Harness::start().await;
    let mut wrong = shipped();
    wrong["cost_usd"] = json!("5.00");
    for (body, status, code) in [
        (json!({ "receipt": wrong.to_string() }), 400, "receipt_does_not_add_up"),
        (json!({ "receipt": "{}" }), 400, "invalid_receipt"),
        (json!({ "receipt": "not json" }), 400, "invalid_receipt"),
        (json!({ "receipt": shipped().to_string(), "scale": "1e3" }), 400, "invalid_json"),
        (json!({ "receipt": shipped().to_string() }), 201, ""),
        (json!({ "receipt": shipped().to_string() }), 409, "exists"),
    ] {
        let answer = harness.admin("POST", "/training-runs/from-receipt", Some(body)).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_eq!(answer.json()["code"].as_str().unwrap_or_default(), code, "{}", answer.text);
    }
}
