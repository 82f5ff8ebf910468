//! A worker in this process, on a socket of its own, with the shipped model.

use std::{collections::HashMap, path::Path, sync::Arc};

use candle_core::{DType, Device, Tensor};
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

pub(crate) fn model(model: &str) -> Arc<Model> {
    let options = LoadOptions { model: model.to_owned(), id: None, context_tokens_max: 8192, chat_template: None };
    Arc::new(load(&options).unwrap())
}

/// Writes a model of random weights with the shipped tokenizer: about forty times the work a token, so that a request of
/// some hundred tokens is under way for as long as a test needs it to be, on a fast machine and on a slow one.
pub(crate) fn write_slow_model(folder: &Path) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/small");
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(shipped.join(name), folder.join(name)).unwrap();
    }
    let mut config: Value = serde_json::from_slice(&std::fs::read(shipped.join("config.json")).unwrap()).unwrap();
    let (hidden, inner, layers, vocabulary) = (512, 1536, 6, config["vocab_size"].as_u64().unwrap());
    config["hidden_size"] = json!(hidden);
    config["intermediate_size"] = json!(inner);
    config["num_hidden_layers"] = json!(layers);
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let random = |outputs: usize, inputs: usize| Tensor::randn(0.0_f32, 0.05, (outputs, inputs), &Device::Cpu).unwrap();
    let ones = || Tensor::ones(hidden, DType::F32, &Device::Cpu).unwrap();
    let mut tensors = HashMap::from([
        ("model.embed_tokens.weight".to_owned(), random(usize::try_from(vocabulary).unwrap(), hidden)),
        ("model.norm.weight".to_owned(), ones()),
    ]);
    for layer in 0..layers {
        let mut put = |part: &str, tensor| tensors.insert(format!("model.layers.{layer}.{part}.weight"), tensor);
        put("input_layernorm", ones());
        put("post_attention_layernorm", ones());
        put("self_attn.q_proj", random(hidden, hidden));
        put("self_attn.k_proj", random(hidden / 2, hidden));
        put("self_attn.v_proj", random(hidden / 2, hidden));
        put("self_attn.o_proj", random(hidden, hidden));
        put("mlp.gate_proj", random(inner, hidden));
        put("mlp.up_proj", random(inner, hidden));
        put("mlp.down_proj", random(hidden, inner));
    }
    candle_core::safetensors::save(&tensors, folder.join("model.safetensors")).unwrap();
}

impl Worker {
    pub(crate) async fn start() -> Self {
        Self::start_with(OPTIONS).await
    }

    pub(crate) async fn start_with(options: EngineOptions) -> Self {
        Self::serve(model(SHIPPED), options).await
    }

    /// One whose requests take their time, in the order in which they come: one thread, one request at a time.
    pub(crate) async fn start_slow(queue_max: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_slow_model(folder.path());
        let options = EngineOptions { threads: 1, sequences_max: 1, queue_max, prefill_chunk_tokens: 16 };
        Self::serve(model(folder.path().to_str().unwrap()), options).await
    }

    async fn serve(model: Arc<Model>, options: EngineOptions) -> Self {
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

    /// A completion with a name.
    pub(crate) fn request(&self, id: &str, body: Value) -> reqwest::RequestBuilder {
        self.client.post(format!("{}/v1/completions", self.url)).header("x-request-id", id).json(&body)
    }

    pub(crate) async fn send(&self, id: &str, body: Value) -> reqwest::Response {
        self.request(id, body).send().await.unwrap()
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
