//! The drill: back up, destroy, restore, audit, go on. On both engines, and from one to the other.

use std::{fs, path::Path};

use serde_json::json;
use tollgate::config::load::load;

use crate::{
    cluster::Cluster,
    commands::{ok_json, run},
    harness::{Harness, start_on_a_free_folder},
};

/// Rewrites the configuration to another database.
fn point_at(config: &Path, url: &str) {
    let text = fs::read_to_string(config).unwrap();
    let text = text.split("\n[store]").next().unwrap();
    fs::write(config, format!("{text}\n[store]\nurl = \"{url}\"\n")).unwrap();
}

async fn drill(first: &str, second: &str) {
    let mut harness = Harness::start_with(&format!("\n[store]\nurl = \"{first}\"\n")).await;
    for number in 0..30 {
        let answer = harness.chat(json!({ "stream": number % 2 == 0 })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let before = harness.totals().await;
    assert_eq!(before["requests"], 30);
    let config = harness.dir.path().join("tollgate.toml");
    let backup = harness.dir.path().join("backup");
    let shown = backup.to_str().unwrap();
    // While the gateway runs.
    let manifest = ok_json(&config, &["backup", shown]);
    assert!(
        manifest["tables"].as_array().unwrap().iter().any(|table| table["table"] == "entries" && table["rows"] == 30)
    );
    let refused = run(&config, &["backup", shown]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is not empty"));
    let refused = run(&config, &["restore", shown]);
    assert!(!refused.status.success(), "not under a running gateway");
    harness.gateway.take().unwrap().stop().await;

    // The database is gone. The journal has nothing that was posted.
    point_at(&config, second);
    let restored = ok_json(&config, &["restore", shown]);
    assert_eq!(restored["tables"], manifest["tables"]);
    let refused = run(&config, &["restore", shown]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("not empty"));
    let audit = ok_json(&config, &["audit"]);
    assert_eq!((&audit["entries"], &audit["lost"], &audit["differences"]), (&json!(30), &json!(0), &json!([])));

    // The same key goes on, and the books with it.
    let loaded = load(Some(&config), &std::collections::BTreeMap::new()).unwrap();
    harness.gateway = Some(start_on_a_free_folder(&loaded.config).await);
    assert_eq!(harness.chat(json!({})).await.status, 200);
    assert_eq!(harness.totals().await["requests"], 31);
    harness.assert_clean_audit().await;
    harness.gateway.take().unwrap().stop().await;
}

fn sqlite(dir: &tempfile::TempDir, name: &str) -> String {
    format!("sqlite://{}", dir.path().join(name).display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_is_backed_up_destroyed_and_restored() {
    let dir = tempfile::tempdir().unwrap();
    drill(&sqlite(&dir, "one.db"), &sqlite(&dir, "two.db")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_backed_up_destroyed_and_restored() {
    let cluster = Cluster::shared();
    drill(&cluster.database().await, &cluster.database().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_move_from_sqlite_to_postgres_through_a_backup() {
    let dir = tempfile::tempdir().unwrap();
    drill(&sqlite(&dir, "one.db"), &Cluster::shared().database().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_backup_is_refused_and_nothing_of_it_is_restored() {
    let mut harness = Harness::start().await;
    let answer = harness.chat(json!({})).await;
    harness.booked(&answer.request_id()).await;
    harness.gateway.take().unwrap().stop().await;
    let config = harness.dir.path().join("tollgate.toml");
    let backup = harness.dir.path().join("backup");
    let shown = backup.to_str().unwrap();
    ok_json(&config, &["backup", shown]);
    point_at(&config, &sqlite(&harness.dir, "fresh.db"));
    let file = backup.join("rollups_hourly.copy");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen('1', "2", 1)).unwrap();
    let refused = run(&config, &["restore", shown]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("rollups_hourly.copy is damaged"));
    fs::write(&file, text).unwrap();
    fs::remove_file(backup.join("MANIFEST.json")).unwrap();
    let refused = run(&config, &["restore", shown]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is no backup"));
    assert_eq!(ok_json(&config, &["customers", "list"]), json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_pepper_is_refused_before_a_key_fails() {
    let mut harness = Harness::start().await;
    harness.gateway.take().unwrap().stop().await;
    fs::write(harness.dir.path().join("data/pepper"), "ab".repeat(32)).unwrap();
    let refused = run(&harness.dir.path().join("tollgate.toml"), &["keys", "list"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("pepper is not the one"));
}
