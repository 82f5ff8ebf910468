//! The command line: with a gateway running and without, for people and for scripts.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};

use crate::harness::{Harness, base_toml};

pub(crate) fn run(config: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .env_remove("TOLLGATE_CONFIG")
        .args(["--config", config.to_str().unwrap()])
        .args(args)
        .output()
        .unwrap()
}

pub(crate) fn ok(config: &Path, args: &[&str]) -> String {
    let output = run(config, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn ok_json(config: &Path, args: &[&str]) -> Value {
    let text = ok(config, &[args, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
}

pub(crate) fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("tollgate.toml");
    fs::write(dir.path().join("upstream-key"), "k").unwrap();
    fs::write(&config, base_toml(dir.path(), "http://127.0.0.1:9/v1")).unwrap();
    (dir, config)
}

#[test]
fn accounts_can_be_made_with_no_gateway_running() {
    let (_dir, config) = folder();
    let customer = ok_json(&config, &["customers", "create", "Acme", "--external-id", "crm-1"]);
    let id = customer["id"].as_str().unwrap();
    let key = ok_json(
        &config,
        &[
            "keys",
            "create",
            "--customer",
            id,
            "--rpm",
            "5",
            "--tpm",
            "1000",
            "--concurrency",
            "2",
            "--models",
            "a,b",
            "--expires",
            "2999-01-01T00:00:00Z",
        ],
    );
    for field in ["id", "public_id", "key"] {
        assert!(key[field].is_string(), "{key}");
    }
    let text = ok(&config, &["keys", "list"]);
    assert!(
        text.contains(key["public_id"].as_str().unwrap()) && !text.contains(key["key"].as_str().unwrap()),
        "a key is shown once only"
    );
    assert!(ok(&config, &["customers", "show", id]).contains("crm-1"));
    assert_eq!(
        ok_json(&config, &["training", "add", "--model", "m", "--cost-usd", "12.50", "--in-service", "2026-01-01"])["cost_usd"],
        "12.500000000"
    );
    assert!(ok(&config, &["economics"]).contains("never_at_this_rate"));
    let audit = ok_json(&config, &["audit"]);
    assert_eq!((&audit["entries"], &audit["lost"], &audit["differences"]), (&json!(0), &json!(0), &json!([])));
    assert_eq!(ok_json(&config, &["usage", "--by", "key,model,day"]), json!([]));
    assert_eq!(ok_json(&config, &["journal", "verify"]), json!({ "records": 0, "missing": 0, "damaged": 0 }));
    assert!(ok(&config, &["prices", "show"]).contains("demo/demo-model@2025-01-01"));
    let statement = ok(&config, &["statement", "--customer", id, "--month", "2026-11", "--csv"]);
    assert!(statement.starts_with("customer_id,customer,month,model"), "{statement}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_acts_through_the_running_gateway_which_knows_at_once() {
    let mut harness = Harness::start().await;
    let config = harness.dir.path().join("tollgate.toml");
    let customer = ok_json(&config, &["customers", "create", "Beta"])["id"].as_str().unwrap().to_owned();
    let key = ok_json(&config, &["keys", "create", "--customer", &customer]);
    harness.key = key["key"].as_str().unwrap().to_owned();
    let answer = harness.chat(json!({})).await;
    assert_eq!(answer.status, 200);
    harness.booked(&answer.request_id()).await;
    assert!(ok(&config, &["requests", "show", &answer.request_id()]).contains("provider_final"));
    ok(&config, &["keys", "revoke", key["id"].as_str().unwrap()]);
    assert_eq!(harness.chat(json!({})).await.status, 401);
    let url = harness.admin_url("");
    let elsewhere = ok_json(
        &config,
        &["--admin-url", &url, "--admin-token", &harness.gateway().admin_token, "usage", "--by", "customer"],
    );
    assert_eq!(elsewhere[0]["customer_id"], customer.as_str());
    let refused = run(&config, &["--admin-url", &url, "--admin-token", "wrong-token-wrong-token", "audit"]);
    assert_eq!(refused.status.code(), Some(1));
}

#[test]
fn check_names_every_mistake_with_its_place_and_starts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("tollgate.toml");
    fs::write(
        &config,
        "[server]\nlisen = \"127.0.0.1:1\"\nbody_bytes_max = \"big\"\n[journal]\ndurability = \"fsnc\"\n[admin]\ntoken = \"hunter2\"\n\
         [[provider]]\nname = \"p\"\nbase_url = \"ftp://x\"\n[[model]]\nname = \"m\"\ntargets = [{ provider = \"q\", model = \"x\" }]\n[limts]\n",
    )
    .unwrap();
    let output = run(&config, &["check"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    for expected in [
        ":2: server has no option lisen; did you mean listen?",
        ":3: server.body_bytes_max: must be a whole number",
        ":5: journal.durability: `fsnc` is not one of fsync, relaxed; did you mean \"fsync\"?",
        ":7: admin.token: must be \"env:NAME\" or \"file:PATH\"",
        ":10: provider[0].base_url: must be a URL",
        ":13: model[0].targets: there is no provider `q`",
        ":14: there is no section [limts]; did you mean [limits]?",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }
    assert!(!text.contains("hunter2"), "a secret is never shown");
    assert!(!dir.path().join("data").exists());
    fs::write(&config, "[[provider]]\nname = \"p\"\nbase_url = \"http://x/v1\"\n[[model]]\nname = \"m\"\ntargets = [{ provider = \"p\", model = \"x\" }]\n").unwrap();
    let output = run(&config, &["check"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("p/x has no price in force"));
}

#[test]
fn the_default_configuration_is_valid_shown_with_its_origins_and_overridden_by_the_environment() {
    let (_dir, config) = folder();
    let show = |name: &str, value: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .env(name, value)
            .args(["--config", config.to_str().unwrap(), "config", "show", "--json"])
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text, _) = show("TOLLGATE_LIMITS__REQUESTS_PER_MINUTE", "77");
    assert_eq!(code, Some(0));
    let values: Vec<Value> = serde_json::from_str(&text).unwrap();
    let of = |option: &str| values.iter().find(|value| value["option"] == option).unwrap().clone();
    assert_eq!(
        of("limits.requests_per_minute"),
        json!({ "option": "limits.requests_per_minute", "value": 77, "from": "environment TOLLGATE_LIMITS__REQUESTS_PER_MINUTE" })
    );
    assert_eq!(of("journal.durability")["from"], "default");
    assert!(of("server.listen")["from"].as_str().unwrap().ends_with("tollgate.toml:2"));
    let (code, _, errors) = show("TOLLGATE_LIMITS__REQUEST_PER_MINUTE", "77");
    assert_eq!(code, Some(1));
    assert!(errors.contains("did you mean TOLLGATE_LIMITS__REQUESTS_PER_MINUTE?"), "{errors}");
    let schema: Value = serde_json::from_str(&ok(&config, &["config", "schema"])).unwrap();
    assert_eq!(schema["properties"]["journal"]["properties"]["durability"]["enum"], json!(["fsync", "relaxed"]));
}

#[test]
fn init_writes_a_configuration_that_is_valid_and_never_over_an_existing_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tollgate.toml");
    let init = || Command::new(env!("CARGO_BIN_EXE_tollgate")).args(["init", path.to_str().unwrap()]).output().unwrap();
    assert!(init().status.success());
    assert!(run(&path, &["check"]).status.success());
    assert_eq!(init().status.code(), Some(1));
    assert_eq!(run(&path, &["no-such-command"]).status.code(), Some(2));
}

#[test]
fn a_missing_gateway_and_a_locked_folder_are_told_plainly() {
    let (dir, config) = folder();
    let _held = tollgate::app::files::DataDir::open(&dir.path().join("data")).unwrap();
    let output = run(&config, &["customers", "list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("another tollgate process"), "a lock is told");
}
