//! Gateways on one Postgres agree: on keys, sums, prices and names.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{replicas::Fleet, setting::chat};

/// Promised for keys: everywhere within a second.
const SECOND: Duration = Duration::from_secs(1);

async fn fleet(count: usize) -> Fleet {
    Fleet::new(count, &crate::cluster::Cluster::shared().database().await).await
}

impl Fleet {
    /// SIGHUP: it looks at its price files.
    fn hang_up(&self, number: usize) {
        let process = self.replicas[number].process.as_ref().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_child(&process.0), rustix::process::Signal::HUP)
            .unwrap();
    }

    /// Waits until a gateway has logged this so many times; at most five seconds.
    async fn until_logged(&self, number: usize, text: &str, times: usize) {
        let log = self.replicas[number].config.with_extension("log");
        for _ in 0..200 {
            if fs::read_to_string(&log).unwrap().matches(text).count() >= times {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("gateway {number} does not say {text:?} {times} times");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_gateways_agree_on_keys_and_sums() {
    let mut fleet = fleet(3).await;
    fleet.start_all().await;
    let key = fleet.new_key(0);
    let text = key["key"].as_str().unwrap();
    for number in 0..3 {
        let waited = fleet.until_status(number, text, 200).await;
        assert!(waited < SECOND, "a new key works at gateway {number} after {waited:?}");
    }
    for round in 0..30 {
        let stream = json!({ "stream": round % 2 == 0 });
        assert_eq!(fleet.ask(round % 3, text, chat(stream)).await.unwrap().status(), 200);
    }
    for number in 0..3 {
        fleet.until_posted(number).await;
    }
    let sums: Vec<Value> = (0..3).map(|number| fleet.cli(number, &["usage", "--by", "key,model"])).collect();
    assert_eq!(sums[0][0]["requests"], 33);
    assert!(sums[1] == sums[0] && sums[2] == sums[0], "{sums:?}");
    fleet.cli(2, &["keys", "revoke", key["id"].as_str().unwrap()]);
    for number in 0..3 {
        let waited = fleet.until_status(number, text, 401).await;
        assert!(waited < SECOND, "a revoked key stops at gateway {number} after {waited:?}");
    }
    let names: Vec<Value> = fleet.cli(0, &["replicas", "list"]).as_array().unwrap().clone();
    assert!(names.len() == 3 && names.iter().all(|replica| replica["status"] == "live"), "{names:?}");
    // What was asked until the key had stopped everywhere is in the books, too.
    for number in 0..3 {
        fleet.until_posted(number).await;
    }
    let audit = fleet.cli(0, &["audit"]);
    let requests = &fleet.cli(0, &["usage", "--by", "key"])[0]["requests"];
    assert_eq!((&audit["entries"], &audit["lost"], &audit["differences"]), (requests, &json!(0), &json!([])));
    fleet.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_stops_everywhere_also_when_no_word_of_it_arrives() {
    let mut fleet = fleet(2).await;
    fleet.start_all().await;
    // As if every notification were lost.
    let pool = sqlx::PgPool::connect(&fleet.url).await.unwrap();
    let mute = "create or replace function note_change() returns trigger language plpgsql as $$ begin \
                update changes set version = version + 1 where topic = tg_argv[0]; return null; end $$";
    sqlx::query(mute).execute(&pool).await.unwrap();
    let key = fleet.new_key(0);
    let text = key["key"].as_str().unwrap();
    assert!(fleet.until_status(1, text, 200).await < SECOND);
    // By another hand than ours.
    sqlx::query("update keys set revoked_at_us = 1").execute(&pool).await.unwrap();
    for number in [0, 1] {
        let waited = fleet.until_status(number, text, 401).await;
        assert!(waited < SECOND, "{waited:?}");
    }
    fleet.stop_all().await;
}

/// Writes price files in which the demo model's output costs so much.
fn price_files(fleet: &Fleet, folder: &str, output: &str) -> String {
    let dir = fleet.dir.path().join(folder);
    fs::create_dir(&dir).unwrap();
    let shipped = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("pricing");
    fs::copy(shipped.join("books.toml"), dir.join("books.toml")).unwrap();
    let demo = fs::read_to_string(shipped.join("demo.toml")).unwrap();
    let changed = demo.replacen("output = \"2.00\"", &format!("output = \"{output}\""), 1);
    fs::write(dir.join("demo.toml"), changed).unwrap();
    format!("[prices]\ndir = {dir:?}\n")
}

/// What a gateway charges for one and the same request.
async fn charge(fleet: &Fleet, number: usize, key: &str) -> String {
    let answer = fleet.ask(number, key, chat(json!({}))).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.headers()["x-tollgate-charge-usd"].to_str().unwrap().to_owned()
}

async fn until_all_charge(fleet: &Fleet, numbers: &[usize], key: &str, expected: &str) {
    let started = tokio::time::Instant::now();
    for number in numbers {
        while charge(fleet, *number, key).await != expected {
            assert!(started.elapsed() < Duration::from_secs(3), "gateway {number} charges by other prices");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_price_applies_everywhere_at_once_and_an_old_file_does_not_bring_the_old_one_back() {
    let mut fleet = fleet(0).await;
    let old = price_files(&fleet, "old-prices", "3.00");
    let new = price_files(&fleet, "new-prices", "4.00");
    for (name, prices) in [("a", &old), ("b", &old), ("c", &new)] {
        fleet.add(name, name, prices);
    }
    fleet.start(0).await;
    fleet.start(1).await;
    let key = fleet.new_key(0)["key"].as_str().unwrap().to_owned();
    fleet.until_status(1, &key, 200).await;
    let before = charge(&fleet, 0, &key).await;
    assert_eq!(charge(&fleet, 1, &key).await, before);

    fleet.start(2).await;
    let after = charge(&fleet, 2, &key).await;
    assert_ne!(before, after);
    until_all_charge(&fleet, &[0, 1], &key, &after).await;

    // One that still has the old files starts again: it follows the others.
    fleet.stop(0).await;
    fleet.start(0).await;
    until_all_charge(&fleet, &[0, 1, 2], &key, &after).await;
    // To go back is a decision, and it is taken for all.
    fleet.cli(1, &["prices", "publish"]);
    until_all_charge(&fleet, &[0, 1, 2], &key, &before).await;
    for number in 0..3 {
        fleet.until_posted(number).await;
    }
    let audit = fleet.cli(0, &["audit"]);
    assert_eq!(audit["differences"], json!([]), "each entry names the prices that it was charged by");
    fleet.stop_all().await;
}

/// Puts a file of price tables in the place of another at once, as an operator's tool does.
fn put(fleet: &Fleet, folder: &str, text: &str) {
    let dir = fleet.dir.path().join(folder);
    fs::write(dir.join("demo.new"), text).unwrap();
    fs::rename(dir.join("demo.new"), dir.join("demo.toml")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_one_gateway_reads_at_a_hangup_applies_to_all_and_a_bad_or_old_one_to_none() {
    let mut fleet = fleet(0).await;
    for name in ["a", "b", "c"] {
        let prices = price_files(&fleet, &format!("{name}-prices"), "3.00");
        fleet.add(name, name, &prices);
    }
    fleet.start_all().await;
    let key = fleet.known_key().await;
    let before = charge(&fleet, 0, &key).await;
    until_all_charge(&fleet, &[1, 2], &key, &before).await;
    let old = fs::read_to_string(fleet.dir.path().join("a-prices/demo.toml")).unwrap();
    let new = old.replacen("output = \"3.00\"", "output = \"4.00\"", 1);

    put(&fleet, "a-prices", &new);
    fleet.hang_up(0);
    fleet.until_logged(0, "price files were read anew", 1).await;
    let mut seen = Vec::new();
    for round in 0..120 {
        seen.push(charge(&fleet, round % 3, &key).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let after = seen.last().unwrap().clone();
    assert_ne!(before, after);
    until_all_charge(&fleet, &[0, 1, 2], &key, &after).await;
    assert!(seen.iter().all(|charge| *charge == before || *charge == after), "the one or the other: {seen:?}");

    // A bad file: the old prices stay everywhere, and the log says file and line.
    put(&fleet, "b-prices", &new.replacen("\"4.00\"", "4.00", 1));
    fleet.hang_up(1);
    fleet.until_logged(1, "price files are not taken; prices stay as they are", 1).await;
    fleet.until_logged(1, "demo.toml:", 1).await;
    // A slipped point is no better.
    put(&fleet, "c-prices", &new.replacen("\"4.00\"", "\"4000\"", 1));
    fleet.hang_up(2);
    fleet.until_logged(2, "a thousand times off", 1).await;
    until_all_charge(&fleet, &[0, 1, 2], &key, &after).await;
    // A file that was in force once: nothing is rolled back, and it is told.
    put(&fleet, "b-prices", &old);
    fleet.hang_up(1);
    fleet.until_logged(1, "price files that were in force once are not taken again", 1).await;
    for number in 0..3 {
        fleet.hang_up(number);
    }
    tokio::time::sleep(SECOND).await;
    for number in 0..3 {
        assert_eq!(charge(&fleet, number, &key).await, after, "gateway {number}");
    }
    // Every entry names the version that it was charged by, the same on all gateways.
    let mut versions = Vec::new();
    for number in 0..3 {
        let answer = fleet.ask(number, &key, chat(json!({}))).await.unwrap();
        let id = answer.headers()["x-tollgate-request-id"].to_str().unwrap().to_owned();
        drop(answer.bytes().await);
        fleet.until_posted(number).await;
        let view = fleet.cli(number, &["requests", "show", &id]);
        assert_eq!(view["charge_usd"], after.as_str());
        versions.push(view["lines"][0]["cost_price_version"].clone());
    }
    assert!(versions.iter().all(|version| *version == versions[0] && version.is_string()), "{versions:?}");
    assert_eq!(fleet.cli(0, &["audit"])["differences"], json!([]));
    fleet.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_living_gateways_of_one_name_are_refused_and_a_dead_ones_name_is_free() {
    let mut fleet = fleet(1).await;
    let twin = fleet.add("twin", "gateway-0", "");
    fleet.start(0).await;
    let refused = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["--config", fleet.replicas[twin].config.to_str().unwrap(), "serve"])
        .stdout(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && text.contains("the replica `gateway-0` runs already"), "{text}");
    assert_eq!(fleet.ready(0).await.0, 200, "the first one goes on");
    // Killed, it does not give its name back: that runs out.
    fleet.replicas[0].process.take().unwrap().kill();
    fleet.start(twin).await;
    assert_eq!(fleet.ready(twin).await.0, 200);
    // On the same journal a successor does not wait: here of one that was killed.
    fleet.replicas[twin].process.take().unwrap().kill();
    let started = tokio::time::Instant::now();
    fleet.start(twin).await;
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    fleet.stop_all().await;
}
