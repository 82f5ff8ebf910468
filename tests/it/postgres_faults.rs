//! Postgres stops, flaps, is slow, deadlocks and loses the word of a commit, under load: lost 0, doubled 0, wrong 0.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use tokio::time::{Instant, sleep};

use crate::{
    books::{NOVEMBER_US, customer, dated_entry, postgres_store, seed},
    cluster::Cluster,
    load::{Seen, Verdict},
    replicas::Fleet,
    setting::chat,
    wire::Wire,
};
use tollgate::{
    accounts::{Accounts, NewKeySpec},
    billing::audit::audit,
    clock::Clock,
    journal::{Journal, Options},
    posting::recover::recover,
    store::{Store, entries::PostBatch},
};
use tollgate_core::id::BootId;

/// Nothing is lost, doubled or wrong.
async fn judge(fleet: &mut Fleet, seen: &Seen) -> Verdict {
    let verdict = fleet.judge(seen).await;
    eprintln!("{verdict:?}");
    assert_eq!((verdict.lost, verdict.doubled, verdict.wrong), (0, 0, 0));
    verdict
}

async fn metric(fleet: &Fleet, number: usize, name: &str) -> Option<u64> {
    let replica = &fleet.replicas[number];
    let folder = replica.config.parent().unwrap().join("data/admin-token");
    let token = std::fs::read_to_string(folder).unwrap();
    let url = format!("http://127.0.0.1:{}/metrics", replica.admin);
    let text = fleet.http.get(url).bearer_auth(token.trim()).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_serve_through_a_crash_of_postgres_and_book_everything_afterwards() {
    let cluster = Cluster::start(true);
    let (mut fleet, key) = Fleet::running(2, &cluster.database().await).await;
    let seen = Arc::<Seen>::default();
    let clients = fleet.load(&key, &seen, 20);
    sleep(Duration::from_millis(500)).await;
    cluster.order("kill");
    let before = seen.complete();
    sleep(Duration::from_millis(1500)).await;
    assert!(seen.complete() > before + 100, "requests are served without the store");
    for number in [0, 1] {
        let (status, ready) = fleet.ready(number).await;
        assert_eq!((status, &ready["ready"], &ready["store"]), (200, &json!(true), &json!(false)), "{ready}");
        assert!(ready["store_lag_records"].as_u64().unwrap() > 0, "{ready}");
        assert_eq!(
            fleet.ask(number, &key, chat(json!({ "user": format!("during-{number}") }))).await.unwrap().status(),
            200
        );
        assert_eq!(metric(&fleet, number, "tollgate_store_up").await, Some(0));
    }
    assert_eq!(seen.refused(), 0, "keys without a hard budget see nothing of it");
    // What must be written at once is refused and says so.
    let refused = crate::commands::run(&fleet.replicas[0].config, &["customers", "create", "Nobody"]);
    assert_eq!(refused.status.code(), Some(1));
    cluster.order("start");
    sleep(Duration::from_millis(500)).await;
    clients.stop().await;
    for number in [0, 1] {
        fleet.until_posted(number).await;
        assert_eq!(metric(&fleet, number, "tollgate_usage_gap_total").await, Some(0));
        assert_eq!(metric(&fleet, number, "tollgate_journal_lag_entries").await, Some(0));
    }
    let verdict = judge(&mut fleet, &seen).await;
    assert!(verdict.complete > 300, "too little load to mean anything: {verdict:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flapping_postgres_loses_and_doubles_nothing() {
    let cluster = Cluster::start(true);
    let (mut fleet, key) = Fleet::running(2, &cluster.database().await).await;
    let seen = Arc::default();
    let clients = fleet.load(&key, &seen, 20);
    for round in 0..5 {
        sleep(Duration::from_millis(150 + 130 * round)).await;
        cluster.order("kill");
        sleep(Duration::from_millis(70 * round)).await;
        cluster.order("start");
    }
    clients.stop().await;
    judge(&mut fleet, &seen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_is_bounded_while_postgres_is_away_and_the_next_start_books_the_rest() {
    let cluster = Cluster::start(true);
    let (mut fleet, key) = Fleet::running(1, &cluster.database().await).await;
    cluster.order("kill");
    for number in 0..10 {
        let body = chat(json!({ "user": format!("u{number}") }));
        assert_eq!(fleet.ask(0, &key, body).await.unwrap().status(), 200);
    }
    let waited = fleet.stop(0).await;
    assert!(waited < Duration::from_secs(20), "{waited:?}");
    cluster.order("start");
    fleet.start_all().await;
    let verdict = judge(&mut fleet, &Seen::default()).await;
    assert_eq!(verdict.reached, 11, "ten, and the one that found the key known");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_word_is_lost_is_posted_once() {
    let (wire, mut fleet, key) = Fleet::behind_a_wire(1, Cluster::shared()).await;
    let seen = Arc::default();
    let clients = fleet.load(&key, &seen, 20);
    while wire.behaviour.acks_lost.load(Ordering::Relaxed) < 5 {
        wire.behaviour.acks_to_lose.store(1, Ordering::Relaxed);
        sleep(Duration::from_millis(200)).await;
    }
    wire.behaviour.acks_to_lose.store(0, Ordering::Relaxed);
    clients.stop().await;
    judge(&mut fleet, &seen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_and_a_silent_postgres_do_not_slow_the_answers_and_are_caught_up_with() {
    let (wire, mut fleet, key) = Fleet::behind_a_wire(1, Cluster::shared()).await;
    let seen = Arc::default();
    let clients = fleet.load(&key, &seen, 20);
    wire.behaviour.delay_ms.store(60, Ordering::Relaxed);
    sleep(Duration::from_secs(1)).await;
    // Nothing comes back, and nothing says so: a write gives its connection up by itself.
    wire.behaviour.silent.store(true, Ordering::Relaxed);
    sleep(Duration::from_secs(1)).await;
    clients.stop().await;
    let answered = Instant::now();
    assert_eq!(fleet.ask(0, &key, chat(json!({ "user": "in silence" }))).await.unwrap().status(), 200);
    assert!(answered.elapsed() < Duration::from_secs(5), "an answer waits for the store");
    assert_eq!(fleet.ready(0).await.0, 200);
    for _ in 0..120 {
        if fleet.ready(0).await.1["store_failing_s"] != 0 {
            break;
        }
        sleep(Duration::from_millis(250)).await;
    }
    assert_ne!(fleet.ready(0).await.1["store_failing_s"], 0, "the write that hangs is not given up");
    wire.behaviour.delay_ms.store(0, Ordering::Relaxed);
    wire.behaviour.silent.store(false, Ordering::Relaxed);
    judge(&mut fleet, &seen).await;
}

/// Waits until `/readyz` of the first gateway is as it should be; gives how long that took.
async fn until_ready_says(fleet: &Fleet, what: &str, at_most: Duration, is_so: impl Fn(&serde_json::Value) -> bool) {
    let started = Instant::now();
    loop {
        let (status, ready) = fleet.ready(0).await;
        assert_eq!(status, 200, "a store that is away stops nobody: {ready}");
        if is_so(&ready) {
            return;
        }
        assert!(started.elapsed() < at_most, "{what}: not after {at_most:?}: {ready}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Makes every connection die: all of them are used within this time.
async fn kill_all_connections(wire: &Wire, after: Duration) {
    let before = wire.behaviour.died.load(Ordering::Relaxed);
    wire.behaviour.never_again.store(true, Ordering::Relaxed);
    sleep(after).await;
    assert!(wire.behaviour.died.load(Ordering::Relaxed) > before, "nothing was sent meanwhile");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_die_without_a_word_hold_nothing_up() {
    let (wire, mut fleet, key) = Fleet::behind_a_wire(1, Cluster::shared()).await;
    let doomed = fleet.new_key(0);
    let doomed_key = doomed["key"].as_str().unwrap().to_owned();
    assert_eq!(fleet.ask(0, &doomed_key, chat(json!({ "user": "before" }))).await.unwrap().status(), 200);
    let seen = Arc::default();
    let clients = fleet.load(&key, &seen, 20);

    kill_all_connections(&wire, Duration::from_secs(1)).await;
    until_ready_says(&fleet, "the store is told to be away", Duration::from_secs(7), |ready| {
        ready["store"] == false && ready["store_failing_s"] != 0
    })
    .await;
    until_ready_says(&fleet, "the name is told to be stale", Duration::from_secs(13), |ready| ready["name"] == false)
        .await;
    wire.behaviour.never_again.store(false, Ordering::Relaxed);

    // Promised: a second; and those who looked into the void give up after five.
    let mut by_hand = PgConnection::connect(&fleet.url).await.unwrap();
    let revoke = "update keys set revoked_at_us = 1 where public_id = $1";
    let public_id = doomed["public_id"].as_str().unwrap();
    let revoked = sqlx::query(revoke).bind(public_id).execute(&mut by_hand).await.unwrap();
    assert_eq!(revoked.rows_affected(), 1);
    let started = Instant::now();
    loop {
        let user = format!("probe-{}", started.elapsed().as_micros());
        let status = fleet.ask(0, &doomed_key, chat(json!({ "user": user }))).await.unwrap().status();
        if status == 401 {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(8), "a revoked key goes on working: {status}");
        sleep(Duration::from_millis(50)).await;
    }
    until_ready_says(&fleet, "the name is renewed", Duration::from_secs(8), |ready| ready["name"] == true).await;
    clients.stop().await;
    until_ready_says(&fleet, "all is posted", Duration::from_secs(25), |ready| {
        ready["store"] == true && ready["store_lag_records"] == 0 && ready["store_failing_s"] == 0
    })
    .await;
    judge(&mut fleet, &seen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_is_bounded_when_every_connection_has_died_without_a_word() {
    let (wire, mut fleet, key) = Fleet::behind_a_wire(1, Cluster::shared()).await;
    fleet.until_posted(0).await;
    wire.behaviour.never_again.store(true, Ordering::Relaxed);
    let seen = Arc::default();
    let clients = fleet.load(&key, &seen, 20);
    sleep(Duration::from_millis(700)).await;
    clients.stop().await;
    let waited = fleet.stop(0).await;
    assert!(waited < Duration::from_secs(20), "{waited:?}");
    wire.behaviour.never_again.store(false, Ordering::Relaxed);
    fleet.start_all().await;
    judge(&mut fleet, &seen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_gateways_restart_one_after_another_under_load() {
    let (mut fleet, key) = Fleet::running(3, &Cluster::shared().database().await).await;
    let seen = Arc::default();
    let clients = fleet.load(&key, &seen, 20);
    for number in 0..3 {
        sleep(Duration::from_millis(300)).await;
        let waited = fleet.stop(number).await;
        assert!(waited < Duration::from_secs(20), "gateway {number} took {waited:?} to stop");
        fleet.start(number).await;
        let answer = fleet.ask(number, &key, chat(json!({ "user": format!("again-{number}") }))).await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    clients.stop().await;
    let verdict = judge(&mut fleet, &seen).await;
    assert!(verdict.complete > 300, "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_killed_and_one_that_is_not_share_books_that_hold() {
    let (mut fleet, key) = Fleet::running(2, &Cluster::shared().database().await).await;
    let seen = Arc::default();
    let clients = fleet.load(&key, &seen, 20);
    for _ in 0..4 {
        sleep(Duration::from_millis(300)).await;
        fleet.replicas[1].process.take().unwrap().kill();
        fleet.start(1).await;
    }
    clients.stop().await;
    let verdict = judge(&mut fleet, &seen).await;
    assert!(verdict.orphans > 0, "no kill hit a request under way: {verdict:?}");
}

fn batch(numbers: std::ops::Range<u64>) -> PostBatch {
    let entries = numbers.clone().map(|number| (number + 1, dated_entry(number, NOVEMBER_US))).collect();
    PostBatch::new("main".into(), BootId::new(1, &[4; 10]), numbers.end, entries)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_chosen_to_break_a_deadlock_is_posted_all_the_same() {
    let (store, url) = postgres_store().await;
    seed(&store).await;
    store.post(&batch(0..1)).await.unwrap();
    // This one does not look for deadlocks, so that ours is the one that is broken off.
    let mut other = PgConnection::connect(&url).await.unwrap();
    other.execute("set deadlock_timeout = '1h'").await.unwrap();
    other.execute("begin").await.unwrap();
    other.execute("select * from rollups_hourly for update").await.unwrap();
    let posting = {
        let store = store.clone();
        tokio::spawn(async move { store.post(&batch(0..10)).await })
    };
    let mut look = PgConnection::connect(&url).await.unwrap();
    let waiting = "select count(*) from pg_locks where not granted";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut look).await.unwrap() == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    other.execute("select * from cursors for update").await.unwrap();
    other.execute("commit").await.unwrap();
    assert_eq!(posting.await.unwrap().unwrap().inserted, 9);
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    let mut seen = 0;
    for _ in 0..100 {
        // Statistics arrive a moment later.
        seen = sqlx::query_scalar::<_, i64>(deadlocks).fetch_one(&mut look).await.unwrap();
        if seen > 0 {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert!(seen > 0, "there was no deadlock to break");
    assert_eq!(audit(&store).await.unwrap().differences, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_partition_cannot_take_now_goes_to_the_default_one_and_moves_later() {
    let (store, url) = postgres_store().await;
    seed(&store).await;
    let mut pool = PgConnection::connect(&url).await.unwrap();
    let mut reader = PgConnection::connect(&url).await.unwrap();
    reader.execute("begin").await.unwrap();
    reader.execute("select count(*) from entries").await.unwrap();
    // A partition cannot be made while somebody reads the default one: posting does not wait for that.
    let midnight = NOVEMBER_US + 86_400_000_000;
    let entries = vec![
        (1, dated_entry(1, midnight - 1_000)),
        (2, dated_entry(2, midnight)),
        (3, dated_entry(3, midnight + 1_000)),
    ];
    let across = PostBatch::new("main".into(), BootId::new(1, &[4; 10]), 3, entries);
    assert_eq!(store.post(&across).await.unwrap().inserted, 3);
    let strays = "select count(*) from entries_default";
    assert_eq!(sqlx::query_scalar::<_, i64>(strays).fetch_one(&mut pool).await.unwrap(), 3);
    reader.execute("rollback").await.unwrap();
    assert_eq!(store.post(&across).await.unwrap().inserted, 0, "they count once, wherever they lie");
    let partition = "select to_regclass('entries_20261101') is null";
    let is_missing = sqlx::query_scalar::<_, bool>(partition).fetch_one(&mut pool).await.unwrap();
    assert!(is_missing, "no batch waits for a partition that could not be made a moment ago");
    store.tend_partitions(0..0).await.unwrap();
    for (table, expected) in [("entries_default", 0), ("entries_20261101", 1), ("entries_20261102", 2)] {
        let count = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&mut pool).await.unwrap(), expected, "{table}");
    }
    assert_eq!(store.post(&across).await.unwrap().inserted, 0);
    let report = audit(&store).await.unwrap();
    assert_eq!((report.entries, report.differences), (3, vec![]));
}

/// Twenty requests are posted; the store forgets them, as a standby that took over a little too early; so many more are
/// asked, before the gateway looks at what the store has.
async fn lose_the_last_commits_and_ask(more: i64) {
    let (mut fleet, key) = Fleet::running(1, &Cluster::shared().database().await).await;
    let ask = async |fleet: &Fleet, number: i64| {
        let body = chat(json!({ "user": format!("u{number}") }));
        assert_eq!(fleet.ask(0, &key, body).await.unwrap().status(), 200);
    };
    for number in 0..20 {
        ask(&fleet, number).await;
    }
    fleet.until_posted(0).await;
    let pool = sqlx::PgPool::connect(&fleet.url).await.unwrap();
    sqlx::query("truncate entries, rollups_hourly, cursors").execute(&pool).await.unwrap();
    for number in 20..20 + more {
        ask(&fleet, number).await;
    }
    let mut entries = 0_i64;
    for _ in 0..200 {
        entries = sqlx::query_scalar("select count(*) from entries").fetch_one(&pool).await.unwrap();
        if entries == 21 + more {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(entries, 21 + more, "those, and the one that found the key known");
    judge(&mut fleet, &Seen::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_lost_its_last_commits_gets_them_again_from_the_journal() {
    lose_the_last_commits_and_ask(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_after_commits_that_a_store_lost_does_not_hide_that_they_are_lost() {
    lose_the_last_commits_and_ask(10).await;
}

/// A journal of a boot that died, with so many attempts that ended.
async fn journal_of(dir: &std::path::Path, attempts: u64) {
    let journal = Journal::open(Options::new(dir.to_owned(), "main".into()), BootId::new(1, &[4; 10])).unwrap();
    for number in 1..=attempts {
        let entry = dated_entry(number, NOVEMBER_US);
        let open = journal.try_permit().unwrap().open(entry.admission.clone()).await.unwrap();
        open.end(entry).await.unwrap();
    }
    journal.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_too_slow_is_posted_in_pieces() {
    let (store, url) = postgres_store().await;
    seed(&store).await;
    let mut by_hand = PgConnection::connect(&url).await.unwrap();
    // A server that can do a hundred rows in the time that a statement has.
    by_hand
        .execute(
            "create table done (entries bigint);
             create function too_slow() returns trigger language plpgsql as $$
             declare entries bigint;
             begin
               select count(*) into entries from fresh;
               if entries > 100 then
                 raise exception 'canceling statement due to statement timeout' using errcode = '57014';
               end if;
               insert into done values (entries);
               return null;
             end $$;
             create trigger too_slow after insert on entries referencing new table as fresh
             for each statement execute function too_slow();",
        )
        .await
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    journal_of(dir.path(), 300).await;
    let recovered = recover(&store, dir.path(), "main").await.unwrap();
    assert_eq!((recovered.boots, recovered.entries, recovered.missing), (1, 300, 0));
    let sum = "select sum(entries)::bigint from done";
    assert_eq!(sqlx::query_scalar::<_, i64>(sum).fetch_one(&mut by_hand).await.unwrap(), 300);
    let report = audit(&store).await.unwrap();
    assert_eq!((report.entries, report.lost, report.differences), (300, 0, vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_that_is_posted_locks_in_the_order_of_posting() {
    let (store, url) = postgres_store().await;
    seed(&store).await;
    let letter = batch(0..1);
    store.bury(&letter, "refused", 0).await.unwrap();
    let mut other = PgConnection::connect(&url).await.unwrap();
    // As a poster of the same boot, which puts the next entry aside.
    other.execute("begin").await.unwrap();
    other.execute("select * from cursors for update").await.unwrap();
    let reviving = {
        let (store, id) = (store.clone(), letter.entries[0].1.id);
        tokio::spawn(async move { store.revive(id).await })
    };
    let mut look = PgConnection::connect(&url).await.unwrap();
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut look).await.unwrap() == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    let letters = "select count(*) from (select 1 from dead_letters for update nowait) as letter";
    assert_eq!(sqlx::query_scalar::<_, i64>(letters).fetch_one(&mut other).await.unwrap(), 1, "nobody holds it");
    other.execute("commit").await.unwrap();
    reviving.await.unwrap().unwrap();
    assert_eq!((store.entry_count().await.unwrap(), store.dead_letter_count().await.unwrap()), (1, 0));
    assert_eq!(audit(&store).await.unwrap().differences, []);
}

/// Both engines, with a database each that refuses to revoke a key.
async fn stores_that_do_not_revoke(dir: &std::path::Path) -> Vec<Store> {
    let path = dir.join("t.db");
    let sqlite = Store::open(&path).await.unwrap();
    let mut by_hand = sqlx::SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    by_hand.execute("create trigger no before update on keys begin select raise(abort, 'not now'); end").await.unwrap();
    let (postgres, url) = postgres_store().await;
    let mut by_hand = PgConnection::connect(&url).await.unwrap();
    by_hand
        .execute(
            "create function no() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
             create trigger no before update on keys for each row execute function no()",
        )
        .await
        .unwrap();
    vec![sqlite, postgres]
}

#[tokio::test]
async fn a_key_is_rotated_as_a_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    for store in stores_that_do_not_revoke(dir.path()).await {
        seed(&store).await;
        let accounts = Accounts { store: store.clone(), clock: Clock::system(), pepper: [7; 32] };
        let spec = NewKeySpec {
            customer_id: customer(),
            name: None,
            requests_per_minute: None,
            tokens_per_minute: None,
            concurrent_requests: None,
            models: None,
            expires_at: None,
        };
        let (old, _) = accounts.create_key(spec).await.unwrap();
        accounts.rotate_key(old.id, 60).await.unwrap_err();
        let keys = store.keys().await.unwrap();
        assert_eq!(keys.len(), 1, "a new key beside one that still works: {keys:?}");
    }
}
