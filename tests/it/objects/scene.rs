//! Two customers of one gateway, and what both keep at one provider.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, Harness, read};

/// A provider of Anthropic's dialect beside the first one, with prices of batches.
pub(super) const BOTH: &str = "[batches]\npoll_ms_min = 50\npoll_ms_max = 100\n\
     [[provider]]\nname = \"claude\"\ndialect = \"anthropic\"\nbase_url = \"{upstream}\"\nallow_private = true\napi_key = \"file:{dir}/upstream-key\"\n\
     [[model]]\nname = \"public\"\ntargets = [{ provider = \"demo\", model = \"demo-model\" }]\n\
     [[model]]\nname = \"other\"\ntargets = [{ provider = \"demo\", model = \"dear-model\" }]\n\
     [[model]]\nname = \"poet\"\ntargets = [{ provider = \"claude\", model = \"claude-test\" }]\n";

pub(super) const PRICES: &str = r#"
[[price]]
provider = "demo"
model = "demo-model"
valid_from = "2025-01-01"
recorded_at = "2025-01-01"
source = "test"
usd_per_mtok = { input = "1", output = "4" }
[[price.variant]]
when = { service_tier = "batch" }
usd_per_mtok = { input = "0.5", output = "2" }
[[price]]
provider = "demo"
model = "dear-model"
valid_from = "2025-01-01"
recorded_at = "2025-01-01"
source = "test"
usd_per_mtok = { input = "10", output = "40" }
[[price.variant]]
when = { service_tier = "batch" }
usd_per_mtok = { input = "5", output = "20" }
[[price]]
provider = "demo"
model = "no-batch-price"
valid_from = "2025-01-01"
recorded_at = "2025-01-01"
source = "test"
usd_per_mtok = { input = "1", output = "4" }
[[price]]
provider = "claude"
model = "claude-test"
valid_from = "2025-01-01"
recorded_at = "2025-01-01"
source = "test"
usd_per_mtok = { input = "2", cache_read = "0.2", cache_write = "2.5", cache_write_1h = "4", output = "10" }
[[price.variant]]
when = { service_tier = "batch" }
usd_per_mtok = { input = "1", cache_read = "0.1", cache_write = "1.25", cache_write_1h = "2", output = "5" }
[[book]]
name = "default"
[[book.rule]]
model = "*"
valid_from = "2025-01-01"
recorded_at = "2025-01-01"
multiplier = "2"
"#;

pub(super) async fn start() -> Harness {
    Harness::start_with_prices(BOTH, PRICES).await
}

/// A line of a batch's file: a chat request of two words.
pub(super) fn line(custom_id: &str, model: &str, fake: Value) -> String {
    let messages = json!([{ "role": "user", "content": "hello there" }]);
    let body = json!({ "model": model, "messages": messages, "x_fake": fake });
    json!({ "custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body }).to_string() + "\n"
}

/// So many lines, each answered in one word.
pub(super) fn lines(model: &str, count: usize) -> String {
    (0..count).map(|n| line(&format!("request-{n}"), model, json!({ "chunks": 1 }))).collect()
}

/// A form with a file, as SDKs send it.
pub(super) fn form(request: reqwest::RequestBuilder, purpose: &str, content: &str) -> reqwest::RequestBuilder {
    let body = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n{purpose}\r\n--edge\r\n\
         Content-Disposition: form-data; name=\"file\"; filename=\"requests.jsonl\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n{content}\r\n--edge--\r\n"
    );
    request.header("content-type", "multipart/form-data; boundary=edge").body(body)
}

impl Harness {
    /// A key of another customer.
    pub(super) async fn other_key(&self) -> String {
        let customer = self.admin("POST", "/customers", Some(json!({ "name": "Other" }))).await.json()["id"].clone();
        let answer = self.admin("POST", "/keys", Some(json!({ "customer_id": customer }))).await;
        answer.json()["key"].as_str().unwrap().to_owned()
    }

    pub(super) async fn upload_as(&self, key: &str, purpose: &str, content: &str) -> Answer {
        read(form(self.client.post(self.url("/v1/files")).bearer_auth(key), purpose, content)).await
    }

    pub(super) async fn upload(&self, content: &str) -> String {
        let answer = self.upload_as(&self.key, "batch", content).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Any call, as somebody.
    pub(super) async fn call(&self, key: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.client.request(method.parse().unwrap(), self.url(path)).bearer_auth(key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        read(request).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.call(&self.key, "GET", path, None).await
    }

    pub(super) async fn make_batch(&self, file: &str) -> Answer {
        let body = json!({ "input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h" });
        self.call(&self.key, "POST", "/v1/batches", Some(body)).await
    }

    /// A batch of these lines.
    pub(super) async fn batch_of(&self, content: &str) -> String {
        let answer = self.make_batch(&self.upload(content).await).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Usage by model when so many requests are in the books.
    pub(super) async fn usage_of(&self, requests: u64) -> Vec<Value> {
        for _ in 0..400 {
            let rows = self.admin("GET", "/usage?by=model", None).await.json()["data"].as_array().unwrap().clone();
            let found: u64 = rows.iter().map(|row| row["requests"].as_u64().unwrap()).sum();
            assert!(found <= requests, "{found} requests are in the books, not {requests}");
            if found == requests {
                // What is wrong would show in a moment.
                tokio::time::sleep(Duration::from_millis(300)).await;
                return self.admin("GET", "/usage?by=model", None).await.json()["data"].as_array().unwrap().clone();
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the books did not have {requests} requests after ten seconds");
    }
}
