//! Spans and families of metrics as OTLP's messages, in either of its two forms over HTTP.

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, Histogram, HistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics, metric::Data,
    },
    resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan, Status, span::SpanKind, status::StatusCode},
};
use prometheus::proto::MetricFamily;
use prost::Message;

use crate::telemetry::{
    genai::{ATTRIBUTES, TOKEN_USAGE},
    trace::{Span, Value},
};

/// The name under which this gateway's spans and metrics stand.
const SCOPE: &str = "tollgate";
/// The conventions that names follow.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/gen-ai/1.42.0";
/// The flags of a span: it is recorded.
const SAMPLED: u32 = 1;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    /// None when it cannot be written, which the messages made here can.
    pub(super) fn write<M: Message + serde::Serialize>(self, message: &M) -> Option<Bytes> {
        match self {
            Self::Protobuf => Some(message.encode_to_vec().into()),
            Self::Json => serde_json::to_vec(message).ok().map(Into::into),
        }
    }

    /// None when it is not such a message.
    pub(super) fn read<M: Message + Default + serde::de::DeserializeOwned>(self, bytes: &[u8]) -> Option<M> {
        match self {
            Self::Protobuf => M::decode(bytes).ok(),
            Self::Json => serde_json::from_slice(bytes).ok(),
        }
    }
}

/// Who tells.
pub(super) struct Resource {
    pub(super) service: String,
    pub(super) instance: String,
    /// Since when it counts, microseconds since 1970 UTC.
    pub(super) began_us: i64,
}

impl Resource {
    fn message(&self) -> resource::v1::Resource {
        let attributes = vec![
            text("service.name", &self.service),
            text("service.instance.id", &self.instance),
            text("service.version", env!("CARGO_PKG_VERSION")),
        ];
        resource::v1::Resource { attributes, ..Default::default() }
    }
}

fn scope() -> Option<InstrumentationScope> {
    let (name, version) = (SCOPE.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    Some(InstrumentationScope { name, version, ..Default::default() })
}

pub(super) fn traces(resource: &Resource, spans: &[Span]) -> ExportTraceServiceRequest {
    let spans = spans.iter().map(span).collect();
    let scope_spans = vec![ScopeSpans { scope: scope(), spans, schema_url: SCHEMA_URL.to_owned() }];
    let resource_spans =
        vec![ResourceSpans { resource: Some(resource.message()), scope_spans, schema_url: String::new() }];
    ExportTraceServiceRequest { resource_spans }
}

fn span(span: &Span) -> OtlpSpan {
    let kind = if span.is_server { SpanKind::Server } else { SpanKind::Client };
    let code = if span.is_error { StatusCode::Error } else { StatusCode::Unset };
    OtlpSpan {
        trace_id: span.trace_id.to_vec(),
        span_id: span.span_id.to_vec(),
        trace_state: span.state.clone(),
        parent_span_id: span.parent_id.map(|id| id.to_vec()).unwrap_or_default(),
        flags: SAMPLED,
        name: span.name.clone(),
        kind: kind.into(),
        start_time_unix_nano: nanos(span.began_us),
        end_time_unix_nano: nanos(span.ended_us),
        attributes: span.attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
        status: Some(Status { message: String::new(), code: code.into() }),
        ..Default::default()
    }
}

fn nanos(unix_us: i64) -> u64 {
    u64::try_from(unix_us).unwrap_or(0).saturating_mul(1000)
}

fn attribute(name: &str, value: &Value) -> KeyValue {
    let any = |value| AnyValue { value: Some(value) };
    let value = match value {
        Value::Text(text) => any_value::Value::StringValue(text.clone().into_owned()),
        Value::Int(number) => any_value::Value::IntValue(*number),
        Value::Float(number) => any_value::Value::DoubleValue(*number),
        Value::Flag(flag) => any_value::Value::BoolValue(*flag),
        Value::Listed(text) => {
            let values = vec![any(any_value::Value::StringValue((*text).to_owned()))];
            any_value::Value::ArrayValue(ArrayValue { values })
        }
    };
    KeyValue { key: name.to_owned(), value: Some(any(value)), ..Default::default() }
}

fn text(name: &str, value: &str) -> KeyValue {
    attribute(name, &Value::Text(value.to_owned().into()))
}

/// Histograms that grow since the gateway began.
pub(super) fn metrics(resource: &Resource, families: &[MetricFamily], now_us: i64) -> ExportMetricsServiceRequest {
    let metrics = families.iter().map(|family| histogram(resource, family, now_us)).collect();
    let scope_metrics = vec![ScopeMetrics { scope: scope(), metrics, schema_url: SCHEMA_URL.to_owned() }];
    let resource_metrics =
        vec![ResourceMetrics { resource: Some(resource.message()), scope_metrics, schema_url: String::new() }];
    ExportMetricsServiceRequest { resource_metrics }
}

fn histogram(resource: &Resource, family: &MetricFamily, now_us: i64) -> Metric {
    let data_points = family.get_metric().iter().map(|metric| {
        let histogram = metric.get_histogram();
        let bounds: Vec<f64> = histogram.get_bucket().iter().map(|bucket| bucket.upper_bound()).collect();
        let mut below = 0;
        let mut counts: Vec<u64> = Vec::with_capacity(bounds.len() + 1);
        for bucket in histogram.get_bucket() {
            counts.push(bucket.cumulative_count().saturating_sub(below));
            below = bucket.cumulative_count();
        }
        counts.push(histogram.get_sample_count().saturating_sub(below));
        let named = metric.get_label().iter().filter(|label| !label.value().is_empty()).filter_map(|label| {
            let (_, name) = ATTRIBUTES.iter().find(|(short, _)| *short == label.name())?;
            Some(text(name, label.value()))
        });
        HistogramDataPoint {
            attributes: named.collect(),
            start_time_unix_nano: nanos(resource.began_us),
            time_unix_nano: nanos(now_us),
            count: histogram.get_sample_count(),
            sum: Some(histogram.get_sample_sum()),
            bucket_counts: counts,
            explicit_bounds: bounds,
            ..Default::default()
        }
    });
    let data = Histogram {
        data_points: data_points.collect(),
        aggregation_temporality: AggregationTemporality::Cumulative.into(),
    };
    let unit = if family.help() == TOKEN_USAGE { "{token}" } else { "s" };
    Metric {
        name: family.help().to_owned(),
        unit: unit.to_owned(),
        data: Some(Data::Histogram(data)),
        ..Default::default()
    }
}
