//! `tollgate doctor`: each thing that can be wrong is made wrong, found, and told with what to do; nothing is changed by looking.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use axum::{Router, http::StatusCode, routing::get};
use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate_fakes::FakeUpstream;

use crate::{
    cluster::Cluster,
    harness::Harness,
    setting::{SMALL_JOURNAL, base_toml},
};

/// A data folder as a careful operator has it, a provider that answers, and no gateway.
struct Patient {
    dir: TempDir,
    upstream: String,
    /// Behind the common part.
    toml: String,
}

impl Patient {
    async fn well() -> Self {
        let upstream = answering(StatusCode::OK).await;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("upstream-key"), "sk-upstream-secret").unwrap();
        set_mode(&dir.path().join("upstream-key"), 0o600);
        Self { dir, upstream, toml: String::new() }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn config(&self) -> PathBuf {
        let journal = if self.toml.contains("[journal]") { "" } else { SMALL_JOURNAL };
        let toml = format!("{journal}{}{}", base_toml(self.dir.path(), &self.upstream), self.toml);
        let path = self.path("tollgate.toml");
        std::fs::write(&path, toml).unwrap();
        path
    }

    /// Exit code and report.
    fn examine(&self) -> (i32, Value) {
        examine(&self.config())
    }

    /// What is found of a check beside what is well, with the exit code that it should have.
    fn findings(&self, check: &str) -> Vec<Value> {
        let (code, report) = self.examine();
        let found: Vec<Value> = rows(&report, check).into_iter().filter(|row| row["level"] == "finding").collect();
        assert!(!found.is_empty(), "{check}: {report}");
        assert_eq!((code, &report["ok"]), (1, &json!(false)), "{report}");
        for row in &found {
            assert_ne!(row["advice"], "", "{row}");
        }
        found
    }
}

fn examine(config: &Path) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["--config", config.to_str().unwrap(), "--json", "doctor"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("sk-upstream-secret"));
    let report = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text} {}", String::from_utf8_lossy(&output.stderr));
    });
    (output.status.code().unwrap(), report)
}

fn rows(report: &Value, check: &str) -> Vec<Value> {
    report["checks"].as_array().unwrap().iter().filter(|row| row["check"] == check).cloned().collect()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A provider that answers every question with a status.
async fn answering(status: StatusCode) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/models", get(move || async move { status }));
    tokio::spawn(tollgate::app::listener::serve(listener, router, tollgate::app::listener::Stopper::default()));
    url
}

fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    if let Ok(entries) = std::fs::read_dir(dir) {
        found.extend(entries.flat_map(|entry| tree(&entry.unwrap().path())));
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_folder_is_well_and_looking_makes_nothing() {
    let patient = Patient::well().await;
    let config = patient.config();
    let before = tree(patient.dir.path());
    let (code, report) = patient.examine();
    assert_eq!((code, &report["ok"]), (0, &json!(true)), "{report}");
    for check in ["version", "config", "data_dir", "clock", "open_files", "ports", "store", "journal", "providers"] {
        assert!(!rows(&report, check).is_empty(), "{check}: {report}");
    }
    assert_eq!(tree(patient.dir.path()), before);
    let text = crate::commands::ok(&config, &["doctor"]);
    assert!(text.contains("nothing to do") && text.contains("ok       version"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_running_gateway_it_says_that_it_runs_and_what_is_unfinished() {
    let harness = Harness::start_with("[prices]\nunpriced = \"record\"\n[[model]]\nname = \"free\"\ntargets = [{ provider = \"demo\", model = \"nobody-priced-this\" }]\n").await;
    set_mode(&harness.dir.path().join("upstream-key"), 0o600);
    let config = harness.dir.path().join("tollgate.toml");
    let examined = || {
        let config = config.clone();
        tokio::task::spawn_blocking(move || examine(&config))
    };
    let is_ready = || {
        let config = config.clone();
        let command = move || crate::commands::run(&config, &["doctor", "--ready"]).status.code();
        tokio::task::spawn_blocking(command)
    };
    assert_eq!(is_ready().await.unwrap(), Some(0));
    let (_, report) = examined().await.unwrap();
    assert!(rows(&report, "gateway")[0]["what"].as_str().unwrap().contains("is ready"), "{report}");
    assert!(rows(&report, "ports").is_empty());
    assert_eq!(rows(&report, "unfinished")[0]["level"], "ok", "{report}");
    assert!(rows(&report, "sync_latency")[0]["what"].as_str().unwrap().contains("ms"), "{report}");
    let answer = harness.chat(json!({ "model": "free" })).await;
    assert_eq!(answer.status, 200);
    harness.booked(&answer.request_id()).await;
    let (code, report) = examined().await.unwrap();
    let unfinished = rows(&report, "unfinished")[0].clone();
    assert_eq!((code, &unfinished["level"]), (1, &json!("finding")), "{report}");
    assert!(unfinished["what"].as_str().unwrap().contains("1 entries have no price"), "{unfinished}");
    assert!(unfinished["advice"].as_str().unwrap().contains("rerate"));
    harness.assert_clean_audit().await;
    let mut harness = harness;
    harness.gateway.take().unwrap().stop().await;
    assert_eq!(is_ready().await.unwrap(), Some(1), "no gateway is not ready");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_of_configuration_and_prices_are_told_with_their_places() {
    let mut patient = Patient::well().await;
    patient.toml = "[limits]\nrequest_per_minute = 3\n".to_owned();
    assert!(patient.findings("config")[0]["what"].as_str().unwrap().contains("did you mean requests_per_minute"));
    patient.toml =
        "[[model]]\nname = \"m\"\ntargets = [{ provider = \"demo\", model = \"nobody-priced-this\" }]\n".to_owned();
    assert!(patient.findings("prices")[0]["what"].as_str().unwrap().contains("nobody-priced-this"));
    std::fs::create_dir(patient.path("pricing")).unwrap();
    std::fs::write(patient.path("pricing/bad.toml"), "[[price]]\nprovider = 3\n").unwrap();
    patient.toml = format!("[prices]\ndir = {:?}\n", patient.path("pricing"));
    assert!(patient.findings("prices")[0]["what"].as_str().unwrap().contains("bad.toml"));
    patient.toml = "[[provider]]\nname = \"openai\"\napi_key = \"env:NOT_SET_HERE\"\n".to_owned();
    assert!(patient.findings("config")[0]["what"].as_str().unwrap().contains("NOT_SET_HERE"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_that_others_may_read_or_that_are_weak_are_findings() {
    let mut patient = Patient::well().await;
    std::fs::create_dir(patient.path("data")).unwrap();
    set_mode(&patient.path("data"), 0o755);
    let told = |row: &Value| (row["what"].as_str().unwrap().to_owned(), row["advice"].as_str().unwrap().to_owned());
    let (what, advice) = told(&patient.findings("secrets")[0]);
    assert!(what.contains("mode 0755") && advice.starts_with("chmod 700"), "{what} {advice}");
    set_mode(&patient.path("data"), 0o700);
    for name in ["data/pepper", "data/admin-token", "upstream-key"] {
        std::fs::write(patient.path(name), "0".repeat(64)).unwrap();
        set_mode(&patient.path(name), 0o640);
        let (what, advice) = told(&patient.findings("secrets")[0]);
        assert!(
            what.contains(name) && what.contains("mode 0640") && advice.starts_with("chmod 600"),
            "{what} {advice}"
        );
        set_mode(&patient.path(name), 0o600);
    }
    assert_eq!(patient.examine().0, 0);
    std::fs::write(patient.path("weak"), "short").unwrap();
    set_mode(&patient.path("weak"), 0o600);
    patient.toml = format!("[admin]\ntoken = \"file:{}\"\n", patient.path("weak").display());
    assert!(told(&patient.findings("secrets")[0]).0.contains("fewer than 20"));
    patient.toml = "[keys]\npepper = \"env:NOT_SET_HERE\"\n".to_owned();
    assert!(told(&patient.findings("secrets")[0]).0.contains("NOT_SET_HERE"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_closed_or_in_memory_is_a_finding() {
    let mut patient = Patient::well().await;
    // More room than there is.
    patient.toml = "[journal]\nsegment_bytes = 4611686018427387904\n".to_owned();
    assert!(patient.findings("disk_room")[0]["advice"].as_str().unwrap().contains("segment_bytes"));
    // A file where the folder should be made: nobody can write below it, not even root.
    patient.toml = String::new();
    std::fs::write(patient.path("data"), "").unwrap();
    assert!(patient.findings("data_dir")[0]["what"].as_str().unwrap().contains("cannot be"), "{:?}", patient.examine());
    std::fs::remove_file(patient.path("data")).unwrap();
    let in_memory = Path::new("/dev/shm");
    if in_memory.is_dir() {
        let dir = tempfile::tempdir_in(in_memory).unwrap();
        patient.toml = format!("[journal]\nsegment_bytes = 1048576\nin_flight_max = 512\ndir = {:?}\n", dir.path());
        assert!(patient.findings("durability")[0]["what"].as_str().unwrap().contains("in memory"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_taken_is_a_finding() {
    let mut patient = Patient::well().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = patient.config();
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["--config", config.to_str().unwrap(), "doctor"])
        .env("TOLLGATE_SERVER__LISTEN", address.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains(&format!("FINDING  ports         {address}")) && text.contains("-> stop what listens"),
        "{text}"
    );
    patient.toml.clear();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_or_not_migrated_is_a_finding() {
    let mut patient = Patient::well().await;
    patient.toml = "[store]\nurl = \"postgres://nobody@127.0.0.1:9/books\"\n".to_owned();
    assert!(patient.findings("store")[0]["what"].as_str().unwrap().contains("cannot be used"));
    let url = Cluster::shared().database().await;
    patient.toml = format!("[store]\nurl = \"{url}\"\nmigrate = \"manual\"\n");
    assert!(patient.findings("migrations")[0]["advice"].as_str().unwrap().contains("tollgate migrate"));
    crate::commands::ok(&patient.config(), &["migrate"]);
    let (code, report) = patient.examine();
    assert_eq!((code, &rows(&report, "migrations")[0]["level"]), (0, &json!("ok")), "{report}");
    patient.toml = "[store]\nurl = \"env:NOT_SET_HERE\"\n".to_owned();
    assert!(patient.findings("store")[0]["what"].as_str().unwrap().contains("NOT_SET_HERE"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_or_crowded_journal_is_a_finding() {
    let mut harness = Harness::start().await;
    for _ in 0..5 {
        harness.chat(json!({})).await;
    }
    let journal = harness.dir.path().join("data/journal");
    let copy = harness.dir.path().join("copy");
    let copied = Command::new("cp").arg("-r").arg(&journal).arg(&copy).status().unwrap();
    assert!(copied.success());
    harness.gateway.take().unwrap().stop().await;
    let segment = tree(&copy).into_iter().find(|path| {
        path.is_file()
            && std::fs::metadata(path).unwrap().len() == 1_048_576
            && std::fs::read(path).unwrap()[4096..8192] != [0; 4096]
    });
    let segment = segment.unwrap_or_else(|| panic!("{:?}", tree(&copy)));
    let mut bytes = std::fs::read(&segment).unwrap();
    // In the middle of what was written.
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[written / 2] ^= 0xff;
    std::fs::write(&segment, bytes).unwrap();
    let mut patient = Patient::well().await;
    patient.toml = format!("[journal]\nsegment_bytes = 1048576\nin_flight_max = 512\ndir = {copy:?}\n");
    assert!(patient.findings("journal")[0]["what"].as_str().unwrap().contains("1 damaged"), "{:?}", patient.examine());
    patient.toml =
        format!("[journal]\nsegment_bytes = 1048576\nin_flight_max = 512\ndisk_bytes_max = 1000000\ndir = {copy:?}\n");
    assert!(patient.findings("journal_quota")[0]["advice"].as_str().unwrap().contains("disk_bytes_max"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn providers_are_told_apart_by_how_they_fail() {
    let mut patient = Patient::well().await;
    let upstream =
        |url: String| format!("[[provider]]\nname = \"other\"\nbase_url = \"{url}\"\nallow_private = true\n");
    for (toml, class, advice) in [
        (upstream(answering(StatusCode::UNAUTHORIZED).await), "refuses our key", "api_key"),
        (upstream(answering(StatusCode::INTERNAL_SERVER_ERROR).await), "fails", "status page"),
        (upstream(answering(StatusCode::FOUND).await), "sends us elsewhere", "never followed"),
        (upstream("http://127.0.0.1:9/v1".to_owned()), "connect: ", "firewall"),
        (upstream("http://no-such-host.invalid/v1".to_owned()), "dns: ", "resolver"),
        (upstream(patient.upstream.replace("http://", "https://")), "tls: ", "secure connection"),
        (
            "[[provider]]\nname = \"other\"\nbase_url = \"http://127.0.0.1:9/v1\"\n".to_owned(),
            "private: ",
            "allow_private",
        ),
    ] {
        patient.toml = toml;
        let found = patient.findings("providers");
        assert_eq!(found.len(), 1, "{found:?}");
        let (what, told) = (found[0]["what"].as_str().unwrap(), found[0]["advice"].as_str().unwrap());
        assert!(
            what.starts_with("other: ") && what.contains(class) && told.contains(advice),
            "{class}: {what}; {told}"
        );
    }
    for (status, part) in
        [(StatusCode::TOO_MANY_REQUESTS, "limit of our account"), (StatusCode::NOT_FOUND, "no list of models")]
    {
        patient.toml = upstream(answering(status).await);
        let (code, report) = patient.examine();
        let row = rows(&report, "providers").pop().unwrap();
        assert_eq!((code, &row["level"]), (0, &json!("note")), "{report}");
        assert!(row["what"].as_str().unwrap().contains(part), "{row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_or_a_collector_that_does_not_answer_is_a_finding() {
    let mut patient = Patient::well().await;
    patient.toml = "[[worker]]\nname = \"local\"\nurl = \"http://127.0.0.1:9\"\nmodels = [\"small\"]\ndevice_usd_per_hour = \"1\"\n".to_owned();
    assert!(patient.findings("workers")[0]["what"].as_str().unwrap().starts_with("local at"));
    patient.toml = "[telemetry]\notlp_endpoint = \"http://127.0.0.1:9\"\n".to_owned();
    assert!(patient.findings("collector")[0]["advice"].as_str().unwrap().contains("requests go on"));
    // One that is there answers something to every question.
    let upstream = FakeUpstream::start().await;
    patient.toml = format!("[telemetry]\notlp_endpoint = \"{}\"\n", upstream.base_url());
    let (_, report) = patient.examine();
    assert_eq!(rows(&report, "collector")[0]["level"], "ok", "{report}");
}
