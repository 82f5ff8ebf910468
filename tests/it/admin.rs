//! The admin plane: who may use it, what it says, and the page.

use serde_json::json;
use tollgate_core::record::{decode_entry, encode_entry};

use crate::harness::{Harness, read};

#[tokio::test]
async fn every_admin_route_wants_the_admin_token_and_a_data_key_is_none() {
    let harness = Harness::start().await;
    for path in [
        "/admin/v1/customers",
        "/admin/v1/keys",
        "/admin/v1/usage",
        "/admin/v1/economics",
        "/admin/v1/audit",
        "/admin/v1/prices",
        "/admin/v1/training-runs",
        "/admin/v1/workers",
        "/admin/v1/journal/verify",
        "/admin/v1/requests/req_00000000000000000000000000000000",
        "/metrics",
        "/",
        "/admin/v1/nothing",
    ] {
        for key in [None, Some(harness.key.as_str()), Some("wrong"), Some("")] {
            let mut request = harness.client.get(harness.admin_url(path));
            if let Some(key) = key {
                request = request.bearer_auth(key);
            }
            assert_eq!(read(request).await.status, 401, "{path} with {key:?}");
        }
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(read(harness.client.get(harness.admin_url(path))).await.status, 200);
    }
}

#[tokio::test]
async fn problems_have_a_stable_code_and_say_what_to_do() {
    let harness = Harness::start().await;
    for (method, path, body, status, code) in [
        ("GET", "/customers/cus_1", None, 400, "invalid_id"),
        ("GET", "/customers/cus_00000000000000000000000000000000", None, 404, "not_found"),
        ("GET", "/requests/req_00000000000000000000000000000000", None, 404, "not_found"),
        ("GET", "/usage?by=colour", None, 400, "invalid_query"),
        ("GET", "/usage?from=yesterday", None, 400, "invalid_query"),
        ("GET", "/statements?customer=x&month=2026-11", None, 400, "invalid_query"),
        ("POST", "/customers", Some(json!({ "name": "" })), 400, "invalid_value"),
        ("POST", "/customers", Some(json!({ "name": "x", "price_book": "none" })), 400, "invalid_value"),
        ("POST", "/customers", Some(json!({ "nme": "x" })), 400, "invalid_json"),
        ("POST", "/keys", Some(json!({ "customer_id": "cus_00000000000000000000000000000000" })), 404, "not_found"),
        (
            "POST",
            "/training-runs",
            Some(json!({ "model": "m", "name": "n", "cost_usd": "-1", "in_service": "2026-01-01" })),
            400,
            "invalid_value",
        ),
        (
            "POST",
            "/training-runs",
            Some(json!({ "model": "m", "name": "n", "cost_usd": "1e3", "in_service": "2026-01-01" })),
            400,
            "invalid_json",
        ),
        ("GET", "/nothing", None, 404, "not_found"),
    ] {
        let answer = harness.admin(method, path, body).await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{method} {path}: {}", answer.text);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert!(answer.json()["detail"].as_str().unwrap().len() > 5);
    }
    let twice = json!({ "name": "x", "external_id": "crm-7" });
    assert_eq!(harness.admin("POST", "/customers", Some(twice.clone())).await.status, 201);
    assert_eq!(harness.admin("POST", "/customers", Some(twice)).await.status, 409);
}

#[tokio::test]
async fn the_break_even_page_moves_with_each_request_and_escapes_names() {
    let harness = Harness::start().await;
    let today: String = jiff_today();
    let run =
        json!({ "model": "demo-model", "name": "<script>alert(1)</script>", "cost_usd": "0.001", "in_service": today });
    assert_eq!(harness.admin("POST", "/training-runs", Some(run)).await.status, 201);
    let page = || async {
        let answer = read(harness.client.get(harness.admin_url("/")).bearer_auth(&harness.gateway().admin_token)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(answer.header("content-security-policy").unwrap().contains("default-src 'none'"));
        answer.text
    };
    let before = page().await;
    assert!(before.contains("never at this rate") && before.contains("0.0 %"), "{before}");
    assert!(!before.contains("<script>"));
    let answer = harness.chat(json!({ "x_fake": { "chunks": 20 } })).await;
    harness.booked(&answer.request_id()).await;
    let after = page().await;
    // 2 x 0.50 + 20 x 2.00 USD per million and a quarter more: 51,250 of 1,000,000 nano-dollars.
    assert!(after.contains("5.1 %") && after.contains("0.000051250"), "{after}");
    assert!(after.contains("at the present rate"));
    let economics = harness.admin("GET", "/economics", None).await.json();
    let model = &economics["models"][0];
    assert_eq!(
        (&model["recovered_by_revenue_usd"], &model["recovered_by_margin_usd"]),
        (&json!("0.000051250"), &json!("0.000010250"))
    );
    // 948,750 left at 51,250 a day: 18.51 days, so on the 19th.
    assert_eq!(model["break_even_by_revenue"]["status"], "projected");
}

fn jiff_today() -> String {
    tollgate::clock::Clock::system().today().to_string()
}

#[tokio::test]
async fn a_browser_signs_in_with_the_token_and_may_then_read_but_not_change() {
    let harness = Harness::start().await;
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let token = &harness.gateway().admin_token;
    let welcome = read(client.get(harness.admin_url(&format!("/?token={token}")))).await;
    assert_eq!((welcome.status, welcome.header("location")), (303, Some("/")));
    let cookie = welcome.header("set-cookie").unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains(token.as_str()));
    let cookie = cookie.split(';').next().unwrap().to_owned();
    assert_eq!(read(client.get(harness.admin_url("/")).header("cookie", &cookie)).await.status, 200);
    let change =
        client.post(harness.admin_url("/admin/v1/customers")).header("cookie", &cookie).json(&json!({ "name": "x" }));
    assert_eq!(read(change).await.status, 401, "a cookie alone changes nothing");
    assert_eq!(read(client.get(harness.admin_url("/?token=wrong"))).await.status, 401);
}

#[tokio::test]
async fn a_statement_is_what_the_month_s_entries_add_up_to() {
    let harness = Harness::start().await;
    let mut last = String::new();
    for _ in 0..3 {
        last = harness.chat(json!({ "x_fake": { "chunks": 10 } })).await.request_id();
    }
    harness.booked(&last).await;
    let month = &jiff_today()[..7];
    let path = format!("/statements?customer={}&month={month}", harness.customer);
    let statement = harness.admin("GET", &path, None).await.json();
    // 2 x 0.50 + 10 x 2.00 per million, a quarter more: 26,250 nano-dollars each.
    assert_eq!((&statement["total_usd"], &statement["lines"][0]["requests"]), (&json!("0.000078750"), &json!(3)));
    let csv = harness.admin("GET", &format!("{path}&format=csv"), None).await;
    assert!(csv.text.lines().last().unwrap().ends_with("total,,,,,,,,,0.000078750"), "{}", csv.text);
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn the_audit_finds_what_was_tampered_with() {
    let mut harness = Harness::start().await;
    let id = harness.chat(json!({})).await.request_id();
    harness.booked(&id).await;
    harness.assert_clean_audit().await;
    harness.gateway.take().unwrap().stop().await;
    let db = harness.dir.path().join("data/tollgate.db");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", db.display())).await.unwrap();
    for (change, undo, found) in [
        (
            "update entries set charge_nanousd = charge_nanousd + 1",
            "update entries set charge_nanousd = charge_nanousd - 1",
            "stored charge",
        ),
        // Every column that repeats what the entry says.
        ("update entries set attempt = attempt + 7", "update entries set attempt = attempt - 7", "stored attempt"),
        (
            "update entries set request_id = cast(substr(request_id, 1, 8) || substr(request_id, 10, 7) || substr(request_id, 9, 1) as blob)",
            "update entries set request_id = cast(substr(request_id, 1, 8) || substr(request_id, 16, 1) || substr(request_id, 9, 7) as blob)",
            "stored request_id",
        ),
        (
            "update entries set customer_id = key_id, key_id = customer_id",
            "update entries set customer_id = key_id, key_id = customer_id",
            "stored customer_id",
        ),
        (
            "update entries set customer_id = key_id, key_id = customer_id",
            "update entries set customer_id = key_id, key_id = customer_id",
            "stored key_id",
        ),
        ("update entries set model = model || 'x'", "update entries set model = rtrim(model, 'x')", "stored model"),
        (
            "update entries set target = target || 'x'",
            "update entries set target = rtrim(target, 'x')",
            "stored target",
        ),
        ("update entries set outcome = 'refused'", "update entries set outcome = 'complete'", "stored outcome"),
        (
            "update entries set usage_source = 'estimated'",
            "update entries set usage_source = 'provider_final'",
            "stored usage_source",
        ),
        (
            "update entries set admitted_at_us = admitted_at_us + 1",
            "update entries set admitted_at_us = admitted_at_us - 1",
            "stored admitted_at_us",
        ),
        (
            "update entries set cost_nanousd = cost_nanousd - 1",
            "update entries set cost_nanousd = cost_nanousd + 1",
            "stored cost",
        ),
        ("update entries set unpriced = 1", "update entries set unpriced = 0", "stored unpriced mark"),
        (
            "update rollups_hourly set output = output + 1",
            "update rollups_hourly set output = output - 1",
            "rollup output",
        ),
        (
            "update rollups_hourly set input_uncached = input_uncached - 1, cache_read = cache_read + 1",
            "update rollups_hourly set input_uncached = input_uncached + 1, cache_read = cache_read - 1",
            "rollup cache_read",
        ),
        (
            "update rollups_hourly set reasoning = reasoning + 1, estimated = estimated + 1",
            "update rollups_hourly set reasoning = reasoning - 1, estimated = estimated - 1",
            "rollup estimated",
        ),
        ("update rollups_hourly set charge_nanousd = 0", "select 1", "statement total"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(change)).execute(&pool).await.unwrap();
        let store = tollgate::store::Store::open(&db).await.unwrap();
        let report = tollgate::billing::audit::audit(&store).await.unwrap();
        store.close().await;
        assert!(report.differences.iter().any(|difference| difference.what == found), "{change}: {report:?}");
        sqlx::query(sqlx::AssertSqlSafe(undo)).execute(&pool).await.unwrap();
    }
    pool.close().await;
}

#[tokio::test]
async fn the_audit_does_the_sum_of_an_estimate_again() {
    let mut harness = Harness::start().await;
    let cut = json!({ "stream": true, "x_fake": { "chunks": 10, "fault": "cut", "at": 4 } });
    harness.booked(&harness.chat(cut).await.request_id()).await;
    harness.gateway.take().unwrap().stop().await;
    let db = harness.dir.path().join("data/tollgate.db");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", db.display())).await.unwrap();
    let body: Vec<u8> = sqlx::query_scalar("select body from entries").fetch_one(&pool).await.unwrap();
    let mut entry = decode_entry(&body).unwrap();
    entry.output_estimate.as_mut().unwrap().sample_tokens += 1;
    sqlx::query("update entries set body = ?").bind(encode_entry(&entry)).execute(&pool).await.unwrap();
    let store = tollgate::store::Store::open(&db).await.unwrap();
    let report = tollgate::billing::audit::audit(&store).await.unwrap();
    let found: Vec<_> = report.differences.iter().map(|difference| difference.what.as_str()).collect();
    assert_eq!(found, ["estimated output"], "{report:?}");
    store.close().await;
    pool.close().await;
}
