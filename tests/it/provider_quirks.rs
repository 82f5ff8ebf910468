//! What is special about a provider, on the whole gateway: what leaves for it, and what of its answer passes.

use axum::http::{HeaderMap, HeaderValue, Method, header};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tollgate::upstream::sigv4::{self, Credentials};
use tollgate_eventstream::{
    headers::Kind,
    reader::{Part, Reader},
};

use crate::harness::{Answer, Harness, read};

/// A gateway whose model `public` goes to `up` at one provider.
async fn gateway(provider: &str) -> Harness {
    let name = provider.lines().next().and_then(|line| line.split('"').nth(1)).unwrap();
    let prices = format!(
        "[[book]]\nname = \"default\"\n[[book.rule]]\nmodel = \"*\"\nvalid_from = \"2025-01-01\"\nmargin_over_cost = \"0\"\n[[price]]\nprovider = \"{name}\"\nmodel = \"up:1\"\nvalid_from = \"2025-01-01\"\nrecorded_at = \"2025-01-01\"\nsource = \"test\"\nusd_per_mtok = {{ input = \"1\", cache_read = \"1\", output = \"5\" }}\n"
    );
    let toml = format!(
        "[[provider]]\n{provider}\nallow_private = true\n[[model]]\nname = \"public\"\ntargets = [{{ provider = \"{name}\", model = \"up:1\" }}]\n"
    );
    Harness::start_with_prices(&toml, &prices).await
}

const KEY: &str = "api_key = \"file:{dir}/upstream-key\"";

async fn chat(harness: &Harness, script: Value) -> Answer {
    let body = json!({ "model": "public", "stream": true, "messages": [{ "role": "user", "content": "one two three" }], "x_fake": script });
    read(harness.client.post(harness.url("/v1/chat/completions")).bearer_auth(&harness.key).json(&body)).await
}

fn last_body(harness: &Harness) -> Value {
    serde_json::from_slice(&harness.upstream.last_body().unwrap()).unwrap()
}

#[tokio::test]
async fn a_provider_that_tells_usage_unasked_is_not_asked_and_loses_nothing_of_its_answer() {
    let harness = gateway(&format!("name = \"mistral\"\nbase_url = \"{{upstream}}/v1\"\n{KEY}")).await;
    let answer = chat(&harness, json!({ "chunks": 3, "usage_unasked": true })).await;
    assert_eq!(last_body(&harness).get("stream_options"), None);
    // The chunk that finishes carries the usage; it passes.
    let finish = answer.text.lines().find(|line| line.contains("\"finish_reason\":\"stop\"")).unwrap();
    assert!(finish.contains("\"completion_tokens\":3"), "{finish}");
    let view = harness.booked(&answer.request_id()).await;
    assert_eq!((&view["usage_source"], &view["lines"][0]["usage"]["output"]), (&json!("provider_final"), &json!(3)));
}

#[tokio::test]
async fn a_provider_that_needs_to_be_asked_is_asked_and_the_client_sees_nothing_of_it() {
    let harness = gateway(&format!("name = \"groq\"\nbase_url = \"{{upstream}}/v1\"\n{KEY}")).await;
    let answer = chat(&harness, json!({ "chunks": 3 })).await;
    assert_eq!(last_body(&harness)["stream_options"], json!({ "include_usage": true }));
    assert!(!answer.text.contains("completion_tokens"), "{}", answer.text);
    let view = harness.booked(&answer.request_id()).await;
    assert_eq!((&view["usage_source"], &view["lines"][0]["usage"]["output"]), (&json!("provider_final"), &json!(3)));
}

#[tokio::test]
async fn a_server_that_refuses_the_option_is_estimated_and_says_so() {
    let harness =
        gateway(&format!("name = \"mine\"\nbase_url = \"{{upstream}}/v1\"\nquirks = [\"no_stream_options\"]\n{KEY}"))
            .await;
    let answer = chat(&harness, json!({ "chunks": 3 })).await;
    assert_eq!(last_body(&harness).get("stream_options"), None);
    let view = harness.booked(&answer.request_id()).await;
    assert_eq!((&view["outcome"], &view["usage_source"]), (&json!("complete"), &json!("estimated")));
}

#[tokio::test]
async fn azure_is_called_by_deployment_with_its_version_and_its_own_header() {
    let azure = "name = \"azure\"\nbase_url = \"{upstream}/openai/v1\"\napi_version = \"2024-10-21\"";
    let harness = gateway(&format!("{azure}\n{KEY}")).await;
    let answer = chat(&harness, json!({})).await;
    // The scripted upstream has no such path: what matters is what arrived.
    assert_eq!(answer.status, 404);
    let seen = harness.upstream.requests().pop().unwrap();
    assert_eq!(seen.path, "/openai/deployments/up%3A1/chat/completions?api-version=2024-10-21");
    assert!(seen.header_names.iter().any(|name| name == "api-key"), "{:?}", seen.header_names);
    assert!(!seen.header_names.iter().any(|name| name == "authorization"), "{:?}", seen.header_names);
}

#[tokio::test]
async fn vertex_is_called_behind_its_publisher() {
    let harness = gateway(&format!("name = \"vertex\"\nbase_url = \"{{upstream}}/v1/publishers/google\"\n{KEY}")).await;
    let body = json!({ "contents": [] });
    let url = harness.url("/v1beta/models/public:streamGenerateContent?alt=sse");
    read(harness.client.post(url).header("x-goog-api-key", &harness.key).json(&body)).await;
    let seen = harness.upstream.requests().pop().unwrap();
    assert_eq!(seen.path, "/v1/publishers/google/models/up%3A1:streamGenerateContent?alt=sse");
    assert_eq!(seen.authorized_with.as_deref(), Some("sk-upstream-secret"));
}

fn converse(harness: &Harness, path: &str, script: Value) -> reqwest::RequestBuilder {
    let body = json!({ "messages": [{ "role": "user", "content": [{ "text": "one two three" }] }], "x_fake": script });
    harness.client.post(harness.url(path)).bearer_auth(&harness.key).json(&body)
}

#[tokio::test]
async fn bedrock_gets_requests_signed_as_they_are_sent() {
    let keys = "aws_region = \"eu-west-3\"\naws_access_key_id = \"file:{dir}/upstream-key\"\naws_secret_access_key = \"file:{dir}/upstream-key\"\naws_session_token = \"file:{dir}/upstream-key\"";
    let harness = gateway(&format!("name = \"bedrock\"\nbase_url = \"{{upstream}}\"\n{keys}")).await;
    let answer = read(converse(&harness, "/model/public/converse", json!({}))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let seen = harness.upstream.requests().pop().unwrap();
    let secret = "sk-upstream-secret".to_owned();
    let credentials = Credentials {
        access_key_id: secret.clone(),
        secret_access_key: secret.clone(),
        session_token: Some(secret),
        region: "eu-west-3".to_owned(),
        service: "bedrock",
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let signed_at = seen.signed_at.unwrap();
    let at: jiff::civil::DateTime = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &signed_at).unwrap();
    let unix_us = jiff::tz::TimeZone::UTC.to_timestamp(at).unwrap().as_microsecond();
    let uri = format!("{}/model/up%3A1/converse", harness.upstream.base_url()).parse().unwrap();
    let body = harness.upstream.last_body().unwrap();
    sigv4::sign(&credentials, &Method::POST, &uri, &mut headers, &body, unix_us).unwrap();
    assert_eq!(seen.authorized_with.as_deref(), headers[header::AUTHORIZATION].to_str().ok());
}

/// Frames of an answer: what each is, and whether it is intact.
fn frames(bytes: &[u8]) -> Vec<(String, bool)> {
    let (mut reader, mut rest, mut frames, mut kind) = (Reader::new(), bytes, Vec::new(), String::new());
    while let Ok(Some(part)) = reader.next(&mut rest) {
        match part {
            Part::Head => match reader.headers().kind() {
                Kind::Event(name) | Kind::Exception(name) => name.clone_into(&mut kind),
                _ => {}
            },
            Part::Payload(_) => {}
            Part::End { intact } => frames.push((kind.clone(), intact)),
        }
    }
    frames
}

#[tokio::test]
async fn a_damaged_frame_of_bedrock_passes_as_it_is_is_booked_as_what_it_is_and_has_no_clean_end() {
    let harness = gateway(&format!("name = \"bedrock\"\naws_region = \"x\"\nbase_url = \"{{upstream}}\"\n{KEY}")).await;
    for verb in ["converse-stream", "invoke-with-response-stream"] {
        let request =
            converse(&harness, &format!("/model/public/{verb}"), json!({ "fault": "damage", "chunks": 6, "at": 2 }));
        let response = request.send().await.unwrap();
        let id = response.headers()["x-tollgate-request-id"].to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        let mut stream = response.bytes_stream();
        while let Some(Ok(chunk)) = stream.next().await {
            bytes.extend_from_slice(&chunk);
        }
        let frames = frames(&bytes);
        assert_eq!(frames.iter().filter(|(_, intact)| !intact).count(), 1, "{verb}: {frames:?}");
        assert!(frames.iter().all(|(kind, _)| kind != "metadata"), "{verb}: {frames:?}");
        let view = harness.booked(&id).await;
        assert_eq!(
            (&view["outcome"], &view["flags"][0]),
            (&json!("invalid_body"), &json!("frame_damaged")),
            "{verb}: {view}"
        );
        // The usage came in a frame that was whole: that much is owed to the provider.
        let line = &view["lines"][0]["usage"];
        assert_eq!((&line["input_uncached"], &line["output"]), (&json!(3), &json!(6)), "{verb}: {view}");
    }
}

#[tokio::test]
async fn an_invocation_is_booked_by_its_headers_when_its_body_tells_nothing() {
    let harness = gateway(&format!("name = \"bedrock\"\naws_region = \"x\"\nbase_url = \"{{upstream}}\"\n{KEY}")).await;
    let answer =
        read(converse(&harness, "/model/public/invoke", json!({ "fault": "no_usage", "cached_tokens": 1 }))).await;
    assert_eq!(answer.header("x-amzn-bedrock-output-token-count"), Some("8"));
    let view = harness.booked(&answer.request_id()).await;
    let usage = &view["lines"][0]["usage"];
    assert_eq!(
        (&view["usage_source"], &usage["input_uncached"], &usage["cache_read"], &usage["output"]),
        (&json!("provider_headers"), &json!(2), &json!(1), &json!(8)),
        "{view}"
    );
}
