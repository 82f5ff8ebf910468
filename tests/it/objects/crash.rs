//! Processes that die, gateways that share a batch, and a store that is away.

use std::{path::PathBuf, time::Duration};

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate_fakes::FakeUpstream;

use super::scene::{form, lines};
use crate::{
    cluster::Cluster,
    harness::{Answer, read},
    process::{Process, cli, free_port, wait_until_ready},
    replicas::Fleet,
    setting::{SMALL_JOURNAL, base_toml},
};

/// Quick, and soon sure that nobody waits for an answer any more.
const QUICK: &str = "[batches]\npoll_ms_min = 50\npoll_ms_max = 200\n\
     [[provider]]\nname = \"claude\"\ndialect = \"anthropic\"\nbase_url = \"{upstream}\"\nallow_private = true\n\
     [[model]]\nname = \"poet\"\ntargets = [{ provider = \"claude\", model = \"demo-model\" }]\n\
     [prices]\nunpriced = \"record\"\n";

/// A gateway in a process of its own, on SQLite.
struct Place {
    upstream: FakeUpstream,
    config: PathBuf,
    url: String,
    admin: u16,
    key: String,
    http: reqwest::Client,
    _dir: TempDir,
}

impl Place {
    async fn new() -> Self {
        let upstream = FakeUpstream::start().await;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("upstream-key"), "sk-upstream-secret").unwrap();
        let (data, admin) = (free_port(), free_port());
        let toml = base_toml(dir.path(), &upstream.openai_url())
            .replacen("127.0.0.1:0", &format!("127.0.0.1:{data}"), 1)
            .replacen("127.0.0.1:0", &format!("127.0.0.1:{admin}"), 1)
            .replacen("shutdown_grace_ms", "request_timeout_ms = 1500\nshutdown_grace_ms", 1);
        let quick = QUICK.replace("{upstream}", &upstream.base_url());
        let config = dir.path().join("tollgate.toml");
        std::fs::write(&config, format!("{SMALL_JOURNAL}{toml}{quick}")).unwrap();
        let customer = cli(&config, &["customers", "create", "Acme"])["id"].as_str().unwrap().to_owned();
        let key = cli(&config, &["keys", "create", "--customer", &customer])["key"].as_str().unwrap().to_owned();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { upstream, config, url: format!("http://127.0.0.1:{data}"), admin, key, http, _dir: dir }
    }

    async fn start(&self) -> Process {
        let process = Process::start(&self.config, &[]);
        wait_until_ready(&self.http, self.admin).await;
        process
    }

    fn plan(&self, plan: Value) {
        self.upstream.set_plan(&plan).unwrap();
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    async fn get(&self, path: &str) -> Answer {
        read(self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.key)).await
    }

    async fn upload(&self, content: &str) -> Value {
        let answer = read(form(self.post("/v1/files"), "batch", content)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["id"].clone()
    }

    fn batch(&self, file: &Value) -> RequestBuilder {
        self.post("/v1/batches").json(&batch(file))
    }

    /// Output tokens in the books.
    fn output(&self) -> u64 {
        cli(&self.config, &["usage", "--by", "model"])
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["output"].as_u64().unwrap())
            .sum()
    }

    async fn until_output(&self, least: u64) {
        for _ in 0..200 {
            if self.output() >= least {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the books did not have {least} output tokens after twenty seconds: {}", self.output());
    }

    fn assert_clean_audit(&self, entries: u64) {
        let audit = cli(&self.config, &["audit"]);
        assert_eq!(
            (&audit["entries"], &audit["lost"], &audit["doubled"], &audit["differences"]),
            (&json!(entries), &json!(0), &json!(0), &json!([])),
            "{audit}"
        );
    }
}

fn batch(file: &Value) -> Value {
    json!({ "input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h" })
}

#[tokio::test]
async fn a_gateway_that_is_killed_while_it_books_a_batch_books_each_result_once_in_the_end() {
    let place = Place::new().await;
    let process = place.start().await;
    let file = place.upload(&lines("demo-model", 1500)).await;
    place.plan(json!({ "results": "stall" }));
    assert_eq!(read(place.batch(&file)).await.status, 200);
    // Half of the results have come, and some of them are in the books.
    place.until_output(400).await;
    process.kill();
    let before = place.output();
    assert!((400..1500).contains(&before), "{before}");
    // The rest comes in another order.
    place.plan(json!({}));
    let process = place.start().await;
    place.until_output(1500).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(place.output(), 1500);
    place.assert_clean_audit(1501);
    process.kill();
    let process = place.start().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    place.assert_clean_audit(1501);
    drop(process);
}

#[tokio::test]
async fn a_batch_whose_id_was_lost_with_the_process_is_found_and_booked_for_its_customer() {
    let place = Place::new().await;
    let process = place.start().await;
    let file = place.upload(&lines("demo-model", 7)).await;
    // Somebody else's, of the same account: it is not taken for the lost one.
    let foreign = reqwest::Client::new();
    let messages = json!([{ "role": "user", "content": "hello there" }]);
    let requests = |prefix: &str| -> Vec<Value> {
        let params = json!({ "model": "poet", "max_tokens": 9, "messages": messages, "x_fake": { "chunks": 1 } });
        (0..5).map(|n| json!({ "custom_id": format!("{prefix}-{n}"), "params": params })).collect()
    };
    let of_messages = json!({ "requests": requests("mine") });
    let others = json!({ "requests": requests("others") });
    let url = format!("{}/v1/messages/batches", place.upstream.base_url());
    assert!(foreign.post(&url).json(&others).send().await.unwrap().status().is_success());
    place.plan(json!({ "make": "never" }));
    let (first, second) = (place.batch(&file).send(), place.post("/v1/messages/batches").json(&of_messages).send());
    let sent = place.upstream.count();
    let clients = tokio::spawn(async move { tokio::join!(first, second) });
    assert!(place.upstream.wait_for_count(sent + 2, Duration::from_secs(10)).await);
    process.kill();
    let (first, second) = clients.await.unwrap();
    assert!(first.is_err() && second.is_err());
    place.plan(json!({}));
    let process = place.start().await;
    place.until_output(12).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Results, and the two requests that made the batches.
    place.assert_clean_audit(14);
    assert_eq!(place.get("/v1/batches").await.json()["data"].as_array().unwrap().len(), 1);
    assert_eq!(place.get("/v1/messages/batches").await.json()["data"].as_array().unwrap().len(), 1);
    drop(process);
}

#[tokio::test]
async fn a_batch_whose_making_was_cut_off_is_found_if_it_was_made_and_else_owes_nothing() {
    let place = Place::new().await;
    let process = place.start().await;
    let file = place.upload(&lines("demo-model", 3)).await;
    place.plan(json!({ "make": "cut" }));
    let cut = read(place.batch(&file)).await;
    assert_eq!((cut.status, cut.error_code()), (502, json!("maybe_made")), "{}", cut.text);
    // An SDK that tried again by itself would make it twice.
    assert_eq!((cut.header("x-should-retry"), cut.header("retry-after")), (Some("false"), None));
    // This one the provider loses, too.
    let params = json!({ "model": "poet", "max_tokens": 9, "messages": [{ "role": "user", "content": "x" }] });
    let requests = json!({ "requests": [{ "custom_id": "a", "params": params }] });
    assert_eq!(read(place.post("/v1/messages/batches").json(&requests)).await.status, 502);
    let account = format!("{}/v1/messages/batches", place.upstream.base_url());
    let list: Value = place.http.get(&account).send().await.unwrap().json().await.unwrap();
    let id = list["data"][0]["id"].as_str().unwrap();
    assert!(place.http.delete(format!("{account}/{id}")).send().await.unwrap().status().is_success());
    place.plan(json!({}));
    place.until_output(3).await;
    for _ in 0..100 {
        if cli(&place.config, &["audit"])["entries"] == 5 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Three results, and both requests.
    place.assert_clean_audit(5);
    assert_eq!(place.output(), 3);
    assert_eq!(place.get("/v1/messages/batches").await.json()["data"], json!([]));
    drop(process);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_on_one_store_book_a_batch_once_also_when_one_of_them_is_killed() {
    let url = Cluster::shared().database().await;
    let mut fleet = Fleet::new(0, &url).await;
    let quick = "[batches]\npoll_ms_min = 50\npoll_ms_max = 200\n";
    for number in 0..2 {
        fleet.add(&format!("gateway-{number}"), &format!("gateway-{number}"), quick);
    }
    fleet.start_all().await;
    let key = fleet.known_key().await;
    let known = fleet.cli(0, &["usage", "--by", "model"])[0]["requests"].as_u64().unwrap_or(0);
    let ports = [fleet.replicas[0].data, fleet.replicas[1].data];
    let at = |number: usize, path: &str| format!("http://127.0.0.1:{}{path}", ports[number]);
    let upload = form(fleet.http.post(at(0, "/v1/files")).bearer_auth(&key), "batch", &lines("demo-model", 1500));
    let file = read(upload).await.json()["id"].clone();
    fleet.upstream.set_plan(&json!({ "results": "stall" })).unwrap();
    // What one has bound the other knows.
    let made = read(fleet.http.post(at(1, "/v1/batches")).bearer_auth(&key).json(&batch(&file))).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let output = |fleet: &Fleet| -> u64 {
        let rows = fleet.cli(0, &["usage", "--by", "model"]);
        rows.as_array().unwrap().iter().map(|row| row["requests"].as_u64().unwrap()).sum()
    };
    for _ in 0..200 {
        if output(&fleet) > known + 400 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    fleet.replicas[1].process.take().unwrap().kill();
    fleet.upstream.set_plan(&json!({})).unwrap();
    let pool = sqlx::PgPool::connect(&fleet.url).await.unwrap();
    let mut lines = None;
    for round in 0..2 {
        for _ in 0..400 {
            let found: Option<i64> = sqlx::query_scalar("select result_lines from objects where kind = 'batch'")
                .fetch_one(&pool)
                .await
                .unwrap();
            lines = found;
            if lines.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(lines, Some(1500), "round {round}");
        // As if the process had died before it could note that all is done.
        let forget =
            "update objects set metered_at_us = null, result_lines = null, poll_after_us = 0 where kind = 'batch'";
        sqlx::query(forget).execute(&pool).await.unwrap();
    }
    let told = read(fleet.http.get(at(0, &format!("/v1/batches/{id}"))).bearer_auth(&key)).await;
    assert_eq!(told.json()["status"], "completed");
    fleet.until_posted(0).await;
    let audit = fleet.cli(0, &["audit"]);
    assert_eq!((&audit["lost"], &audit["doubled"], &audit["differences"]), (&json!(0), &json!(0), &json!([])));
    let in_batch: i64 =
        sqlx::query_scalar("select count(*) from entries where replica = 'batches'").fetch_one(&pool).await.unwrap();
    assert_eq!(in_batch, 1501);
    fleet.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_away_nothing_is_made_and_answers_go_on() {
    let cluster = Cluster::start(false);
    let mut fleet = Fleet::new(1, &cluster.database().await).await;
    fleet.start_all().await;
    let key = fleet.known_key().await;
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", fleet.replicas[0].data);
    let post = |path: &str| fleet.http.post(url(path)).bearer_auth(&key);
    let get = |path: String| fleet.http.get(url(&path)).bearer_auth(&key);
    let file = read(form(post("/v1/files"), "batch", &lines("demo-model", 1))).await.json()["id"].clone();
    cluster.order("stop");
    let sent = fleet.upstream.count();
    for request in [
        form(post("/v1/files"), "user_data", "text"),
        form(post("/v1/files"), "batch", &lines("demo-model", 1)),
        post("/v1/batches").json(&batch(&file)),
        post("/v1/conversations").json(&json!({})),
        get(format!("/v1/files/{}", file.as_str().unwrap())),
        post("/v1/responses").json(&json!({ "model": "demo-model", "input": "x", "previous_response_id": "resp_1" })),
    ] {
        let refused = read(request).await;
        assert_eq!((refused.status, refused.error_code()), (503, json!("store_unavailable")), "{}", refused.text);
    }
    assert_eq!(fleet.upstream.count(), sent, "something was sent of which nobody would know");
    let stored = read(post("/v1/responses").json(&json!({ "model": "demo-model", "input": "x" }))).await;
    assert_eq!(stored.status, 200, "{}", stored.text);
    cluster.order("start");
    let path = format!("/v1/responses/{}", stored.json()["id"].as_str().unwrap());
    let mut found = 0;
    for _ in 0..400 {
        found = read(get(path.clone())).await.status;
        if found == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(found, 200, "what was told while the store was away is bound when it is back");
    assert_eq!(read(post("/v1/batches").json(&batch(&file))).await.status, 200);
    fleet.stop_all().await;
}
