//! `/metrics`: every name is there and described, and no client can make it grow.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tollgate::telemetry::names::{ALL, Kind};
use tollgate_fakes::worker::FakeWorker;

use crate::harness::{Harness, chat, read};

/// Prices of the metering tests' own: a dollar a million tokens.
const TRAINING: &str =
    "[[training]]\nmodel = \"demo-model\"\nname = \"first\"\ncost_usd = \"0.01\"\nin_service = \"2026-01-01\"\n";

/// A page of metrics, read.
pub(crate) struct Page {
    text: String,
    /// Name and labels as written, and the value.
    pub(crate) rows: BTreeMap<String, f64>,
}

impl Page {
    pub(crate) async fn of(harness: &Harness) -> Self {
        let url = harness.admin_url("/metrics");
        let answer = read(harness.client.get(url).bearer_auth(&harness.gateway().admin_token)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        Self::read(answer.text)
    }

    fn read(text: String) -> Self {
        let rows = text.lines().filter(|line| !line.starts_with('#'));
        let rows = rows.map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        Self { rows: rows.collect(), text }
    }

    /// The sum of all rows of a metric whose labels contain these texts.
    pub(crate) fn sum(&self, metric: &str, labels: &[&str]) -> f64 {
        let of_metric = |row: &&String| row.split('{').next() == Some(metric);
        let rows = self.rows.keys().filter(of_metric).filter(|row| labels.iter().all(|label| row.contains(label)));
        rows.map(|row| self.rows[row]).sum()
    }

    /// Names of the metrics that have a row.
    fn names(&self) -> BTreeSet<&str> {
        let name = |row: &'_ String| -> usize { row.find('{').unwrap_or(row.len()) };
        self.rows.keys().map(|row| &row[..name(row)]).collect()
    }

    /// Distinct values of a label of a metric.
    fn values(&self, metric: &str, label: &str) -> BTreeSet<String> {
        let start = format!("{label}=\"");
        let of_metric = self.rows.keys().filter(|row| row.starts_with(metric));
        of_metric.filter_map(|row| Some(row.split_once(&start)?.1.split_once('"')?.0.to_owned())).collect()
    }
}

async fn observed() -> (Harness, FakeWorker) {
    let worker = FakeWorker::start().await;
    let toml = format!(
        "{TRAINING}[[worker]]\nname = \"local\"\nurl = \"{}\"\nmodels = [\"small\"]\ndevice_usd_per_hour = \"3.6\"\n",
        worker.root_url()
    );
    (Harness::start_with(&toml).await, worker)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_of_the_list_is_there_with_its_help_its_kind_and_no_other_labels() {
    let (harness, _worker) = observed().await;
    for body in [json!({}), json!({ "stream": true }), json!({ "model": "small" }), json!({ "model": "nobody's" })] {
        harness.chat(body).await;
    }
    harness.totals().await;
    harness.assert_clean_audit().await;
    let page = Page::of(&harness).await;
    for metric in ALL {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let name = metric.name;
        assert!(page.text.contains(&format!("# HELP {name} {}\n", metric.help)), "{name}: {}", page.text);
        assert!(page.text.contains(&format!("# TYPE {name} {kind}\n")), "{name}");
        let sample = if metric.kind == Kind::Histogram { format!("{name}_count") } else { name.to_owned() };
        let row = page.rows.keys().find(|row| row.split('{').next() == Some(&sample));
        let row = row.unwrap_or_else(|| panic!("{name} has no value: {}", page.text));
        let labels = row.split_once('{').map_or("", |(_, labels)| labels.trim_end_matches('}'));
        let mut labels: Vec<&str> = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0)).collect();
        let mut expected = metric.labels.to_vec();
        labels.sort_unstable();
        expected.sort_unstable();
        assert_eq!(labels, expected, "{name}");
    }
    let listed: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
    let parts =
        |name: &str| ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part)).map(str::to_owned);
    for name in page.names() {
        let whole = parts(name).unwrap_or_else(|| name.to_owned());
        let known = listed.contains(name) || listed.contains(whole.as_str()) || name.starts_with("process_");
        assert!(known, "{name} is not in the list");
    }
}

#[tokio::test]
async fn what_is_counted_is_what_the_books_say() {
    let (harness, _worker) = observed().await;
    for number in 0..5 {
        let answer = harness.chat(json!({ "stream": number % 2 == 0, "x_fake": { "chunks": 4 + number } })).await;
        assert_eq!(answer.status, 200);
    }
    harness.chat(json!({ "x_fake": { "fault": "status", "status": 500 } })).await;
    let totals = harness.totals().await;
    let page = Page::of(&harness).await;
    let usd = |field: &str| totals[field].as_str().unwrap().parse::<f64>().unwrap();
    let close = |one: f64, other: f64| (one - other).abs() < 1e-12;
    assert!(close(page.sum("tollgate_charge_usd_total", &[]), usd("charge_usd")), "{totals} {}", page.text);
    assert!(close(page.sum("tollgate_cost_usd_total", &["provider=\"demo\""]), usd("cost_usd")));
    for kind in ["input_uncached", "output", "cache_read"] {
        let counted = page.sum("tollgate_tokens_total", &["model=\"demo-model\"", &format!("kind=\"{kind}\"")]);
        assert_eq!(counted, totals[kind].as_f64().unwrap(), "{kind}: {totals}");
    }
    assert_eq!(page.sum("tollgate_requests_total", &["status=\"2xx\"", "code=\"ok\"", "model=\"demo-model\""]), 5.0);
    assert_eq!(page.sum("tollgate_requests_total", &["status=\"5xx\"", "code=\"upstream_error\""]), 1.0);
    assert_eq!(page.sum("tollgate_attempts_total", &["outcome=\"complete\"", "provider=\"demo\""]), 5.0);
    assert_eq!(page.sum("tollgate_attempts_total", &["outcome=\"upstream_error\""]), 1.0);
    assert_eq!(page.sum("tollgate_usage_source_total", &["source=\"provider_final\""]), 5.0);
    assert_eq!(page.sum("tollgate_upstream_seconds_count", &["provider=\"demo\""]), 6.0);
    assert_eq!(page.sum("tollgate_first_byte_seconds_count", &["provider=\"demo\""]), 5.0);
    let ratio = page.sum("tollgate_training_recovered_ratio", &["model=\"demo-model\""]);
    assert!((ratio - usd("charge_usd") / 0.01).abs() < 2e-6, "{ratio} {totals}");
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_is_counted_once() {
    let harness = Harness::start().await;
    let request = harness.request("/v1/chat/completions", &chat(json!({ "x_fake": { "first_delay_ms": 600 } })));
    let answer = tokio::time::timeout(std::time::Duration::from_millis(200), request.send()).await;
    assert!(answer.is_err());
    harness.totals().await;
    let page = Page::of(&harness).await;
    assert_eq!(page.sum("tollgate_requests_total", &[]), 1.0);
    assert_eq!(page.sum("tollgate_requests_total", &["status=\"gone\"", "code=\"client_gone\""]), 1.0);
    assert_eq!(page.sum("tollgate_attempts_total", &[]), 1.0);
}

/// A stranger's request: models, paths, keys, ids and headers that nobody configured.
fn hostile(harness: &Harness, number: usize) -> reqwest::RequestBuilder {
    let model = format!("evil-{number}\"}} 1\nnot_a_metric{{a=\"");
    let body: Value = match number % 5 {
        0 => chat(json!({ "model": model })),
        1 => json!({ "model": model, "messages": format!("evil-{number}") }),
        2 => chat(json!({ "user": model, "x_fake": { "fault": "status", "status": 418, "code": model } })),
        3 => chat(json!({ "max_tokens": format!("evil-{number}") })),
        _ => Value::String(model),
    };
    let path = match number % 7 {
        0 => format!("/v1/evil-{number}"),
        1 => format!("/v1beta/models/evil-{number}:generateContent"),
        2 => format!("/model/evil-{number}/converse"),
        3 => "/v1/messages".to_owned(),
        4 => format!("/v1beta/models/demo-model:evil{number}"),
        _ => "/v1/chat/completions".to_owned(),
    };
    let key =
        if number.is_multiple_of(3) { format!("tg-evil{number:08}-{}", "0".repeat(64)) } else { harness.key.clone() };
    let method = if number.is_multiple_of(11) { reqwest::Method::PUT } else { reqwest::Method::POST };
    let request = harness.client.request(method, harness.url(&path)).bearer_auth(key).json(&body);
    request
        .header("x-tollgate-tags", format!("evil{number}=evil-{number}"))
        .header("user-agent", format!("evil-{number}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_hostile_requests_are_counted_and_add_no_label_of_theirs() {
    const REQUESTS: usize = 10_000;
    let harness = Harness::start().await;
    let send = |number| {
        let request = hostile(&harness, number);
        async move { drop(request.send().await.unwrap().bytes().await) }
    };
    stream::iter(0..REQUESTS).for_each_concurrent(32, send).await;
    let page = Page::of(&harness).await;
    assert_eq!(page.sum("tollgate_requests_total", &[]), 10_000.0);
    assert!(!page.text.contains("evil") && !page.text.contains("not_a_metric"), "{}", page.text);
    assert_eq!(page.values("tollgate_requests_total", "model"), ["", "demo-model"].map(str::to_owned).into());
    assert!(page.rows.len() < 250, "{} series: {}", page.rows.len(), page.text);
    assert!(!page.text.contains("cus_") && !page.text.contains("key_") && !page.text.contains("tg-"));
}

fn text_of(path: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_operators_manual_lists_every_metric_as_it_is_and_no_other() {
    let manual = text_of("docs/operations.md");
    let listed: Vec<&str> = manual.lines().filter(|line| line.starts_with("| `tollgate_")).collect();
    let expected = ALL.iter().map(|metric| {
        let kind = format!("{:?}", metric.kind).to_lowercase();
        format!("| `{}` | {kind} | {} | {} |", metric.name, metric.labels.join(", "), metric.help)
    });
    assert_eq!(listed, expected.collect::<Vec<_>>());
}

#[test]
fn every_alert_has_a_runbook_and_reads_metrics_that_there_are() {
    let (manual, rules) = (text_of("docs/operations.md"), text_of("deploy/prometheus/alerts.yml"));
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 30);
    for alert in &alerts {
        assert!(manual.contains(&format!("\n### {alert}\n")), "{alert} has no runbook");
        assert!(rules.contains(&format!("runbook: docs/operations.md#{}", alert.to_lowercase())), "{alert}");
    }
    let headings = manual.lines().filter_map(|line| line.strip_prefix("### Tollgate"));
    assert_eq!(headings.count(), alerts.len(), "a runbook without an alert");
    let words =
        rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("tollgate_"));
    for word in words {
        let known = ALL.iter().any(|metric| word == metric.name || word.strip_suffix("_bucket") == Some(metric.name));
        assert!(known, "{word} is no metric");
    }
}
