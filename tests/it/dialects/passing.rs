//! What an SDK sends arrives unchanged but for credentials and the model's name, at the path of its dialect.

use serde_json::{Value, json};

use tollgate::upstream::endpoint::Endpoint;

use super::{bodies, gateway};
use crate::harness::read;

#[tokio::test]
async fn what_is_sent_arrives_unchanged_but_for_the_model_at_its_own_path_with_our_key() {
    let harness = gateway("").await;
    let mut calls = bodies::plain();
    calls.extend(bodies::streamed());
    calls.extend(bodies::others());
    for (number, call) in calls.iter().enumerate() {
        let answer = call.send(&harness, json!({ "chunks": 2 })).await;
        assert_eq!(answer.status, 200, "{}: {}", call.path, answer.text);
        let seen = harness.upstream.requests().pop().unwrap();
        assert_eq!(harness.upstream.count(), u64::try_from(number).unwrap() + 1, "{}", call.path);
        assert_eq!(seen.model.as_deref(), Some(format!("up/{}:1", call.dialect).as_str()), "{}", call.path);
        let expected = call.path.replace(&format!("{}-model", call.dialect), &format!("up%2F{}%3A1", call.dialect));
        assert_eq!(seen.path, expected);
        assert_eq!(seen.authorized_with.as_deref(), Some("sk-upstream-secret"), "{}", call.path);
        let mut sent = call.body.clone();
        sent["x_fake"] = json!({ "chunks": 2 });
        let mut arrived: Value = serde_json::from_slice(&harness.upstream.last_body().unwrap()).unwrap();
        for (body, prefix) in [(&mut sent, "models/gemini-model"), (&mut arrived, "models/up/gemini:1")] {
            if let Some(model) = body.get_mut("requests").and_then(|requests| requests[0].get_mut("model")) {
                assert_eq!(*model, prefix);
                *model = Value::Null;
            }
            if let Some(model) = body.get_mut("model") {
                *model = Value::Null;
            }
        }
        if call.path == "/v1/chat/completions" && sent["stream"] == true {
            sent["stream_options"] = json!({ "include_usage": true });
        }
        assert_eq!(arrived, sent, "{}", call.path);
    }
}

#[tokio::test]
async fn a_key_is_found_where_every_sdk_puts_it_and_never_reaches_the_upstream() {
    let harness = gateway("").await;
    let call = bodies::plain().into_iter().find(|call| call.endpoint.contains("generateContent")).unwrap();
    for place in ["authorization", "x-api-key", "x-goog-api-key", "api-key", "?key="] {
        let (mut url, mut request) = (harness.url(call.path), None);
        match place {
            "?key=" => url.push_str(&format!("?alt=json&key={}", harness.key)),
            "authorization" => request = Some((place, format!("Bearer {}", harness.key))),
            _ => request = Some((place, harness.key.clone())),
        }
        let mut sending = harness.client.post(url).json(&call.body);
        if let Some((name, value)) = request {
            sending = sending.header(name, value);
        }
        let answer = read(sending).await;
        assert_eq!(answer.status, 200, "{place}: {}", answer.text);
        let seen = harness.upstream.requests().pop().unwrap();
        assert!(!seen.path.contains("key"), "{place}: {}", seen.path);
        assert_eq!(seen.authorized_with.as_deref(), Some("sk-upstream-secret"), "{place}");
        assert!(!seen.header_names.iter().any(|name| name == "authorization" || name == "api-key"), "{place}");
    }
}

#[tokio::test]
async fn versions_and_betas_pass_to_their_own_dialect_and_what_describes_the_client_does_not() {
    let harness = gateway("").await;
    let call = bodies::plain().into_iter().find(|call| call.path == "/v1/messages").unwrap();
    let request = call
        .request(&harness, json!({}))
        .header("anthropic-beta", "context-1m-2025-08-07")
        .header("openai-beta", "assistants=v2")
        .header("cookie", "a=b")
        .header("x-stainless-os", "Linux");
    assert_eq!(read(request).await.status, 200);
    let names = harness.upstream.requests().pop().unwrap().header_names;
    for passed in ["anthropic-version", "anthropic-beta", "x-api-key"] {
        assert!(names.iter().any(|name| name == passed), "{passed}: {names:?}");
    }
    for kept in ["openai-beta", "cookie", "x-stainless-os", "authorization"] {
        assert!(!names.iter().any(|name| name == kept), "{kept}: {names:?}");
    }
}

#[tokio::test]
async fn a_model_of_another_dialect_is_refused_with_what_to_do_and_nothing_is_sent() {
    let harness = gateway("").await;
    for call in bodies::plain().iter().filter(|call| !call.path.contains("-model")) {
        let mut body = call.body.clone();
        let other = if call.dialect == "openai" { "anthropic" } else { "openai" };
        body["model"] = format!("{other}-model").into();
        let answer = read(harness.client.post(harness.url(call.path)).bearer_auth(&harness.key).json(&body)).await;
        assert_eq!(answer.status, 400, "{}: {}", call.path, answer.text);
        assert!(answer.text.contains(&format!("an SDK of the {other} dialect")), "{}: {}", call.path, answer.text);
    }
    assert_eq!(harness.upstream.count(), 0);
    assert_eq!(harness.totals().await["attempts"], Value::Null);
}

#[tokio::test]
async fn forms_pass_byte_for_byte_with_their_model_replaced() {
    let harness = gateway("").await;
    for (path, fields) in [
        ("/v1/audio/transcriptions", [("response_format", "json"), ("language", "en")]),
        ("/v1/images/edits", [("prompt", "one two three"), ("n", "1")]),
    ] {
        let part = |name: &str, value: &str| {
            format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let file = |name: &str| {
            let name = format!("{name}\"; filename=\"a; name=model.wav");
            part(&name, "RIFF\r\n--xy model=\0")
        };
        let form = |model: &str| {
            let mut text = file(if path.contains("audio") { "file" } else { "image" });
            fields.iter().for_each(|(name, value)| text.push_str(&part(name, value)));
            text + &part("model", model) + "--xyz--\r\n"
        };
        let sending = harness.client.post(harness.url(path)).bearer_auth(&harness.key);
        let sending = sending.header("content-type", "multipart/form-data; boundary=xyz").body(form("openai-model"));
        let answer = read(sending).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert_eq!(harness.upstream.last_body().unwrap(), form("up/openai:1").as_bytes());
        assert_eq!(harness.booked(&answer.request_id()).await["endpoint"], path);
    }
}

#[tokio::test]
async fn geminis_other_versions_pass_as_they_were_called() {
    let harness = gateway("").await;
    let call = bodies::plain().into_iter().find(|call| call.endpoint.contains("generateContent")).unwrap();
    for version in ["/v1/", "/v1alpha/"] {
        let url = harness.url(&call.path.replace("/v1beta/", version));
        let answer = read(harness.client.post(url).header("x-goog-api-key", &harness.key).json(&call.body)).await;
        assert_eq!(answer.status, 200, "{version}: {}", answer.text);
        let path = harness.upstream.requests().pop().unwrap().path;
        assert_eq!(path, format!("{version}models/up%2Fgemini%3A1:generateContent"));
        assert_eq!(harness.booked(&answer.request_id()).await["endpoint"], call.endpoint);
    }
    let listed = read(harness.client.get(harness.url("/v1/models/gemini-model")).bearer_auth(&harness.key)).await;
    assert_eq!(listed.json()["object"], "model", "{}", listed.text);
}

#[test]
fn every_path_that_is_passed_on_stands_in_the_documentation() {
    let text = include_str!("../../../docs/dialects.md");
    for endpoint in Endpoint::ALL {
        let path = endpoint.path();
        let short = path.rfind([':', '/']).map_or(path, |at| &path[at..]);
        let named = text.contains(&format!("`POST {path}`")) || text.contains(&format!("`{path}`"));
        assert!(named || text.contains(&format!("`{short}`")), "docs/dialects.md does not list {path}");
    }
}
