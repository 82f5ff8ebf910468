//! A worker in this process, on a socket of its own, with the shipped model.

use std::sync::Arc;

use serde_json::{Value, json};
use tollgate_worker::{
    engine::{Engine, EngineOptions},
    http::{Server, router},
    model::{LoadOptions, Model, SHIPPED, load},
};

/// Sizes that tests change.
pub(crate) const OPTIONS: EngineOptions =
    EngineOptions { threads: 2, sequences_max: 4, queue_max: 64, prefill_chunk_tokens: 16 };

pub(crate) struct Worker {
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
    pub(crate) model: Arc<Model>,
    pub(crate) server: Arc<Server>,
}

pub(crate) fn shipped() -> Arc<Model> {
    let options = LoadOptions { model: SHIPPED.to_owned(), id: None, context_tokens_max: 8192, chat_template: None };
    Arc::new(load(&options).unwrap())
}

impl Worker {
    pub(crate) async fn start() -> Self {
        Self::start_with(OPTIONS).await
    }

    pub(crate) async fn start_with(options: EngineOptions) -> Self {
        let model = shipped();
        let server = Arc::new(Server::new(1 << 20));
        server.loaded(Engine::start(Arc::clone(&model), options).unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = router(Arc::clone(&server));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { url, client, model, server }
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let response = self.client.post(format!("{}{path}", self.url)).json(&body).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap().json().await.unwrap()
    }

    /// Streams a request to its end and gives its events; the last is `[DONE]` as a string.
    pub(crate) async fn stream(&self, path: &str, mut body: Value) -> Vec<Value> {
        body["stream"] = json!(true);
        let response = self.client.post(format!("{}{path}", self.url)).json(&body).send().await.unwrap();
        assert_eq!(response.status(), 200);
        events(&response.text().await.unwrap())
    }

    pub(crate) fn count(&self, text: &str) -> u64 {
        self.model.tokenizer.encode_prompt(text).unwrap().len() as u64
    }

    /// Waits until a request has ended and gives its final record.
    pub(crate) async fn record(&self, id: &str) -> Value {
        for _ in 0..600 {
            let record = self.get(&format!("/v1/requests/{id}")).await;
            if record["state"] == "finished" {
                return record;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("request {id} does not end");
    }
}

pub(crate) fn events(text: &str) -> Vec<Value> {
    text.split("\n\n")
        .filter(|event| !event.is_empty())
        .map(|event| {
            let data = event.strip_prefix("data: ").unwrap_or_else(|| panic!("no data: {event}"));
            if data == "[DONE]" { json!(data) } else { serde_json::from_str(data).unwrap() }
        })
        .collect()
}

pub(crate) fn text_of(events: &[Value]) -> String {
    let text = |event: &Value| {
        let choice = &event["choices"][0];
        choice["text"].as_str().or_else(|| choice["delta"]["content"].as_str()).unwrap_or_default().to_owned()
    };
    events.iter().map(text).collect()
}
