//! Every dialect through the whole gateway: what passes, what is booked, what a client is told when it fails.

mod asked;
mod bodies;
mod errors;
mod passing;
mod streams;

use serde_json::Value;

use crate::harness::{Answer, Harness, read};

/// Provider of each dialect, and the path that its base URL ends with.
const PROVIDERS: &[(&str, &str)] =
    &[("openai", "/v1"), ("anthropic", ""), ("gemini", ""), ("ollama", ""), ("cohere", ""), ("bedrock", "")];

/// A gateway with a provider of each dialect. Model `NAME-model` of a provider `NAME` is `up/NAME:1` there.
pub(super) async fn gateway(more: &str) -> Harness {
    let mut providers = String::new();
    for (name, path) in PROVIDERS {
        providers.push_str(&format!(
            "[[provider]]\nname = \"{name}\"\ndialect = \"{name}\"\nbase_url = \"{{upstream}}{path}\"\nallow_private = true\napi_key = \"file:{{dir}}/upstream-key\"\n{more}\n[[model]]\nname = \"{name}-model\"\ntargets = [{{ provider = \"{name}\", model = \"up/{name}:1\" }}]\n",
        ));
    }
    Harness::start_with_prices(&providers, &prices()).await
}

/// Every bucket has a price of its own, so that no two can be mixed up unseen.
fn prices() -> String {
    let mut text = String::from(
        "[[book]]\nname = \"default\"\n[[book.rule]]\nmodel = \"*\"\nvalid_from = \"2025-01-01T00:00:00Z\"\nmargin_over_cost = \"0.25\"\n",
    );
    for (name, _) in PROVIDERS {
        text.push_str(&format!(
            "[[price]]\nprovider = \"{name}\"\nmodel = \"up/{name}:1\"\nvalid_from = \"2025-01-01T00:00:00Z\"\nrecorded_at = \"2025-01-01T00:00:00Z\"\nsource = \"test\"\nusd_per_mtok = {{ input = \"1\", cache_read = \"2\", cache_write_5m = \"3\", cache_write_1h = \"4\", output = \"5\" }}\n",
        ));
        if *name == "openai" {
            text.push_str("usd_per_unit = { character = \"0.000015\" }\n");
        }
    }
    text
}

/// A call of one endpoint: how it is made and what its dialect answers.
pub(super) struct Call {
    pub(super) dialect: &'static str,
    pub(super) path: &'static str,
    pub(super) endpoint: &'static str,
    pub(super) body: Value,
}

impl Call {
    pub(super) async fn send(&self, harness: &Harness, script: Value) -> Answer {
        read(self.request(harness, script)).await
    }

    pub(super) fn request(&self, harness: &Harness, script: Value) -> reqwest::RequestBuilder {
        let mut body = self.body.clone();
        body["x_fake"] = script;
        let request = harness.client.post(harness.url(self.path)).json(&body);
        match self.dialect {
            "anthropic" => request.header("x-api-key", &harness.key).header("anthropic-version", "2023-06-01"),
            "gemini" => request.header("x-goog-api-key", &harness.key),
            _ => request.bearer_auth(&harness.key),
        }
    }
}
