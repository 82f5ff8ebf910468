//! The journal under a whole gateway: commands that look into it, volumes from elsewhere, disks and processes that fail.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tollgate::{
    clock::Clock,
    journal::{Journal, Options},
    posting::live::Poster,
    store::Store,
};
use tollgate_core::id::BootId;
use tollgate_fakes::FakeUpstream;

use crate::{
    books::{NOVEMBER_US, entry},
    harness::{Harness, SMALL_JOURNAL, base_toml, chat, read},
    process::{Process, cli, free_port, wait_until_ready},
};

fn run(config: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(["--config", config.to_str().unwrap()]).args(args).output().unwrap()
}

/// Exit code and JSON of a command.
fn json_of(config: &Path, args: &[&str]) -> (Option<i32>, Value) {
    let output = run(config, &[args, &["--json"]].concat());
    let value = serde_json::from_slice(&output.stdout);
    (output.status.code(), value.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))))
}

/// The boot folders of replica `main`.
fn boots(journal: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(journal.join("main")).unwrap().map(|file| file.unwrap().path());
    folders.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("boot_")).collect()
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..1200 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it never came to this: {what}");
}

async fn metric(harness: &Harness, name: &str) -> u64 {
    let request = harness.client.get(harness.admin_url("/metrics")).bearer_auth(&harness.gateway().admin_token);
    let text = read(request).await.text;
    let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_else(|| panic!("{name}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_and_inspect_work_beside_a_gateway_and_on_a_folder_and_show_nothing_of_a_client() {
    let harness = Harness::start().await;
    let config = harness.dir.path().join("tollgate.toml");
    let body = chat(json!({ "user": "alice@example.com", "stream": true }));
    let request = harness.request("/v1/chat/completions", &body).header("x-tollgate-tags", "team=blue-whale");
    let id = read(request).await.request_id();
    harness.booked(&id).await;
    let copy = harness.dir.path().join("copy");
    let copied = Command::new("cp").arg("-r").arg(harness.dir.path().join("data/journal")).arg(&copy).status();
    assert!(copied.unwrap().success());
    for dir in [None, Some(copy.to_str().unwrap()), Some(copy.join("main").to_str().unwrap())] {
        let with = |args: &[&str]| -> Vec<String> { args.iter().copied().chain(dir).map(str::to_owned).collect() };
        let verify = with(&["journal", "verify"]);
        let (code, report) = json_of(&config, &verify.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((code, &report["missing"], &report["damaged"]), (Some(0), &json!(0), &json!(0)));
        assert!(report["records"].as_u64().unwrap() >= 3, "OPENED, SENT, ENDED: {report}");
        for extra in [&["--json"][..], &[]] {
            let inspect = with(&["journal", "inspect", "--request", &id]);
            let output = run(&config, &[&inspect.iter().map(String::as_str).collect::<Vec<_>>()[..], extra].concat());
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.contains(&id) && text.contains("ended") && text.contains("complete"), "{text}");
            for hidden in ["alice", "blue-whale", "hello", &harness.key, "sk-upstream"] {
                assert!(!text.contains(hidden), "{hidden} in {text}");
            }
        }
    }
    let (code, records) = json_of(&config, &["journal", "inspect", "--limit", "2"]);
    assert_eq!((code, records.as_array().unwrap().len()), (Some(0), 2));
    assert_eq!(run(&config, &["journal", "inspect", "--request", "nonsense"]).status.code(), Some(2));
    assert_eq!(run(&config, &["journal", "verify", "/no/such/folder"]).status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_found_by_verify_kept_aside_at_the_next_start_and_told_until_somebody_looks() {
    let mut harness = Harness::start().await;
    let config = harness.dir.path().join("tollgate.toml");
    let journal = harness.dir.path().join("data/journal");
    for _ in 0..5 {
        assert_eq!(harness.chat(json!({})).await.status, 200);
    }
    harness.gateway.take().unwrap().stop().await;
    let segment = boots(&journal)[0].join("00000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[70] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let (code, report) = json_of(&config, &["journal", "verify"]);
    assert_eq!((code, &report["missing"], &report["damaged"]), (Some(1), &json!(1), &json!(1)));
    assert_eq!(json_of(&config, &["journal", "verify", journal.to_str().unwrap()]), (code, report));

    harness.start_again().await;
    assert_eq!(boots(&journal).len(), 1, "the damaged boot is posted and gone");
    let (code, report) = json_of(&config, &["journal", "verify"]);
    assert_eq!((code, &report["missing"], &report["damaged"]), (Some(1), &json!(1), &json!(1)));
    assert_eq!(metric(&harness, "tollgate_journal_missing_records").await, 1);
    assert_eq!(metric(&harness, "tollgate_journal_damaged_regions").await, 1);
    harness.assert_clean_audit().await;
    assert_eq!(harness.totals().await["requests"], 5, "the damaged OPENED is not needed: its ENDED is there");
    fs::remove_dir_all(journal.join("main/quarantine")).unwrap();
    assert_eq!(json_of(&config, &["journal", "verify"]).0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_of_a_newer_build_stops_the_start_and_is_left_untouched() {
    let mut harness = Harness::start().await;
    let config = harness.dir.path().join("tollgate.toml");
    assert_eq!(harness.chat(json!({})).await.status, 200);
    harness.gateway.take().unwrap().stop().await;
    let segment = boots(&harness.dir.path().join("data/journal"))[0].join("00000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[8] = 9;
    let crc = crc32c::crc32c(&bytes[..60]).to_le_bytes();
    bytes[60..64].copy_from_slice(&crc);
    fs::write(&segment, &bytes).unwrap();
    for args in [&["serve"][..], &["audit"], &["journal", "verify"]] {
        let output = run(&config, args);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(text.contains("has journal format 9, which is newer than this build"), "{args:?}: {text}");
    }
    assert!(fs::read(&segment).unwrap() == bytes);
}

/// A replica's journal with two ended attempts and one orphan, as a lost machine leaves it.
async fn lost_volume(dir: &Path, number: u64, customer: &str) -> Journal {
    let options = Options { segment_bytes: 1 << 20, ..Options::new(dir.to_owned(), "replica-7".to_owned()) };
    let journal = Journal::open(options, BootId::new(number, &[7; 10])).unwrap();
    for attempt in 0..3 {
        let mut last = entry(number * 10 + attempt, NOVEMBER_US);
        last.admission.customer_id = customer.parse().unwrap();
        let open = journal.try_permit().unwrap().open(last.admission.clone()).await.unwrap();
        if attempt > 0 {
            open.end(last).await.unwrap();
        }
    }
    journal
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_volume_of_a_lost_replica_is_adopted_once_through_the_gateway_and_without_one() {
    let mut harness = Harness::start().await;
    let config = harness.dir.path().join("tollgate.toml");
    let volume = harness.dir.path().join("volume");
    for is_running in [true, false] {
        let journal = lost_volume(&volume, if is_running { 1 } else { 2 }, &harness.customer).await;
        journal.shut_down().await;
        let boot_dir = journal.boot_dir().to_owned();
        let adopt = ["journal", "adopt", volume.to_str().unwrap()];
        let expected =
            json!({ "boots": 1, "entries": 2, "orphans": 1, "missing": 0, "damaged": 0, "kept": 0, "living": 0 });
        let (code, adopted) = json_of(&config, &[&adopt[..], &["--keep"]].concat());
        assert_eq!((code, adopted), (Some(0), expected));
        assert!(boot_dir.exists());
        // Shipped a second time, it changes nothing.
        let (code, again) = json_of(&config, &adopt);
        assert_eq!((code, &again["entries"], &again["orphans"]), (Some(0), &json!(0), &json!(0)));
        assert!(!boot_dir.exists());
        if is_running {
            harness.assert_clean_audit().await;
            harness.gateway.take().unwrap().stop().await;
        }
    }
    assert_eq!(cli(&config, &["audit"])["entries"], 6);
    assert_eq!(run(&config, &["journal", "adopt", "/no/such/folder"]).status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_boot_that_is_in_use_is_not_adopted() {
    let harness = Harness::start().await;
    let config = harness.dir.path().join("tollgate.toml");
    let volume = harness.dir.path().join("volume");
    let living = lost_volume(&volume, 1, &harness.customer).await;
    let (code, adopted) = json_of(&config, &["journal", "adopt", volume.to_str().unwrap()]);
    assert_eq!((code, &adopted["boots"], &adopted["living"]), (Some(1), &json!(0), &json!(1)));
    // Its own folder is in use, too.
    let own = harness.dir.path().join("data/journal");
    let (code, adopted) = json_of(&config, &["journal", "adopt", own.to_str().unwrap()]);
    assert_eq!((code, &adopted["boots"], &adopted["living"]), (Some(1), &json!(0), &json!(1)));
    living.shut_down().await;
}

/// Copies as a tool copies a folder that lives: a spare segment that gets its name meanwhile is not there any more, and left out.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(|file| file.unwrap()) {
        let target = to.join(file.file_name());
        if file.path().is_dir() {
            copy_folder(&file.path(), &target);
            continue;
        }
        let is_spare = file.path().extension().is_some_and(|extension| extension == "new");
        let copied = fs::copy(file.path(), target);
        if !matches!(&copied, Err(error) if is_spare && error.kind() == ErrorKind::NotFound) {
            copied.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_living_journal_is_left_alone_and_its_requests_are_billed_by_their_end() {
    let harness = Harness::start().await;
    let config = harness.dir.path().join("tollgate.toml");
    let slow = chat(json!({ "stream": true, "x_fake": { "chunks": 8, "gap_ms": 150 } }));
    let stream = harness.request("/v1/chat/completions", &slow).send().await.unwrap();
    let id = stream.headers()["x-tollgate-request-id"].to_str().unwrap().to_owned();
    let copy = harness.dir.path().join("copy");
    copy_folder(&harness.dir.path().join("data/journal"), &copy);
    let (code, adopted) = json_of(&config, &["journal", "adopt", copy.to_str().unwrap(), "--keep"]);
    assert_eq!((code, &adopted["boots"], &adopted["living"]), (Some(1), &json!(0), &json!(1)));
    assert!(stream.text().await.unwrap().ends_with("data: [DONE]\n\n"));
    let shown = harness.booked(&id).await;
    assert_eq!((&shown["outcome"], &shown["usage_source"]), (&json!("complete"), &json!("provider_final")));
    harness.assert_clean_audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_adopted_again_under_another_name_changes_nothing() {
    let harness = Harness::start().await;
    let config = harness.dir.path().join("tollgate.toml");
    let volume = harness.dir.path().join("volume");
    lost_volume(&volume, 1, &harness.customer).await.shut_down().await;
    let adopt = ["journal", "adopt", volume.to_str().unwrap(), "--keep"];
    let (code, first) = json_of(&config, &adopt);
    assert_eq!((code, &first["entries"], &first["orphans"]), (Some(0), &json!(2), &json!(1)));
    let (code, again) = json_of(&config, &[&adopt[..], &["--replica", "other"]].concat());
    assert_eq!(
        (code, &again["entries"], &again["orphans"], &again["missing"]),
        (Some(0), &json!(0), &json!(0), &json!(0))
    );
    assert_eq!(metric(&harness, "tollgate_usage_gap_total").await, 0);
    harness.assert_clean_audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_contradicts_the_books_is_kept_and_told() {
    let harness = Harness::start().await;
    let config = harness.dir.path().join("tollgate.toml");
    let (volume, copy) = (harness.dir.path().join("volume"), harness.dir.path().join("copy"));
    let journal = lost_volume(&volume, 1, &harness.customer).await;
    let mut late = entry(99, NOVEMBER_US);
    late.admission.customer_id = harness.customer.parse().unwrap();
    let open = journal.try_permit().unwrap().open(late.admission.clone()).await.unwrap();
    // A process that was taken for dead, as it held no name: what it had open is estimated, and then it ends it after all.
    copy_folder(&volume, &copy);
    let (code, adopted) = json_of(&config, &["journal", "adopt", copy.to_str().unwrap()]);
    assert_eq!((code, &adopted["entries"], &adopted["orphans"]), (Some(0), &json!(2), &json!(2)));
    open.end(late).await.unwrap();
    journal.shut_down().await;
    let (_, adopted) = json_of(&config, &["journal", "adopt", volume.to_str().unwrap()]);
    assert_eq!((&adopted["entries"], &adopted["orphans"]), (&json!(0), &json!(0)));
    let (_, letters) = json_of(&config, &["dead-letters", "list"]);
    let reason = letters[0]["reason"].as_str().unwrap();
    assert!(
        letters.as_array().unwrap().len() == 1 && reason.contains("the books say `interrupted, estimated"),
        "{letters}"
    );
    let (code, audit) = json_of(&config, &["audit"]);
    assert_eq!((code, &audit["dead_letters"]), (Some(1), &json!(1)), "somebody must look at it: {audit}");
    let retried = run(&config, &["dead-letters", "retry", letters[0]["id"].as_str().unwrap()]);
    assert_eq!(retried.status.code(), Some(1), "it does not vanish by being tried again");
    assert_eq!(metric(&harness, "tollgate_dead_letters").await, 1);
}

/// Makes every further segment of the gateway's boot impossible: their names are taken by folders.
fn block_new_segments(boot_dir: &Path) -> Vec<PathBuf> {
    let free = (1..200).filter(|index| !boot_dir.join(format!("{index:08}.seg")).exists());
    let blocked = free.map(|index| boot_dir.join(format!("{index:08}.seg.new"))).collect::<Vec<_>>();
    blocked.iter().for_each(|path| fs::create_dir(path).unwrap());
    blocked
}

const TINY_JOURNAL: &str = "[journal]\nsegment_bytes = 65536\nin_flight_max = 64\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_no_more_refuses_new_requests_and_records_the_running_ones() {
    let harness = Harness::start_with(TINY_JOURNAL).await;
    let boot_dir = harness.gateway().proxy.journal.boot_dir().to_owned();
    until("spares are ready", async || {
        let names: Vec<_> = fs::read_dir(&boot_dir).unwrap().map(|file| file.unwrap().path()).collect();
        names.len() >= 7 && names.iter().all(|path| path.extension().is_none_or(|extension| extension != "new"))
    })
    .await;
    // Streams under way, which end after the disk has filled.
    let slow = chat(json!({ "stream": true, "x_fake": { "chunks": 3, "gap_ms": 1500 } }));
    let mut running = Vec::new();
    for _ in 0..20 {
        running.push(harness.request("/v1/chat/completions", &slow).send().await.unwrap());
    }
    let blocked = block_new_segments(&boot_dir);
    let (mut served, refused) = {
        let mut served = 0;
        loop {
            let answer = harness.chat(json!({})).await;
            if answer.status != 200 {
                break (served, answer);
            }
            served += 1;
        }
    };
    assert_eq!((refused.status, refused.error_code()), (503, json!("journal_unavailable")));
    assert_eq!(read(harness.client.get(harness.admin_url("/readyz"))).await.status, 503);
    for stream in running {
        assert!(stream.text().await.unwrap().ends_with("data: [DONE]\n\n"));
        served += 1;
    }
    assert!(!harness.gateway().proxy.journal.is_poisoned(), "what was let in had its room");
    blocked.iter().for_each(|path| fs::remove_dir(path).unwrap());
    until("requests are accepted again", async || harness.gateway().proxy.journal.check().is_ok()).await;
    assert_eq!(harness.chat(json!({})).await.status, 200);
    assert_eq!(harness.totals().await["requests"], served + 1);
    harness.assert_clean_audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_journal_is_poisoned_running_requests_go_straight_into_the_store() {
    let mut harness = Harness::start_with(TINY_JOURNAL).await;
    let boot_dir = harness.gateway().proxy.journal.boot_dir().to_owned();
    until("spares are ready", async || {
        let names: Vec<_> = fs::read_dir(&boot_dir).unwrap().map(|file| file.unwrap().path()).collect();
        names.len() >= 7 && names.iter().all(|path| path.extension().is_none_or(|extension| extension != "new"))
    })
    .await;
    // Ends far larger than what was reserved for them.
    let usage = json!({ "prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6, "padding": "x".repeat(14_000) });
    let slow = chat(json!({ "stream": true, "x_fake": { "chunks": 2, "gap_ms": 2000, "usage": usage } }));
    let mut running = Vec::new();
    for _ in 0..60 {
        running.push(harness.request("/v1/chat/completions", &slow).send().await.unwrap());
    }
    block_new_segments(&boot_dir);
    let mut ids = Vec::new();
    for stream in running {
        ids.push(stream.headers()["x-tollgate-request-id"].to_str().unwrap().to_owned());
        assert!(stream.text().await.unwrap().ends_with("data: [DONE]\n\n"), "its client notices nothing");
    }
    assert!(harness.gateway().proxy.journal.is_poisoned());
    let refused = harness.chat(json!({})).await;
    assert_eq!((refused.status, refused.error_code()), (503, json!("journal_unavailable")));
    for id in &ids {
        assert_eq!(harness.booked(id).await["usage_source"], "provider_final");
    }
    let direct = metric(&harness, "tollgate_journal_direct_inserts_total").await;
    assert!(direct > 0 && direct < 60, "{direct}: some found room in the journal");
    assert_eq!(harness.totals().await["requests"], 60);
    harness.restart().await;
    assert_eq!(harness.totals().await["requests"], 60, "recovery finds them posted");
    harness.assert_clean_audit().await;
    assert_eq!(harness.chat(json!({})).await.status, 200, "a fresh boot writes again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_up_quota_refuses_new_requests_until_there_is_room() {
    let toml = "[journal]\nsegment_bytes = 65536\nin_flight_max = 16\ndisk_bytes_max = 1000000\n";
    let harness = Harness::start_with(toml).await;
    let body = chat(json!({ "stream": true, "x_fake": { "chunks": 2, "gap_ms": 1000 } }));
    let running = harness.request("/v1/chat/completions", &body).send().await.unwrap();
    let kept = harness.dir.path().join("data/journal/main/quarantine");
    fs::create_dir_all(&kept).unwrap();
    fs::write(kept.join("left"), vec![1; 900_000]).unwrap();
    until("the quota is noticed", async || harness.chat(json!({})).await.status == 503).await;
    assert_eq!(read(harness.client.get(harness.admin_url("/readyz"))).await.status, 503);
    assert!(metric(&harness, "tollgate_journal_disk_bytes").await > 950_000);
    let id = running.headers()["x-tollgate-request-id"].to_str().unwrap().to_owned();
    assert!(running.text().await.unwrap().ends_with("data: [DONE]\n\n"));
    harness.booked(&id).await;
    fs::remove_file(kept.join("left")).unwrap();
    until("there is room again", async || harness.chat(json!({})).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_beside_its_successor_is_adopted_by_it() {
    let upstream = FakeUpstream::start().await;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("upstream-key"), "sk-upstream-secret").unwrap();
    fs::write(dir.path().join("pepper"), "ab".repeat(32)).unwrap();
    let shared = format!(
        "dir = {:?}\n[store]\nurl = \"sqlite://{}\"\n[keys]\npepper = \"file:{}\"\n",
        dir.path().join("journal"),
        dir.path().join("books.db").display(),
        dir.path().join("pepper").display()
    );
    let mut gateways = Vec::new();
    for name in ["old", "new"] {
        let (data, admin) = (free_port(), free_port());
        let folder = dir.path().join(name);
        fs::create_dir(&folder).unwrap();
        fs::copy(dir.path().join("upstream-key"), folder.join("upstream-key")).unwrap();
        let toml = base_toml(&folder, &upstream.openai_url())
            .replacen("127.0.0.1:0", &format!("127.0.0.1:{data}"), 1)
            .replacen("127.0.0.1:0", &format!("127.0.0.1:{admin}"), 1);
        let config = folder.join("tollgate.toml");
        fs::write(&config, format!("{SMALL_JOURNAL}{shared}{toml}")).unwrap();
        gateways.push((config, data, admin));
    }
    let (old_config, old_data, old_admin) = &gateways[0];
    let (new_config, new_data, new_admin) = &gateways[1];
    let customer = cli(old_config, &["customers", "create", "Acme"])["id"].as_str().unwrap().to_owned();
    let key = cli(old_config, &["keys", "create", "--customer", &customer])["key"].as_str().unwrap().to_owned();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let chat_at = |port: u16, body: Value| {
        http.post(format!("http://127.0.0.1:{port}/v1/chat/completions")).bearer_auth(&key).json(&body)
    };
    let old = Process::start(old_config, &[]);
    wait_until_ready(&http, *old_admin).await;
    let stalled = chat(json!({ "stream": true, "x_fake": { "fault": "stall", "at": 1 } }));
    let stream = chat_at(*old_data, stalled).send().await.unwrap();
    let id = stream.headers()["x-tollgate-request-id"].to_str().unwrap().to_owned();
    let new = Process::start(new_config, &[]);
    wait_until_ready(&http, *new_admin).await;
    assert!(chat_at(*new_data, chat(json!({}))).send().await.unwrap().status().is_success());
    assert!(chat_at(*old_data, chat(json!({}))).send().await.unwrap().status().is_success(), "both serve");
    old.kill();
    until("the successor adopts what its predecessor left", async || {
        let shown = run(new_config, &["requests", "show", &id, "--json"]);
        shown.status.success() && String::from_utf8(shown.stdout).unwrap().contains("interrupted")
    })
    .await;
    let audit = cli(new_config, &["audit"]);
    assert_eq!((&audit["entries"], &audit["differences"]), (&json!(3), &json!([])));
    assert_eq!(boots(&dir.path().join("journal")).len(), 1);
    new.kill();
}

#[tokio::test]
async fn damage_in_a_living_journal_is_kept_aside_by_its_poster_before_it_releases_anything() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("books.db")).await.unwrap();
    let options = Options {
        segment_bytes: 8192,
        in_flight_max: 8,
        attempt_bytes_reserved: 1024,
        ..Options::new(dir.path().join("journal"), "main".to_owned())
    };
    let journal = Journal::open(options, BootId::new(1, &[7; 10])).unwrap();
    for number in 1..=60 {
        let last = entry(number, NOVEMBER_US);
        let open = journal.try_permit().unwrap().open(last.admission.clone()).await.unwrap();
        open.end(last).await.unwrap();
    }
    let segments = || -> usize { fs::read_dir(journal.boot_dir()).unwrap().count() };
    let before = segments();
    let first = journal.boot_dir().join("00000001.seg");
    let mut bytes = fs::read(&first).unwrap();
    bytes[100] ^= 1;
    fs::write(&first, bytes).unwrap();
    let clock = Clock::fake(NOVEMBER_US);
    let poster = Poster::new(store.clone(), journal.clone(), "main".to_owned(), clock.clone(), Arc::default());
    clock.advance(Duration::from_secs(60));
    let stop = CancellationToken::new();
    let posting = tokio::spawn(poster.run(stop.clone()));
    until("damage is counted and segments are released", async || {
        journal.status().missing_records == 1 && segments() < before
    })
    .await;
    stop.cancel();
    posting.await.unwrap();
    assert_eq!(store.entry_count().await.unwrap(), 60, "the damaged OPENED is not needed: its ENDED is there");
    let kept = dir.path().join("journal/main/quarantine").join(journal.boot_id().to_string());
    assert!(kept.join("report.json").exists() && fs::read_dir(kept).unwrap().count() == 2);
    assert!(!first.exists());
}

#[test]
fn check_tells_journal_options_that_cannot_work() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("tollgate.toml");
    for (toml, expected) in [
        ("[journal]\ndisk_bytes_max = 1000\n", "`disk_bytes_max` is 1000; use at least"),
        ("[journal]\nsegment_bytes = 1000\n", "`segment_bytes` is 1000; use at least 8192"),
    ] {
        fs::write(&config, toml).unwrap();
        let output = run(&config, &["check"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.code() == Some(1) && text.contains(expected), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_durable_while_the_store_failed_is_posted_before_a_stop_ends() {
    let mut harness = Harness::start().await;
    let database = format!("sqlite://{}", harness.dir.path().join("data/tollgate.db").display());
    let by_hand = sqlx::SqlitePool::connect(&database).await.unwrap();
    let run = async |sql: &'static str| {
        sqlx::query(sql).execute(&by_hand).await.unwrap();
    };
    run("alter table entries rename to entries_away").await;
    harness.chat(json!({})).await;
    // By now the first batch has failed several times, and is tried again in more than a second.
    tokio::time::sleep(Duration::from_millis(1800)).await;
    for _ in 0..5 {
        harness.chat(json!({})).await;
    }
    run("alter table entries_away rename to entries").await;
    harness.gateway.take().unwrap().stop().await;
    let entries: i64 = sqlx::query_scalar("select count(*) from entries").fetch_one(&by_hand).await.unwrap();
    assert_eq!(entries, 6);
    by_hand.close().await;
}
