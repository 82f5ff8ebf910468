//! Signs requests for others to compare: one JSON object a line in, the headers of the signature out.

use std::io::{self, BufRead, Write};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tollgate::upstream::sigv4::{Credentials, sign};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line?)?;
        let told = signed(&asked).unwrap_or_else(|| json!({ "error": "cannot be signed" }));
        writeln!(out, "{told}")?;
    }
    Ok(())
}

fn signed(asked: &Value) -> Option<Value> {
    let text = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
    let credentials = Credentials {
        access_key_id: text("access_key_id"),
        secret_access_key: text("secret_access_key"),
        session_token: asked["session_token"].as_str().map(str::to_owned),
        region: text("region"),
        service: "bedrock",
    };
    let mut headers = HeaderMap::new();
    for (name, value) in asked["headers"].as_object()? {
        headers.insert(name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value.as_str()?).ok()?);
    }
    let body = hex::decode(text("body")).ok()?;
    let method = text("method").parse().ok()?;
    sign(&credentials, &method, &text("uri").parse().ok()?, &mut headers, &body, asked["unix_us"].as_i64()?).ok()?;
    let shown = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    Some(json!({
        "authorization": shown("authorization"),
        "x-amz-date": shown("x-amz-date"),
        "x-amz-security-token": shown("x-amz-security-token"),
    }))
}
