//! An upstream that answers every request with bytes of the test's own, in front of which a whole gateway stands.

use std::sync::{Arc, Mutex};

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::harness::{Answer, Harness, chat, read};

/// The dialects in which it is called; its models have their names.
const DIALECTS: [&str; 5] = ["openai", "anthropic", "gemini", "bedrock", "ollama"];

/// An upstream that answers every request with the same bytes.
pub(crate) struct RawUpstream {
    pub(crate) harness: Harness,
    reply: Arc<Mutex<Vec<u8>>>,
}

impl RawUpstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let reply: Arc<Mutex<Vec<u8>>> = Arc::default();
        let replies = Arc::clone(&reply);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let reply = replies.lock().unwrap().clone();
                tokio::spawn(answer(stream, reply));
            }
        });
        let mut toml = String::new();
        for dialect in DIALECTS {
            let base = if dialect == "openai" { "/v1" } else { "" };
            toml += &format!(
                "[[provider]]\nname = \"{dialect}-raw\"\ndialect = \"{dialect}\"\nbase_url = \"http://{address}{base}\"\nallow_private = true\n[[model]]\nname = \"{dialect}\"\ntargets = [{{ provider = \"{dialect}-raw\", model = \"demo-model\" }}]\n"
            );
        }
        let harness = Harness::start_with(&format!("{toml}[prices]\nunpriced = \"record\"\n")).await;
        Self { harness, reply }
    }

    /// What the client got of an answer with these headers and this body, and what the books say of it.
    pub(crate) async fn ask(&self, headers: &str, body: &[u8], stream: bool) -> (Answer, Value) {
        self.call("/v1/chat/completions", &chat(json!({ "model": "openai", "stream": stream })), headers, body).await
    }

    /// The same, of a request to any path.
    pub(crate) async fn call(&self, path: &str, request: &Value, headers: &str, body: &[u8]) -> (Answer, Value) {
        self.ask_with(self.harness.request(path, request), headers, body).await
    }

    /// The same, of any request.
    pub(crate) async fn ask_with(&self, request: RequestBuilder, headers: &str, body: &[u8]) -> (Answer, Value) {
        self.next_reply("200 OK", headers, body);
        let answer = read(request).await;
        let view = self.harness.booked(&answer.request_id()).await;
        (answer, view)
    }

    /// The same, of an answer whose body is not read.
    pub(crate) async fn send(&self, path: &str, request: &Value, headers: &str, body: &[u8]) -> reqwest::Response {
        self.next_reply("200 OK", headers, body);
        self.harness.request(path, request).send().await.unwrap()
    }

    /// Answers with this status, these headers and this body from now on.
    pub(crate) fn next_reply(&self, status: &str, headers: &str, body: &[u8]) {
        let head = format!("HTTP/1.1 {status}\r\n{headers}\r\nconnection: close\r\n\r\n");
        *self.reply.lock().unwrap() = [head.as_bytes(), body].concat();
    }
}

async fn answer(mut stream: TcpStream, reply: Vec<u8>) {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !request.ends_with(b"}") && !request.ends_with(b"--b--\r\n") {
        match stream.read(&mut piece).await {
            Ok(len) if len > 0 => request.extend_from_slice(&piece[..len]),
            _ => return,
        }
    }
    let _sent = stream.write_all(&reply).await;
}
