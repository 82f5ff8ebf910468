//! Stored responses and conversations.

use serde_json::{Value, json};

use super::scene::start;
use crate::harness::{Answer, Harness, read};

async fn respond(harness: &Harness, key: &str, more: Value) -> Answer {
    let mut body = json!({ "model": "public", "input": "one two three" });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    read(harness.client.post(harness.url("/v1/responses")).bearer_auth(key).json(&body)).await
}

fn id_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    if let Some(event) = answer.text.strip_prefix("event: response.created\ndata: ") {
        let event: Value = serde_json::from_str(event.lines().next().unwrap()).unwrap();
        return event["response"]["id"].as_str().unwrap().to_owned();
    }
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_stored_response_is_its_customers_plain_and_streamed() {
    let harness = start().await;
    let other = harness.other_key().await;
    for stream in [false, true] {
        let id = id_of(&respond(&harness, &harness.key, json!({ "stream": stream })).await);
        assert_eq!(harness.get(&format!("/v1/responses/{id}")).await.json()["id"], json!(id));
        assert_eq!(harness.get(&format!("/v1/responses/{id}/input_items")).await.json()["object"], "list");
        let goes_on = respond(&harness, &harness.key, json!({ "previous_response_id": id, "stream": stream })).await;
        assert_eq!(goes_on.status, 200, "{}", goes_on.text);
        let sent = harness.upstream.count();
        for (method, below) in [("GET", ""), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")] {
            let refused = harness.call(&other, method, &format!("/v1/responses/{id}{below}"), None).await;
            assert_eq!(refused.status, 404, "{}", refused.text);
        }
        let refused = respond(&harness, &other, json!({ "previous_response_id": id })).await;
        assert_eq!((refused.status, refused.error_code()), (404, json!("previous_response_not_found")));
        assert_eq!(harness.upstream.count(), sent, "something of this was sent upstream");
        let path = format!("/v1/responses/{id}");
        assert_eq!(harness.call(&harness.key, "DELETE", &path, None).await.json()["deleted"], true);
        assert_eq!(harness.get(&path).await.status, 404);
    }
    harness.assert_clean_audit().await;
}

#[tokio::test]
async fn a_response_that_is_not_stored_is_not_bound() {
    let harness = start().await;
    let id = id_of(&respond(&harness, &harness.key, json!({ "store": false })).await);
    let sent = harness.upstream.count();
    assert_eq!(harness.get(&format!("/v1/responses/{id}")).await.status, 404);
    assert_eq!(harness.upstream.count(), sent);
}

#[tokio::test]
async fn a_file_that_a_request_names_is_its_customers() {
    let harness = start().await;
    let other = harness.other_key().await;
    let file = harness.upload_as(&harness.key, "user_data", "text").await.json()["id"].clone();
    let input = |id: &Value| json!({ "input": [{ "role": "user", "content": [{ "type": "input_file", "file_id": id }, { "type": "input_text", "text": "x" }] }] });
    assert_eq!(respond(&harness, &harness.key, input(&file)).await.status, 200);
    let content = json!([{ "type": "file", "file": { "file_id": file } }]);
    let chat = json!({ "model": "public", "messages": [{ "role": "user", "content": content }] });
    assert_eq!(harness.call(&harness.key, "POST", "/v1/chat/completions", Some(chat.clone())).await.status, 200);
    let sent = harness.upstream.count();
    let hidden = chat.to_string().replace("file_id", "\\u0066ile_id");
    let request = harness.client.post(harness.url("/v1/chat/completions")).bearer_auth(&other).body(hidden);
    for refused in [
        respond(&harness, &other, input(&file)).await,
        respond(&harness, &harness.key, input(&json!("file-of-the-operator"))).await,
        harness.call(&other, "POST", "/v1/chat/completions", Some(chat.clone())).await,
        read(request).await,
    ] {
        assert_eq!((refused.status, &refused.json()["error"]["param"]), (404, &json!("file_id")), "{}", refused.text);
    }
    let line = json!({ "custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": chat }).to_string();
    assert_eq!(harness.upload_as(&other, "batch", &line).await.status, 404);
    assert_eq!(harness.upstream.count(), sent, "something of this was sent upstream");
    assert_eq!(harness.upload_as(&harness.key, "batch", &line).await.status, 200);
}

#[tokio::test]
async fn a_conversation_is_its_customers_and_responses_go_on_in_it() {
    let harness = start().await;
    let other = harness.other_key().await;
    let items = json!([{ "type": "message", "role": "user", "content": "hello" }]);
    let body = json!({ "metadata": { "topic": "x" }, "items": items });
    let made = harness.call(&harness.key, "POST", "/v1/conversations", Some(body)).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/conversations/{id}");
    let item = harness.get(&format!("{path}/items")).await.json()["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(harness.get(&format!("{path}/items/{item}")).await.json()["id"], json!(item));
    let added = harness.call(&harness.key, "POST", &format!("{path}/items"), Some(json!({ "items": items }))).await;
    assert_eq!(added.json()["data"].as_array().unwrap().len(), 1);
    let changed = harness.call(&harness.key, "POST", &path, Some(json!({ "metadata": { "topic": "y" } }))).await;
    assert_eq!(changed.json()["metadata"]["topic"], "y");
    for conversation in [json!(id), json!({ "id": id })] {
        assert_eq!(respond(&harness, &harness.key, json!({ "conversation": conversation })).await.status, 200);
        let sent = harness.upstream.count();
        assert_eq!(respond(&harness, &other, json!({ "conversation": conversation })).await.status, 404);
        assert_eq!(harness.upstream.count(), sent);
    }
    let sent = harness.upstream.count();
    for (method, below) in [
        ("GET", String::new()),
        ("POST", String::new()),
        ("DELETE", String::new()),
        ("GET", "/items".to_owned()),
        ("POST", "/items".to_owned()),
        ("GET", format!("/items/{item}")),
        ("DELETE", format!("/items/{item}")),
    ] {
        let refused = harness.call(&other, method, &format!("{path}{below}"), Some(json!({}))).await;
        assert_eq!(refused.status, 404, "{method} {below}: {}", refused.text);
    }
    assert_eq!(harness.upstream.count(), sent);
    assert_eq!(harness.call(&harness.key, "DELETE", &format!("{path}/items/{item}"), None).await.status, 200);
    assert_eq!(harness.call(&harness.key, "DELETE", &path, None).await.json()["deleted"], true);
    assert_eq!(harness.get(&path).await.status, 404);
}

#[tokio::test]
async fn what_goes_on_goes_to_the_provider_that_keeps_it() {
    let second = tollgate_fakes::FakeUpstream::start().await;
    let toml = format!(
        "[[provider]]\nname = \"second\"\nbase_url = \"{}\"\nallow_private = true\n[[model]]\nname = \"public\"\nretries = 1\n\
         targets = [{{ provider = \"second\", model = \"demo-model\" }}, {{ provider = \"demo\", model = \"demo-model\" }}]\n\
         [[model]]\nname = \"only-second\"\ntargets = [{{ provider = \"second\", model = \"demo-model\" }}]\n[prices]\nunpriced = \"record\"\n",
        second.openai_url()
    );
    let harness = Harness::start_with(&toml).await;
    second.set_script(&json!({ "status": 503, "times": 1 })).unwrap();
    let id = id_of(&respond(&harness, &harness.key, json!({})).await);
    assert_eq!((second.count(), harness.upstream.count()), (1, 1));
    let goes_on = respond(&harness, &harness.key, json!({ "previous_response_id": id })).await;
    assert_eq!(goes_on.status, 200, "{}", goes_on.text);
    assert_eq!((second.count(), harness.upstream.count()), (1, 2));
    let elsewhere =
        respond(&harness, &harness.key, json!({ "previous_response_id": id, "model": "only-second" })).await;
    assert_eq!((elsewhere.status, elsewhere.error_code()), (400, json!("kept_elsewhere")));
    assert_eq!((second.count(), harness.upstream.count()), (1, 2));
}

#[tokio::test]
async fn what_is_put_into_a_conversation_names_the_customers_own_files_only() {
    let harness = start().await;
    let other = harness.other_key().await;
    let theirs = harness.upload_as(&other, "user_data", "a secret").await.json()["id"].as_str().unwrap().to_owned();
    let own = harness.upload_as(&harness.key, "user_data", "own").await.json()["id"].as_str().unwrap().to_owned();
    let items = |file: &str| {
        let content = json!([{ "type": "input_file", "file_id": file }]);
        json!({ "items": [{ "type": "message", "role": "user", "content": content }] })
    };
    let made = harness.call(&harness.key, "POST", "/v1/conversations", Some(items(&own))).await;
    let path = format!("/v1/conversations/{}", id_of(&made));
    let sent = harness.upstream.count();
    for path in ["/v1/conversations", &path, &format!("{path}/items")] {
        let refused = harness.call(&harness.key, "POST", path, Some(items(&theirs))).await;
        assert_eq!((refused.status, refused.error_code()), (404, json!("not_found")), "{path}: {}", refused.text);
    }
    // An item's id is the provider's own, and could be read as a path.
    for item in ["%2e%2e", "..%2F..%2Ffiles%2Fx", "a%20b"] {
        let refused = harness.get(&format!("{path}/items/{item}")).await;
        assert_eq!(refused.status, 404, "{item}: {}", refused.text);
    }
    assert_eq!(harness.upstream.count(), sent, "something of this was sent upstream");
}
