//! A whole gateway in this process, on real files and sockets, in front of a scripted upstream.

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate::{
    app::{AppError, Gateway, files::FilesError},
    config::{
        Config,
        load::{Loaded, load},
    },
};
use tollgate_fakes::FakeUpstream;

pub(crate) use crate::setting::{SMALL_JOURNAL, base_toml, chat};

/// A gateway under test.
pub(crate) struct Harness {
    pub(crate) gateway: Option<Gateway>,
    pub(crate) upstream: FakeUpstream,
    pub(crate) client: reqwest::Client,
    pub(crate) customer: String,
    pub(crate) key: String,
    pub(crate) dir: TempDir,
}

/// An answer read whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn request_id(&self) -> String {
        self.header("x-tollgate-request-id").unwrap_or_else(|| panic!("no request id: {}", self.text)).to_owned()
    }

    pub(crate) fn error_code(&self) -> Value {
        self.json()["error"]["code"].clone()
    }
}

/// Reads a configuration that must be valid.
pub(crate) fn config(dir: &Path, toml: &str) -> Loaded {
    let path = dir.join("tollgate.toml");
    std::fs::write(&path, toml).unwrap();
    load(Some(&path), &BTreeMap::new()).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

/// Waits until every worker's first health page was read, or it was found not to answer.
pub(crate) async fn workers_were_looked_at(gateway: &Gateway) {
    for _ in 0..200 {
        if gateway.proxy.workers.iter().all(|place| place.status().state.word() != "starting") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("a worker is still starting after five seconds");
}

impl Harness {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts with more configuration behind the common part.
    pub(crate) async fn start_with(toml: &str) -> Self {
        let harness = Self::start_at_once(toml).await;
        workers_were_looked_at(harness.gateway()).await;
        harness
    }

    /// Starts with prices of its own. In the configuration `{upstream}` is the upstream's address and `{dir}` a folder.
    pub(crate) async fn start_with_prices(toml: &str, prices: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("pricing")).unwrap();
        std::fs::write(dir.path().join("pricing/test.toml"), prices).unwrap();
        Self::start_in(dir, &format!("{toml}[prices]\ndir = \"{{dir}}/pricing\"\n")).await
    }

    /// The same, without a wait for workers.
    pub(crate) async fn start_at_once(toml: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), toml).await
    }

    async fn start_in(dir: TempDir, toml: &str) -> Self {
        let upstream = FakeUpstream::start().await;
        let toml = &toml.replace("{upstream}", &upstream.base_url()).replace("{dir}", dir.path().to_str().unwrap());
        std::fs::write(dir.path().join("upstream-key"), "sk-upstream-secret").unwrap();
        let journal = if toml.contains("[journal]") { "" } else { SMALL_JOURNAL };
        let toml = format!("{journal}{}{toml}", base_toml(dir.path(), &upstream.openai_url()));
        let loaded = config(dir.path(), &toml);
        let gateway = Gateway::start(&loaded.config).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(64).build().unwrap();
        let mut harness =
            Self { gateway: Some(gateway), upstream, client, customer: String::new(), key: String::new(), dir };
        harness.customer = harness.admin("POST", "/customers", Some(json!({ "name": "Acme" }))).await.json()["id"]
            .as_str()
            .unwrap()
            .to_owned();
        harness.key = harness.new_key(json!({})).await;
        harness
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.gateway().address)
    }

    pub(crate) fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.gateway().admin_address)
    }

    /// Calls the admin API with its token.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let url = self.admin_url(&format!("/admin/v1{path}"));
        let mut request = self.client.request(method.parse().unwrap(), url).bearer_auth(&self.gateway().admin_token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        read(request).await
    }

    /// A key of the harness's customer with these limits.
    pub(crate) async fn new_key(&self, mut limits: Value) -> String {
        limits["customer_id"] = self.customer.clone().into();
        let answer = self.admin("POST", "/keys", Some(limits)).await;
        answer.json()["key"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
    }

    pub(crate) fn request(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.client.post(self.url(path)).bearer_auth(&self.key).json(body)
    }

    /// A chat request with the harness's key.
    pub(crate) async fn chat(&self, extra: Value) -> Answer {
        read(self.request("/v1/chat/completions", &chat(extra))).await
    }

    /// The books' word on a request; waits until it is there.
    pub(crate) async fn booked(&self, request_id: &str) -> Value {
        for _ in 0..200 {
            let answer = self.admin("GET", &format!("/requests/{request_id}"), None).await;
            if answer.status == 200 {
                return answer.json();
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{request_id} is not in the books after five seconds");
    }

    /// The sums of everything, when the gateway has nothing under way and has posted it.
    pub(crate) async fn totals(&self) -> Value {
        for _ in 0..400 {
            let proxy = &self.gateway().proxy;
            if proxy.journal.in_flight() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        // Posting is behind by its gathering time.
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.admin("GET", "/usage?by=", None).await.json()["data"][0].clone()
    }

    pub(crate) async fn assert_clean_audit(&self) {
        let report = self.admin("GET", "/audit", None).await.json();
        assert_eq!(report["differences"], json!([]), "{report}");
    }

    /// Stops the gateway and starts another on the same data folder.
    pub(crate) async fn restart(&mut self) {
        self.gateway.take().unwrap().stop().await;
        self.start_again().await;
    }

    /// Starts a gateway on the same data folder, when the last one has stopped.
    pub(crate) async fn start_again(&mut self) {
        let path = self.dir.path().join("tollgate.toml");
        let loaded = load(Some(&path), &BTreeMap::new()).unwrap();
        let gateway = start_on_a_free_folder(&loaded.config).await;
        workers_were_looked_at(&gateway).await;
        self.gateway = Some(gateway);
    }
}

/// A process that another test is about to start has the last gateway's lock, too, from its fork until its exec.
pub(crate) async fn start_on_a_free_folder(config: &Config) -> Gateway {
    for _ in 0..400 {
        match Gateway::start(config).await {
            Err(AppError::Files(FilesError::Locked(_))) => tokio::time::sleep(Duration::from_millis(5)).await,
            started => return started.unwrap(),
        }
    }
    panic!("the data folder is still locked after two seconds");
}

/// Sends a request and reads its answer.
pub(crate) async fn read(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}
