//! Traces and GenAI metrics as a collector gets them, W3C context as an upstream gets it, and a collector that is no good.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{KeyValue, any_value::Value as Any},
    metrics::v1::{HistogramDataPoint, metric::Data},
    trace::v1::{Span, span::SpanKind, status::StatusCode as Code},
};
use prost::Message;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::{Harness, chat, read};

/// How a collector behaves.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Takes,
    /// Never answers.
    Hangs,
    /// 503 so many times, then takes.
    Refuses(usize),
}

/// A collector that decodes what arrives, in whatever of the two forms.
struct Collector {
    url: String,
    seen: Arc<Seen>,
    _serving: tokio::task::JoinHandle<()>,
}

struct Seen {
    manner: Mutex<Manner>,
    spans: Mutex<Vec<Span>>,
    reports: Mutex<Vec<ExportMetricsServiceRequest>>,
    /// Headers and raw bytes of every message.
    raw: Mutex<Vec<(HeaderMap, Bytes)>>,
}

impl Collector {
    async fn start(manner: Manner) -> Self {
        let seen = Arc::new(Seen {
            manner: Mutex::new(manner),
            spans: Mutex::default(),
            reports: Mutex::default(),
            raw: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/traces", post(take_traces))
            .route("/v1/metrics", post(take_metrics))
            .with_state(Arc::clone(&seen));
        let serving = tokio::spawn(async move { axum_serve(listener, router).await });
        Self { url, seen, _serving: serving }
    }

    fn toml(&self, more: &str) -> String {
        format!("[telemetry]\notlp_endpoint = \"{}\"\nmetrics_interval_ms = 300\n{more}\n", self.url)
    }

    /// Waits until so many spans came.
    async fn spans(&self, count: usize) -> Vec<Span> {
        for _ in 0..400 {
            let spans = self.seen.spans.lock().unwrap().clone();
            if spans.len() >= count {
                return spans;
            }
            sleep(Duration::from_millis(25)).await;
        }
        panic!("{:?}", self.seen.spans.lock().unwrap());
    }
}

/// The gateway's own accept loop serves any router.
async fn axum_serve(listener: tokio::net::TcpListener, router: Router) {
    tollgate::app::listener::serve(listener, router, tollgate::app::listener::Stopper::default()).await;
}

async fn manner(seen: &Seen) -> Option<StatusCode> {
    let now = *seen.manner.lock().unwrap();
    match now {
        Manner::Takes | Manner::Refuses(0) => None,
        Manner::Hangs => std::future::pending().await,
        Manner::Refuses(times) => {
            *seen.manner.lock().unwrap() = Manner::Refuses(times - 1);
            Some(StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

fn decode<M: Message + Default + serde::de::DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> M {
    match headers["content-type"].to_str().unwrap() {
        "application/x-protobuf" => M::decode(body.clone()).unwrap(),
        "application/json" => serde_json::from_slice(body).unwrap(),
        other => panic!("{other}"),
    }
}

async fn take_traces(State(seen): State<Arc<Seen>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if let Some(refused) = manner(&seen).await {
        return refused;
    }
    let message: ExportTraceServiceRequest = decode(&headers, &body);
    let scopes = message.resource_spans.iter().flat_map(|resource| resource.scope_spans.clone());
    seen.spans.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
    seen.raw.lock().unwrap().push((headers, body));
    StatusCode::OK
}

async fn take_metrics(State(seen): State<Arc<Seen>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if let Some(refused) = manner(&seen).await {
        return refused;
    }
    seen.reports.lock().unwrap().push(decode(&headers, &body));
    seen.raw.lock().unwrap().push((headers, body));
    StatusCode::OK
}

fn value(attributes: &[KeyValue], name: &str) -> Value {
    let found = attributes.iter().find(|attribute| attribute.key == name);
    match found.and_then(|attribute| attribute.value.clone()?.value) {
        Some(Any::StringValue(text)) => text.into(),
        Some(Any::IntValue(number)) => number.into(),
        Some(Any::DoubleValue(number)) => number.into(),
        Some(Any::BoolValue(flag)) => flag.into(),
        Some(Any::ArrayValue(list)) => {
            list.values.iter().map(|value| format!("{:?}", value.value)).collect::<Vec<_>>().into()
        }
        _ => Value::Null,
    }
}

fn of_kind(spans: &[Span], kind: SpanKind) -> Vec<&Span> {
    spans.iter().filter(|span| span.kind == i32::from(kind)).collect()
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_traced_request_is_a_span_of_its_own_and_one_for_each_attempt_in_both_forms() {
    for protocol in ["http/protobuf", "http/json"] {
        let collector = Collector::start(Manner::Takes).await;
        let harness = Harness::start_with(&collector.toml(&format!("otlp_protocol = \"{protocol}\""))).await;
        let answer = harness.chat(json!({ "x_fake": { "chunks": 5, "cached_tokens": 2 } })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let spans = collector.spans(2).await;
        let (server, client) = (of_kind(&spans, SpanKind::Server)[0], of_kind(&spans, SpanKind::Client)[0]);
        let id = answer.request_id();
        // A trace that begins here can be found by the request's id.
        assert_eq!(format!("req_{}", hex::encode(&server.trace_id)), id);
        assert_eq!((server.name.as_str(), client.name.as_str()), ("POST /v1/chat/completions", "chat demo-model"));
        assert!(server.parent_span_id.is_empty() && client.parent_span_id == server.span_id);
        assert_eq!(client.trace_id, server.trace_id);
        assert!(server.start_time_unix_nano <= client.start_time_unix_nano);
        assert!(client.end_time_unix_nano >= client.start_time_unix_nano);
        let view = harness.booked(&id).await;
        let usage = &view["lines"][0]["usage"];
        let told = |name: &str| value(&client.attributes, name);
        assert_eq!(told("gen_ai.operation.name"), "chat");
        assert_eq!((told("gen_ai.provider.name"), told("gen_ai.request.model")), (json!("demo"), json!("demo-model")));
        let input = usage["input_uncached"].as_u64().unwrap() + usage["cache_read"].as_u64().unwrap();
        assert_eq!((told("gen_ai.usage.input_tokens"), told("gen_ai.usage.output_tokens")), (json!(input), json!(5)));
        assert_eq!(told("gen_ai.usage.cache_read.input_tokens"), 2);
        assert_eq!((told("tollgate.outcome"), told("tollgate.request_id")), (json!("complete"), json!(id)));
        assert!(told("gen_ai.response.finish_reasons").to_string().contains("stop"));
        assert_eq!(value(&server.attributes, "http.response.status_code"), 200);
        assert_eq!(value(&server.attributes, "tollgate.model"), "demo-model");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clients_trace_goes_on_through_the_gateway_to_the_upstream() {
    let collector = Collector::start(Manner::Takes).await;
    // Nothing that begins here is traced; what a client records is.
    let harness = Harness::start_with(&collector.toml("sample_ratio = \"0\"")).await;
    let send = |parent: &'static str, fault: Value| {
        let request = harness.request("/v1/chat/completions", &chat(json!({ "x_fake": fault })));
        read(request.header("traceparent", parent).header("tracestate", "a=1").header("tracestate", "b=2"))
    };
    assert_eq!(send(PARENT, json!({})).await.status, 200);
    let spans = collector.spans(2).await;
    let (server, client) = (of_kind(&spans, SpanKind::Server)[0], of_kind(&spans, SpanKind::Client)[0]);
    assert_eq!(hex::encode(&server.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex::encode(&server.parent_span_id), "b7ad6b7169203331");
    assert_eq!((server.trace_state.as_str(), client.trace_state.as_str()), ("a=1,b=2", "a=1,b=2"));
    let upstream = |index: usize| {
        let seen = harness.upstream.requests()[index].clone();
        (seen.traceparent, seen.tracestate)
    };
    let expected = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", hex::encode(&client.span_id));
    assert_eq!(upstream(0), (expected, "a=1,b=2".to_owned()));
    // A client that does not record is passed on as it is, and costs no span; so is one without a trace.
    let unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    assert_eq!(send(unsampled, json!({})).await.status, 200);
    assert_eq!(upstream(1), (unsampled.to_owned(), "a=1,b=2".to_owned()));
    assert_eq!(harness.chat(json!({})).await.status, 200);
    assert_eq!(upstream(2), (String::new(), String::new()));
    // Nor does a stranger's word cost one.
    let strange = harness.client.post(harness.url("/v1/chat/completions")).bearer_auth("tg-no").json(&chat(json!({})));
    assert_eq!(read(strange.header("traceparent", PARENT)).await.status, 401);
    // A failure is told as one.
    assert_eq!(send(PARENT, json!({ "fault": "status", "status": 500 })).await.status, 500);
    let spans = collector.spans(4).await;
    assert_eq!(spans.len(), 4, "unsampled requests, and a stranger's, leave no span");
    for span in &spans[2..] {
        assert_eq!(span.status.as_ref().unwrap().code, i32::from(Code::Error), "{span:?}");
    }
    assert_eq!(value(&of_kind(&spans[2..], SpanKind::Client)[0].attributes, "error.type"), "upstream_error");
    // What asks for no model goes on with a customer's trace, too.
    let usage = harness.client.get(harness.url("/v1/usage")).bearer_auth(&harness.key).header("traceparent", PARENT);
    assert_eq!(read(usage).await.status, 200);
    assert_eq!(collector.spans(5).await[4].name, "GET /v1/usage");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_refusals_and_streams_each_leave_the_spans_that_they_should() {
    let collector = Collector::start(Manner::Takes).await;
    let model =
        "[[model]]\nname = \"again\"\nretries = 1\ntargets = [{ provider = \"demo\", model = \"demo-model\" }]\n";
    let harness = Harness::start_with(&format!("{model}{}", collector.toml(""))).await;
    assert_eq!(
        harness.chat(json!({ "model": "again", "x_fake": { "fault": "status", "status": 503 } })).await.status,
        503
    );
    let spans = collector.spans(3).await;
    let attempts = of_kind(&spans, SpanKind::Client);
    assert_eq!(attempts.len(), 2);
    assert_ne!(attempts[0].span_id, attempts[1].span_id);
    let numbers: Vec<Value> = attempts.iter().map(|span| value(&span.attributes, "tollgate.attempt")).collect();
    assert_eq!(numbers, [json!(0), json!(1)]);
    let refused =
        read(harness.client.post(harness.url("/v1/chat/completions")).bearer_auth("tg-no").json(&chat(json!({}))))
            .await;
    assert_eq!(refused.status, 401);
    let spans = collector.spans(4).await;
    assert_eq!(value(&spans[3].attributes, "tollgate.code"), "invalid_api_key");
    assert_eq!(
        spans[3].status.as_ref().unwrap().code,
        i32::from(Code::Unset),
        "a client's mistake is no error of ours"
    );
    // A stream's spans end with its last byte.
    harness.chat(json!({ "stream": true, "x_fake": { "chunks": 6, "gap_ms": 40 } })).await;
    let spans = collector.spans(6).await;
    for span in &spans[4..] {
        assert!(span.end_time_unix_nano - span.start_time_unix_nano > 150_000_000, "{span:?}");
    }
    assert_eq!(value(&of_kind(&spans[4..], SpanKind::Client)[0].attributes, "gen_ai.usage.output_tokens"), 6);
}

fn points(report: &ExportMetricsServiceRequest, name: &str) -> Vec<HistogramDataPoint> {
    let scopes = report.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let named = scopes.flat_map(|scope| &scope.metrics).filter(|metric| metric.name == name);
    named
        .filter_map(|metric| match metric.data.clone()? {
            Data::Histogram(histogram) => Some(histogram.data_points),
            _ => None,
        })
        .flatten()
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_genai_metrics_count_every_request_whether_it_is_traced_or_not() {
    let collector = Collector::start(Manner::Takes).await;
    let harness = Harness::start_with(&collector.toml("sample_ratio = \"0\"")).await;
    for chunks in [3, 5, 8] {
        harness.chat(json!({ "x_fake": { "chunks": chunks } })).await;
    }
    harness.chat(json!({ "x_fake": { "fault": "status", "status": 500 } })).await;
    let report = async {
        loop {
            sleep(Duration::from_millis(50)).await;
            let last = collector.seen.reports.lock().unwrap().last().cloned();
            let counted = |report: &ExportMetricsServiceRequest| {
                points(report, "gen_ai.client.operation.duration").iter().map(|point| point.count).sum::<u64>() == 4
            };
            if let Some(report) = last.filter(counted) {
                return report;
            }
        }
    };
    let report = tokio::time::timeout(Duration::from_secs(10), report).await.unwrap();
    let output = points(&report, "gen_ai.client.token.usage");
    let output = output.iter().find(|point| value(&point.attributes, "gen_ai.token.type") == "output").unwrap();
    assert_eq!((output.count, output.sum), (3, Some(16.0)));
    assert_eq!(output.bucket_counts.len(), output.explicit_bounds.len() + 1);
    assert_eq!(output.bucket_counts.iter().sum::<u64>(), 3);
    // 3 is at most 4; 5 and 8 are at most 16.
    assert_eq!(output.bucket_counts[1..3], [1, 2]);
    assert_eq!(value(&output.attributes, "gen_ai.operation.name"), "chat");
    assert_eq!(value(&output.attributes, "gen_ai.provider.name"), "demo");
    let durations = points(&report, "gen_ai.client.operation.duration");
    let failed = durations.iter().find(|point| value(&point.attributes, "error.type") == "upstream_error").unwrap();
    assert_eq!((failed.count, durations.len()), (1, 2));
    assert_eq!(points(&report, "gen_ai.server.time_to_first_token")[0].count, 3);
    assert!(collector.seen.spans.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_gone_or_hangs_harms_no_request_and_what_is_given_up_is_counted() {
    let gone = "[telemetry]\notlp_endpoint = \"http://127.0.0.1:9\"\nmetrics_interval_ms = 200\n".to_owned();
    let hanging = Collector::start(Manner::Hangs).await;
    for (toml, given_up) in [(gone, true), (hanging.toml(""), false)] {
        let mut harness = Harness::start_with(&toml).await;
        // More than its queue holds, so that the hanging one must give up some, too.
        let many = if given_up { 50 } else { 2600 };
        let send = |_| async {
            assert_eq!(harness.chat(json!({ "x_fake": { "chunks": 1 } })).await.status, 200);
        };
        futures_util::StreamExt::for_each_concurrent(futures_util::stream::iter(0..many), 16, send).await;
        let dropped = async {
            while crate::metrics::Page::of(&harness).await.sum("tollgate_otlp_dropped_total", &["signal=\"traces\""])
                == 0.0
            {
                sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), dropped).await.unwrap();
        assert_eq!(harness.totals().await["requests"], json!(many));
        harness.assert_clean_audit().await;
        // It stops in time all the same: its own limits are seconds.
        tokio::time::timeout(Duration::from_secs(20), harness.gateway.take().unwrap().stop()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_refuses_for_now_is_asked_again_and_a_stop_sends_what_is_left() {
    let collector = Collector::start(Manner::Refuses(2)).await;
    let mut harness = Harness::start_with(&collector.toml("")).await;
    harness.chat(json!({})).await;
    assert_eq!(collector.spans(2).await.len(), 2);
    for _ in 0..3 {
        harness.chat(json!({})).await;
    }
    harness.totals().await;
    harness.gateway.take().unwrap().stop().await;
    assert_eq!(collector.spans(8).await.len(), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_prompt_answer_or_secret_leaves_and_the_collectors_own_secret_goes_to_it_alone() {
    let collector = Collector::start(Manner::Takes).await;
    let toml = collector.toml("otlp_headers = \"file:{dir}/otlp-headers\"");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("otlp-headers"), "authorization=Bearer collector-secret, x-scope=tollgate\n")
        .unwrap();
    let toml = toml.replace("{dir}", dir.path().to_str().unwrap());
    let harness = Harness::start_with(&toml).await;
    let body = json!({
        "messages": [{ "role": "user", "content": "PROMPT-MARKER" }], "user": "USER-MARKER",
        "x_fake": { "text": "ANSWER-MARKER" },
    });
    for stream in [false, true] {
        let mut body = body.clone();
        body["stream"] = stream.into();
        let request = harness.request("/v1/chat/completions", &chat(body)).header("x-tollgate-tags", "team=TAG-MARKER");
        assert_eq!(read(request).await.status, 200);
    }
    harness.chat(json!({ "model": "MODEL-MARKER" })).await;
    collector.spans(5).await;
    let raw = collector.seen.raw.lock().unwrap().clone();
    for (headers, body) in &raw {
        assert_eq!(headers["authorization"], "Bearer collector-secret");
        assert_eq!(headers["x-scope"], "tollgate");
        let text = String::from_utf8_lossy(body);
        for secret in ["MARKER", "sk-upstream-secret", "collector-secret", &harness.key, &harness.gateway().admin_token]
        {
            assert!(!text.contains(secret), "{secret}");
        }
    }
    let told = serde_json::to_string(&harness.upstream.requests()).unwrap();
    assert!(!told.contains("collector-secret") && !told.contains("x-scope"));
}
