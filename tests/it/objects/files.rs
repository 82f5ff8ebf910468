//! Files are whose they are, and those for batches are checked line by line.

use serde_json::{Value, json};

use super::scene::{line, lines, start};
use crate::harness::Harness;

#[tokio::test]
async fn a_file_is_its_customers_and_nobody_elses() {
    let harness = start().await;
    let other = harness.other_key().await;
    let answer = harness.upload_as(&harness.key, "user_data", "some text").await;
    assert!(answer.status == 200 && answer.header("x-tollgate-request-id").is_some(), "{}", answer.text);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(harness.get(&format!("/v1/files/{id}")).await.json()["purpose"], "user_data");
    assert_eq!(harness.get(&format!("/v1/files/{id}/content")).await.text, "some text");
    let sent = harness.upstream.count();
    for (method, path) in
        [("GET", ""), ("GET", "/content"), ("DELETE", ""), ("GET", "?limit=1"), ("GET", "/content?x=../y")]
    {
        let refused = harness.call(&other, method, &format!("/v1/files/{id}{path}"), None).await;
        assert_eq!((refused.status, &refused.error_code()), (404, &json!("not_found")), "{}", refused.text);
    }
    // An id that nobody has, and one that tries to leave its place.
    for path in ["/v1/files/file-fake000000009999", "/v1/files/..%2Fmodels", "/v1/files/%2e%2e"] {
        assert_eq!(harness.get(path).await.status, 404, "{path}");
    }
    assert_eq!(harness.call(&other, "GET", "/v1/files", None).await.json()["data"], json!([]));
    assert_eq!(harness.upstream.count(), sent, "something of this was sent upstream");
    assert_eq!(harness.call("tg-AAAAAAAAAAAA-x", "GET", &format!("/v1/files/{id}"), None).await.status, 401);
    assert_eq!(harness.call(&harness.key, "DELETE", &format!("/v1/files/{id}"), None).await.json()["deleted"], true);
    assert_eq!(harness.get(&format!("/v1/files/{id}")).await.status, 404);
}

#[tokio::test]
async fn a_list_has_the_callers_own_files_in_pages() {
    let harness = start().await;
    let other = harness.other_key().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let answer = harness.upload_as(&harness.key, "user_data", &format!("{n}")).await;
        ids.push(answer.json()["id"].as_str().unwrap().to_owned());
        harness.upload_as(&other, "user_data", "theirs").await;
    }
    let batch = harness.upload(&lines("public", 1)).await;
    let of = |list: &Value| -> Vec<String> {
        list["data"].as_array().unwrap().iter().map(|file| file["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = harness.get("/v1/files?limit=2").await.json();
    assert_eq!((of(&first), &first["has_more"]), (vec![batch.clone(), ids[4].clone()], &json!(true)));
    let next = harness.get(&format!("/v1/files?limit=100&after={}", ids[4])).await.json();
    assert_eq!((of(&next), &next["has_more"]), (ids[..4].iter().rev().cloned().collect(), &json!(false)));
    let ascending = harness.get("/v1/files?order=asc&limit=3&purpose=user_data").await.json();
    assert_eq!((of(&ascending), &ascending["has_more"]), (ids[..3].to_vec(), &json!(true)));
    assert_eq!(of(&harness.get("/v1/files?purpose=batch").await.json()), [batch]);
    let theirs = harness.call(&other, "GET", &format!("/v1/files?after={}", ids[0]), None).await;
    assert_eq!(theirs.status, 404, "an id of somebody else's is no place in a list");
    assert_eq!(harness.get("/v1/files?limit=0").await.status, 400);
}

#[tokio::test]
async fn what_a_direct_call_may_not_do_a_line_of_a_batch_may_not_either_and_nothing_is_sent() {
    let harness = start().await;
    let allowed = harness.new_key(json!({ "models": ["other"] })).await;
    let good = line("a", "public", json!({}));
    let responses = |more: &str| {
        format!(
            r#"{{"custom_id":"a","method":"POST","url":"/v1/responses","body":{{"model":"public","input":"x"{more}}}}}"#
        )
    };
    for (key, content, status) in [
        (&harness.key, String::new(), 400),
        (&harness.key, "not json".into(), 400),
        (&harness.key, good.replace("/v1/chat/completions", "/v1/audio/speech"), 400),
        (&harness.key, good.replace("/v1/chat/completions", "https://elsewhere/v1/chat/completions"), 400),
        (&harness.key, good.replace(r#""model":"public""#, r#""model":"public","model":"other""#), 400),
        (&harness.key, good.replace(r#""model":"public""#, r#""model":"public","models":["other"]"#), 400),
        (&harness.key, good.replace(r#""model":"public""#, r#""model":"public","stream":true"#), 400),
        (&harness.key, format!("{good}{good}"), 400),
        // One request for us, and three lines for a reader that ends lines at carriage returns.
        (
            &harness.key,
            good.replacen("{", &format!("{{\"x\":\r{}\r,", good.trim_end().replace("\"a\"", "\"b\"")), 1),
            400,
        ),
        (&harness.key, line("a", "nobody-knows", json!({})), 404),
        (&harness.key, line("a", "no-batch-price", json!({})), 503),
        (&harness.key, line("a", "poet", json!({})), 400),
        (&harness.key, responses(r#","background":true"#), 400),
        (&harness.key, responses(r#","previous_response_id":"resp_1""#), 400),
        (&allowed, good.clone(), 403),
    ] {
        let refused = harness.upload_as(key, "batch", &content).await;
        assert_eq!(refused.status, status, "{content}: {}", refused.text);
    }
    assert_eq!(harness.upstream.count(), 0);
    // The second line's fault is told by its number.
    let refused = harness.upload_as(&harness.key, "batch", &format!("{good}{{}}")).await;
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("Request 2"), "{}", refused.text);
}

#[tokio::test]
async fn the_names_of_models_in_a_file_are_the_providers_and_the_rest_is_as_sent() {
    let harness = start().await;
    let content = format!("{}\r\n\n{}", lines("public", 1).trim_end(), line("b", "other", json!({})));
    let id = harness.upload(&content).await;
    let kept = harness.get(&format!("/v1/files/{id}/content")).await.text;
    let expected = content.replace("\"public\"", "\"demo-model\"").replace("\"other\"", "\"dear-model\"");
    assert_eq!(kept, expected);
    let same = lines("demo-model", 2);
    let id = harness.upload(&same).await;
    assert_eq!(harness.get(&format!("/v1/files/{id}/content")).await.text, same);
}

#[tokio::test]
async fn a_form_that_could_be_read_otherwise_is_refused() {
    let harness: Harness = start().await;
    let send = async |form: &str| {
        let request = harness.client.post(harness.url("/v1/files")).bearer_auth(&harness.key);
        let request = request.header("content-type", "multipart/form-data; boundary=x").body(form.to_owned());
        crate::harness::read(request).await.status
    };
    let part = |name: &str, value: &str| {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n{value}\r\n")
    };
    let file = part("file", &lines("public", 1));
    let twice = format!("{}{}{file}--x--\r\n", part("purpose", "user_data"), part("purpose", "batch"));
    assert_eq!(send(&twice).await, 400, "a file that is not checked, and is one for a batch upstream");
    assert_eq!(send(&format!("{}{file}{file}--x--\r\n", part("purpose", "batch"))).await, 400);
    assert_eq!(send(&format!("{file}--x--\r\n")).await, 400);
    assert_eq!(harness.upstream.count(), 0);
}
