//! Lists by pages: every row once and in order, whatever comes and goes between two pages.

use serde_json::{Value, json};
use tollgate::store::{
    Store, customers::CustomerRow, entries::PostBatch, prices::PriceVersionRow, training::TrainingRow,
};
use tollgate_core::{
    id::{BootId, CustomerId, KeyId, TrainingRunId},
    money::NanoUsd,
};

use crate::{
    books::{NOVEMBER_US, entry},
    cluster::{Cluster, open},
    commands::{ok, ok_json},
    harness::Harness,
};

/// A gateway, and a way into its store past it.
struct Scene {
    harness: Harness,
    store: Store,
}

/// One on either engine, with workers that nobody runs.
async fn scenes() -> [Scene; 2] {
    let worker = |name| {
        format!(
            "[[worker]]\nname = \"{name}\"\nurl = \"http://127.0.0.1:9\"\nmodels = [\"m\"]\ndevice_usd_per_hour = \"1\"\n"
        )
    };
    let workers = ["wb", "wa", "wc"].map(worker).concat();
    let embedded = Harness::start_with(&workers).await;
    let file = Store::open(&embedded.dir.path().join("data/tollgate.db")).await.unwrap();
    let url = Cluster::shared().database().await;
    let shared = Harness::start_with(&format!("{workers}[store]\nurl = \"{url}\"\n")).await;
    [Scene { harness: embedded, store: file }, Scene { harness: shared, store: open(&url).await }]
}

fn customer_row(n: u64) -> CustomerRow {
    CustomerRow {
        id: CustomerId::new(n, &[9; 10]),
        name: format!("customer {n}"),
        external_id: None,
        billing: "postpaid".into(),
        price_book: "default".into(),
        created_at_us: 0,
    }
}

fn training_row(n: u64) -> TrainingRow {
    TrainingRow {
        id: TrainingRunId::new(n, &[1; 10]),
        model: format!("m{}", n / 4),
        name: format!("run {}", 9 - n),
        cost: NanoUsd::new(5),
        in_service: jiff::civil::date(2026, 1, i8::try_from(1 + n % 2).unwrap()),
        source: "added".into(),
        recorded_at_us: 1,
    }
}

impl Scene {
    /// Fills every list with more than a few rows.
    async fn fill(&self) {
        for n in [30, 10, 50, 20, 40] {
            self.store.insert_customer(&customer_row(n)).await.unwrap();
            let customer_id = CustomerId::new(n, &[9; 10]);
            for _ in 0..n / 10 {
                let made = self.harness.admin("POST", "/keys", Some(json!({ "customer_id": customer_id }))).await;
                assert_eq!(made.status, 201, "{}", made.text);
            }
        }
        for n in 0..7 {
            self.store.insert_training(&training_row(n)).await.unwrap();
            self.bury(100 + n).await;
        }
        let mut entries = Vec::new();
        for n in 0..7 {
            let mut entry = entry(n, NOVEMBER_US);
            entry.admission.model = format!("model {}", n / 2);
            entry.admission.key_id = KeyId::new(n % 3, &[3; 10]);
            entries.push((n + 1, entry));
        }
        let batch = PostBatch::new("far".into(), BootId::new(1, &[4; 10]), 7, entries);
        self.store.post(&batch).await.unwrap();
        // Not in the order of their ids, two of one moment, and some of other models.
        let version = |of: &str, day: u32, hash: &str, valid_from_us: i64| PriceVersionRow {
            id: format!("{of}@2026-01-0{day}#{hash}"),
            kind: "cost".into(),
            body: json!({ "valid_from_us": valid_from_us, "source": hash }).to_string(),
        };
        let versions = [
            version("p/m", 1, "bb", 10),
            version("p/m", 1, "aa", 20),
            version("p/m", 2, "dd", 30),
            version("p/m", 2, "cc", 30),
            version("p/m", 3, "ee", 40),
            version("p/m@1", 1, "ff", 1),
            version("p/mA", 1, "ff", 1),
        ];
        self.store.save_price_versions(&versions, 0).await.unwrap();
    }

    /// Puts an entry aside.
    async fn bury(&self, n: u64) {
        let boot_id = BootId::new(n, &[6; 10]);
        let batch = PostBatch::new("far".into(), boot_id, 1, vec![(1, entry(n, NOVEMBER_US))]);
        self.store.bury(&batch, "because", 3).await.unwrap();
    }

    async fn page(&self, path: &str, query: &str) -> Value {
        let separator = if path.contains('?') { '&' } else { '?' };
        let answer = self.harness.admin("GET", &format!("{path}{separator}{query}"), None).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json()
    }

    /// A list as one page.
    async fn whole(&self, path: &str) -> Vec<Value> {
        let page = self.page(path, "limit=1000").await;
        assert_eq!(page["next"], Value::Null);
        page["data"].as_array().unwrap().clone()
    }

    /// A list page by page; `between` is told the page that was read last.
    async fn walked(&self, path: &str, limit: usize, mut between: impl AsyncFnMut(&[Value])) -> Vec<Value> {
        let (mut rows, mut query) = (Vec::new(), format!("limit={limit}"));
        loop {
            let page = self.page(path, &query).await;
            let data = page["data"].as_array().unwrap();
            rows.extend(data.iter().cloned());
            let Some(next) = page["next"].as_str() else {
                assert!((1..=limit).contains(&data.len()), "a full page may be the last, an empty one is none: {page}");
                return rows;
            };
            assert_eq!(data.len(), limit, "only the last page may be short: {page}");
            between(data).await;
            query = format!("limit={limit}&cursor={next}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_any_size_are_the_whole_list_in_its_order() {
    for scene in scenes().await {
        scene.fill().await;
        let own = format!("/keys?customer={}", CustomerId::new(40, &[9; 10]));
        for (path, rows, field) in [
            ("/customers", 6, "id"),
            ("/keys", 16, "id"),
            (own.as_str(), 4, "id"),
            ("/dead-letters", 7, "id"),
            ("/training-runs", 7, "id"),
            ("/usage", 4, "model"),
            ("/usage?by=key,model", 6, "key_id"),
            ("/usage?by=", 1, "requests"),
            ("/prices?for=default", 1, "id"),
            ("/prices?for=gpt-4.1", 6, "id"),
            ("/prices/history?for=p/m", 5, "id"),
            ("/workers", 3, "name"),
        ] {
            let whole = scene.whole(path).await;
            let told = |rows: &[Value]| rows.iter().map(|row| row[field].clone()).collect::<Vec<_>>();
            assert!(whole.len() >= rows, "{path}: {whole:?}");
            for limit in [1, 2, 3, whole.len(), whole.len() + 1] {
                let walked = scene.walked(path, limit, async |_| ()).await;
                assert_eq!(told(&walked), told(&whole), "{path} by {limit}");
            }
        }
        let sum = |rows: &[Value]| rows.iter().map(|row| row["requests"].as_u64().unwrap()).sum::<u64>();
        let groups = scene.walked("/usage?by=key,model", 1, async |_| ()).await;
        assert_eq!(sum(&groups), sum(&scene.whole("/usage?by=").await), "sums are of the books, not of a page");
        let ids =
            |rows: Vec<Value>| rows.iter().map(|row| row["source"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        let history = scene.walked("/prices/history?for=p/m", 2, async |_| ()).await;
        assert_eq!(ids(history), ["bb", "aa", "cc", "dd", "ee"], "oldest first");
        let prices = scene.walked("/prices", 1000, async |_| ()).await;
        let kinds: Vec<Value> = prices.into_iter().map(|row| row["kind"].clone()).collect();
        assert!(kinds.is_sorted_by_key(|kind| kind != "cost"), "what we pay comes first");
        scene.store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_come_and_go_between_pages_move_no_other_row() {
    for scene in scenes().await {
        scene.fill().await;
        let Scene { harness, store } = &scene;
        let ids = |rows: &[Value]| rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        let before = ids(&scene.whole("/customers").await);
        let mut number = 0;
        // Before the cursor and behind it.
        let walked = scene
            .walked("/customers", 2, async |_| {
                number += 1;
                if number < 4 {
                    store.insert_customer(&customer_row(number)).await.unwrap();
                    assert_eq!(harness.admin("POST", "/customers", Some(json!({ "name": "late" }))).await.status, 201);
                }
            })
            .await;
        let walked = ids(&walked);
        assert!(walked.is_sorted() && walked.len() == before.len() + 3, "{walked:?}");
        assert_eq!(walked.iter().filter(|id| before.contains(id)).count(), before.len(), "none twice, none left out");

        // The very row that the cursor names is gone, with all that were read before.
        let before = ids(&scene.whole("/dead-letters").await);
        let mut number = 1000;
        let walked = scene
            .walked("/dead-letters", 2, async |page| {
                for id in ids(page) {
                    let retried = harness.admin("POST", &format!("/dead-letters/{id}/retry"), Some(json!({}))).await;
                    assert_eq!(retried.status, 200, "{}", retried.text);
                }
                number += 1;
                if number < 1004 {
                    scene.bury(number - 1000).await;
                }
            })
            .await;
        assert_eq!(ids(&walked), before);

        // Another customer's keys come in between.
        let own = CustomerId::new(40, &[9; 10]);
        let path = format!("/keys?customer={own}");
        let before = ids(&scene.whole(&path).await);
        let other = json!({ "customer_id": CustomerId::new(10, &[9; 10]) });
        let walked = scene
            .walked(&path, 1, async |_| {
                assert_eq!(harness.admin("POST", "/keys", Some(other.clone())).await.status, 201);
            })
            .await;
        assert!(walked.iter().all(|key| key["customer_id"] == json!(own)), "{walked:?}");
        assert_eq!(ids(&walked), before);
        scene.store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_or_cursor_that_is_none_is_refused_and_said() {
    let harness = Harness::start().await;
    for _ in 0..2 {
        assert_eq!(harness.admin("POST", "/customers", Some(json!({ "name": "x" }))).await.status, 201);
        harness.new_key(json!({})).await;
    }
    let next = async |path: &str| {
        let page = harness.admin("GET", path, None).await.json();
        page["next"].as_str().unwrap_or_else(|| panic!("{path}: {page}")).to_owned()
    };
    let customers = next("/customers?limit=1").await;
    let keys = next("/keys?limit=1").await;
    let own = next(&format!("/keys?limit=1&customer={}", harness.customer)).await;
    let forged = hex::encode(json!(["/customers?", "cus_1"]).to_string());
    let run = |model| hex::encode(json!(["/training-runs?", [model, "2026-01-01", ""]]).to_string());
    for (path, code) in [
        ("/customers?limit=0".to_owned(), "invalid_limit"),
        ("/customers?limit=1001".to_owned(), "invalid_limit"),
        ("/prices?limit=-1".to_owned(), "invalid_limit"),
        ("/usage?limit=many".to_owned(), "invalid_limit"),
        ("/workers?limit=".to_owned(), "invalid_limit"),
        ("/keys?limit=4294967297".to_owned(), "invalid_limit"),
        ("/customers?cursor=".to_owned(), "invalid_cursor"),
        ("/customers?cursor=7b7d".to_owned(), "invalid_cursor"),
        (format!("/customers?cursor={}", harness.customer), "invalid_cursor"),
        (format!("/customers?cursor={forged}"), "invalid_cursor"),
        (format!("/customers?cursor={keys}"), "invalid_cursor"),
        (format!("/training-runs?cursor={}", run("\0")), "invalid_cursor"),
        (format!("/usage?cursor={customers}"), "invalid_cursor"),
        (format!("/keys?cursor={own}"), "invalid_cursor"),
        (format!("/keys?customer={}&cursor={keys}", harness.customer), "invalid_cursor"),
        ("/customers?limit=1&limit=2".to_owned(), "invalid_query"),
        ("/customers?limt=1".to_owned(), "invalid_query"),
        ("/keys?custmer=x".to_owned(), "invalid_query"),
        ("/prices/history?limit=1".to_owned(), "invalid_query"),
    ] {
        let answer = harness.admin("GET", &path, None).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(code)), "{path}: {}", answer.text);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        match code {
            "invalid_limit" => assert!(detail.contains("from 1 to 1000"), "{detail}"),
            "invalid_cursor" => assert!(detail.contains("leave `cursor` out to begin anew"), "{detail}"),
            _ => {}
        }
    }
    let page = harness.admin("GET", &format!("/training-runs?cursor={}", run("m")), None).await;
    assert_eq!(page.status, 200, "{}", page.text);
    for path in [
        format!("/customers?limit=1000&cursor={customers}"),
        format!("/keys?cursor={own}&customer={}", harness.customer),
    ] {
        let page = harness.admin("GET", &path, None).await.json();
        assert_eq!((page["data"].as_array().unwrap().len(), &page["next"]), (2, &Value::Null), "{path}: {page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_shows_what_no_page_has_room_for() {
    let mut harness = Harness::start().await;
    let config = harness.dir.path().join("tollgate.toml");
    let many = "
with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < 2500)
insert into customers
select cast(printf('%016d', n) as blob), 'customer ' || n, null, 'postpaid', 'default', 0
from numbers";
    let db = harness.dir.path().join("data/tollgate.db");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", db.display())).await.unwrap();
    sqlx::query(many).execute(&pool).await.unwrap();
    pool.close().await;
    let first = harness.admin("GET", "/customers", None).await.json();
    assert_eq!(first["data"].as_array().unwrap().len(), 100, "a page, when nothing is said");
    let largest = harness.admin("GET", "/customers?limit=1000", None).await.json();
    assert!(largest["data"].as_array().unwrap().len() == 1000 && largest["next"].is_string());
    let url = harness.admin_url("");
    let token = harness.gateway().admin_token.clone();
    let check = |args: &[&str]| {
        let list = [args, &["customers", "list"]].concat();
        let rows = ok_json(&config, &list);
        let names: std::collections::HashSet<_> =
            rows.as_array().unwrap().iter().map(|row| row["id"].to_string()).collect();
        assert_eq!((rows.as_array().unwrap().len(), names.len()), (2501, 2501), "{args:?}");
        assert_eq!(ok(&config, &list).lines().count(), 2502, "a line each, below the heads");
    };
    check(&[]);
    check(&["--admin-url", &url, "--admin-token", &token]);
    harness.gateway.take().unwrap().stop().await;
    check(&[]);
    let prices = ok_json(&config, &["prices", "show"]);
    assert!(prices.as_array().unwrap().len() > 1000, "the prices that are shipped fill more than a page, too");
}
